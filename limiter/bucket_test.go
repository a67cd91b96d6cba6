package limiter

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// The behavior of package rate that bucket.go relies on, whether it is documented or not. If one of these
// tests fails after an update, bucket.go must change.
func TestRateBehavesAsBucketReliesOn(t *testing.T) {
	t0 := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	// Ten units per second, capacity 100, reduced to the given balance at t0.
	drained := func(balance int) *rate.Limiter {
		lim := rate.NewLimiter(10, 100)
		lim.ReserveN(t0, 100-balance)
		return lim
	}
	check := func(t *testing.T, lim *rate.Limiter, when time.Time, want float64) {
		t.Helper()
		if got := lim.TokensAt(when); got != want {
			t.Errorf("balance at %v is %v, want %v", when.Sub(t0), got, want)
		}
	}

	t.Run("starts full", func(t *testing.T) {
		check(t, rate.NewLimiter(10, 100), t0, 100)
	})
	t.Run("refills in proportion to time, up to its burst", func(t *testing.T) {
		check(t, drained(0), at(1500*time.Millisecond), 15)
		check(t, drained(0), at(time.Hour), 100)
	})
	t.Run("reading the balance does not change it", func(t *testing.T) {
		lim := drained(0)
		lim.TokensAt(at(time.Minute))
		check(t, lim, at(time.Second), 10)
	})
	t.Run("ReserveN takes units that are not available yet", func(t *testing.T) {
		lim := drained(0)
		if !lim.ReserveN(t0, 100).OK() {
			t.Error("ReserveN failed")
		}
		lim.ReserveN(t0, 100)
		check(t, lim, t0, -200)
		check(t, lim, at(time.Second), -190)
	})
	t.Run("ReserveN rejects more than the burst and takes nothing", func(t *testing.T) {
		lim := drained(50)
		if lim.ReserveN(t0, 101).OK() {
			t.Error("ReserveN succeeded")
		}
		check(t, lim, t0, 50)
	})
	t.Run("a raised burst lets ReserveN take more, and lowering it again changes nothing", func(t *testing.T) {
		lim := drained(50)
		lim.SetBurstAt(t0, 1000)
		lim.ReserveN(t0, 1000)
		lim.SetBurstAt(t0, 100)
		check(t, lim, t0, -950)
		check(t, lim, at(time.Hour), 100)
	})
	t.Run("ReserveN of a negative number returns units", func(t *testing.T) {
		lim := drained(0)
		lim.ReserveN(t0, 30)
		lim.ReserveN(t0, -50)
		check(t, lim, t0, 20)
	})
	t.Run("units returned above the burst are lost", func(t *testing.T) {
		lim := drained(80)
		lim.ReserveN(t0, -50)
		check(t, lim, t0, 100)
		lim.ReserveN(t0, 10)
		check(t, lim, t0, 90)
	})
	t.Run("a lowered burst cuts the balance, and raising it again does not restore it", func(t *testing.T) {
		lim := drained(80)
		lim.SetBurstAt(t0, 10)
		check(t, lim, t0, 10)
		lim.SetBurstAt(t0, 100)
		check(t, lim, t0, 10)
	})
	// These are the reasons why a bucket returns units by a negative number, and has a queue and a timer.
	t.Run("Cancel returns units that are not due yet, and nothing later", func(t *testing.T) {
		lim := drained(0)
		early, late := lim.ReserveN(t0, 10), lim.ReserveN(t0, 10)
		late.CancelAt(t0)
		check(t, lim, t0, -10)
		early.CancelAt(at(1500 * time.Millisecond)) // due at 1 s
		check(t, lim, at(1500*time.Millisecond), 5)
		full := drained(100)
		now := full.ReserveN(t0, 40) // due at once
		now.CancelAt(t0.Add(1))
		check(t, full, t0.Add(1), 60+1e-8)
	})
	t.Run("returned units do not wake a goroutine in WaitN", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lim := rate.NewLimiter(10, 100)
			start := time.Now()
			lim.ReserveN(start, 100)
			var waited time.Duration
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := lim.WaitN(t.Context(), 50); err != nil {
					t.Error(err)
				}
				waited = time.Since(start)
			})
			synctest.Wait()
			lim.ReserveN(time.Now(), -100)
			wg.Wait()
			if waited != 5*time.Second {
				t.Errorf("waited %v, want the full 5 s", waited)
			}
		})
	})
	t.Run("a changed limit applies from its time on", func(t *testing.T) {
		lim := drained(0)
		lim.SetLimitAt(at(time.Second), 20)
		check(t, lim, at(2*time.Second), 30)
	})
}

