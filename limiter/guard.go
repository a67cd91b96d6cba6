package limiter

import (
	"math"
	"time"
)

// DefaultJitter is the slack of a guard that is given none: how much closer
// together two calls may arrive than they were sent.
const DefaultJitter = 50 * time.Millisecond

// The guard's constants were chosen by simulation (see the directory
// simulation): they are where the use of the quota is highest among those with
// which servers that charge at the end, by bucket or window, refuse nothing in
// hundreds of half hours but for one or two.
const (
	// heldShare is how much of a call's estimate counts while it is in flight. A
	// server that charges a call when its reply ends, as the API seems to do,
	// has charged nothing yet; all of the estimate would leave as much of the
	// quota unused as calls take of a minute.
	heldShare = 0.2

	// Of calls that take longer than longCall the share is smaller, in proportion: there
	// are more of them in flight, and each ends later.
	longCall = 22 * time.Second

	// Room is kept for the calls that end while another one travels to the server, in minTravelTime
	// or more. In calls of ordinary size (root mean square) it is spread times the square root
	// of how many are expected to end in that time, and at most maxRoom.
	minTravelTime  = 50 * time.Millisecond
	headroomSpread = 5
	maxHeadroom    = 3.5

	// spacingShare is the time between two requests at a learned rate, in times of what evenly spread
	// ones have.
	spacingShare = 0.8

	// largeShare is the share of the limit above which a call is large. Large
	// calls are held whole, and largeError more, since a prompt may have that
	// many more tokens than were counted. There can be few of them at a time.
	largeShare = 1.0 / 8
	largeError = 1.0 / 4

	// smoothing is the weight of the latest call in what is learned of sizes.
	smoothing = 1.0 / 64

	// reservedStep is what a refusal that the guard cannot explain adds to its caution if it
	// follows on another one within cautionWear, but not within an incident. cautionWear
	// without one takes as much off.
	reservedStep  = 1.0 / 4
	reservedDecay = 30 * time.Minute
	incident      = 20 * time.Second

	// After a refusal that names the token limit, others are taken to have used all that was left, as
	// if that had been seen for throttleAge of the window. That wears off within 24 s, and
	// costs 10 s of the quota if nobody else uses it.
	throttleAge = 0.6

	// A refusal for want of requests adds the configured jitter to the slack, up
	// to so many times that jitter. It wears off in that time.
	maxJitterFactor = 5
	jitterDecay     = 10 * time.Minute
)

// A guard keeps to limits that the server counts in its own way: by token
// bucket, in fixed windows or in sliding ones, when a call arrives or when its
// reply ends, and as seen through a network that delays some calls more than
// others. The rule that satisfies all of them: in no span of time that is longer
// than the server's by the jitter are more requests sent than its window allows,
// and no call starts while a minute's tokens were used in the minute before.
//
// The caller serialises all use.
type guard struct {
	epoch            time.Time
	requests, tokens window
	charging

	jitter          time.Duration // configured
	extraJitter     time.Duration // learned, at extraFrom
	extraJitterFrom time.Duration
	baseSpan        time.Duration // span of requests without jitter
	perMinute       int           // tokens
	tokenMinutes    float64       // span of tokens

	// Requests that follow one another at a learned rate are spread, because the burst that the
	// server allows is not known.
	spacing  time.Duration // 0: as they come
	lastSent time.Duration // when a request was sent

	smallTokens, largeTokens int   // tokens of the calls in flight
	smallCount               int   // of calls in flight that are not large
	largeInFlight            []int // of each large call in flight

	// How much of what is in flight has been charged already: 0 for nothing, as
	// by a server that charges at the end, 1 for all of it. Learned at cautionFrom.
	reservedShare float64
	reservedFrom  time.Duration
	unexplainedAt time.Duration // when a refusal came that the guard cannot explain; 0: never

	// Learned of calls that are not large: the mean meanSquare of their sizes, and
	// the means of what they used and of what they were meanEstimate to use.
	meanSquare, meanActual, meanEstimate float64

	meanDuration time.Duration // mean of what calls took; 0 before the first has ended

	// externalUsage is what others use of the account, as seen at foreignFrom.
	externalUsage int
	externalFrom  time.Duration
}

func newGuard(now time.Time, l Limit, jitter time.Duration) *guard {
	g := &guard{epoch: now, jitter: jitter}
	g.setLimit(now, l)
	return g
}

// setLimit sets the span of the tokens' window: a minute, or as long as the tokens of the bucket
// take, if it holds more of them than that.
func (g *guard) setLimit(now time.Time, l Limit) {
	g.tokenMinutes = max(1, float64(l.TokenBurst)/float64(l.TokensPerMinute))
	g.setRates(now, l, false)
}

// setRates sets the windows: as many requests as the bucket holds in the time
// that it takes to refill, and a minute's tokens in a minute. Requests may be spread
// over their window.
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
	// What was learned of sizes under another limit must not be more than this one
	// calls small.
	g.meanSquare = min(g.meanSquare, math.Pow(largeShare*float64(g.tokens.limit), 2))
	g.at(now)
}

