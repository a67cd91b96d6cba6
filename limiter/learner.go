package limiter

import (
	"math"
	"time"
)

// A Source is where a rate in force comes from.
type Source string

// The sources of a rate.
const (
	FromConfiguration Source = "configuration" // the configured rate
	FromHeaders       Source = "headers"       // the server named the rate in a header
	FromRefusals      Source = "refusals"      // the server rejected a higher rate with 429
	FromUse           Source = "use"           // raised above the configured rate, see [LearnLimits]
)

const (
	// A 429 that names no limit can be due to the token limit only if at least fullShare of that
	// limit was used.
	fullShare = 0.75

	// Other clients use the account if a header shows that they used externalShare of the local
	// usage. The limiter then does not cut its rates for headerMemory, or for rejectedMemory after
	// other evidence.
	externalShare = 0.1
	headerMemory  = 5 * time.Minute

	// A server that has not accepted a request for longer than maxWindow rejects all requests,
	// at any rate.
	maxWindow = time.Minute

	// The server's Retry-After is wrong if the server rejects that many consecutive requests that
	// waited for it.
	maxRejectedRetries = 3

	// After the first request after a pause, no other request starts for two round trips, at most
	// maxAlone.
	maxAlone = time.Second
)

// A learner searches for the rates at which the server accepts requests and tokens: up to the configured
// rates, or beyond them with [LearnLimits]. The caller serializes all use. A nil learner learns
// nothing. Times are durations since the guard's epoch.
type learner struct {
	guard            *guard
	configured       Limit
	requests, tokens search

	// The token limit named by the server's headers. Until headerUntil, a 429 does not change it.
	headerRate  float64 // tokens per second; 0: none
	headerUntil time.Duration

	// While other clients use the account, or while the server rejects all requests, a 429 shows
	// nothing about the limits.
	accepted       acceptedRequests
	windowRequests int           // requests in a window of the server, at the highest rate so far
	externalUntil  time.Duration // until when other clients are assumed to use the account
	ownUntil       time.Duration // until when external usage is that of this client, see nested

	alone           time.Duration // how long no request may follow the next one; 0: not restricted
	hasRetryAfter   bool          // whether the server sent Retry-After for the next request
	rejectedSent    time.Duration // when the latest request was sent that was rejected with Retry-After
	retriedSent     time.Duration // when the latest request was sent that waited for Retry-After; 0: none
	rejectedRetries int           // consecutive requests that waited for Retry-After and were rejected
}

func newLearner(g *guard, configured Limit, mayExceed bool) *learner {
	window := func(rate float64) time.Duration { return seconds(max(1, math.Floor(rate)) / rate) }
	highest := configured
	if mayExceed {
		highest.RequestsPerSecond, highest.TokensPerMinute = MaxRequests, MaxTokens
	}
	return &learner{
		guard:      g,
		configured: configured,
		requests: newSearch(configured.RequestsPerSecond, highest.RequestsPerSecond, searchRules{
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
		tokens: newSearch(tokenRate(configured), tokenRate(highest), searchRules{
			window:    func(float64) time.Duration { return time.Minute },
			guardRate: func(rate float64) float64 { return rate },
			testTime:  func(float64, float64) time.Duration { return 2 * time.Minute },
		}),
	}
}

// limit returns the limit to put in force. Its TokenBurst is at least the configured one.
func (l *learner) limit() Limit {
	in := l.configured
	in.RequestsPerSecond = l.requests.rate
	burst := min(MaxRequests, max(1, in.RequestBurst*l.requests.rate/l.configured.RequestsPerSecond))
	if burst < in.RequestBurst {
		// A guard counts whole requests. With fewer requests in a shorter window it could exceed
		// the configured limit, although the rate is below the configured one.
		burst = min(math.Ceil(burst), math.Floor(in.RequestBurst))
	}
	in.RequestBurst = burst
	in.TokensPerMinute = max(1, int(math.Round(60*l.tokens.rate)))
	if raise := 60 * l.tokens.rate / float64(l.configured.TokensPerMinute); raise > 1 {
		in.TokenBurst = int(min(MaxTokens, math.Round(raise*float64(in.TokenBurst))))
	}
	return in
}

// sources returns where the request rate and the token rate in force come from.
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

// sent counts a request sent now. It returns how long no other request may follow, and whether the
// limit has changed.
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

// resent moves a request counted as sent before to now.
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

// returnRequest removes a request counted as sent at the given time.
func (l *learner) returnRequest(sentAt time.Time) {
	if l != nil && l.accepted.remove(sentAt.Sub(l.guard.epoch)) {
		l.requests.used--
	}
}

// settled counts the tokens of a call that ended. It reports whether the limit has changed.
func (l *learner) settled(now time.Time, tokens int) (changed bool) {
	if l == nil || tokens == 0 {
		return false
	}
	t := l.guard.at(now)
	return l.tokens.use(t, float64(tokens), l.requests.isStable(t) && !l.hasHeaderLimit(t))
}

// hasHeaderLimit reports whether the server currently names its token limit.
func (l *learner) hasHeaderLimit(now time.Duration) bool { return now < l.headerUntil }

// observeLimit puts the token limit named by the server in force, up to the highest that may be tried. It
// reports whether the limit has changed.
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

// observeUsage reverts cuts of the request rate if the guard has just seen in a header that other clients
// use the account. It reports whether the limit has changed.
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

// throttled learns from a 429 for a request sent at the given time. resumedAt is the end of the latest
// pause. It reports whether the limit has changed.
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
		g.extraJitter = 0 // the rate explains the 429 responses
		return true
	}
	return false
}

// rateBound returns an upper bound of the server's rate, infinite if unknown. A server that accepts one
// request at a time accepts the next one after Retry-After, which is rounded up to a second.
func (l *learner) rateBound(sent time.Duration, r Throttle) float64 {
	since := l.accepted.sinceAccepted(sent)
	if l.requests.rate >= 2 || since > maxWindow || r.RetryAfter <= time.Second || r.RetryAfter > maxWindow {
		return math.Inf(1)
	}
	return 1 / (since + r.RetryAfter - time.Second).Seconds()
}

// showsExternalUsage reports whether a 429 shows that other clients use the account. If this client is
// alone, the server accepts a request that waited for Retry-After. An exception is that it accepted
// another request meanwhile, which was on its way when the server sent Retry-After.
func (l *learner) showsExternalUsage(now, sent time.Duration, r Throttle) bool {
	tolerance := 2 * l.guard.jitter
	if l.retriedSent > 0 && r.Requests {
		isBroken := sent == l.retriedSent
		l.retriedSent = 0
		if isBroken && sent-l.rejectedSent+tolerance <= l.accepted.sinceAccepted(sent) {
			l.rejectedRetries++
			if l.rejectedRetries < maxRejectedRetries {
				return true
			}
		} else if !isBroken {
			l.rejectedRetries = 0
		}
	}
	return l.accepted.showExternalUsage(now, tolerance)
}

// isTokenLimit reports whether a 429 is due to the token limit: it names that limit, or it names no limit
// and much of the token limit is used. In the latter case the search that is probing a higher rate
// has exceeded its limit. If neither is probing, an exceeded token limit shows in a 429 right after a
// pause.
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

// pauseStarted makes the next request go alone, after a pause due to a request with the given round trip
// time.
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
