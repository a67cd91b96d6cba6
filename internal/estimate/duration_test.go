package estimate

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// trackedQuantile returns the expected duration of a model without the margin.
func trackedQuantile(m *Model) float64 {
	expected, _ := m.Duration()
	return float64(expected) / (1 + durationMargin)
}

// learn makes m learn the exact duration of a call.
func learn(m *Model, took time.Duration) { m.LearnDuration(took, took) }

func TestDurationIsUnknownAtFirst(t *testing.T) {
	var m Model
	learn(&m, 0)
	m.LearnDuration(-time.Second, Unknown)
	if expected, least := m.Duration(); expected != 0 || least != 0 {
		t.Errorf("Duration is %v and %v, want 0", expected, least)
	}
}

func TestDurationOfTheFirstCall(t *testing.T) {
	var m Model
	learn(&m, 8*time.Second)
	if expected, least := m.Duration(); expected != 9*time.Second || least != 8*time.Second {
		t.Errorf("Duration is %v and %v, want 9s and 8s", expected, least)
	}
}

// The tracked quantile approaches the quantile of the durations for any distribution, and follows it.
func TestDurationConverges(t *testing.T) {
	for name, sample := range map[string]func(r *rand.Rand) float64{
		"constant":  func(*rand.Rand) float64 { return 3 },
		"uniform":   func(r *rand.Rand) float64 { return 1 + 4*r.Float64() },
		"lognormal": func(r *rand.Rand) float64 { return math.Exp(0.9 * r.NormFloat64()) },
	} {
		t.Run(name, func(t *testing.T) {
			var m Model
			r := rand.New(rand.NewPCG(1, 2))
			for _, scale := range []float64{1, 10, 0.1} {
				next := func() time.Duration { return time.Duration(scale * sample(r) * float64(time.Second)) }
				for range 500 {
					learn(&m, next())
				}
				above, n := 0, 4000
				for range n {
					d := next()
					if float64(d) > trackedQuantile(&m) {
						above++
					}
					learn(&m, d)
				}
				if share := float64(above) / float64(n); math.Abs(share-(1-durationQuantile)) > 0.02 {
					t.Errorf("scaled by %v, %.3f of the calls take longer than the quantile, want %.3f", scale, share, 1-durationQuantile)
				}
			}
		})
	}
}

// A call that its deadline cut off does not lower the expected duration, and does not raise it above
// the time that the deadline allowed.
func TestDurationOfCallsCutOff(t *testing.T) {
	var m Model
	learn(&m, 10*time.Second)
	before, _ := m.Duration()
	for range 1000 {
		m.LearnDuration(time.Second, Unknown)
	}
	if after, least := m.Duration(); after != before || least != 10*time.Second {
		t.Errorf("after calls that were cut off early, Duration is %v and %v, want %v and 10s", after, least, before)
	}
	for range 1000 {
		m.LearnDuration(30*time.Second, Unknown)
	}
	if got := trackedQuantile(&m); math.Abs(got-float64(30*time.Second)) > 10 {
		t.Errorf("after calls that were cut off after 30 s, the quantile is %v, want 30s", time.Duration(got))
	}
}

// For a stream that was read slowly, only bounds of the duration are known. The model learns from them
// if both are longer or both are shorter than expected.
func TestDurationOfSlowlyReadStreams(t *testing.T) {
	for name, test := range map[string]struct{ lower, upper, want time.Duration }{
		"undecided": {time.Second, time.Minute, 10 * time.Second},
		"longer":    {30 * time.Second, time.Minute, 31 * time.Second},
		"shorter":   {time.Second, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var m Model
			learn(&m, 10*time.Second)
			for range 1000 {
				m.LearnDuration(test.lower, test.upper)
			}
			if got := trackedQuantile(&m); math.Abs(got-float64(test.want)) > 0.05*float64(test.want) {
				t.Errorf("the quantile is %v, want %v", time.Duration(got), test.want)
			}
			if _, least := m.Duration(); least != test.lower {
				t.Errorf("the fastest call took %v, want %v", least, test.lower)
			}
		})
	}
}

