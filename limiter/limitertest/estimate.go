package limitertest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// thousandPerSecond refills 1000 tokens/s.
var thousandPerSecond = limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000, TokenBurst: 2000}

// estimatedAgain checks that a call that waits for a second is admitted with a new estimate. The
// Estimate function may use the limiter.
func estimatedAgain(t *testing.T, open Open) {
	b := newFixture(t, open, thousandPerSecond)
	b.acquire(2000).Settle(2000)
	var estimates atomic.Int64
	var p limiter.Admission
	b.takes(time.Second, "a call of 1500 tokens with an empty bucket", func() {
		var err error
		p, err = b.Acquire(context.Background(), limiter.Call{Prompt: 1000, Reply: 500, Estimate: func() (prompt, reply int) {
			estimates.Add(1)
			return 600, 100 * b.Snapshot().Waiting
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
	if n := estimates.Load(); n < 1 {
		t.Errorf("Estimate was called %d times, want at least 1", n)
	}
	equal(b, "tokens of the permit", p.Tokens(), 700)
	equal(b, "held tokens", b.Snapshot().HeldTokens, 700)
	p.Settle(700)
	s := b.Snapshot()
	equal(b, "held tokens at the end", s.HeldTokens, 0)
	equal(b, "settled tokens", s.TokensSettled, 2700)
	equal(b, "refunded and charged tokens", s.TokensRefunded+s.TokensCharged, 0)
}

// estimatedTooLarge checks that a new estimate that is negative or can never fit fails the waiting
// call, which takes nothing.
func estimatedTooLarge(t *testing.T, open Open) {
	for _, tokens := range []int{2001, -1} {
		b := newFixture(t, open, thousandPerSecond)
		b.acquire(2000).Settle(2000)
		_, err := b.Acquire(context.Background(), limiter.Call{Prompt: 1500, Estimate: func() (prompt, reply int) { return tokens, 0 }})
		if tooLarge := new(limiter.TooLargeError); tokens < 0 && !errors.Is(err, limiter.ErrNegativeTokens) ||
			tokens > 0 && (!errors.As(err, &tooLarge) || tooLarge.Tokens != tokens) {
			t.Errorf("a new estimate of %d: error %v, want ErrNegativeTokens or a TooLargeError", tokens, err)
		}
		b.acquire(300).Settle(300)
		s := b.Snapshot()
		equal(b, "in flight, held and waiting", s.InFlight+s.HeldTokens+s.Waiting, 0)
		equal(b, "abandoned", s.Abandoned, 1)
	}
}
