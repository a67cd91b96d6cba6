package limiter_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The expected wait of a call when it starts to wait is close to the actual wait. Estimates are like those of
// clients: the upper quartile of the actual usage, or below the mean of a heavy tail.
func TestExpectedWaits(t *testing.T) {
	heavy := func(r *rand.Rand) (estimate, actual int) {
		size := func(median, sigma, low, high float64) float64 {
			return min(high, max(low, median*math.Exp(sigma*r.NormFloat64())))
		}
		prompt := size(1500, 1.2, 50, 20_000)
		return int(prompt*(0.8+0.4*r.Float64())) + 730, int(prompt + size(400, 0.9, 10, 4000))
	}
	small := func(r *rand.Rand) (estimate, actual int) { return 350 + r.IntN(100), 300 + r.IntN(100) }
	for name, test := range map[string]struct {
		sizes   func(*rand.Rand) (estimate, actual int)
		maximum map[int]float64 // maximum median error, by number of waiters
		runs    int             // the errors within one run are correlated
	}{
		"small": {small, map[int]float64{10: 0.1, 100: 0.1, 1000: 0.1}, 2},
		"heavy": {heavy, map[int]float64{10: 0.4, 100: 0.3, 1000: 0.3}, 12}, // of ten waiters, many are passed by later calls
	} {
		for waiting, maximum := range test.maximum {
			callers := waiting + 15 // in flight
			t.Run(fmt.Sprintf("%s, %d waiting", name, waiting), func(t *testing.T) {
				var mu sync.Mutex
				var errors []float64
				for seed := range uint64(test.runs) {
					runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 100_000}, func(b *testLimiter) {
						end := 30 * time.Minute
						var all sync.WaitGroup
						for i := range callers {
							random := rand.New(rand.NewPCG(seed, uint64(i)))
							all.Go(func() {
								for b.now() < end {
									estimate, actual := test.sizes(random)
									var reports *limiter.QueueStatus
									call := limiter.Call{Prompt: estimate}
									if i%max(1, waiting/100) == 0 { // reporting to all of a thousand callers would take long
										call.OnQueue = func(s limiter.QueueStatus) {
											if reports == nil {
												reports = &s
											}
										}
									}
									p, err := b.AcquireCall(b.Context(), call)
									if err != nil {
										b.Error(err)
										return
									}
									if reports != nil && b.now() > 5*time.Minute && p.WaitDuration() > time.Second {
										mu.Lock()
										errors = append(errors, math.Abs(reports.Expected.Seconds()/p.WaitDuration().Seconds()-1))
										mu.Unlock()
									}
									time.Sleep(500*time.Millisecond + time.Duration(actual)*time.Second/150)
									p.Settle(actual)
								}
							})
						}
						all.Wait()
					}, guarded)
				}
				slices.Sort(errors)
				if len(errors) < 100 {
					t.Fatalf("%d calls wait for more than a second", len(errors))
				}
				median := errors[len(errors)/2]
				t.Logf("median error %.1f%% of %d calls", 100*median, len(errors))
				if median > maximum {
					t.Errorf("the median error is %.1f%%, want %.0f%%", 100*median, 100*maximum)
				}
			})
		}
	}
}
