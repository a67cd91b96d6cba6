package limiter

import (
	"math"
	"math/bits"
	"time"
)

// requestUnits is what the request bucket counts a request as. Package rate has
// an integer for its burst, and RPS 1.2 needs a bucket that holds 1.2 requests:
// so it counts in millionths, or in thousandths where int has 32 bits and could
// not hold MaxRequests otherwise.
const requestUnits = 1_000_000 - 999_000*(64-bits.UintSize)/32

// A cost is what one admission takes.
type cost struct {
	requests, tokens int
}

// A budget decides when a call can be paid for. It is the one place that knows
// what limits there are: the queue above it asks only how long a cost has to
// wait, and reports what is taken, given back and settled. A further constraint
// gets a field here and its share in each method.
//
// The caller serialises all use, as with bucket.
type budget struct {
	requests, tokens bucket
}

// newBudget returns a budget with both buckets full. The limit is valid and has
// its defaults filled in.
func newBudget(l Limit) budget {
	return budget{
		requests: newBucket(requestRate(l), requestCapacity(l)),
		tokens:   newBucket(tokenRate(l), l.TokenBurst),
	}
}

func requestRate(l Limit) float64 { return l.RequestsPerSecond * requestUnits }
func requestCapacity(l Limit) int { return int(math.Round(l.RequestBurst * requestUnits)) }
func tokenRate(l Limit) float64   { return float64(l.TokensPerMinute) / 60 }

// setLimit keeps both balances, cut to the new capacities.
func (b *budget) setLimit(now time.Time, l Limit) {
	b.requests.set(now, requestRate(l), requestCapacity(l))
	b.tokens.set(now, tokenRate(l), l.TokenBurst)
}

// wait returns how long it takes until all of c can be paid.
func (b *budget) wait(now time.Time, c cost) time.Duration {
	d := b.requests.level(now).wait(c.requests * requestUnits)
	if c.tokens > 0 {
		d = max(d, b.tokens.level(now).wait(c.tokens))
	}
	return d
}

// take pays c.
func (b *budget) take(now time.Time, c cost) {
	if c.requests != 0 {
		b.requests.take(now, c.requests*requestUnits)
	}
	if c.tokens != 0 {
		b.tokens.take(now, c.tokens)
	}
}

// give takes back a payment that turned out not to be owed.
func (b *budget) give(now time.Time, c cost) {
	if c.requests != 0 {
		b.requests.give(now, c.requests*requestUnits)
	}
	if c.tokens != 0 {
		b.tokens.give(now, c.tokens)
	}
}

// settle replaces the held tokens of a call by the actual ones.
func (b *budget) settle(now time.Time, held, actual int) {
	switch {
	case actual < held:
		b.tokens.give(now, held-actual)
	case actual > held:
		b.tokens.take(now, actual-held)
	}
}

// lowerRequests and lowerTokens cut a balance to what is known to remain.
func (b *budget) lowerRequests(now time.Time, remaining int) {
	b.requests.lower(now, float64(remaining)*requestUnits)
}

func (b *budget) lowerTokens(now time.Time, remaining int) {
	b.tokens.lower(now, float64(remaining))
}

// forecast returns the state of the budget, to play the future through.
func (b *budget) forecast(now time.Time) forecast {
	return forecast{b.requests.level(now), b.tokens.level(now)}
}

// A forecast is a budget at one instant, detached from it.
type forecast struct {
	requests, tokens level
}

func (f forecast) wait(c cost) time.Duration {
	return max(f.requests.wait(c.requests*requestUnits), f.tokens.wait(c.tokens))
}

func (f forecast) after(d time.Duration) forecast {
	return forecast{f.requests.after(d), f.tokens.after(d)}
}

func (f forecast) less(c cost) forecast {
	return forecast{f.requests.less(c.requests * requestUnits), f.tokens.less(c.tokens)}
}