// seconds rounds up to a nanosecond, to the longest duration at most.
func seconds(s float64) time.Duration {
	if ns := math.Ceil(s * float64(time.Second)); ns < math.MaxInt64/2 {
		return time.Duration(ns)
	}
	return math.MaxInt64 / 2
}

// at returns the time since the epoch. Everything that is done to a guard begins
// with it, so that the slack for jitter, which wears off, is the same for all.
func (g *guard) at(now time.Time) time.Duration {
	t := now.Sub(g.epoch)
	slack := g.jitter + g.extraJitterAt(t)
	g.requests.span = g.baseSpan + slack
	early, late := g.windows()
	early.span = late.span + slack
	return t
}

// isLarge reports whether a call of n tokens is a large one.
func (g *guard) isLarge(n int) bool { return float64(n) > largeShare*float64(g.tokens.limit) }

// wait returns how long it takes until c fits. The answer is Never if it can do
// so only when a call in flight has ended: nobody knows when that is. While caution
// wears off, it is the time of its next step at most: then less is held.
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

// held is what must be kept free for the calls in flight.
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

// headroom returns how many tokens are kept free for calls that end while another one travels.
// How often calls end follows from how many are in flight and how long they take.
func (g *guard) headroom() float64 {
	calls := float64(maxHeadroom)
	if g.meanDuration > 0 {
		ending := float64(g.smallCount) * float64(max(minTravelTime, g.jitter)) / float64(g.meanDuration)
		calls = min(calls, headroomSpread*math.Sqrt(ending))
	}
	return calls * math.Sqrt(g.meanSquare)
}

// tokenWait returns how long it takes until n tokens fit beside what is held,
// what was used and what others use.
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

// take starts a call, or another attempt of one.
func (g *guard) take(now time.Duration, c cost) {
	g.send(now)
	g.charge(now, c)
	switch {
	case c.tokens == 0:
	case c.large:
		g.largeTokens += c.tokens
		g.largeInFlight = append(g.largeInFlight, c.tokens)
	default:
		if g.meanSquare == 0 { // the first: all that is known of sizes
			g.meanSquare = float64(c.tokens) * float64(c.tokens)
		}
		g.smallTokens += c.tokens
		g.smallCount++
	}
}

// send counts a request.
func (g *guard) send(now time.Duration) {
	g.requests.add(now, 1)
	g.lastSent = now
}

// release ends a call in flight.
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

// settle ends a call that used so many tokens.
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

// learnTime learns how long calls take that hold tokens.
func (g *guard) learnTime(c cost, took time.Duration) {
	switch {
	case c.tokens == 0:
	case g.meanDuration == 0:
		g.meanDuration = took
	default:
		g.meanDuration += time.Duration(smoothing * float64(took-g.meanDuration))
	}
}

// callTime returns how long a call in flight is expected to take from now on.
func (g *guard) callTime() time.Duration {
	if g.meanDuration == 0 {
		return g.tokens.span
	}
	return g.meanDuration
}

// throttled learns from a refusal. One for want of requests says that calls arrive
// closer together than was allowed for. One for want of tokens, when there were
// some left by the guard's own count, says that the server had charged for calls
// in flight.
func (g *guard) throttled(now time.Duration, r Throttle) {
	if r.Requests {
		g.extraJitter = min((maxJitterFactor-1)*g.jitter, g.extraJitterAt(now)+g.jitter)
		g.extraJitterFrom = now
	}
	if r.Tokens {
		g.tokens.expire(now)
		switch {
		case g.explainsRefusal(now):
			g.switchCharging()
		case g.tokens.used+g.externalUsageAt(now) < g.tokens.limit:
			g.recordUnexplained(now)
		}
		g.observe(now, 0)
		g.externalFrom -= time.Duration(throttleAge * float64(g.tokens.span))
	}
}

// recordUnexplained learns from a refusal that names the token limit while tokens were left. A single one may be a
// mistake of the server, or somebody else's burst.
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

// reservedShareAt returns the caution that was learned, as far as it has not worn off.
func (g *guard) reservedShareAt(now time.Duration) float64 {
	return max(0, g.reservedShare-reservedStep*float64((now-g.reservedFrom)/reservedDecay))
}

// extraJitterAt returns the jitter that was learned, as far as it has not worn off.
func (g *guard) extraJitterAt(now time.Duration) time.Duration {
	left := max(0, g.extraJitterFrom+jitterDecay-now)
	return time.Duration(float64(g.extraJitter) * float64(left) / float64(jitterDecay))
}

// forecast returns a guard without calls in flight, to play the future through, and what is
// expected of those: the tokens that they hold, those that they will have used, and how long
// they take from now on. Calls in flight hold less than they will have used, and while calls go on to
// start there will be as many: so much more fits.
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

// timeUntilRefill returns how long it takes until tokens leave the window, at most a minute; 0 if not much
// of it is used.
func (g *guard) timeUntilRefill(now time.Duration) time.Duration {
	w := &g.tokens
	w.expire(now)
	if w.count == 0 || float64(w.used) < fullShare*float64(w.limit) {
		return 0
	}
	return min(time.Minute, w.leaves(0)-now)
}
