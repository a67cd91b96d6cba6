package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func Example() {
	l, err := limiter.New(limiter.Limit{RequestsPerSecond: 1.2, TokensPerMinute: 100_000})
	if err != nil {
		fmt.Println(err)
		return
	}

	permit, err := l.Acquire(context.Background(), 2000) // the estimate
	if err != nil {
		fmt.Println(err)
		return
	}
	// ... the call; its response reports a usage of 1500 tokens.
	permit.Settle(1500)

	s := l.Snapshot()
	fmt.Println(s.TokensSettled, "used,", s.TokensRefunded, "refunded,", s.HeldTokens, "held")
	// Output: 1500 used, 500 refunded, 0 held
}

// Fractions are exact: 0.08 requests per second are one request every 12.5 s.
func ExampleLimiter_WaitTime() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 0.08, TokensPerMinute: 60_000})
	fmt.Println(l.WaitTime(500))

	permit, _ := l.Acquire(context.Background(), 60_000)
	defer permit.Settle(60_000)
	fmt.Println(l.WaitTime(500).Round(time.Second / 2))    // the next request decides
	fmt.Println(l.WaitTime(50_000).Round(time.Second / 2)) // the tokens decide
	fmt.Println(l.WaitTime(60_001) == limiter.Never)
	// Output:
	// 0s
	// 12.5s
	// 50s
	// true
}

func ExamplePermit_Cancel() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: 60_000})
	permit, _ := l.Acquire(context.Background(), 60_000)
	permit.Cancel() // the connection was refused, so the server did not receive the request
	fmt.Println(l.WaitTime(60_000))
	// Output: 0s
}

// A call that receives a 429 waits for the end of the pause and goes first. It holds its tokens meanwhile.
func ExamplePermit_Retry() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000})
	ctx := context.Background()
	permit, _ := l.Acquire(ctx, 1000)
	// ... the server returns 429 with "Retry-After: 0.02".
	pause := permit.Throttled(limiter.Throttle{RetryAfter: 20 * time.Millisecond})
	if err := permit.Retry(ctx); err != nil {
		fmt.Println(err)
		return
	}
	// ... and now with a response.
	permit.Settle(800)
	fmt.Println(pause > 0, permit.WaitDuration() > 0, l.Snapshot().Retried)
	// Output: true true 1
}

// Two calls have emptied a bucket of two requests, which regains one in 10 s. With a guard, the third call
// starts after the 20 s in which two refill, plus the jitter. A server that counts in windows would reject
// it earlier.
func ExampleGuarded() {
	limit := limiter.Limit{RequestsPerSecond: 0.1, RequestBurst: 2, TokensPerMinute: 60_000}
	bare, _ := limiter.New(limit)
	guarded, _ := limiter.New(limit, limiter.Guarded(5*time.Second))
	for _, l := range []*limiter.Limiter{bare, guarded} {
		for range 2 {
			permit, _ := l.Acquire(context.Background(), 100)
			permit.Settle(100)
		}
		fmt.Println(l.WaitTime(100).Round(5 * time.Second))
	}
	// Output:
	// 10s
	// 25s
}

// The server's count applies if less remains than the limiter has counted.
func ExampleLimiter_Observe() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000})
	limit, left := 60_000, 1000 // x-ratelimit-limit-tokens-minute, x-ratelimit-remaining-tokens-minute
	l.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &left})
	fmt.Println(l.WaitTime(31_000).Round(5 * time.Second)) // 30,000 more at 1000 per second
	// Output: 30s
}

func ExampleLimiter_SetLimit() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000})
	err := l.SetLimit(limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: 10_000})
	fmt.Println(err, l.Limit().TokenBurst)
	// Output: <nil> 10000
}

func ExampleLimiter_Pause() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000})
	l.Pause(time.Now().Add(30 * time.Second)) // a 429 with "Retry-After: 30"
	fmt.Println(l.WaitTime(100).Round(time.Second))
	// Output: 30s
}

func ExampleTooLargeError() {
	l, _ := limiter.New(limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000})
	_, err := l.Acquire(context.Background(), 75_000)
	var tooLarge *limiter.TooLargeError
	if errors.As(err, &tooLarge) {
		fmt.Println(tooLarge.Tokens, "do not fit in", tooLarge.Capacity)
	}
	// Output: 75000 do not fit in 60000
}

func ExampleLimitError() {
	_, err := limiter.New(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: -5})
	fmt.Println(err)
	// Output: limiter: TokensPerMinute must be at least 1 and at most 1000000000000, got -5
}

func ExampleGroup() {
	g, _ := limiter.NewGroup(
		limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 500_000},
		map[string]limiter.Limit{"mistral-large-latest": {RequestsPerSecond: 0.08, TokensPerMinute: 50_000}},
		limiter.InProcess(),
	)
	fmt.Println(g.For("mistral-large-latest").Snapshot().Limit.TokensPerMinute)
	fmt.Println(g.For("another").Snapshot().Limit.TokensPerMinute)
	fmt.Println(g.For("another") == g.For("a third"))
	// Output:
	// 50000
	// 500000
	// true
}
