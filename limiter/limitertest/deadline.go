package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// checkLate checks the error of a call with too little time left.
func (b *fixture) checkLate(err error, duration time.Duration) limiter.WaitError {
	b.Helper()
	b.is(err, limiter.ErrWouldWait)
	b.is(err, context.DeadlineExceeded)
	var wait *limiter.WaitError
	if !errors.As(err, &wait) {
		b.Fatalf("error %v, want a WaitError", err)
	}
	if wait.Duration != duration || wait.Left <= 0 {
		b.Errorf("error %v: duration %v with %v left, want duration %v with some time left", err, wait.Duration, wait.Left, duration)
	}
	return *wait
}

// deadlineAhead checks that a call fails at once if the requests ahead of it leave too little time.
func deadlineAhead(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	b.acquire(0)
	aheadCtx, cancel := context.WithCancel(context.Background())
	ahead := b.waiting(aheadCtx, 1)
	ctx, end := context.WithTimeout(context.Background(), time.Hour)
	defer end()
	_, err := b.Acquire(ctx, limiter.Call{Prompt: 1, Duration: time.Minute, MinDuration: time.Second})
	wait := b.checkLate(err, time.Second)
	if wait.Expected < forever*time.Second*99/100 || wait.Position != 2 {
		t.Errorf("expected wait %v at position %d, want %v at position 2", wait.Expected, wait.Position, forever*time.Second)
	}
	cancel()
	b.is(ahead.failed(), context.Canceled)
	equal(b, "abandoned", b.Snapshot().Abandoned, 2)
}

// lateCallFails checks that a waiting call fails once too little time is left, takes nothing, and lets the next
// call start.
func lateCallFails(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	ctx, end := context.WithTimeout(context.Background(), 3*time.Second)
	defer end()
	call := limiter.Call{Prompt: 1000, Duration: 2 * time.Second, MinDuration: time.Second}
	head := b.start(func() (limiter.Admission, error) { return b.Acquire(ctx, call) })
	next := b.waiting(context.Background(), 900)
	b.checkLate(head.failed(), 2*time.Second)
	equal(b, "waiting", b.Snapshot().Waiting, 1)
	p.Settle(0)
	next.admitted().Settle(0)
	b.acquire(1000).Settle(0)
}

// trial checks that a call with too little time starts if the latest such call was long ago.
func trial(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	call := limiter.Call{Prompt: 1, Duration: time.Hour, MinDuration: time.Hour}
	ctx, end := context.WithTimeout(context.Background(), timeout)
	defer end()
	p, err := b.Acquire(ctx, call)
	if err != nil {
		t.Fatalf("error %v of the first call", err)
	}
	p.Settle(0)
	_, err = b.Acquire(ctx, call)
	b.checkLate(err, time.Hour)
	p, err = b.Acquire(context.Background(), call)
	if err != nil {
		t.Fatalf("error %v of a call without a deadline", err)
	}
	p.Settle(0)
}
