package limiter

import (
	"math"
	"time"
)

// A Source is where a rate that a limiter keeps to comes from.
type Source string

// The sources of a rate.
const (
	FromConfiguration Source = "configuration" // the rate is the configured one
	FromHeaders       Source = "headers"       // the server named the rate in a header
	FromRefusals      Source = "refusals"      // the server refused a higher rate
	FromUse           Source = "use"           // the server accepted a lower rate: see [LearnLimits]
)

const (
	// A refusal that names no limit is one of the token limit only if fullShare of that was
	// used.
	fullShare = 0.75

	// Others use the account if a header shows that they used foreignShare of what was used
	// here. The limiter does not cut its rates for headerMemory after that, and for
	// refusedFor after other evidence.
	foreignShare = 0.1
	headerMemory = 5 * time.Minute

	// A server that has accepted no request for longer than longestWindow refuses all of them,
	// at whatever rate they come.
	longestWindow = time.Minute

	// A server does not mean its Retry-After if it refuses that many requests in a row that
	// waited for it.
	maxBroken = 3

	// The first request after a pause goes alone for two round trips, at most maxTrial.
	maxTrial = time.Second
)

// A learner finds out at which rates the server accepts requests and tokens: up to the configured
// rates, or beyond them with [LearnLimits]. The caller serializes all use. A nil learner learns
// nothing.
type learner struct {
	guard            *guard
	configured       Limit
	requests, tokens search

	// The server has named its token limit: while it does, refusals need not teach that.
	named      float64 // tokens per second; 0: none
	namedUntil time.Duration

	// Others use the account, or the server refuses everything: then refusals say nothing
	// about its limits.
	sends       sends
	window      int // requests that a window of the server may hold: those of the highest rate so far
	othersUntil time.Duration
	oursUntil   time.Duration // what was used elsewhere before is this client's, see nested

	trial    time.Duration // how long the next request goes alone; 0: others may follow
	promised bool          // the server said when it would accept that request
	promise  time.Duration // when the latest request was sent that the server refused with such a promise
	waited   time.Duration // when the latest request was sent that waited for that; 0: none
	broken   int           // how many in a row of them were refused
}

func newLearner(g *guard, configured Limit, climbs bool) *learner {
	window := func(rate float64) time.Duration { return seconds(max(1, math.Floor(rate)) / rate) }
	most := configured
	if climbs {
		most.RequestsPerSecond, most.TokensPerMinute = MaxRequests, MaxTokens
	}
	return &learner{
		guard:      g,
		configured: configured,
		requests: newSearch(configured.RequestsPerSecond, most.RequestsPerSecond, searchRules{
			window: window,
			possible: func(rate float64) float64 {
				w := float64(window(rate))
				return rate * w / (w + float64(g.requests.span-g.pace))
			},
			sustained: func(rate, step float64) time.Duration {
				w := window(rate)
				return max(20*time.Second, 5*w, min(20*w, time.Duration(float64(w)/step)))
			},
		}),
		tokens: newSearch(tokenRate(configured), tokenRate(most), searchRules{
			window:    func(float64) time.Duration { return time.Minute },
			possible:  func(rate float64) float64 { return rate },
			sustained: func(float64, float64) time.Duration { return 2 * time.Minute },
		}),
	}
}

// limit returns the limit to put in force. A call may be as large as the configured limit allows.
func (l *learner) limit() Limit {
	in := l.configured
	in.RequestsPerSecond = l.requests.rate
	burst := min(MaxRequests, max(1, in.RequestBurst*l.requests.rate/l.configured.RequestsPerSecond))
	if burst < in.RequestBurst {
		// A guard counts whole requests. If it counted fewer than this in a shorter window, it
		// could exceed the configured limit with the rate below the configured one.
		burst = min(math.Ceil(burst), math.Floor(in.RequestBurst))
	}
	in.RequestBurst = burst
	in.TokensPerMinute = max(1, int(math.Round(60*l.tokens.rate)))
	if raise := 60 * l.tokens.rate / float64(l.configured.TokensPerMinute); raise > 1 {
		in.TokenBurst = int(min(MaxTokens, math.Round(raise*float64(in.TokenBurst))))
	}
	return in
}

// sources returns where the rates in force come from.
func (l *learner) sources() (requests, tokens Source) {
	if l == nil {
		return FromConfiguration, FromConfiguration
	}
	tokens = l.tokens.source(tokenRate(l.configured))
	if l.tokens.rate == l.named && tokens != FromConfiguration {
		tokens = FromHeaders
	}
	return l.requests.source(l.configured.RequestsPerSecond), tokens
}

// sent counts a request. It returns how long no other may follow, and reports whether the limit
// has changed.
func (l *learner) sent(now time.Time) (alone time.Duration, changed bool) {
	if l == nil {
		return 0, false
	}
	t := l.guard.at(now)
	alone, l.trial = l.trial, 0
	if alone > 0 && l.promised {
		l.waited = t
	}
	l.window = max(l.window, 1, int(l.requests.rate))
	l.sends.add(t, l.window)
	return alone, l.requests.use(t, 1, l.tokens.isSettled(t))
}

// resent counts a request as sent only now that was counted as sent before.
func (l *learner) resent(now, before time.Time) {
	if l == nil {
		return
	}
	t, was := l.guard.at(now), before.Sub(l.guard.epoch)
	if l.sends.remove(was) {
		l.sends.push(t)
	}
	if l.waited > 0 && l.waited == was {
		l.waited = t
	}
}