func TestBucket(t *testing.T) {
	t0 := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	type step struct {
		at       time.Duration
		do       func(*bucket, time.Time)
		balance  float64       // after the step
		n        int           // then n units ...
		duration time.Duration // ... take this long
	}
	take := func(n int) func(*bucket, time.Time) { return func(b *bucket, now time.Time) { b.take(now, n) } }
	give := func(n int) func(*bucket, time.Time) { return func(b *bucket, now time.Time) { b.give(now, n) } }
	lower := func(x float64) func(*bucket, time.Time) { return func(b *bucket, now time.Time) { b.lower(now, x) } }
	set := func(r float64, c int) func(*bucket, time.Time) {
		return func(b *bucket, now time.Time) { b.set(now, r, c) }
	}

	for name, steps := range map[string][]step{ // all start full: 10 units per second, capacity 100
		"take and give": {
			{0, take(100), 0, 1, 100 * time.Millisecond},
			{time.Second, give(40), 50, 51, 100 * time.Millisecond},
			{time.Second, give(60), 100, 100, 0},
		},
		"a debt larger than the capacity": {
			{0, take(1100), -1000, 1, 100100 * time.Millisecond},
			{0, take(100), -1100, 0, 0},
			{111 * time.Second, take(0), 10, 10, 0},
			{time.Hour, take(0), 100, 100, 0},
		},
		"lower": {
			{0, lower(60), 60, 60, 0},
			{0, lower(80), 60, 60, 0},
			{0, lower(59.5), 59, 60, 100 * time.Millisecond}, // whole units, down
			{0, lower(-10), -10, 0, 0},
		},
		"set": {
			{0, take(50), 50, 100, 5 * time.Second},
			{0, set(100, 40), 40, 40, 0},
			{0, set(100, 1000), 40, 50, 100 * time.Millisecond},
			{time.Second, take(0), 140, 140, 0},
			{time.Second, take(500), -360, 1, 3610 * time.Millisecond},
		},
		"a wait is rounded up to a nanosecond": {
			{0, set(3, 100), 100, 100, 0},
			{0, take(100), 0, 1, 333333334},
			{333333333, take(0), 0.999999999, 1, 1},
			{333333334, take(0), 1.000000002, 1, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(10, 100)
			for i, s := range steps {
				now := t0.Add(s.at)
				s.do(&b, now)
				if got := b.level(now).balance; math.Abs(got-s.balance) > 1e-9 {
					t.Errorf("step %d: balance %v, want %v", i, got, s.balance)
				}
				if got := b.level(now).wait(s.n); got != s.duration {
					t.Errorf("step %d: %d units take %v, want %v", i, s.n, got, s.duration)
				}
			}
		})
	}
}

// A planned wait is long enough, and a nanosecond less is not. The rates and balances do not have exact
// binary representations.
func TestPlannedWaitIsEnoughAndNoLonger(t *testing.T) {
	t0 := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, perSecond := range []float64{0.1, 0.3, 1.0 / 3, 7, 1e6 / 60, 1.2e6, 0.08e6, 333333.3, 1e9 / 7} {
		for _, capacity := range []int{1_000_000, 1_200_000, 99_999_999} {
			b := newBucket(perSecond, capacity)
			now := t0
			b.take(now, capacity)
			for i := range 200 {
				n := 1 + (i*7919)%capacity
				d := b.level(now).wait(n)
				early := now.Add(d - 1)
				if left := b.level(early).wait(n); perSecond < 1e8 && d > 0 && left == 0 &&
					float64(n)-b.level(early).balance > float64(capacity)*roundingShare {
					t.Fatalf("rate %v, capacity %d, %d units: a nanosecond early the units are available", perSecond, capacity, n)
				}
				now = now.Add(d)
				if left := b.level(now).wait(n); left != 0 {
					t.Fatalf("rate %v, capacity %d, %d units: after the wait another wait of %v", perSecond, capacity, n, left)
				}
				b.take(now, n)
			}
		}
	}
}

func TestWaitThatNeverEnds(t *testing.T) {
	b := newBucket(1e-300, 1)
	now := time.Now()
	b.take(now, 1)
	if got := b.level(now).wait(1); got != Never {
		t.Errorf("wait is %v, want Never", got)
	}
}

// A balance that is short by a rounding error causes neither another wait nor another nanosecond.
func TestRoundingErrorsDelayNoCall(t *testing.T) {
	short := func(x float64) float64 { return math.Nextafter(x, 0) }
	for _, c := range []struct {
		balance float64
		want    time.Duration
	}{
		{short(1), 0},
		{short(0.8), 2 * time.Second},
		{0.8, 2 * time.Second},
		{0.8 - 1e-10, 2*time.Second + 1},
	} {
		if got := (level{c.balance, 0.1, 1}).wait(1); got != c.want {
			t.Errorf("from %.17g: %d ns, want %d", c.balance, got, c.want)
		}
	}
}
