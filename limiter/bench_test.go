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

// The largest limit: a million calls can be made at once.
var unlimited = limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 2_000_000_000}

// fresh is after how many calls a new limiter is taken, since even a million
// requests a second are fewer than it can serve.
const fresh = 500_000

// measureRatio reports how many times as long b's work took as two bare
// rate.Limiters take, in the same run and by the same number of goroutines. They
// have no queue, no refund, and no way to take both or neither.
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
			b.Error("refused")
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

// Nobody waits: what the limiter adds to a call that it does not delay.
func BenchmarkUncontended(b *testing.B) {
	for name, actual := range map[string]int{"exact": 1000, "refund": 600} {
		b.Run(name, func(b *testing.B) {
			var l *limiter.Limiter
			ctx := context.Background()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%fresh == 0 {
					l, _ = limiter.New(unlimited)
				}
				p, _ := l.Acquire(ctx, 1000)
				p.Settle(actual)
			}
			measureRatio(b, 1)
		})
	}
}

// Every call takes the whole bucket, and its refund lets the next one start:
// acquire, wait, be woken, settle. All goroutines but one are waiting.
func BenchmarkHandOver(b *testing.B) {
	for _, goroutines := range []int{2, 100, 10_000} {
		b.Run(fmt.Sprintf("waiting=%d", goroutines), func(b *testing.B) {
			l, _ := limiter.New(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 1, TokenBurst: 1_000_000})
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

// A queue that does not move: what one more that joins and leaves costs, what a
// settlement costs, and how much memory a waiter takes (its goroutine's stack
// included).
func BenchmarkBesideQueue(b *testing.B) {
	for _, waiting := range []int{2, 100, 10_000} {
		queued := func(b *testing.B) *limiter.Limiter {
			l, _ := limiter.New(unlimited)
			l.Pause(time.Now().Add(24 * time.Hour))
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			for range waiting {
				wg.Go(func() {
					if _, err := l.Acquire(ctx, 1000); err == nil {
						b.Error("admitted")
					}
				})
			}
			for l.Snapshot().Waiting < waiting {
				runtime.Gosched()
			}
			b.Cleanup(func() { cancel(); wg.Wait() })
			return l
		}
		b.Run(fmt.Sprintf("join-leave/waiting=%d", waiting), func(b *testing.B) {
			before := memory()
			l := queued(b)
			perWaiter := float64(memory()-before) / float64(waiting)
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
			if waiting >= 10_000 { // fewer are lost among what else is allocated
				b.ReportMetric(perWaiter, "B/waiter")
			}
		})
		b.Run(fmt.Sprintf("wait-time/waiting=%d", waiting), func(b *testing.B) {
			l := queued(b)
			for b.Loop() {
				l.WaitTime(1000)
			}
		})
	}
}

// Settling beside a queue whose head the refunds do not help.
func BenchmarkSettle(b *testing.B) {
	for _, waiting := range []int{0, 2, 100, 10_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			l, _ := limiter.New(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, RequestBurst: limiter.MaxRequests,
				TokensPerMinute: 1, TokenBurst: 2_000_000_000})
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
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