// unsent takes back a request that was counted as sent at the given time.
func (l *learner) unsent(sentAt time.Time) {
	if l != nil && l.sends.remove(sentAt.Sub(l.guard.epoch)) {
		l.requests.used--
	}
}

// settled counts the tokens of a call. It reports whether the limit has changed.
func (l *learner) settled(now time.Time, tokens int) (changed bool) {
	if l == nil || tokens == 0 {
		return false
	}
	t := l.guard.at(now)
	return l.tokens.use(t, float64(tokens), l.requests.isSettled(t) && !l.isNamed(t))
}

// isNamed reports whether the server names its token limit.
func (l *learner) isNamed(now time.Duration) bool { return now < l.namedUntil }

// header takes the token limit that the server names as the one in force, up to the highest that
// may be tried. It reports whether the limit has changed.
func (l *learner) header(now time.Time, limit int) (changed bool) {
	if l == nil {
		return false
	}
	t := l.guard.at(now)
	l.named, l.namedUntil = min(l.tokens.most, float64(limit)/60), t+headerMemory
	changed = l.named != l.tokens.rate
	if changed {
		l.tokens.set(t, l.named)
	}
	l.tokens.good, l.tokens.bad, l.tokens.till = l.named, math.Inf(1), 0
	return changed
}

// observed takes back what refusals have taught if the guard has just seen in a header that others
// use the account, and not this client with another limiter. It reports whether the limit has changed.
func (l *learner) observed(now time.Time) (changed bool) {
	if l == nil || float64(l.guard.foreign) <= foreignShare*float64(l.guard.tokens.used) {
		return false
	}
	t := l.guard.at(now)
	if t < l.oursUntil {
		return false
	}
	l.othersUntil = max(l.othersUntil, t+headerMemory)
	return l.requests.restore(t)
}

// refused learns from the refusal of a request that was sent at the given time, where the latest
// pause ended at resumed. It reports whether the limit has changed.
func (l *learner) refused(now, sentAt, resumedAt time.Time, r Throttle) (changed bool) {
	if l == nil {
		return false
	}
	g := l.guard
	t, sent := g.at(now), g.at(sentAt)
	g.tokens.expire(t)
	full := float64(g.tokens.used) >= fullShare*float64(g.tokens.limit)
	l.sends.refuse(t, sent, !full && !r.Tokens)
	storm := !full && !r.Tokens && l.sends.sinceAccepted(sent) > longestWindow
	if storm || l.showOthers(t, sent, r) {
		l.othersUntil = t + refusedFor
		return l.requests.restore(t)
	}
	if t < l.othersUntil {
		return false
	}
	if l.isOfTokens(t, r, full, sentAt.Sub(resumedAt)) {
		return !l.isNamed(t) && l.tokens.refuse(t, sent, float64(g.tokens.used)/60, math.Inf(1))
	}
	l.requests.used--
	if l.requests.refuse(t, sent, l.requests.accepted(t), l.bound(sent, r)) {
		g.extra = 0 // the rate explains the refusals
		return true
	}
	return false
}

// bound returns a rate that the server does not exceed, infinite if nothing is known. A server that
// accepts one request at a time accepts the next one when Retry-After has passed, which is rounded
// up to a second.
func (l *learner) bound(sent time.Duration, r Throttle) float64 {
	since := l.sends.sinceAccepted(sent)
	if l.requests.rate >= 2 || since > longestWindow || r.RetryAfter <= time.Second || r.RetryAfter > longestWindow {
		return math.Inf(1)
	}
	return 1 / (since + r.RetryAfter - time.Second).Seconds()
}

// showOthers reports whether a refusal shows that others use the account. A server that this
// client uses alone accepts a request that has waited for as long as Retry-After said, unless it has accepted
// another one meanwhile: one that was under way when the server promised that.
func (l *learner) showOthers(now, sent time.Duration, r Throttle) bool {
	tolerance := 2 * l.guard.jitter
	if l.waited > 0 && r.Requests {
		isBroken := sent == l.waited
		l.waited = 0
		if isBroken && sent-l.promise+tolerance <= l.sends.sinceAccepted(sent) {
			l.broken++
			if l.broken < maxBroken {
				return true
			}
		} else if !isBroken {
			l.broken = 0
		}
	}
	return l.sends.showOthers(now, tolerance)
}

// isOfTokens reports whether a refusal is taken to be one of the token limit: if it names that, or
// names none, and much of that limit is used. Then the search that is probing has exceeded its
// limit. If neither is probing, a token limit that is exceeded refuses requests again as soon as
// they are sent after a pause.
func (l *learner) isOfTokens(now time.Duration, r Throttle, full bool, sincePause time.Duration) bool {
	switch {
	case r.Tokens || r.Requests:
		return r.Tokens
	case l.requests.isProbing() && !l.isNamed(now):
		return false
	case !full && (l.isNamed(now) || !l.tokens.isProbing()):
		return false
	case sincePause >= l.requests.rules.window(l.requests.rate):
		return false
	}
	l.requests.refused = 0
	return true
}

// paused has the next request go alone, after a pause that began because of a request that took
// the given time.
func (l *learner) paused(now time.Time, roundTrip time.Duration, r Throttle) {
	if l == nil {
		return
	}
	t := l.guard.at(now)
	if r.RetryAfter > 0 {
		l.promise = max(l.promise, t-roundTrip)
	}
	if t >= l.othersUntil {
		l.trial = min(maxTrial, 2*roundTrip)
		l.promised = r.RetryAfter > 0
	}
}
