package limiter

import (
	"math"
	"time"
)

// observe takes the server's word on how many tokens remain. What is missing,
// beyond what was used here, others have used.
func (g *guard) observe(now time.Duration, remaining int) {
	g.compare(now, remaining)
	g.externalUsage = max(0, g.perMinute-remaining-g.tokens.used)
	g.externalFrom = now
}

// externalUsageAt returns what others use, as far as is known. It stays for half a
// span, since those who use an account go on doing so, and then wears off, so
// that no call waits forever if the server reports nothing more.
func (g *guard) externalUsageAt(t time.Duration) int {
	left := 2 * float64(g.externalFrom+g.tokens.span-t) / float64(g.tokens.span)
	return int(math.Ceil(float64(g.externalUsage) * max(0, min(1, left))))
}

// externalUsageBelow returns when others use no more than n.
func (g *guard) externalUsageBelow(n int) time.Duration {
	if g.externalUsage <= n {
		return 0
	}
	left := float64(n) / float64(g.externalUsage) / 2
	return g.externalFrom + time.Duration(math.Ceil(float64(g.tokens.span)*(1-left)))
}
