package limiter_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A limiter uses less than 64 KiB, regardless of its rate and the number of calls it has admitted.
func TestLimiterMemory(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: unlimitedRate}
	runVirtual(t, limit, func(b *testLimiter) {
		before := heap()
		for i := range 200_000 {
			b.use(1000)
			if i%2 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if kept := heap() - before; kept > 64<<10 {
			t.Errorf("the limiter uses %d bytes", kept)
		}
		runtime.KeepAlive(b.Limiter)
	}, guarded)
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
