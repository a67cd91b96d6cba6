package limiter

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A bucket extends rate.Limiter. It can return units, charge more than its capacity, lower its
// balance, and compute how long a number of units takes. bucket_test.go tests each behavior of package
// rate that this file relies on.
//
// The caller serializes all use and passes times that never decrease. Otherwise package rate would
// count the time in between twice.
type bucket struct {
	lim      *rate.Limiter
	rate     float64 // units per second
	capacity int     // lim's burst
}

// newBucket returns a full bucket.
func newBucket(perSecond float64, capacity int) bucket {
	return bucket{rate.NewLimiter(rate.Limit(perSecond), capacity), perSecond, capacity}
}

// take removes n units. The balance may fall below zero, by more than the capacity. A negative n
// returns units.
func (b *bucket) take(now time.Time, n int) {
	if n > b.capacity {
		// ReserveN rejects more than the burst. Raising the burst for this call changes nothing
		// else, because no time passes in between.
		b.lim.SetBurstAt(now, n)
		b.lim.ReserveN(now, n)
		b.lim.SetBurstAt(now, b.capacity)
		return
	}
	b.lim.ReserveN(now, n)
}

// give returns n units. Units beyond the capacity are lost, because package rate caps the balance
// whenever it reads it.
func (b *bucket) give(now time.Time, n int) {
	b.lim.ReserveN(now, -n)
}

// lower reduces the balance to the given one. It rounds the reduction up to a whole unit and never
// raises the balance.
func (b *bucket) lower(now time.Time, balance float64) {
	if surplus := math.Ceil(b.lim.TokensAt(now) - balance); surplus > 0 {
		b.take(now, int(surplus))
	}
}

// setBalance sets the balance to the given one, rounded down to a whole unit and at most the capacity.
func (b *bucket) setBalance(now time.Time, balance float64) {
	b.take(now, int(math.Ceil(b.lim.TokensAt(now)-min(balance, float64(b.capacity)))))
}

// set changes rate and capacity. It keeps the balance, up to the new capacity: a larger bucket does not
// receive units.
func (b *bucket) set(now time.Time, perSecond float64, capacity int) {
	b.lim.SetLimitAt(now, rate.Limit(perSecond))
	b.lim.SetBurstAt(now, capacity)
	b.rate, b.capacity = perSecond, capacity
}

// level returns the state of the bucket at the given time.
func (b *bucket) level(now time.Time) level {
	return level{b.lim.TokensAt(now), b.rate, float64(b.capacity)}
}

// A level is a copy of a bucket's state at one instant. It predicts future states without taking
// anything.
type level struct {
	balance, rate, capacity float64
}

// roundingShare is the share of the capacity that counts as a rounding error: 16 units in the last place
// of a float64. wait allows only half of it, so that a planned call fits when its time has come.
const roundingShare = 1.0 / (1 << 48)

// wait returns how long it takes until n units are available, rounded up to a nanosecond. Without the
// allowance for rounding errors, a balance that is a trillionth short would cost another wait. For n
// of 0 or less it returns 0, even if the balance is negative.
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

// after returns the level d later. It uses the same arithmetic as package rate, so that predictions are
// exact.
func (v level) after(d time.Duration) level {
	v.balance = min(v.capacity, v.balance+d.Seconds()*v.rate)
	return v
}

// less returns the level after n units were taken.
func (v level) less(n int) level {
	v.balance -= float64(n)
	return v
}
