package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func pause(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	p := b.acquire(1)
	b.takes(200*time.Millisecond, "a pause of 200 ms", func() {
		b.Pause(time.Now().Add(200 * time.Millisecond))
		b.Pause(time.Now().Add(50 * time.Millisecond)) // does not shorten the pause
		if b.Snapshot().PausedUntil.IsZero() {
			t.Error("the snapshot does not show the pause")
		}
		if b.WaitTime(1) == 0 {
			t.Error("WaitTime returns 0 during a pause")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		var wait *limiter.WaitError
		if _, err := b.Acquire(ctx, limiter.Call{Prompt: 1}); !errors.As(err, &wait) || wait.Paused <= 0 || wait.Paused > 200*time.Millisecond {
			t.Errorf("error %v, want a WaitError with the rest of the pause", err)
		}
		c := b.start(func() (limiter.Admission, error) { return p, p.Retry(context.Background()) })
		b.acquire(1)
		c.admitted()
	})
	equal(b, "paused until", b.Snapshot().PausedUntil, time.Time{})
}

func throttled(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	p := b.acquire(1)
	b.takes(200*time.Millisecond, "a Retry-After of 200 ms", func() {
		if d := p.Throttled(limiter.Throttle{RetryAfter: 200 * time.Millisecond}); d <= 0 || d > 200*time.Millisecond {
			t.Errorf("the pause lasts %v, want up to 200ms", d)
		}
		b.acquire(1).Settle(1)
	})
	if err := p.Retry(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := p.Throttled(limiter.Throttle{}); d <= 0 {
		t.Errorf("the pause without Retry-After lasts %v, want more than 0", d)
	}
	if b.Snapshot().PausedUntil.IsZero() {
		t.Error("the snapshot does not show the pause")
	}
	equal(b, "held", b.Snapshot().HeldTokens, 1)
}

func observe(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 10, TokensPerMinute: 6000})
	report := func(requests, tokens int) {
		b.Observe(limiter.ServerState{RemainingRequests: &requests, RemainingTokens: &tokens})
	}
	report(-1, -1)
	b.available(10, 6000) // invalid values are ignored

	report(7, 2000)
	b.available(7, 2000)
	if at := b.Snapshot().Server; at.RemainingTokens == nil || *at.RemainingTokens != 2000 || at.At.IsZero() {
		t.Errorf("the snapshot has the server state %+v, want 2000 remaining tokens and a time", at)
	}

	b = newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 10, TokensPerMinute: 6000})
	b.acquire(4000).Settle(4000)
	report(10, 6000)
	b.available(9, 2000)
}
