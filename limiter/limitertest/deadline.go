package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// late checks the error of a call that had too little time.
func (b *bench) late(err error, duration time.Duration) limiter.WaitError {
	b.Helper()
	b.is(err, limiter.ErrWouldWait)
	b.is(err, context.DeadlineExceeded)
	var wait *limiter.WaitError
	if !errors.As(err, &wait) {
		b.Fatalf("error %v, want a WaitError", err)
	}
	if wait.Duration != duration || wait.Left <= 0 {
		b.Errorf("error %v, of a call that takes %v and had %v, want %v", err, wait.Duration, wait.Left, duration)
	}
	return *wait
}

// deadlineAhead: a call is refused at once if the requests of those ahead leave too little time.
func deadlineAhead(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	b.acquire(0)
	leave, cancel := context.WithCancel(context.Background())
	ahead := b.waiting(leave, 1)
	ctx, end := context.WithTimeout(context.Background(), time.Hour)
	defer end()
	_, err := b.Acquire(ctx, limiter.Call{Prompt: 1, Duration: time.Minute, MinDuration: time.Second})
	wait := b.late(err, time.Second)
	if wait.Expected < forever*time.Second*99/100 || wait.Position != 2 {
		t.Errorf("a wait of %v, at position %d", wait.Expected, wait.Position)
	}
	cancel()
	b.is(ahead.failed(), context.Canceled)
	equal(b, "abandoned", b.Snapshot().Abandoned, 2)
}

// givesWay: a call that waits for its tokens until too little time is left lets the next go, and has taken
// nothing.
func givesWay(t *testing.T, open Open) {
	b := newBench(t, open, scarce)
	p := b.acquire(1000)
	ctx, end := context.WithTimeout(context.Background(), 3*time.Second)
	defer end()
	call := limiter.Call{Prompt: 1000, Duration: 2 * time.Second, MinDuration: time.Second}
	head := b.start(func() (limiter.Admission, error) { return b.Acquire(ctx, call) })
	next := b.waiting(context.Background(), 900)
	b.late(head.failed(), 2*time.Second)
	equal(b, "waiting", b.Snapshot().Waiting, 1)
	p.Settle(0)
	next.admitted().Settle(0)
	b.acquire(1000).Settle(0)
}

// trial: a call starts although it has too little time, if the latest such call is long ago.
func trial(t *testing.T, open Open) {
	b := newBench(t, open, scarce)
	call := limiter.Call{Prompt: 1, Duration: time.Hour, MinDuration: time.Hour}
	ctx, end := context.WithTimeout(context.Background(), patient)
	defer end()
	p, err := b.Acquire(ctx, call)
	if err != nil {
		t.Fatalf("the first call: %v", err)
	}
	p.Settle(0)
	_, err = b.Acquire(ctx, call)
	b.late(err, time.Hour)
	p, err = b.Acquire(context.Background(), call)
	if err != nil {
		t.Fatalf("a call without a deadline: %v", err)
	}
	p.Settle(0)
}
