package limiter

import (
	"math"
	"time"
)

const (
	// A rate is cut when the server refuses requests more often than it can be a matter of
	// chance: when it has refused tooMany, where one is forgotten in incidentMemory windows. So it
	// is cut by the second refusal within 20 windows. It is cut to headroom times the rate of
	// the requests that the server accepted, but to between deepCut and cut of the rate; to
	// provenCut of a rate that was sustained before.
	incidentMemory = 100
	maxIncidents   = 1.8
	acceptedMargin = 1.2
	deepCut        = 0.4
	cut            = 0.8
	provenCut      = 0.9

	// A rate is sustained if sustainedShare of it was used for a time and nothing was refused.
	sustainedShare = 0.8

	// A sustained rate is raised by a step that grows while nothing is refused, up to maxStep.
	maxStep    = 0.5
	stepGrowth = 1.5

	// A search that may exceed the configured rate doubles it at first, as long as nothing is
	// refused, and needs a quarter of the time for that.
	climbStep  = 1
	climbSpeed = 4

	// A rate is not raised where nearEnough times the rate was refused within refusedFor.
	nearEnough     = 1.055
	rejectedMemory = 10 * time.Minute
)

// A search finds the highest rate that the server accepts, by bisection between the
// highest rate that was sustained and the lowest one that was refused. The caller serializes
// all use.
type search struct {
	rules   searchRules
	rate    float64 // in force, in units per second
	maxRate float64 // highest rate that may be tried

	sustained     float64       // highest rate that was sustained; 0: none
	rejected      float64       // lowest rate that was refused; infinite: none
	rejectedUntil time.Duration // when bad is forgotten; 0: nothing was refused yet
	step          float64
	uncutRate     float64 // rate before the first cut since a rate was sustained; 0: none

	rateSince    time.Duration // when the rate came into force
	incidents    float64       // incidents since then, forgotten at a rate of 1 in refusalMemory windows
	lastIncident time.Duration // the latest of them
	bound        float64       // rate that the server does not exceed, as they show

	// The present measurement.
	measuredSince time.Duration
	used          float64 // units
	clean         bool    // nothing was refused
}

// searchRules are how a search judges a rate.
type searchRules struct {
	window    func(rate float64) time.Duration       // of the server
	testTime  func(rate, step float64) time.Duration // how long a rate has to be used that is higher by a step
	guardRate func(rate float64) float64             // rate that the guard lets pass
}

func newSearch(rate, most float64, rules searchRules) search {
	s := search{rules: rules, rate: rate, maxRate: most, rejected: math.Inf(1), step: maxStep, clean: true}
	if most > rate {
		s.step = climbStep
	}
	return s
}

// source returns where the rate in force comes from.
func (s *search) source(configured float64) Source {
	switch {
	case s.rate < configured:
		return FromRefusals
	case s.rate > configured:
		return FromUse
	default:
		return FromConfiguration
	}
}

// isClimbing reports whether the rate has not met the server's yet.
func (s *search) isClimbing() bool { return s.rejectedUntil == 0 && s.step == climbStep }

// isProbing reports whether the rate in force is above the one that was sustained.
func (s *search) isProbing() bool { return s.sustained > 0 && s.rate > s.sustained }

// isSustained reports whether the rate in force was sustained.
func (s *search) isSustained() bool { return s.sustained >= s.rate }

// isStable reports whether the rate in force was sustained, or not refused for some time.
func (s *search) isStable(now time.Duration) bool { return s.isSustained() || now >= s.rejectedUntil }

// use counts n units as used. If that shows that the rate is sustained, use raises the rate,
// unless mayRaise is false. It reports whether the rate has changed.
func (s *search) use(now time.Duration, n float64, mayRaise bool) (changed bool) {
	s.used += n
	elapsed := now - s.measuredSince
	step := 1.0
	if s.isProbing() {
		step = s.rate/s.sustained - 1
	}
	needed := s.rules.testTime(s.rate, step)
	if s.isClimbing() {
		needed /= climbSpeed
	}
	if elapsed < needed {
		return false
	}
	sustained := s.clean && s.used >= sustainedShare*s.rules.guardRate(s.rate)*elapsed.Seconds()
	s.measure(now)
	if !sustained {
		return false
	}
	s.sustained, s.uncutRate = s.rate, 0
	return mayRaise && s.raise(now)
}

// raise tries a higher rate than the one that was sustained.
func (s *search) raise(now time.Duration) (changed bool) {
	if now >= s.rejectedUntil {
		s.rejected = math.Inf(1)
	}
	if s.rate >= s.maxRate || s.rejected <= s.rate*nearEnough {
		s.step = nearEnough - 1
		return false
	}
	next := min(s.maxRate, s.rate*(1+s.step))
	if !math.IsInf(s.rejected, 1) {
		next = min(s.rate*(1+maxStep), math.Sqrt(s.sustained*s.rejected))
	} else if !s.isClimbing() {
		s.step = min(maxStep, s.step*stepGrowth)
	}
	s.set(now, next)
	return true
}

// throttled counts a request as refused that was sent at the given time, by a server that accepts
// no more than the given rate. It reports whether the rate has changed.
func (s *search) throttled(now, sent time.Duration, accepted, bound float64) (changed bool) {
	if sent < s.rateSince {
		return false
	}
	s.clean = false
	if s.incidents > 0 && sent < s.lastIncident {
		return false // it was under way already
	}
	forgotten := float64(now-s.lastIncident) / float64(incidentMemory*s.rules.window(s.rate))
	before := max(0, s.incidents-forgotten)
	if before == 0 {
		s.bound = 0
	}
	s.bound = max(s.bound, bound) // the weaker one: others may have caused the stronger
	s.incidents, s.lastIncident = before+1, now
	if s.incidents < maxIncidents && !s.isProbing() {
		return false
	}
	s.rejected, s.rejectedUntil = min(s.rate, s.bound), now+rejectedMemory
	s.step = nearEnough - 1
	next := s.sustained
	if !s.isProbing() {
		if s.uncutRate == 0 {
			s.uncutRate = s.rate
		}
		next = provenCut * s.rate
		if !s.isSustained() {
			next = max(deepCut*s.rate, min(cut*s.rate, acceptedMargin*accepted))
		}
		if s.bound < s.rate {
			next = min(next, s.bound/nearEnough)
		}
		s.sustained = 0
	}
	s.set(now, next)
	return true
}

// restore takes back the cuts of a rate that was refused because of others. It reports whether
// the rate has changed.
func (s *search) restore(now time.Duration) (changed bool) {
	if s.uncutRate == 0 {
		return false
	}
	s.rejected, s.rejectedUntil = math.Inf(1), 0
	s.set(now, s.uncutRate)
	s.uncutRate = 0
	return true
}

func (s *search) set(now time.Duration, rate float64) {
	s.rate = rate
	s.rateSince, s.incidents = now, 0
	s.measure(now)
}

// measure begins a measurement.
func (s *search) measure(now time.Duration) { s.measuredSince, s.used, s.clean = now, 0, true }

// measuredRate returns the rate that was used in the present measurement.
func (s *search) measuredRate(now time.Duration) float64 {
	return s.used / max(1, (now-s.measuredSince).Seconds())
}
