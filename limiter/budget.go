package limiter

import (
	"math"
	"math/bits"
	"time"
)

// requestUnits is the number of bucket units per request. Package rate has an integer burst, but an RPS
// of 1.2 needs a bucket of 1.2 requests. The bucket therefore counts millionths of a request, or
// thousandths if int has 32 bits and could not hold MaxRequests.
const requestUnits = 1_000_000 - 999_000*(64-bits.UintSize)/32

// A cost is what one admission takes from a budget.
type cost struct {
	requests, tokens int
	prompt           int  // prompt tokens of the attempt
	large            bool // whether the call is large, see guard.isLarge
}

// A budget decides when a cost can be paid, by the buckets and the guard. The queue only asks it how
// long a cost has to wait, and reports costs that are taken, returned and settled.
//
// The caller serializes all use, as for bucket.
type budget struct {
	requests, tokens bucket
	guard            *guard // nil: only the buckets decide
}

// newBudget returns a budget with both buckets full and without a guard. The limit must be valid, with
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

// setLimit changes the limit. It keeps both balances, up to the new capacities.
func (b *budget) setLimit(now time.Time, l Limit) {
	b.setBuckets(now, l)
	if b.guard != nil {
		b.guard.setLimit(now, l)
	}
}

// setRates is setLimit for learned rates. spread spaces requests evenly.
func (b *budget) setRates(now time.Time, l Limit, spread bool) {
	b.setBuckets(now, l)
	b.guard.setRates(now, l, spread)
}

func (b *budget) setBuckets(now time.Time, l Limit) {
	b.requests.set(now, requestRate(l), requestCapacity(l))
	b.tokens.set(now, tokenRate(l), l.TokenBurst)
}

// cost returns the cost of a call.
func (b *budget) cost(c Call) cost {
	tokens := c.Tokens()
	return cost{requests: 1, tokens: tokens, prompt: c.Prompt, large: b.guard != nil && b.guard.isLarge(tokens)}
}

// wait returns how long it takes until c can be paid, Never if that depends on calls in flight.
func (b *budget) wait(now time.Time, c cost) time.Duration {
	d := b.bucketWait(now, c)
	if g := b.guard; g != nil {
		d = max(d, g.wait(g.at(now), c))
	}
	return d
}

func (b *budget) bucketWait(now time.Time, c cost) time.Duration {
	d := b.requests.level(now).wait(c.requests * requestUnits)
	if c.tokens > 0 {
		d = max(d, b.tokens.level(now).wait(c.tokens))
	}
	return d
}

// requestWait returns how long it takes until the last of n requests can be sent, if requests are the
// only limit. Its running time does not grow with n.
func (b *budget) requestWait(now time.Time, n int) time.Duration {
	d := b.requests.level(now).wait(min(n, math.MaxInt/requestUnits) * requestUnits)
	if g := b.guard; g != nil {
		t := g.at(now)
		spaced := min(float64(n)*float64(g.spacing), math.MaxInt64/2)
		d = max(d, g.requests.waitMany(t, n), g.lastSent+time.Duration(spaced)-t)
	}
	return d
}

// take pays c, for an admission or a retry.
func (b *budget) take(now time.Time, c cost) {
	if c.requests != 0 {
		b.requests.take(now, c.requests*requestUnits)
	}
	if c.tokens != 0 {
		b.tokens.take(now, c.tokens)
	}
	if g := b.guard; g != nil {
		g.take(g.at(now), c)
	}
}

// cancel returns the tokens of a call that was not sent.
func (b *budget) cancel(now time.Time, c cost) {
	if c.tokens != 0 {
		b.tokens.give(now, c.tokens)
	}
	if b.guard != nil {
		b.guard.release(c)
	}
}

// returnRequest returns the request of an attempt of c taken at the given time and never sent.
func (b *budget) returnRequest(now, taken time.Time, c cost) {
	b.requests.give(now, requestUnits)
	if g := b.guard; g != nil {
		g.returnRequest(g.at(taken), c)
	}
}

// resend counts an attempt of c, taken at the given time, as sent now.
func (b *budget) resend(now, taken time.Time, c cost) {
	if g := b.guard; g != nil {
		g.returnRequest(g.at(taken), c)
		g.send(g.at(now))
		g.charge(g.at(now), c)
	}
}

// uncharge removes the prompt of an attempt of c sent at the given time, before the next attempt.
func (b *budget) uncharge(sent time.Time, c cost) {
	if g := b.guard; g != nil {
		g.uncharge(g.at(sent), c)
	}
}

// settle replaces the held tokens of a call that took the given time by its actual tokens.
func (b *budget) settle(now time.Time, c cost, actual int, took time.Duration) {
	switch {
	case actual < c.tokens:
		b.tokens.give(now, c.tokens-actual)
	case actual > c.tokens:
		b.tokens.take(now, actual-c.tokens)
	}
	if g := b.guard; g != nil {
		t := g.at(now)
		g.settle(t, t-took, c, actual)
		g.learnTime(c, took)
	}
}

// observe processes the remaining requests and tokens that the server reported, -1 if unknown.
// inFlight is the sum of the calls in flight. The buckets are lowered to the reported values. A guard
// models how the server counts tokens, so it receives the remaining tokens instead of the bucket.
func (b *budget) observe(now time.Time, requests, tokens int, inFlight cost) {
	g := b.guard
	if g != nil {
		inFlight.requests = 0 // the server counts requests on arrival
		if requests == 0 && b.requests.capacity < 2*requestUnits {
			requests = 1 // the remainder of a minute must not empty a bucket of one request
		}
	}
	if requests >= 0 {
		b.requests.lower(now, float64(requests-inFlight.requests)*requestUnits)
	}
	switch {
	case tokens < 0:
	case g != nil:
		g.observe(g.at(now), tokens)
	default:
		b.tokens.lower(now, float64(tokens-inFlight.tokens))
	}
}

// available returns what could be taken now. Values are negative while a debt is paid off.
func (b *budget) available(now time.Time) (requests, tokens float64) {
	requests = b.requests.level(now).balance / requestUnits
	tokens = b.tokens.level(now).balance
	if g := b.guard; g != nil {
		t := g.at(now)
		g.requests.expire(t)
		g.tokens.expire(t)
		requests = min(requests, float64(g.requests.limit-g.requests.used))
		if since := t - g.lastSent; since < g.spacing {
			requests = min(requests, float64(since)/float64(g.spacing))
		}
		tokens = min(tokens, float64(g.tokens.limit-g.tokens.used-g.held(t)-g.externalUsageAt(t)))
	}
	return requests, tokens
}
