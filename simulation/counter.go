package main

import (
	"math"
	"time"
)

// counter counts the usage of one limit. Times are relative to the start of the run and never
// decrease.
type counter interface {
	left(now time.Duration) float64 // below 0 after usage beyond the limit
	take(now time.Duration, n float64)

	// wait returns how long it takes until n units are left, without further usage.
	wait(now time.Duration, n float64) time.Duration
}

// bucket is a token bucket, which is full at first.
type bucket struct {
	capacity, level float64
	rate            float64 // Units per second.
	last            time.Duration
}

func newBucket(capacity float64, span time.Duration) *bucket {
	return &bucket{capacity: capacity, level: capacity, rate: capacity / span.Seconds()}
}

func (b *bucket) left(now time.Duration) float64 {
	b.level = min(b.capacity, b.level+b.rate*(now-b.last).Seconds())
	b.last = now
	return b.level
}

func (b *bucket) take(now time.Duration, n float64) {
	b.left(now)
	b.level -= n
}

func (b *bucket) wait(now time.Duration, n float64) time.Duration {
	missing := max(0, n-b.left(now))
	return time.Duration(math.Ceil(missing / b.rate * float64(time.Second)))
}

// fixed counts in fixed windows.
type fixed struct {
	limit float64
	span  time.Duration
	start time.Duration // The start of the current window.
	used  float64
}

func newFixed(limit float64, span time.Duration) *fixed { return &fixed{limit: limit, span: span} }

func (f *fixed) left(now time.Duration) float64 {
	if now-f.start >= f.span {
		f.start, f.used = now.Truncate(f.span), 0
	}
	return f.limit - f.used
}

func (f *fixed) take(now time.Duration, n float64) {
	f.left(now)
	f.used += n
}

func (f *fixed) wait(now time.Duration, n float64) time.Duration {
	if f.left(now) >= n {
		return 0
	}
	return f.start + f.span - now
}

// sliding counts in a sliding window.
type sliding struct {
	limit float64
	span  time.Duration
	uses  []use
	used  float64
}

type use struct {
	at time.Duration
	n  float64
}

func newSliding(limit float64, span time.Duration) *sliding {
	return &sliding{limit: limit, span: span}
}

func (s *sliding) left(now time.Duration) float64 {
	for len(s.uses) > 0 && now-s.uses[0].at >= s.span {
		s.used -= s.uses[0].n
		s.uses = s.uses[1:]
	}
	return s.limit - s.used
}

func (s *sliding) take(now time.Duration, n float64) {
	s.left(now)
	s.uses = append(s.uses, use{now, n})
	s.used += n
}

func (s *sliding) wait(now time.Duration, n float64) time.Duration {
	left := s.left(now)
	wait := time.Duration(0)
	for _, u := range s.uses {
		if left >= n {
			break
		}
		left += u.n
		wait = u.at + s.span - now
	}
	return wait
}
