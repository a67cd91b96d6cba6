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

	// Others use the account if a header shows that they used externalShare of what was used
	// here. The limiter does not cut its rates for headerMemory after that, and for
	// refusedFor after other evidence.
	externalShare = 0.1
	headerMemory  = 5 * time.Minute

	// A server that has accepted no request for longer than maxWindow refuses all of them,
	// at whatever rate they come.
	maxWindow = time.Minute

	// A server does not mean its Retry-After if it refuses that many requests in a row that
	// waited for it.
	maxEarlyRetries = 3

	// The first request after a pause goes alone for two round trips, at most maxAlone.
	maxAlone = time.Second
)

// A learner finds out at which rates the server accepts requests and tokens: up to the configured
// rates, or beyond them with [LearnLimits]. The caller serializes all use. A nil learner learns
// nothing.
type learner struct {
	guard            *guard
	configured       Limit
	requests, tokens search

	// The server has headerRate its token limit: while it does, refusals need not teach that.
	headerRate  float64 // tokens per second; 0: none
	headerUntil time.Duration

	// Others use the account, or the server refuses everything: then refusals say nothing
	// about its limits.
	accepted       acceptedRequests
	windowRequests int // requests that a window of the server may hold: those of the highest rate so far
	externalUntil  time.Duration
	ownUntil       time.Duration // what was used elsewhere before is this client's, see nested

	alone         time.Duration // how long the next request goes alone; 0: others may follow
	hasRetryAfter bool          // the server said when it would accept that request
	rejectedSent  time.Duration // when the latest request was sent that the server refused with such a promise
	retriedSent   time.Duration // when the latest request was sent that waited for that; 0: none
	earlyRetries  int           // how many in a row of them were refused
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
			guardRate: func(rate float64) float64 {
				w := float64(window(rate))
				return rate * w / (w + float64(g.requests.span-g.baseSpan))
			},
			testTime: func(rate, step float64) time.Duration {
				w := window(rate)
				return max(20*time.Second, 5*w, min(20*w, time.Duration(float64(w)/step)))
			},
		}),
		tokens: newSearch(tokenRate(configured), tokenRate(most), searchRules{
			window:    func(float64) time.Duration { return time.Minute },
			guardRate: func(rate float64) float64 { return rate },
			testTime:  func(float64, float64) time.Duration { return 2 * time.Minute },
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
	if l.tokens.rate == l.headerRate && tokens != FromConfiguration {
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
	alone, l.alone = l.alone, 0
	if alone > 0 && l.hasRetryAfter {
		l.retriedSent = t
	}
	l.windowRequests = max(l.windowRequests, 1, int(l.requests.rate))
	l.accepted.add(t, l.windowRequests)
	return alone, l.requests.use(t, 1, l.tokens.isStable(t))
}

// resent counts a request as sent only now that was counted as sent before.
func (l *learner) resent(now, before time.Time) {
	if l == nil {
		return
	}
	t, was := l.guard.at(now), before.Sub(l.guard.epoch)
	if l.accepted.remove(was) {
		l.accepted.push(t)
	}
	if l.retriedSent > 0 && l.retriedSent == was {
		l.retriedSent = t
	}
}

// returnRequest takes back a request that was counted as sent at the given time.
func (l *learner) returnRequest(sentAt time.Time) {
	if l != nil && l.accepted.remove(sentAt.Sub(l.guard.epoch)) {
		l.requests.used--
	}
}

// settled counts the tokens of a call. It reports whether the limit has changed.
func (l *learner) settled(now time.Time, tokens int) (changed bool) {
	if l == nil || tokens == 0 {
		return false
	}
	t := l.guard.at(now)
	return l.tokens.use(t, float64(tokens), l.requests.isStable(t) && !l.hasHeaderLimit(t))
}

// hasHeaderLimit reports whether the server names its token limit.
func (l *learner) hasHeaderLimit(now time.Duration) bool { return now < l.headerUntil }

// observeLimit takes the token limit that the server names as the one in force, up to the highest that
// may be tried. It reports whether the limit has changed.
func (l *learner) observeLimit(now time.Time, limit int) (changed bool) {
	if l == nil {
		return false
	}
	t := l.guard.at(now)
	l.headerRate, l.headerUntil = min(l.tokens.maxRate, float64(limit)/60), t+headerMemory
	changed = l.headerRate != l.tokens.rate
	if changed {
		l.tokens.set(t, l.headerRate)
	}
	l.tokens.sustained, l.tokens.rejected, l.tokens.rejectedUntil = l.headerRate, math.Inf(1), 0
	return changed
}

// observeUsage takes back what refusals have taught if the guard has just seen in a header that others
// use the account, and not this client with another limiter. It reports whether the limit has changed.
func (l *learner) observeUsage(now time.Time) (changed bool) {
	if l == nil || float64(l.guard.externalUsage) <= externalShare*float64(l.guard.tokens.used) {
		return false
	}
	t := l.guard.at(now)
	if t < l.ownUntil {
		return false
	}
	l.externalUntil = max(l.externalUntil, t+headerMemory)
	return l.requests.restore(t)
}

// throttled learns from the refusal of a request that was sent at the given time, where the latest
// pause ended at resumed. It reports whether the limit has changed.
func (l *learner) throttled(now, sentAt, resumedAt time.Time, r Throttle) (changed bool) {
	if l == nil {
		return false
	}
	g := l.guard
	t, sent := g.at(now), g.at(sentAt)
	g.tokens.expire(t)
	full := float64(g.tokens.used) >= fullShare*float64(g.tokens.limit)
	l.accepted.throttled(t, sent, !full && !r.Tokens)
	storm := !full && !r.Tokens && l.accepted.sinceAccepted(sent) > maxWindow
	if storm || l.showsExternalUsage(t, sent, r) {
		l.externalUntil = t + rejectedMemory
		return l.requests.restore(t)
	}
	if t < l.externalUntil {
		return false
	}
	if l.isTokenLimit(t, r, full, sentAt.Sub(resumedAt)) {
		return !l.hasHeaderLimit(t) && l.tokens.throttled(t, sent, float64(g.tokens.used)/60, math.Inf(1))
	}
	l.requests.used--
	if l.requests.throttled(t, sent, l.requests.measuredRate(t), l.rateBound(sent, r)) {
		g.extraJitter = 0 // the rate explains the refusals
		return true
	}
	return false
}

// rateBound returns a rate that the server does not exceed, infinite if nothing is known. A server that
// accepts one request at a time accepts the next one when Retry-After has passed, which is rounded
// up to a second.
func (l *learner) rateBound(sent time.Duration, r Throttle) float64 {
	since := l.accepted.sinceAccepted(sent)
	if l.requests.rate >= 2 || since > maxWindow || r.RetryAfter <= time.Second || r.RetryAfter > maxWindow {
		return math.Inf(1)
	}
	return 1 / (since + r.RetryAfter - time.Second).Seconds()
}

// showsExternalUsage reports whether a refusal shows that others use the account. A server that this
// client uses alone accepts a request that has waited for as long as Retry-After said, unless it has accepted
// another one meanwhile: one that was under way when the server promised that.
func (l *learner) showsExternalUsage(now, sent time.Duration, r Throttle) bool {
	tolerance := 2 * l.guard.jitter
	if l.retriedSent > 0 && r.Requests {
		isBroken := sent == l.retriedSent
		l.retriedSent = 0
		if isBroken && sent-l.rejectedSent+tolerance <= l.accepted.sinceAccepted(sent) {
			l.earlyRetries++
			if l.earlyRetries < maxEarlyRetries {
				return true
			}
		} else if !isBroken {
			l.earlyRetries = 0
		}
	}
	return l.accepted.showExternalUsage(now, tolerance)
}

// isTokenLimit reports whether a refusal is taken to be one of the token limit: if it names that, or
// names none, and much of that limit is used. Then the search that is probing has exceeded its
// limit. If neither is probing, a token limit that is exceeded refuses requests again as soon as
// they are sent after a pause.
func (l *learner) isTokenLimit(now time.Duration, r Throttle, full bool, sincePause time.Duration) bool {
	switch {
	case r.Tokens || r.Requests:
		return r.Tokens
	case l.requests.isProbing() && !l.hasHeaderLimit(now):
		return false
	case !full && (l.hasHeaderLimit(now) || !l.tokens.isProbing()):
		return false
	case sincePause >= l.requests.rules.window(l.requests.rate):
		return false
	}
	l.requests.incidents = 0
	return true
}

// pauseStarted has the next request go alone, after a pause that began because of a request that took
// the given time.
func (l *learner) pauseStarted(now time.Time, roundTrip time.Duration, r Throttle) {
	if l == nil {
		return
	}
	t := l.guard.at(now)
	if r.RetryAfter > 0 {
		l.rejectedSent = max(l.rejectedSent, t-roundTrip)
	}
	if t >= l.externalUntil {
		l.alone = min(maxAlone, 2*roundTrip)
		l.hasRetryAfter = r.RetryAfter > 0
	}
}
