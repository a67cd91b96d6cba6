package limiter_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// unlimited is the largest limit: a million calls can be made at once.
var unlimited = limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 2_000_000_000}

// fresh is the number of calls after which a benchmark makes a new limiter, because a limiter admits more
// calls per second than its limit allows.
const fresh = 500_000

// kinds holds the limiters to measure.
var kinds = []struct {
	name    string
	options []limiter.Option
}{
	{"bare", nil},
	{"guarded", []limiter.Option{limiter.Guarded(limiter.DefaultJitter)}},
}

// measureRatio reports how many times as long b took as two plain rate.Limiters, in the same run and with
// the same number of goroutines. The plain limiters have neither a queue nor refunds, and cannot take
// from both atomically.
func measureRatio(b *testing.B, goroutines int) {
	took := b.Elapsed()
	b.StopTimer()
	requests := rate.NewLimiter(limiter.MaxRequests, limiter.MaxRequests)
	tokens := rate.NewLimiter(2_000_000_000/60, 2_000_000_000)
	start := time.Now()
	split(b.N, goroutines, func(n int) {
		for range n {
			if requests.ReserveN(time.Now(), 1).OK() && tokens.ReserveN(time.Now(), 1000).OK() {
				continue
			}
			b.Error("rate.Limiter rejected the call")
		}
	})
	b.ReportMetric(float64(took)/float64(time.Since(start)), "ratio")
}

// split does n pieces of work in a number of goroutines.
func split(n, goroutines int, do func(n int)) {
	var wg sync.WaitGroup
	for i := range goroutines {
		share := n / goroutines
		if i < n%goroutines {
			share++
		}
		wg.Go(func() { do(share) })
	}
	wg.Wait()
}

// BenchmarkUncontended measures the overhead of calls that do not wait.
func BenchmarkUncontended(b *testing.B) {
	for _, kind := range kinds {
		for name, actual := range map[string]int{"exact": 1000, "refund": 600} {
			b.Run(kind.name+"/"+name, func(b *testing.B) {
				var l *limiter.Limiter
				ctx := context.Background()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%fresh == 0 {
						l, _ = limiter.New(unlimited, kind.options...)
					}
					p, _ := l.Acquire(ctx, 1000)
					p.Settle(actual)
				}
				measureRatio(b, 1)
			})
		}
	}
}

// BenchmarkHandOver measures acquire, wait, wake-up and settle. Every call takes the whole bucket, and its
// refund admits the next one. All goroutines but one wait.
func BenchmarkHandOver(b *testing.B) {
	for _, kind := range kinds {
		for _, goroutines := range []int{2, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/waiting=%d", kind.name, goroutines), func(b *testing.B) {
				l, _ := limiter.New(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 1, TokenBurst: 1_000_000},
					kind.options...)
				ctx := context.Background()
				b.ReportAllocs()
				b.ResetTimer()
				split(b.N, goroutines, func(n int) {
					for range n {
						p, err := l.Acquire(ctx, 1_000_000)
						if err != nil {
							b.Error(err)
							return
						}
						p.Settle(0)
					}
				})
				measureRatio(b, goroutines)
			})
		}
	}
}

// BenchmarkClasses compares the hand-over among 10,000 callers in three classes with one class, and reports
// the ratio. Both run alternately, so that other load on the machine affects both.
func BenchmarkClasses(b *testing.B) {
	const callers, turn = 10_000, 20_000
	one := []string{limiter.Interactive}
	three := []string{limiter.Interactive, limiter.Batch, "night"}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			took := map[int]time.Duration{}
			b.ReportAllocs()
			for range b.N {
				for _, classes := range [][]string{one, three} {
					took[len(classes)] += handOver(b, callers, turn, classes, kind.options)
				}
			}
			b.ReportMetric(float64(took[3])/float64(took[1]), "ratio")
			b.ReportMetric(float64(took[3])/float64(b.N*turn), "ns/call")
		})
	}
}

