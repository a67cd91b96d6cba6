package limiter

import (
	"math"
	"time"
)

// observe records the remaining tokens that the server reported. It attributes usage that is not
// accounted for locally to other clients.
func (g *guard) observe(now time.Duration, remaining int) {
	g.compare(now, remaining)
	g.externalUsage = max(0, g.perMinute-remaining-g.tokens.used)
	g.externalFrom = now
}

// externalUsageAt returns the expected usage of other clients at time t. It stays constant for half a
// span, because other clients probably continue, and then falls to 0. So no call waits forever if the
// server sends no further report.
func (g *guard) externalUsageAt(t time.Duration) int {
	left := 2 * float64(g.externalFrom+g.tokens.span-t) / float64(g.tokens.span)
	return int(math.Ceil(float64(g.externalUsage) * max(0, min(1, left))))
}

// externalUsageBelow returns the time from which other clients use at most n tokens.
func (g *guard) externalUsageBelow(n int) time.Duration {
	if g.externalUsage <= n {
		return 0
	}
	left := float64(n) / float64(g.externalUsage) / 2
	return g.externalFrom + time.Duration(math.Ceil(float64(g.tokens.span)*(1-left)))
}
