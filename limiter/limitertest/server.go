package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func pause(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	p := b.acquire(1)
	b.takes(200*time.Millisecond, "a pause of 200 ms", func() {
		b.Pause(time.Now().Add(200 * time.Millisecond))
		b.Pause(time.Now().Add(50 * time.Millisecond)) // does not shorten it
		if b.Snapshot().PausedUntil.IsZero() {
			t.Error("the snapshot does not show the pause")
		}
		if b.WaitTime(1) == 0 {
			t.Error("no wait is foretold")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		var gaveUp *limiter.WaitError
		if _, err := b.Acquire(ctx, limiter.Call{Prompt: 1}); !errors.As(err, &gaveUp) || gaveUp.Paused <= 0 || gaveUp.Paused > 200*time.Millisecond {
			t.Errorf("error %v, want a WaitError that says how much longer the pause lasts", err)
		}
		c := b.start(func() (limiter.Admission, error) { return p, p.Retry(context.Background()) })
		b.acquire(1)
		c.admitted()
	})
	equal(b, "paused until", b.Snapshot().PausedUntil, time.Time{})
}

func refusal(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	p := b.acquire(1)
	b.takes(200*time.Millisecond, "a Retry-After of 200 ms", func() {
		if d := p.Throttled(limiter.Throttle{RetryAfter: 200 * time.Millisecond}); d <= 0 || d > 200*time.Millisecond {
			t.Errorf("the pause lasts %v", d)
		}
		b.acquire(1).Settle(1)
	})
	if err := p.Retry(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := p.Throttled(limiter.Throttle{}); d <= 0 {
		t.Errorf("the pause lasts %v, where the server does not say how long", d)
	}
	if b.Snapshot().PausedUntil.IsZero() {
		t.Error("the snapshot does not show the pause")
	}
	equal(b, "held", b.Snapshot().HeldTokens, 1)
}

func observe(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 10, TokensPerMinute: 6000})
	says := func(requests, tokens int) {
		b.Observe(limiter.ServerState{RemainingRequests: &requests, RemainingTokens: &tokens})
	}
	says(-1, -1)
	b.available(10, 6000) // that makes no sense

	says(7, 2000)
	b.available(7, 2000)
	if at := b.Snapshot().Server; at.RemainingTokens == nil || *at.RemainingTokens != 2000 || at.At.IsZero() {
		t.Errorf("the snapshot shows %+v", at)
	}

	b = newBench(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 10, TokensPerMinute: 6000})
	b.acquire(4000).Settle(4000)
	says(10, 6000)
	b.available(9, 2000)
}
