package limiter

import (
	"math"
	"time"
)

// DefaultJitter is the jitter that clients pass to [Guarded] by default: how much closer together two
// calls may arrive than they were sent.
const DefaultJitter = 50 * time.Millisecond

// These constants were chosen by simulation (see the directory simulation). They give the highest use of
// the quota at which servers that charge at the end of a call reject almost nothing. Such servers reject one
// or two requests in hundreds of half hours.
const (
	// heldShare is the share of its estimate that a call in flight counts. A server that charges a
	// call when its response ends, as the API seems to, has not charged anything yet. If the
	// whole estimate counted, much of the quota would remain unused while calls are in flight.
	heldShare = 0.2

	// If calls take longer than longCall, the share is smaller, in proportion: more of them are in
	// flight, and each ends later.
	longCall = 22 * time.Second

	// Headroom is kept for the calls that end while another one travels to the server, for
	// minTravelTime or longer. It is headroomSpread times the square root of the number of calls
	// expected to end in that time, at most maxHeadroom. Its unit is a call of ordinary size: the
	// root mean square.
	minTravelTime  = 50 * time.Millisecond
	headroomSpread = 5
	maxHeadroom    = 3.5

	// spacingShare is the minimum time between two requests at a learned rate, as a share of the
	// time between evenly spread ones.
	spacingShare = 0.8

	// largeShare is the share of the limit above which a call is large. A large call in flight
	// counts with its whole estimate plus largeError of it, because its prompt may have that many
	// more tokens than estimated. Only a few large calls can be in flight at a time.
	largeShare = 1.0 / 8
	largeError = 1.0 / 4

	// smoothing is the weight of the latest call in moving averages.
	smoothing = 1.0 / 64

	// reservedStep is added to reservedShare by an unexplained 429 if another one came within
	// reservedDecay before, but not within the same incident. Each reservedDecay without one removes
	// a step.
	reservedStep  = 1.0 / 4
	reservedDecay = 30 * time.Minute
	incident      = 20 * time.Second

	// After a 429 that names the token limit, the guard assumes that other clients used all remaining
	// tokens, throttleAge of a window ago. The assumption decays within 24 s. It costs 10 s of the
	// quota if the account has no other clients.
	throttleAge = 0.6

	// A 429 that names the request limit adds the configured jitter to the slack, up to
	// maxJitterFactor times that jitter in total. The addition decays within jitterDecay.
	maxJitterFactor = 5
	jitterDecay     = 10 * time.Minute
)

// A guard enforces limits regardless of how the server counts: by token bucket, in fixed or in sliding
// windows, when a call arrives or when its response ends. It also allows for a network with variable
// latency. Two rules satisfy all of them. In any time span of the server's window plus the jitter, the
// guard sends at most as many requests as the window allows. And no call starts while a minute's tokens
// were used in the minute before.
//
// The caller serializes all use. Times are durations since epoch.
type guard struct {
	epoch            time.Time
	requests, tokens window
	charging

	jitter          time.Duration // configured
	extraJitter     time.Duration // learned at extraJitterFrom
	extraJitterFrom time.Duration
	baseSpan        time.Duration // span of the request window without jitter
	perMinute       int           // tokens per minute
	tokenMinutes    float64       // span of the token window, in minutes

	// Requests at a learned rate are spaced, because the burst that the server allows is unknown.
	spacing  time.Duration // minimum time between requests; 0: none
	lastSent time.Duration // when the latest request was sent

	smallTokens, largeTokens int   // tokens of small and large calls in flight
	smallCount               int   // number of small calls in flight that hold tokens
	largeInFlight            []int // tokens of each large call in flight

	// reservedShare is the share of the tokens in flight that the server is assumed to have charged
	// already: 0 for a server that charges at the end. Learned at reservedFrom.
	reservedShare float64
	reservedFrom  time.Duration
	unexplainedAt time.Duration // when the latest unexplained 429 arrived; 0: never

	// Moving averages over small calls: the square of their actual tokens, their actual tokens, and
	// their estimates.
	meanSquare, meanActual, meanEstimate float64

	meanDuration time.Duration // moving average of call durations; 0 before the first call has ended

	// externalUsage is the number of tokens that other clients used, as observed at externalFrom.
	externalUsage int
	externalFrom  time.Duration
}

func newGuard(now time.Time, l Limit, jitter time.Duration) *guard {
	g := &guard{epoch: now, jitter: jitter}
	g.setLimit(now, l)
	return g
}

// setLimit changes the limit. The span of the token window is a minute, or the time in which TokenBurst
// tokens refill if that is longer.
func (g *guard) setLimit(now time.Time, l Limit) {
	g.tokenMinutes = max(1, float64(l.TokenBurst)/float64(l.TokensPerMinute))
	g.setRates(now, l, false)
}

