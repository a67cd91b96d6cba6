package limiter

import (
	"math"
	"time"
)

const (
	// Reports are compared at least reportGap apart, because requests on the way are counted here
	// and not yet by the server. Both kinds of evidence need minReports.
	reportGap  = time.Second
	minReports = 8

	// The guard takes the server to charge prompts on arrival if the evidence exceeds arrivalThreshold, and
	// at the end if it falls below atEnd. In between the guard keeps its choice.
	arrivalThreshold = 0.5
	endThreshold     = 0
)

// A charging records when the server charges the tokens of a prompt: when the request arrives, or
// with the reply when that ends. The guard counts its calls in both ways. From one report of
// remaining tokens to the next, it compares the change of the server's count with the changes of
// both. Other clients disturb both comparisons alike.
type charging struct {
	onArrival   bool   // prompts are charged on arrival
	otherTokens window // the tokens that were used, counted in the way that is not in force

	prompts, largePrompts int // tokens of the calls in flight, as counted on arrival

	// The evidence of those reports before which the count on arrival grew by more than the other
	// one, and of those before which it grew by less. The refill of a bucket, or the reset of a
	// fixed window, supports one of the two and contradicts the other.
	more, less evidence
	last       report
}

// A report is what the server had charged according to its remaining tokens, and both counts here.
type report struct {
	at                  time.Duration
	known               bool
	server, early, late int
}

// An evidence is what reports say about charging on arrival.
type evidence struct {
	Closer  float64 `json:"closer,omitempty"` // mean of how much closer to the server's count the count on arrival was
	Apart   float64 `json:"apart,omitempty"`  // mean of how far apart both counts were
	Reports int     `json:"reports,omitempty"`
}

// add adds one report.
func (e *evidence) add(closer, apart float64) {
	e.Closer += smoothing * (closer - e.Closer)
	e.Apart += smoothing * (apart - e.Apart)
	e.Reports++
}

// share returns how strong the evidence is, between -1 and 1; 0 for too few reports.
func (e *evidence) share() float64 {
	if e.Reports < minReports {
		return 0
	}
	return e.Closer / e.Apart
}

// windows returns the window that counts prompts on arrival, and the one that counts them at the end.
func (g *guard) windows() (early, late *window) {
	if g.onArrival {
		return &g.tokens, &g.otherTokens
	}
	return &g.otherTokens, &g.tokens
}

// charge counts the prompt of an attempt that is sent now.
func (g *guard) charge(now time.Duration, c cost) {
	if c.prompt > 0 {
		early, _ := g.windows()
		early.add(now, c.prompt)
		*g.promptSum(c) += c.prompt
	}
}

// promptSum returns the sum that the prompt of c belongs to.
func (g *guard) promptSum(c cost) *int {
	if c.large {
		return &g.largePrompts
	}
	return &g.prompts
}

// uncharge takes back the prompt of an attempt that was counted as sent at the given time: it was not
// sent, or a further attempt takes its place.
func (g *guard) uncharge(sent time.Duration, c cost) {
	if c.prompt > 0 {
		early, _ := g.windows()
		early.remove(sent, c.prompt)
		*g.promptSum(c) -= c.prompt
	}
}

// returnRequest takes back an attempt that was counted as sent at the given time.
func (g *guard) returnRequest(at time.Duration, c cost) {
	g.requests.remove(at, 1)
	if g.lastSent == at {
		g.lastSent -= g.spacing
	}
	g.uncharge(at, c)
}

// uncharged returns how many tokens of the calls in flight the server has yet to charge, by their estimates:
// of small calls and of large ones.
func (g *guard) uncharged() (small, large int) {
	if g.onArrival {
		return g.smallTokens - g.prompts, g.largeTokens - g.largePrompts
	}
	return g.smallTokens, g.largeTokens
}

// recordUsage counts the tokens of a call that ends now and was sent at the given time.
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

// compare learns from the remaining tokens that the server reports. A count below half of the limit
// says nothing: a bucket may be full by then.
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
		return // with 0 remaining, the server may have charged any number
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

// arrivalEvidence returns how strong the evidence for charging on arrival is, between -1 and 1.
func (c *charging) arrivalEvidence() float64 { return min(c.more.share(), c.less.share()) }

// switchCharging puts the other way of charging in force.
func (g *guard) switchCharging() {
	g.onArrival = !g.onArrival
	g.tokens, g.otherTokens = g.otherTokens, g.tokens
	g.reservedShare, g.unexplainedAt = 0, 0 // the way of charging explains the refusals
}

// explainsRefusal reports whether a refusal that names the token limit shows that prompts are charged on
// arrival: by that count no tokens are left, by the other one at least a quarter of the limit, and the
// reports do not contradict it. The prompt of the refused call counts.
func (g *guard) explainsRefusal(now time.Duration) bool {
	early, late := g.windows()
	early.expire(now)
	late.expire(now)
	return !g.onArrival && g.arrivalEvidence() >= 0 && early.used >= early.limit && 4*(late.used+g.externalUsageAt(now)) < 3*late.limit
}
