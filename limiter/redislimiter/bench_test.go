package redislimiter_test

import (
	"context"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// BenchmarkUncontended measures an undelayed call, which takes two commands. "ratio" compares it
// with a guarded limiter in the process, "pings" with two PINGs, each in the same run.
func BenchmarkUncontended(b *testing.B) {
	limit := limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 2_000_000_000}
	client := newClient(b)
	l := newLimiter(b, openStore(b, client, redislimiter.Config{}), limit)
	call := func(l limiter.Backend) {
		p, err := l.Acquire(context.Background(), limiter.Call{Prompt: 100})
		if err != nil {
			b.Fatal(err)
		}
		p.Settle(60)
	}
	for b.Loop() {
		call(l)
	}
	took := b.Elapsed()
	inProcess, err := limiter.InProcess(limiter.Guarded(limiter.DefaultJitter))("", limit)
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	for range b.N {
		call(inProcess)
	}
	b.ReportMetric(float64(took)/float64(time.Since(begin)), "ratio")
	begin = time.Now()
	for range b.N {
		client.Ping(context.Background())
		client.Ping(context.Background())
	}
	b.ReportMetric(float64(took)/float64(time.Since(begin)), "pings")
}

// BenchmarkParallel measures calls of many goroutines. A process has one command in flight at a time.
func BenchmarkParallel(b *testing.B) {
	limit := limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 2_000_000_000}
	l := newLimiter(b, openStore(b, newClient(b), redislimiter.Config{}), limit)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := l.Acquire(context.Background(), limiter.Call{Prompt: 100})
			if err != nil {
				b.Error(err)
				return
			}
			p.Settle(60)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
