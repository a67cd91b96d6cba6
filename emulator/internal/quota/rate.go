package quota

import (
	"math"
	"math/big"
	"strconv"
	"time"
)

// rate is a limit as the counters take it: count units in each window, or a bucket of
// that capacity that gains perNano units each nanosecond.
type rate struct {
	count    int
	window   time.Duration
	capacity *big.Rat
	perNano  *big.Rat
}

var second = big.NewRat(int64(time.Second), 1)

// requestRate reads the rate as the decimal fraction that was written: 1.2 is 6/5,
// not the binary number next to it.
func requestRate(rps float64) rate {
	perSecond, ok := new(big.Rat).SetString(strconv.FormatFloat(rps, 'g', -1, 64))
	if !ok {
		panic("emulator: rate is not a number") // Config.Validate reports those.
	}
	const limit = 1 << 40 // requests in a window; nobody sends that many
	one := big.NewRat(1, 1)
	capacity, count := perSecond, int64(1)
	if perSecond.Cmp(one) < 0 {
		capacity = one
	} else if whole := new(big.Int).Quo(perSecond.Num(), perSecond.Denom()); whole.IsInt64() {
		count = min(whole.Int64(), limit)
	} else {
		count = limit
	}
	window := new(big.Rat).Mul(new(big.Rat).Quo(big.NewRat(count, 1), perSecond), second)
	return rate{
		count:    int(count),
		window:   time.Duration(ceil(window)),
		capacity: capacity,
		perNano:  new(big.Rat).Quo(perSecond, second),
	}
}

// windowRate is n units in each window.
func windowRate(n int, window time.Duration) rate {
	capacity := big.NewRat(int64(n), 1)
	return rate{
		count:    n,
		window:   window,
		capacity: capacity,
		perNano:  new(big.Rat).Quo(capacity, big.NewRat(int64(window), 1)),
	}
}

// perMinute is how many whole units there are in a minute, at least one.
func (r rate) perMinute() int {
	n := new(big.Rat).Mul(r.perNano, big.NewRat(int64(time.Minute), 1))
	if most := big.NewRat(math.MaxInt32, 1); n.Cmp(most) > 0 {
		n = most // Nobody sends that many.
	}
	return max(1, floor(n))
}

// ceil rounds up; what is beyond an int64 becomes its maximum.
func ceil(r *big.Rat) int64 {
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	if !whole.IsInt64() {
		return 1<<63 - 1
	}
	return whole.Int64()
}

// floor rounds down, within an int.
func floor(r *big.Rat) int {
	whole := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean: rounds down, for the denominator is positive.
	if !whole.IsInt64() {
		return 0
	}
	return int(whole.Int64())
}
