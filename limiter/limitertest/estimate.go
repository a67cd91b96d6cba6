package limitertest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// refilling refills by a thousand tokens a second.
var refilling = limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000, TokenBurst: 2000}

// estimatedAgain: a call that waits for a second is admitted with a new estimate, which may use the
// limiter.
func estimatedAgain(t *testing.T, open Open) {
	b := newBench(t, open, refilling)
	b.acquire(2000).Settle(2000)
	var asked atomic.Int64
	var p limiter.Admission
	b.takes(time.Second, "a call that 1,500 tokens are missing for", func() {
		var err error
		p, err = b.Acquire(context.Background(), limiter.Call{Prompt: 1000, Reply: 500, Estimate: func() (prompt, reply int) {
			asked.Add(1)
			return 600, 100 * b.Snapshot().Waiting
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
	if n := asked.Load(); n < 1 {
		t.Errorf("asked for %d estimates", n)
	}
	equal(b, "tokens of the permit", p.Tokens(), 700)
	equal(b, "tokens that are held", b.Snapshot().HeldTokens, 700)
	p.Settle(700)
	s := b.Snapshot()
	equal(b, "tokens that are held at the end", s.HeldTokens, 0)
	equal(b, "tokens that were settled", s.TokensSettled, 2700)
	equal(b, "tokens that were refunded and charged", s.TokensRefunded+s.TokensCharged, 0)
}

// estimatedTooLarge: a new estimate that can never fit, or is negative, ends the wait and leaves no
// trace.
func estimatedTooLarge(t *testing.T, open Open) {
	for _, tokens := range []int{2001, -1} {
		b := newBench(t, open, refilling)
		b.acquire(2000).Settle(2000)
		_, err := b.Acquire(context.Background(), limiter.Call{Prompt: 1500, Estimate: func() (prompt, reply int) { return tokens, 0 }})
		if tooLarge := new(limiter.TooLargeError); tokens < 0 && !errors.Is(err, limiter.ErrNegativeTokens) ||
			tokens > 0 && (!errors.As(err, &tooLarge) || tooLarge.Tokens != tokens) {
			t.Errorf("a new estimate of %d: %v", tokens, err)
		}
		b.acquire(300).Settle(300)
		s := b.Snapshot()
		equal(b, "in flight, held and waiting", s.InFlight+s.HeldTokens+s.Waiting, 0)
		equal(b, "abandoned", s.Abandoned, 1)
	}
}
