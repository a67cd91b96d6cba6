package limiter

import (
	"math"
	"time"
)

const (
	// A rate is cut when the server refuses requests more often than it can be a matter of
	// chance: when it has refused tooMany, where one is forgotten in refusalMemory windows. So it
	// is cut by the second refusal within 20 windows. It is cut to headroom times the rate of
	// the requests that the server accepted, but to between deepCut and cut of the rate; to
	// provenCut of a rate that was sustained before.
	refusalMemory = 100
	tooMany       = 1.8
	headroom      = 1.2
	deepCut       = 0.4
	cut           = 0.8
	provenCut     = 0.9

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
	nearEnough = 1.055
	refusedFor = 10 * time.Minute
)

// A search finds the highest rate that the server accepts, by bisection between the
// highest rate that was sustained and the lowest one that was refused. The caller serializes
// all use.
type search struct {
	rules searchRules
	rate  float64 // in force, in units per second
	most  float64 // highest rate that may be tried

	good float64       // highest rate that was sustained; 0: none
	bad  float64       // lowest rate that was refused; infinite: none
	till time.Duration // when bad is forgotten; 0: nothing was refused yet
	step float64
	base float64 // rate before the first cut since a rate was sustained; 0: none

	from    time.Duration // when the rate came into force
	refused float64       // incidents since then, forgotten at a rate of 1 in refusalMemory windows
	latest  time.Duration // the latest of them
	bound   float64       // rate that the server does not exceed, as they show

	// The present measurement.
	since time.Duration
	used  float64 // units
	clean bool    // nothing was refused
}

// searchRules are how a search judges a rate.
type searchRules struct {
	window    func(rate float64) time.Duration       // of the server
	sustained func(rate, step float64) time.Duration // how long a rate has to be used that is higher by a step
	possible  func(rate float64) float64             // rate that the guard lets pass
}

func newSearch(rate, most float64, rules searchRules) search {
	s := search{rules: rules, rate: rate, most: most, bad: math.Inf(1), step: maxStep, clean: true}
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
func (s *search) isClimbing() bool { return s.till == 0 && s.step == climbStep }

// isProbing reports whether the rate in force is above the one that was sustained.
func (s *search) isProbing() bool { return s.good > 0 && s.rate > s.good }

// isProven reports whether the rate in force was sustained.
func (s *search) isProven() bool { return s.good >= s.rate }

// isSettled reports whether the rate in force was sustained, or not refused for some time.
func (s *search) isSettled(now time.Duration) bool { return s.isProven() || now >= s.till }

// use counts n units as used. If that shows that the rate is sustained, use raises the rate,
// unless mayRaise is false. It reports whether the rate has changed.
func (s *search) use(now time.Duration, n float64, mayRaise bool) (changed bool) {
	s.used += n
	elapsed := now - s.since
	step := 1.0
	if s.isProbing() {
		step = s.rate/s.good - 1
	}
	needed := s.rules.sustained(s.rate, step)
	if s.isClimbing() {
		needed /= climbSpeed
	}
	if elapsed < needed {
		return false
	}
	sustained := s.clean && s.used >= sustainedShare*s.rules.possible(s.rate)*elapsed.Seconds()
	s.measure(now)
	if !sustained {
		return false
	}
	s.good, s.base = s.rate, 0
	return mayRaise && s.raise(now)
}

// raise tries a higher rate than the one that was sustained.
func (s *search) raise(now time.Duration) (changed bool) {
	if now >= s.till {
		s.bad = math.Inf(1)
	}
	if s.rate >= s.most || s.bad <= s.rate*nearEnough {
		s.step = nearEnough - 1
		return false
	}
	next := min(s.most, s.rate*(1+s.step))
	if !math.IsInf(s.bad, 1) {
		next = min(s.rate*(1+maxStep), math.Sqrt(s.good*s.bad))
	} else if !s.isClimbing() {
		s.step = min(maxStep, s.step*stepGrowth)
	}
	s.set(now, next)
	return true
}

// refuse counts a request as refused that was sent at the given time, by a server that accepts
// no more than the given rate. It reports whether the rate has changed.
func (s *search) refuse(now, sent time.Duration, accepted, bound float64) (changed bool) {
	if sent < s.from {
		return false
	}
	s.clean = false
	if s.refused > 0 && sent < s.latest {
		return false // it was under way already
	}
	forgotten := float64(now-s.latest) / float64(refusalMemory*s.rules.window(s.rate))
	before := max(0, s.refused-forgotten)
	if before == 0 {
		s.bound = 0
	}
	s.bound = max(s.bound, bound) // the weaker one: others may have caused the stronger
	s.refused, s.latest = before+1, now
	if s.refused < tooMany && !s.isProbing() {
		return false
	}
	s.bad, s.till = min(s.rate, s.bound), now+refusedFor
	s.step = nearEnough - 1
	next := s.good
	if !s.isProbing() {
		if s.base == 0 {
			s.base = s.rate
		}
		next = provenCut * s.rate
		if !s.isProven() {
			next = max(deepCut*s.rate, min(cut*s.rate, headroom*accepted))
		}
		if s.bound < s.rate {
			next = min(next, s.bound/nearEnough)
		}
		s.good = 0
	}
	s.set(now, next)
	return true
}

// restore takes back the cuts of a rate that was refused because of others. It reports whether
// the rate has changed.
func (s *search) restore(now time.Duration) (changed bool) {
	if s.base == 0 {
		return false
	}
	s.bad, s.till = math.Inf(1), 0
	s.set(now, s.base)
	s.base = 0
	return true
}

func (s *search) set(now time.Duration, rate float64) {
	s.rate = rate
	s.from, s.refused = now, 0
	s.measure(now)
}

// measure begins a measurement.
func (s *search) measure(now time.Duration) { s.since, s.used, s.clean = now, 0, true }

// accepted returns the rate that was used in the present measurement.
func (s *search) accepted(now time.Duration) float64 {
	return s.used / max(1, (now-s.since).Seconds())
}
