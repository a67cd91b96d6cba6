package limiter

import (
	"math"
	"time"
)

const (
	// A rate is cut when the server rejects requests more often than by chance: after more than
	// maxIncidents, where one incident is forgotten in incidentMemory windows. The second 429 within
	// 20 windows therefore cuts the rate. The new rate is acceptedMargin times the rate of accepted
	// requests, but from deepCut to cut of the old rate. A rate that was sustained before is cut to
	// provenCut of it.
	incidentMemory = 100
	maxIncidents   = 1.8
	acceptedMargin = 1.2
	deepCut        = 0.4
	cut            = 0.8
	provenCut      = 0.9

	// A rate is sustained if sustainedShare of it was used for a time without a 429.
	sustainedShare = 0.8

	// A sustained rate is raised by a step that grows up to maxStep until the next 429.
	maxStep    = 0.5
	stepGrowth = 1.5

	// A search that may exceed the configured rate doubles it until the first 429, each time after
	// 1/climbSpeed of the usual test time.
	climbStep  = 1
	climbSpeed = 4

	// A rate is not raised if the server rejected nearEnough times the rate within rejectedMemory.
	nearEnough     = 1.055
	rejectedMemory = 10 * time.Minute
)

// A search finds the highest rate that the server accepts. It bisects between the highest sustained rate
// and the lowest rejected rate. The caller serializes all use.
type search struct {
	rules   searchRules
	rate    float64 // in force, in units per second
	maxRate float64 // highest rate to try

	sustained     float64       // highest sustained rate; 0: none
	rejected      float64       // lowest rejected rate; infinite: none
	rejectedUntil time.Duration // when rejected is forgotten; 0: before the first 429
	step          float64       // relative size of the next raise
	uncutRate     float64       // rate before the first cut since a rate was sustained; 0: none

	rateSince    time.Duration // when the rate was set
	incidents    float64       // since rateSince; one is forgotten in incidentMemory windows
	lastIncident time.Duration // when the latest one began
	bound        float64       // upper bound of the server's rate that the incidents show

	// The current measurement.
	measuredSince time.Duration
	used          float64 // units
	clean         bool    // without a 429
}

// searchRules holds the parameters of a search, as functions of a rate.
type searchRules struct {
	window    func(rate float64) time.Duration       // the server's window
	testTime  func(rate, step float64) time.Duration // how long to use a rate that was raised by step
	guardRate func(rate float64) float64             // highest rate that the guard admits
}

func newSearch(rate, maxRate float64, rules searchRules) search {
	s := search{rules: rules, rate: rate, maxRate: maxRate, rejected: math.Inf(1), step: maxStep, clean: true}
	if maxRate > rate {
		s.step = climbStep
	}
	return s
}

// source returns the source of the rate in force.
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

// isClimbing reports whether the search has not met the server's rate yet.
func (s *search) isClimbing() bool { return s.rejectedUntil == 0 && s.step == climbStep }

// isProbing reports whether the rate in force is above the highest sustained rate.
func (s *search) isProbing() bool { return s.sustained > 0 && s.rate > s.sustained }

// isSustained reports whether the rate in force is sustained.
func (s *search) isSustained() bool { return s.sustained >= s.rate }

// isStable reports whether the rate in force is sustained, or was not rejected for some time.
func (s *search) isStable(now time.Duration) bool { return s.isSustained() || now >= s.rejectedUntil }

// use counts n units as used. If the rate is now sustained, use raises it, unless mayRaise is false. It
// reports whether the rate has changed.
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

// raise sets a higher rate than the one that was sustained. It reports whether the rate has changed.
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

// throttled counts a 429 for a request sent at the given time. accepted is the rate of accepted requests,
// bound an upper bound of the server's rate. It reports whether the rate has changed.
func (s *search) throttled(now, sent time.Duration, accepted, bound float64) (changed bool) {
	if sent < s.rateSince {
		return false
	}
	s.clean = false
	if s.incidents > 0 && sent < s.lastIncident {
		return false // the request was already in flight
	}
	forgotten := float64(now-s.lastIncident) / float64(incidentMemory*s.rules.window(s.rate))
	before := max(0, s.incidents-forgotten)
	if before == 0 {
		s.bound = 0
	}
	s.bound = max(s.bound, bound) // the weaker bound, because other clients may have caused the stronger one
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

// restore reverts the cuts of a rate that was rejected because of other clients. It reports whether the
// rate has changed.
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

// measure starts a new measurement.
func (s *search) measure(now time.Duration) { s.measuredSince, s.used, s.clean = now, 0, true }

// measuredRate returns the rate used in the current measurement, in units per second.
func (s *search) measuredRate(now time.Duration) float64 {
	return s.used / max(1, (now-s.measuredSince).Seconds())
}
