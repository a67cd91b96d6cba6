package estimate

import (
	"math"
	"time"
)

const (
	// durationQuantile is the tracked quantile of the durations. In simulations of calls with
	// deadlines under overload (see the directory simulation), the goodput is about the same from
	// 0.8 to 0.95. A higher quantile leaves calls less time to wait, which affects large calls most:
	// from 0.9 on, too few of them start. With a lower quantile, deadlines cut off more calls.
	durationQuantile = 0.875

	// durationStep is the logarithmic step of the tracked quantile: a longer call raises it by 9%, a
	// shorter one lowers it by 1.2%. It therefore follows durations that halve within 60 calls, and
	// durations that double within 8.
	durationStep = 0.1

	// durationMargin is the margin above the tracked quantile, as a share of it. It must be larger
	// than a step up: the quantile could not rise by a whole step after a call with less margin.
	durationMargin = 1.0 / 8

	// blockSize is the number of calls in a block. A duration stores the fastest call of the current
	// block and of the previous one.
	blockSize = 64
)

// Unknown is the upper bound of the duration of a call that did not complete.
const Unknown = time.Duration(math.MaxInt64)

// duration is the state of the learned durations. The zero value is ready to use.
//
// Why a tracked quantile: it does not store calls, and it can learn from a call that its deadline cut
// off. The exact quantile of the latest calls would either exclude those calls, and then see short
// calls only, or count them as completed.
type duration struct {
	long  float64          // The tracked quantile in ns; 0 before the first call.
	least [2]time.Duration // The fastest calls of the previous and the current block; 0: none.
	count int              // The number of calls in the current block.
}

// LearnDuration learns from the duration of a call, from its request to the end of its response. The
// duration is between the bounds. They are equal for an ordinary call, and differ for a stream that
// was read slowly. The upper bound is [Unknown] if the caller's deadline ended the call. A call counts
// as longer or shorter than expected only if both bounds are. LearnDuration ignores lower bounds of 0
// or less.
func (m *Model) LearnDuration(lower, upper time.Duration) {
	if lower <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.duration
	switch {
	case t.long == 0:
		t.long = float64(lower)
	case float64(lower) > t.long:
		longer := t.long * math.Exp(durationStep*durationQuantile)
		if upper == Unknown {
			longer = min(longer, float64(lower))
		}
		t.long = longer
	case float64(upper) <= t.long:
		t.long *= math.Exp(-durationStep * (1 - durationQuantile))
	}
	if upper == Unknown {
		return
	}
	if t.count == blockSize {
		t.least[0], t.least[1], t.count = t.least[1], 0, 0
	}
	if t.count++; t.least[1] == 0 || lower < t.least[1] {
		t.least[1] = lower
	}
}

// Duration returns the time that a call should get, and the duration of the fastest recent call. Both
// are 0 before the first call.
func (m *Model) Duration() (expected, least time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.duration
	least = t.least[1]
	if t.least[0] > 0 {
		least = min(least, t.least[0])
	}
	return time.Duration(min(t.long*(1+durationMargin), math.MaxInt64/2)), least
}