// setRates changes the rates. The request window allows RequestBurst requests in the time in which that
// many refill, the token window a minute's tokens per minute. spread spaces the requests over their
// window.
func (g *guard) setRates(now time.Time, l Limit, spread bool) {
	requests := math.Floor(l.RequestBurst)
	g.requests.limit = int(requests)
	g.baseSpan = seconds(requests / l.RequestsPerSecond)
	g.spacing = 0
	if spread {
		g.spacing = seconds(spacingShare / l.RequestsPerSecond)
	}
	g.perMinute = l.TokensPerMinute
	g.tokens.limit = int(min(MaxTokens, math.Round(float64(l.TokensPerMinute)*g.tokenMinutes)))
	g.otherTokens.limit = g.tokens.limit
	_, late := g.windows()
	late.span = seconds(60 * g.tokenMinutes)
	g.last.known = false
	// The average size learned under another limit must not exceed the size of a small call.
	g.meanSquare = min(g.meanSquare, math.Pow(largeShare*float64(g.tokens.limit), 2))
	g.at(now)
}

// seconds converts s to a duration, rounded up to a nanosecond and at most math.MaxInt64/2.
func seconds(s float64) time.Duration {
	if ns := math.Ceil(s * float64(time.Second)); ns < math.MaxInt64/2 {
		return time.Duration(ns)
	}
	return math.MaxInt64 / 2
}

// at returns the time since the epoch, and updates the spans of the windows for the jitter at that time.
// Every use of a guard must start with at.
func (g *guard) at(now time.Time) time.Duration {
	t := now.Sub(g.epoch)
	slack := g.jitter + g.extraJitterAt(t)
	g.requests.span = g.baseSpan + slack
	early, late := g.windows()
	early.span = late.span + slack
	return t
}

// isLarge reports whether a call of n tokens is large.
func (g *guard) isLarge(n int) bool { return float64(n) > largeShare*float64(g.tokens.limit) }

// wait returns how long it takes until c fits. It returns Never if c can fit only after a call in flight
// has ended, at an unknown time. While reservedShare is above 0, it returns at most the time until its
// next step, because then less is held.
func (g *guard) wait(now time.Duration, c cost) time.Duration {
	d := g.requestWait(now, c.requests)
	if c.tokens > 0 {
		d = max(d, g.tokenWait(now, c.tokens, g.held(now)))
	}
	if d == Never && g.reservedShareAt(now) > 0 {
		d = reservedDecay - (now-g.reservedFrom)%reservedDecay
	}
	return d
}

// requestWait returns how long it takes until n requests fit.
func (g *guard) requestWait(now time.Duration, n int) time.Duration {
	return max(g.requests.wait(now, n), g.lastSent+g.spacing-now)
}

// held returns how many tokens are kept free for the calls in flight.
func (g *guard) held(now time.Duration) int {
	if g.smallTokens+g.largeTokens == 0 {
		return 0
	}
	share := heldShare
	if g.meanDuration > longCall {
		share *= float64(longCall) / float64(g.meanDuration)
	}
	share += (1 - share) * g.reservedShareAt(now)
	small, large := g.uncharged()
	held := share*float64(small) + float64(large) + largeError*float64(g.largeTokens)
	if g.smallTokens > 0 {
		held += g.headroom()
	}
	return int(math.Ceil(held))
}

// headroom returns how many tokens are kept free for the calls that end while another one travels to
// the server. It follows from the number of calls in flight and their mean duration.
func (g *guard) headroom() float64 {
	calls := float64(maxHeadroom)
	if g.meanDuration > 0 {
		ending := float64(g.smallCount) * float64(max(minTravelTime, g.jitter)) / float64(g.meanDuration)
		calls = min(calls, headroomSpread*math.Sqrt(ending))
	}
	return calls * math.Sqrt(g.meanSquare)
}

// tokenWait returns how long it takes until n tokens fit, besides the held tokens, those used, and those
// that other clients use.
func (g *guard) tokenWait(now time.Duration, n, held int) time.Duration {
	w := &g.tokens
	w.expire(now)
	room := w.limit - min(n, w.limit) - held - w.used
	for i, from := 0, now; ; i++ {
		if room >= 0 {
			ready := max(from, g.externalUsageBelow(room))
			if i == w.count || ready <= w.leaves(i) {
				return ready - now
			}
		}
		if i == w.count {
			return Never
		}
		room += w.at(i).n
		from = w.leaves(i)
	}
}

// take counts a call that starts, or a further attempt of a call with a cost of 0 tokens.
func (g *guard) take(now time.Duration, c cost) {
	g.send(now)
	g.charge(now, c)
	switch {
	case c.tokens == 0:
	case c.large:
		g.largeTokens += c.tokens
		g.largeInFlight = append(g.largeInFlight, c.tokens)
	default:
		if g.meanSquare == 0 { // the first call
			g.meanSquare = float64(c.tokens) * float64(c.tokens)
		}
		g.smallTokens += c.tokens
		g.smallCount++
	}
}

