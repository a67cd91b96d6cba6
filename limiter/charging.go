package limiter

import (
	"math"
	"time"
)

const (
	// Reports are compared at least reportGap apart, because the guard counts requests that are
	// still on their way to the server. Both kinds of evidence need minReports.
	reportGap  = time.Second
	minReports = 8

	// The guard assumes that the server charges prompts on arrival if the evidence exceeds
	// arrivalThreshold, and at the end if it falls below endThreshold. In between it keeps its choice.
	arrivalThreshold = 0.5
	endThreshold     = 0
)

// A charging learns when the server charges prompt tokens: when the request arrives, or when the
// response ends. The guard counts its calls in both ways. From one report of remaining tokens to the
// next, it compares the change of the server's count with the changes of both counts. Other clients
// affect both comparisons equally.
type charging struct {
	onArrival   bool   // whether prompts are assumed to be charged on arrival
	otherTokens window // tokens used, counted in the way that is not in force

	prompts, largePrompts int // prompt tokens of small and large calls in flight

	// The evidence of reports before which the count on arrival grew more than the other count, and
	// of those before which it grew less. A bucket's refill or a fixed window's reset supports one of
	// the two and contradicts the other.
	more, less evidence
	last       report
}

// A report holds the tokens that the server had charged, by its remaining tokens, and both local counts.
type report struct {
	at                  time.Duration
	known               bool
	server, early, late int
}

// An evidence holds moving averages over reports that support or contradict charging on arrival.
type evidence struct {
	Closer  float64 `json:"closer,omitempty"` // mean of how much closer the count on arrival was to the server's count
	Apart   float64 `json:"apart,omitempty"`  // mean distance between the two local counts
	Reports int     `json:"reports,omitempty"`
}

// add adds one report.
func (e *evidence) add(closer, apart float64) {
	e.Closer += smoothing * (closer - e.Closer)
	e.Apart += smoothing * (apart - e.Apart)
	e.Reports++
}

// share returns the strength of the evidence, from -1 to 1; 0 if there are too few reports.
func (e *evidence) share() float64 {
	if e.Reports < minReports {
		return 0
	}
	return e.Closer / e.Apart
}

// windows returns the window that counts prompts on arrival, and the window that counts them at the end.
func (g *guard) windows() (early, late *window) {
	if g.onArrival {
		return &g.tokens, &g.otherTokens
	}
	return &g.otherTokens, &g.tokens
}

// charge counts the prompt of an attempt sent now.
func (g *guard) charge(now time.Duration, c cost) {
	if c.prompt > 0 {
		early, _ := g.windows()
		early.add(now, c.prompt)
		*g.promptSum(c) += c.prompt
	}
}

// promptSum returns the sum that includes the prompt of c.
func (g *guard) promptSum(c cost) *int {
	if c.large {
		return &g.largePrompts
	}
	return &g.prompts
}

// uncharge removes the prompt of an attempt counted as sent at the given time: it was not sent, or a
// further attempt replaces it.
func (g *guard) uncharge(sent time.Duration, c cost) {
	if c.prompt > 0 {
		early, _ := g.windows()
		early.remove(sent, c.prompt)
		*g.promptSum(c) -= c.prompt
	}
}

// returnRequest removes an attempt counted as sent at the given time.
func (g *guard) returnRequest(at time.Duration, c cost) {
	g.requests.remove(at, 1)
	if g.lastSent == at {
		g.lastSent -= g.spacing
	}
	g.uncharge(at, c)
}

// uncharged returns how many tokens of the calls in flight the server has not charged yet, by their
// estimates, for small and for large calls.
func (g *guard) uncharged() (small, large int) {
	if g.onArrival {
		return g.smallTokens - g.prompts, g.largeTokens - g.largePrompts
	}
	return g.smallTokens, g.largeTokens
}

// recordUsage counts the actual tokens of a call that ends now and was sent at the given time.
func (g *guard) recordUsage(now, sent time.Duration, c cost, actual int) {
	early, late := g.windows()
	*g.promptSum(c) -= c.prompt
	switch {
	case actual > c.prompt:
		early.add(now, actual-c.prompt)
	case actual < c.prompt:
		early.remove(sent, c.prompt-actual)
	}
	if actual > 0 {
		late.add(now, actual)
	}
}

// compare learns from the server's remaining tokens. It ignores counts below half of the limit, because
// a bucket may have been full then.
func (g *guard) compare(now time.Duration, remaining int) {
	early, late := g.windows()
	early.expire(now)
	late.expire(now)
	last := g.last
	if last.known && now-last.at < reportGap {
		return
	}
	g.last = report{now, remaining > 0, g.perMinute - remaining, early.used, late.used}
	if !last.known || !g.last.known {
		return // with 0 remaining, the server may have charged more than the limit
	}
	server := g.last.server - last.server
	onArrive, onEnd := g.last.early-last.early, g.last.late-last.late
	if onArrive == onEnd || 2*min(last.server, g.last.server) < g.perMinute {
		return
	}
	abs := func(n int) float64 { return math.Abs(float64(n)) }
	e := &g.more
	if onArrive < onEnd {
		e = &g.less
	}
	e.add(abs(server-onEnd)-abs(server-onArrive), abs(onArrive-onEnd))
	if s := g.arrivalEvidence(); !g.onArrival && s > arrivalThreshold || g.onArrival && s < endThreshold {
		g.switchCharging()
	}
}

// arrivalEvidence returns the strength of the evidence for charging on arrival, from -1 to 1.
func (c *charging) arrivalEvidence() float64 { return min(c.more.share(), c.less.share()) }

// switchCharging changes the assumed way of charging to the other one.
func (g *guard) switchCharging() {
	g.onArrival = !g.onArrival
	g.tokens, g.otherTokens = g.otherTokens, g.tokens
	g.reservedShare, g.unexplainedAt = 0, 0 // the way of charging explains the 429 responses
}

// explainsThrottle reports whether a 429 that names the token limit shows that prompts are charged on
// arrival. By that count no tokens are left, by the other count at least a quarter of the limit is, and
// the reports do not contradict it. The prompt of the rejected call counts.
func (g *guard) explainsThrottle(now time.Duration) bool {
	early, late := g.windows()
	early.expire(now)
	late.expire(now)
	return !g.onArrival && g.arrivalEvidence() >= 0 && early.used >= early.limit && 4*(late.used+g.externalUsageAt(now)) < 3*late.limit
}
