package quota

import (
	"math"
	"math/big"
	"strconv"
	"time"
)

// rate is the rate of a counter. Window counters allow count units in each window. A bucket
// has a capacity and refills by perNano units each nanosecond.
type rate struct {
	count    int
	window   time.Duration
	capacity *big.Rat
	perNano  *big.Rat
}

var second = big.NewRat(int64(time.Second), 1)

// requestRate returns the rate for a number of requests per second. It treats the number as
// a decimal fraction: 1.2 is exactly 6/5, not the nearest binary fraction.
func requestRate(rps float64) rate {
	perSecond, ok := new(big.Rat).SetString(strconv.FormatFloat(rps, 'g', -1, 64))
	if !ok {
		panic("emulator: rate is not a number") // Config.Validate reports such a rate.
	}
	const maxCount = 1 << 40 // requests in a window; beyond any real rate
	one := big.NewRat(1, 1)
	capacity, count := perSecond, int64(1)
	if perSecond.Cmp(one) < 0 {
		capacity = one
	} else if whole := new(big.Int).Quo(perSecond.Num(), perSecond.Denom()); whole.IsInt64() {
		count = min(whole.Int64(), maxCount)
	} else {
		count = maxCount
	}
	window := new(big.Rat).Mul(new(big.Rat).Quo(big.NewRat(count, 1), perSecond), second)
	return rate{
		count:    int(count),
		window:   time.Duration(ceil(window)),
		capacity: capacity,
		perNano:  new(big.Rat).Quo(perSecond, second),
	}
}

// windowRate returns the rate of n units in each window.
func windowRate(n int, window time.Duration) rate {
	capacity := big.NewRat(int64(n), 1)
	return rate{
		count:    n,
		window:   window,
		capacity: capacity,
		perNano:  new(big.Rat).Quo(capacity, big.NewRat(int64(window), 1)),
	}
}

// perMinute returns the number of whole units in a minute, at least 1.
func (r rate) perMinute() int {
	n := new(big.Rat).Mul(r.perNano, big.NewRat(int64(time.Minute), 1))
	if limit := big.NewRat(math.MaxInt32, 1); n.Cmp(limit) > 0 {
		n = limit
	}
	return max(1, floor(n))
}

// ceil rounds up, to at most the maximum of int64.
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

// floor rounds down. It returns 0 if the result is not an int64.
func floor(r *big.Rat) int {
	whole := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean division rounds down, because the denominator is positive.
	if !whole.IsInt64() {
		return 0
	}
	return int(whole.Int64())
}
