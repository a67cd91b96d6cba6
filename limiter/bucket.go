package limiter

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A bucket is a rate.Limiter with what that lacks: putting units back, charging
// more than it can hold, lowering the balance, and asking how long units would
// take to be there. bucket_test.go pins each behaviour of package rate that
// this file relies on.
//
// The caller serialises all use, and passes a now that never runs backwards:
// package rate would count the time in between twice.
type bucket struct {
	lim      *rate.Limiter
	rate     float64 // units per second
	capacity int     // lim's burst
}

// newBucket returns a full bucket.
func newBucket(perSecond float64, capacity int) bucket {
	return bucket{rate.NewLimiter(rate.Limit(perSecond), capacity), perSecond, capacity}
}

// take removes n units, which need not be there: the balance may fall below
// zero, and by more than the capacity. A negative n puts units back.
func (b *bucket) take(now time.Time, n int) {
	if n > b.capacity {
		// ReserveN refuses more than the burst. Raising the burst for a moment
		// changes nothing else, since no time passes meanwhile.
		b.lim.SetBurstAt(now, n)
		b.lim.ReserveN(now, n)
		b.lim.SetBurstAt(now, b.capacity)
		return
	}
	b.lim.ReserveN(now, n)
}

// give puts n units back. What exceeds the capacity is lost: package rate caps
// the balance whenever it reads it.
func (b *bucket) give(now time.Time, n int) {
	b.lim.ReserveN(now, -n)
}

// lower takes what the balance has above the given one, rounded up to a whole
// unit. It never raises the balance.
func (b *bucket) lower(now time.Time, balance float64) {
	if surplus := math.Ceil(b.lim.TokensAt(now) - balance); surplus > 0 {
		b.take(now, int(surplus))
	}
}

// setBalance changes the balance to the given one, rounded down to a whole unit, and to the capacity at most.
func (b *bucket) setBalance(now time.Time, balance float64) {
	b.take(now, int(math.Ceil(b.lim.TokensAt(now)-min(balance, float64(b.capacity)))))
}

// set changes rate and capacity. The balance stays as it is, cut to the new
// capacity: room that is added starts empty.
func (b *bucket) set(now time.Time, perSecond float64, capacity int) {
	b.lim.SetLimitAt(now, rate.Limit(perSecond))
	b.lim.SetBurstAt(now, capacity)
	b.rate, b.capacity = perSecond, capacity
}

// level returns the state of the bucket at now.
func (b *bucket) level(now time.Time) level {
	return level{b.lim.TokensAt(now), b.rate, float64(b.capacity)}
}

// A level is a bucket's state at one instant, detached from it: a value to ask
// about the future and to play it through without taking anything.
type level struct {
	balance, rate, capacity float64
}

// roundingShare is how large a share of the capacity may be missing and still
// count as rounding: 16 units in the last place of a float64 (8 when planning a
// wait, so that whatever was planned fits when the time has come).
const roundingShare = 1.0 / (1 << 48)

// wait returns how long it takes until n units are there, rounded up to a
// nanosecond: never early. Without the allowance for rounding, a sum that comes
// out a trillionth short would cost another wait. Nobody waits for no units,
// even if the balance is negative.
func (v level) wait(n int) time.Duration {
	rounding := v.capacity * roundingShare
	missing := float64(n) - v.balance
	if n <= 0 || missing <= rounding {
		return 0
	}
	ns := math.Ceil((missing - rounding/2) / v.rate * float64(time.Second))
	if ns >= math.MaxInt64 {
		return Never
	}
	return time.Duration(ns)
}

// after returns the level d later, in the very arithmetic of package rate, so
// that what is played through is what will happen.
func (v level) after(d time.Duration) level {
	v.balance = min(v.capacity, v.balance+d.Seconds()*v.rate)
	return v
}

// less returns the level without n units.
func (v level) less(n int) level {
	v.balance -= float64(n)
	return v
}