// If every call gets only the expected time, the tracked quantile still reaches the quantile of the
// full durations, because the margin is larger than a step.
func TestDurationConvergesWithDeadlines(t *testing.T) {
	if up := math.Exp(durationStep * durationQuantile); up >= 1+durationMargin {
		t.Fatalf("a step up is by the factor %.3f, want less than %.3f", up, 1+durationMargin)
	}
	var m Model
	r := rand.New(rand.NewPCG(3, 4))
	learn(&m, 100*time.Millisecond) // much too short
	sum, n := 0.0, 0
	for i := range 5000 {
		full := time.Duration((1 + 4*r.Float64()) * float64(time.Second))
		deadline, _ := m.Duration()
		if full > deadline {
			m.LearnDuration(deadline, Unknown)
		} else {
			learn(&m, full)
		}
		if i >= 1000 {
			sum, n = sum+trackedQuantile(&m), n+1
		}
	}
	if mean, want := sum/float64(n)/float64(time.Second), 1+4*durationQuantile; math.Abs(mean-want) > 0.25 {
		t.Errorf("the quantile is %.2f s on average, want %.2f", mean, want)
	}
}

// The model stores the fastest call for at least 64 and at most 127 further calls.
func TestLeastDuration(t *testing.T) {
	for _, before := range []int{0, 1, 63, 64, 100} {
		var m Model
		for range before {
			learn(&m, time.Minute)
		}
		learn(&m, time.Second)
		for after := range 129 {
			_, least := m.Duration()
			if after < 64 && least != time.Second {
				t.Fatalf("%d calls before and %d after it, the fastest took %v, want 1s", before, after, least)
			}
			if after == 128 && least != time.Minute {
				t.Fatalf("%d calls before and %d after it, the fastest took %v, want 1m0s", before, after, least)
			}
			learn(&m, time.Minute)
			m.LearnDuration(time.Millisecond, Unknown) // changes nothing
		}
	}
}

// The expected duration is at least the shortest duration, and at most the longest one plus a step and
// the margin.
func TestDurationIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Model
		shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
		for range rapid.IntRange(0, 100).Draw(t, "calls") {
			d := rapid.SampledFrom([]time.Duration{-1, 0, 1, time.Second, time.Minute, 1 << 61}).Draw(t, "took")
			m.LearnDuration(d, rapid.SampledFrom([]time.Duration{d, Unknown}).Draw(t, "at most"))
			if d > 0 {
				shortest, longest = min(shortest, d), max(longest, d)
			}
		}
		expected, least := m.Duration()
		if longest == 0 {
			if expected != 0 || least != 0 {
				t.Fatalf("Duration is %v and %v without calls, want 0", expected, least)
			}
			return
		}
		upper := float64(longest) * math.Exp(durationStep*durationQuantile) * (1 + durationMargin)
		if got := float64(expected); got < 0.9*float64(shortest) || got > upper+1 {
			t.Fatalf("the expected duration is %v for calls of %v to %v", expected, shortest, longest)
		}
		if least != 0 && (least < shortest || least > longest) {
			t.Fatalf("the fastest call is %v for calls of %v to %v", least, shortest, longest)
		}
	})
}

func TestDurationConcurrentUse(t *testing.T) {
	var m Model
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				took := time.Duration(1+n%10) * time.Second
				m.LearnDuration(took, []time.Duration{took, took, Unknown}[(i+n)%3])
				if expected, least := m.Duration(); expected <= 0 || expected > 20*time.Second || least < 0 || least > 10*time.Second {
					t.Errorf("Duration is %v and %v, want up to 20s and 10s", expected, least)
				}
			}
		})
	}
	wg.Wait()
}
