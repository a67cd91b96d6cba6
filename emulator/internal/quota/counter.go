package quota

import (
	"math/big"
	"time"
)

// counter counts the usage of a rate. Times may be out of order: a time before the latest
// one counts as the latest.
type counter interface {
	// wait returns the time until a unit is available, or 0 if one is available.
	wait(now time.Time) time.Duration
	// take uses n units, even if fewer are available.
	take(now time.Time, n int)
	// left returns the number of whole units available. It is negative if overdrawn.
	left(now time.Time) int
}

func newCounter(mode Mode, q rate, start time.Time) counter {
	switch mode {
	case FixedWindow:
		return &fixedWindow{rate: q, start: start}
	case SlidingWindow:
		return &slidingWindow{rate: q, last: start}
	default:
		return &bucket{rate: q, level: new(big.Rat).Set(q.capacity), last: start}
	}
}

// bucket is the counter of TokenBucket. It uses exact fractions to avoid rounding errors.
type bucket struct {
	rate
	level *big.Rat
	last  time.Time
}

func (b *bucket) advance(now time.Time) {
	elapsed := now.Sub(b.last)
	if elapsed <= 0 {
		return
	}
	b.last = now
	gain := new(big.Rat).Mul(b.perNano, big.NewRat(int64(elapsed), 1))
	if b.level.Add(b.level, gain).Cmp(b.capacity) > 0 {
		b.level.Set(b.capacity)
	}
}

func (b *bucket) wait(now time.Time) time.Duration {
	b.advance(now)
	missing := new(big.Rat).Sub(big.NewRat(1, 1), b.level)
	if missing.Sign() <= 0 {
		return 0
	}
	return time.Duration(ceil(missing.Quo(missing, b.perNano)))
}

func (b *bucket) take(now time.Time, n int) {
	b.advance(now)
	b.level.Sub(b.level, big.NewRat(int64(n), 1))
}

func (b *bucket) left(now time.Time) int {
	b.advance(now)
	return floor(b.level)
}

// fixedWindow is the counter of FixedWindow.
type fixedWindow struct {
	rate
	start time.Time // start of the current window
	used  int
}

func (f *fixedWindow) advance(now time.Time) {
	if elapsed := now.Sub(f.start); elapsed >= f.window {
		f.start = f.start.Add(elapsed - elapsed%f.window)
		f.used = 0
	}
}

func (f *fixedWindow) wait(now time.Time) time.Duration {
	f.advance(now)
	if f.used < f.count {
		return 0
	}
	return f.start.Add(f.window).Sub(now)
}

func (f *fixedWindow) take(now time.Time, n int) {
	f.advance(now)
	f.used += n
}

func (f *fixedWindow) left(now time.Time) int {
	f.advance(now)
	return f.count - f.used
}

// slidingWindow is the counter of SlidingWindow. It holds the uses within the window that
// ends at last, without those exactly at its start.
type slidingWindow struct {
	rate
	last time.Time
	uses []use // oldest first
	used int
}

type use struct {
	at time.Time
	n  int
}

func (s *slidingWindow) advance(now time.Time) {
	if now.After(s.last) {
		s.last = now
	}
	expired := 0
	for expired < len(s.uses) && s.last.Sub(s.uses[expired].at) >= s.window {
		s.used -= s.uses[expired].n
		expired++
	}
	s.uses = s.uses[expired:]
}

func (s *slidingWindow) wait(now time.Time) time.Duration {
	s.advance(now)
	used := s.used
	for _, u := range s.uses {
		if used < s.count {
			break
		}
		used -= u.n
		if used < s.count {
			return u.at.Add(s.window).Sub(now)
		}
	}
	return 0
}

func (s *slidingWindow) take(now time.Time, n int) {
	s.advance(now)
	s.used += n
	s.uses = append(s.uses, use{at: s.last, n: n})
}

func (s *slidingWindow) left(now time.Time) int {
	s.advance(now)
	return s.count - s.used
}