// handOver returns how long it takes to pass the whole bucket on n times among callers of the given classes.
func handOver(b *testing.B, callers, n int, classes []string, options []limiter.Option) time.Duration {
	b.Helper()
	l, err := limiter.New(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 1, TokenBurst: 1_000_000},
		append([]limiter.Option{limiter.Classes(map[string]float64{"night": 0.1})}, options...)...)
	if err != nil {
		b.Fatal(err)
	}
	first, err := l.Acquire(context.Background(), 1_000_000)
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for range n / callers {
				p, err := l.AcquireCall(context.Background(), limiter.Call{Prompt: 1_000_000, Class: classes[i%len(classes)]})
				if err != nil {
					b.Error(err)
					return
				}
				p.Settle(0)
			}
		})
	}
	for l.Snapshot().Waiting < callers {
		runtime.Gosched()
	}
	began := time.Now()
	first.Settle(0)
	all.Wait()
	return time.Since(began)
}

// BenchmarkBesideQueue measures a queue that does not move. It reports the cost of a call that joins and
// leaves, the cost of a forecast, and the memory of a waiter beyond its goroutine.
func BenchmarkBesideQueue(b *testing.B) {
	for _, kind := range kinds {
		for _, waiting := range []int{2, 100, 10_000} {
			queued := func(b *testing.B) *limiter.Limiter {
				l, _ := limiter.New(unlimited, kind.options...)
				l.Pause(time.Now().Add(24 * time.Hour))
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				for range waiting {
					wg.Go(func() {
						if _, err := l.Acquire(ctx, 1000); err == nil {
							b.Error("the call was admitted")
						}
					})
				}
				for l.Snapshot().Waiting < waiting {
					runtime.Gosched()
				}
				b.Cleanup(func() { cancel(); wg.Wait() })
				return l
			}
			b.Run(fmt.Sprintf("%s/join-leave/waiting=%d", kind.name, waiting), func(b *testing.B) {
				idleGoroutines(waiting)
				heap, stack := memory()
				l := queued(b)
				heapNow, stackNow := memory()
				perWaiter := func(bytes int64) float64 { return float64(bytes) / float64(waiting) }
				b.ReportAllocs()
				for b.Loop() {
					ctx, cancel := context.WithCancel(context.Background())
					left := make(chan struct{})
					go func() { _, _ = l.Acquire(ctx, 1000); close(left) }()
					for l.Snapshot().Waiting == waiting {
						runtime.Gosched()
					}
					cancel()
					<-left
				}
				if waiting >= 10_000 { // fewer are indistinguishable from other allocations
					b.ReportMetric(perWaiter(heapNow-heap), "B/waiter")
					b.ReportMetric(perWaiter(stackNow-stack), "stack-B/waiter")
				}
			})
			b.Run(fmt.Sprintf("%s/wait-time/waiting=%d", kind.name, waiting), func(b *testing.B) {
				l := queued(b)
				b.ReportAllocs()
				for b.Loop() {
					l.WaitTime(1000)
				}
			})
		}
	}
}

// idleGoroutines starts and ends n goroutines, so that the next n reuse their memory.
func idleGoroutines(n int) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { <-done })
	}
	close(done)
	wg.Wait()
}

// BenchmarkSettle measures settling while the head of the queue waits for something else.
func BenchmarkSettle(b *testing.B) {
	for _, kind := range kinds {
		for _, waiting := range []int{0, 2, 100, 10_000} {
			benchmarkSettle(b, kind.name, kind.options, waiting)
		}
	}
}

func benchmarkSettle(b *testing.B, kind string, options []limiter.Option, waiting int) {
	b.Helper()
	b.Run(fmt.Sprintf("%s/waiting=%d", kind, waiting), func(b *testing.B) {
		l, _ := limiter.New(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, RequestBurst: limiter.MaxRequests,
			TokensPerMinute: 1, TokenBurst: 2_000_000_000}, options...)
		permits := make([]*limiter.Permit, b.N)
		ctx, cancel := context.WithCancel(context.Background())
		for i := range permits {
			permits[i], _ = l.Acquire(ctx, 100)
		}
		var wg sync.WaitGroup
		for range waiting {
			wg.Go(func() { _, _ = l.Acquire(ctx, 2_000_000_000) })
		}
		for l.Snapshot().Waiting < waiting {
			runtime.Gosched()
		}
		b.ReportAllocs()
		b.ResetTimer()
		for _, p := range permits {
			p.Settle(99)
		}
		b.StopTimer()
		cancel()
		wg.Wait()
	})
}

// memory returns the bytes in use on the heap and for stacks.
func memory() (heap, stack int64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
