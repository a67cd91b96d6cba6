package estimate

import (
	"math"
	"time"
)

const (
	// longQuantile is the quantile of the durations that is tracked. By simulation of calls with
	// deadlines under overload (see the directory simulation), the goodput is about the same from
	// 0.8 to 0.95. A higher quantile leaves calls less time to wait for their turn, which costs
	// large calls most: from 0.9 on, too few of them start. A lower one cuts more calls off.
	longQuantile = 0.875

	// durationStep is the size of a step of the tracked quantile, as a logarithm: a call that
	// takes longer than expected adds 9%, a shorter one takes off 1.2%. So calls that take half the
	// time are noticed within 60 calls, and calls that take twice the time within 8.
	durationStep = 0.1

	// durationMargin is added to the tracked quantile, as a share of it. It must be larger than
	// a step up: a call that is given less time than a step cannot teach the whole step.
	durationMargin = 1.0 / 8

	// block is the number of calls in a block. The fastest call of the present block and of the
	// block before it is remembered.
	block = 64
)

// Unknown is the bound of the duration of a call that did not end.
const Unknown = time.Duration(math.MaxInt64)

// A duration is what is known of how long calls take. The zero value knows nothing.
//
// Why a tracked quantile: it needs no memory of calls, and a call that its deadline cut off can
// teach it. The exact quantile of the latest calls would leave those calls out, and then only
// short calls would be seen, or count them as if they had ended.
type duration struct {
	long  float64          // the tracked quantile in ns; 0 before the first call
	least [2]time.Duration // of the block of calls before, and of the present one; 0: none
	count int              // of calls in the present block
}

// LearnDuration learns how long a call took from its request to the end of its response: at least
// least, and at most most. The two are equal for a call that was observed. They differ for a stream
// that was read slowly, and most is [Unknown] for a call that the caller's deadline ended. A call
// counts as longer or shorter than expected only if that is certain. A least of 0 or less teaches
// nothing.
func (m *Model) LearnDuration(least, most time.Duration) {
	if least <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.duration
	switch {
	case t.long == 0:
		t.long = float64(least)
	case float64(least) > t.long:
		longer := t.long * math.Exp(durationStep*longQuantile)
		if most == Unknown {
			longer = min(longer, float64(least))
		}
		t.long = longer
	case float64(most) <= t.long:
		t.long *= math.Exp(-durationStep * (1 - longQuantile))
	}
	if most == Unknown {
		return
	}
	if t.count == block {
		t.least[0], t.least[1], t.count = t.least[1], 0, 0
	}
	if t.count++; t.least[1] == 0 || least < t.least[1] {
		t.least[1] = least
	}
}

// Duration returns how much time a call should be given, and the least that it can be expected
// to take. Both are 0 while nothing is known.
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