// send counts a request sent now.
func (g *guard) send(now time.Duration) {
	g.requests.add(now, 1)
	g.lastSent = now
}

// release removes a call from those in flight.
func (g *guard) release(c cost) {
	if !c.large {
		g.smallTokens -= c.tokens
		if c.tokens > 0 {
			g.smallCount--
		}
		return
	}
	g.largeTokens -= c.tokens
	for i, n := range g.largeInFlight {
		if n == c.tokens {
			last := len(g.largeInFlight) - 1
			g.largeInFlight[i] = g.largeInFlight[last]
			g.largeInFlight = g.largeInFlight[:last]
			return
		}
	}
}

// settle ends a call that used the actual number of tokens.
func (g *guard) settle(now, sent time.Duration, c cost, actual int) {
	g.release(c)
	g.recordUsage(now, sent, c, int(min(int64(actual), MaxTokens)))
	if c.tokens > 0 && !c.large && !g.isLarge(actual) {
		n := float64(actual)
		g.meanSquare += smoothing * (n*n - g.meanSquare)
		g.meanActual += smoothing * (n - g.meanActual)
		g.meanEstimate += smoothing * (float64(c.tokens) - g.meanEstimate)
	}
}

// learnTime updates the mean duration if the call held tokens.
func (g *guard) learnTime(c cost, took time.Duration) {
	switch {
	case c.tokens == 0:
	case g.meanDuration == 0:
		g.meanDuration = took
	default:
		g.meanDuration += time.Duration(smoothing * float64(took-g.meanDuration))
	}
}

// callTime returns the expected remaining time of a call in flight.
func (g *guard) callTime() time.Duration {
	if g.meanDuration == 0 {
		return g.tokens.span
	}
	return g.meanDuration
}

// throttled learns from a 429. If it names the request limit, calls arrive closer together than the
// jitter allows for. If it names the token limit although tokens are left by the guard's count, the
// server has charged for calls in flight.
func (g *guard) throttled(now time.Duration, r Throttle) {
	if r.Requests {
		g.extraJitter = min((maxJitterFactor-1)*g.jitter, g.extraJitterAt(now)+g.jitter)
		g.extraJitterFrom = now
	}
	if r.Tokens {
		g.tokens.expire(now)
		switch {
		case g.explainsThrottle(now):
			g.switchCharging()
		case g.tokens.used+g.externalUsageAt(now) < g.tokens.limit:
			g.recordUnexplained(now)
		}
		g.observe(now, 0)
		g.externalFrom -= time.Duration(throttleAge * float64(g.tokens.span))
	}
}

// recordUnexplained learns from a 429 that names the token limit while tokens were left. A single one is
// ignored: it may be an error of the server, or a burst of another client.
func (g *guard) recordUnexplained(now time.Duration) {
	since := now - g.unexplainedAt
	switch {
	case g.unexplainedAt > 0 && since < incident:
		return
	case g.unexplainedAt > 0 && since < reservedDecay:
		g.reservedShare = min(1, g.reservedShareAt(now)+reservedStep)
		g.reservedFrom = now
	}
	g.unexplainedAt = max(1, now)
}

// reservedShareAt returns the learned reservedShare after its decay.
func (g *guard) reservedShareAt(now time.Duration) float64 {
	return max(0, g.reservedShare-reservedStep*float64((now-g.reservedFrom)/reservedDecay))
}

// extraJitterAt returns the learned jitter after its decay.
func (g *guard) extraJitterAt(now time.Duration) time.Duration {
	left := max(0, g.extraJitterFrom+jitterDecay-now)
	return time.Duration(float64(g.extraJitter) * float64(left) / float64(jitterDecay))
}

// forecast returns a copy of the guard without the calls in flight, to predict the future. It also
// returns the tokens that those calls hold, the tokens that they will have used, and how long they take
// from now on. Calls in flight hold fewer tokens than they will use. As calls go on to start, the same
// difference remains, so the copy's limit is higher by it.
func (g *guard) forecast(now time.Duration) (f *guard, held, used int, d time.Duration) {
	copied := *g
	f = &copied
	f.requests, f.tokens, f.otherTokens = g.requests.clone(), g.tokens.clone(), window{}
	f.smallTokens, f.largeTokens, f.smallCount, f.largeInFlight = 0, 0, 0, nil
	small, large := g.uncharged()
	used, held = small+large, g.held(now)
	f.tokens.limit += max(0, used-held)
	return f, max(held, used), used, g.callTime()
}

// timeUntilRefill returns how long it takes until tokens leave the window, at most a minute. It returns 0
// if less than fullShare of the limit is used.
func (g *guard) timeUntilRefill(now time.Duration) time.Duration {
	w := &g.tokens
	w.expire(now)
	if w.count == 0 || float64(w.used) < fullShare*float64(w.limit) {
		return 0
	}
	return min(time.Minute, w.leaves(0)-now)
}
