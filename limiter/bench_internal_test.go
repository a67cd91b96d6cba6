package limiter

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkFullWindow measures the worst case. The token window has all its entries, and a large call waits
// at the head. Behind it wait no calls, or many that cannot be backfilled. A small call is
// backfilled and settled, so the queue is examined twice.
func BenchmarkFullWindow(b *testing.B) {
	for _, behind := range []int{0, backfillDepth - 1} {
		b.Run(fmt.Sprintf("behind-head=%d", behind), func(b *testing.B) {
			// The window spans many hours, so it stays full.
			const each, hours = 1_000_000_000, 600 * 100 * time.Second
			l, err := New(Limit{RequestsPerSecond: MaxRequests, TokensPerMinute: each, TokenBurst: 1000 * each}, Guarded(DefaultJitter))
			if err != nil {
				b.Fatal(err)
			}
			g := l.budget.guard
			g.epoch = g.epoch.Add(-hours)
			for i := range time.Duration(windowEntries) {
				g.tokens.add(i*hours/windowEntries, each)
			}
			if g.tokens.count != windowEntries {
				b.Fatalf("%d entries", g.tokens.count)
			}

			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for range 1 + behind {
				go func() { _, _ = l.Acquire(ctx, 900*each-each/2) }()
			}
			for l.Snapshot().Waiting < 1+behind {
				runtime.Gosched()
			}
			b.ReportAllocs()
			for b.Loop() {
				p, err := l.Acquire(ctx, 1000)
				if err != nil {
					b.Fatal(err)
				}
				p.Settle(0)
			}
			if n := l.Snapshot().Backfilled; n == 0 {
				b.Error("no call was backfilled")
			}
		})
	}
}
