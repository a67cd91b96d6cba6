package limitertest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func requestsAreLimited(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 50, RequestBurst: 5, TokensPerMinute: 60_000})
	b.takes(500*time.Millisecond, "30 calls at 50/s after a burst of 5", func() {
		var calls sync.WaitGroup
		for range 30 {
			calls.Go(func() { b.acquire(0).Settle(0) })
		}
		calls.Wait()
	})
}

func tokensAreLimited(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000, TokenBurst: 500})
	b.takes(time.Second, "15 calls of 100 tokens at 10/s after a burst of 5", func() {
		var calls sync.WaitGroup
		for range 15 {
			calls.Go(func() { b.acquire(100).Settle(100) })
		}
		calls.Wait()
	})
}

// A call that waits for a request has taken no tokens, and vice versa.
func bothOrNeither(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	b.acquire(0)
	ctx, cancel := context.WithCancel(context.Background())
	noRequest := b.waiting(ctx, 500)
	b.available(0, 600)
	cancel()
	b.is(noRequest.failed(), context.Canceled)

	b = newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 2, TokensPerMinute: 60, TokenBurst: 1000})
	b.acquire(1000)
	ctx, cancel = context.WithCancel(context.Background())
	noTokens := b.waiting(ctx, 1000)
	b.available(1, 0)
	cancel()
	b.is(noTokens.failed(), context.Canceled)
}

func firstComeFirstServed(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	var mu sync.Mutex
	var order []int
	calls := make([]*call, 20)
	for i := range calls {
		calls[i] = b.start(func() (limiter.Admission, error) {
			p, err := b.Acquire(context.Background(), limiter.Call{Prompt: 1000})
			if err == nil {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				p.Settle(0)
			}
			return p, err
		})
	}
	p.Settle(0)
	for _, c := range calls {
		c.admitted()
	}
	for i, got := range order {
		if i != got {
			t.Fatalf("the calls are admitted in the order %v, want their order of arrival", order)
		}
	}
}

// A call with an earlier place goes ahead of calls that came after that place was assigned. The
// place is a field of the call or a value of its context.
func earlierPlaceFirst(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	run := limiter.WithPlace(context.Background())
	early := limiter.PlaceOf(run)
	p := b.acquire(1000)
	var mu sync.Mutex
	var order []string
	wait := func(ctx context.Context, name string, request limiter.Call) *call {
		return b.start(func() (limiter.Admission, error) {
			p, err := b.Acquire(ctx, request)
			if err == nil {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				p.Settle(0)
			}
			return p, err
		})
	}
	calls := []*call{
		wait(context.Background(), "late", limiter.Call{Prompt: 1000}),
		wait(context.Background(), "early", limiter.Call{Prompt: 400, Reply: 600, Place: early}),
		wait(run, "early by context", limiter.Call{Prompt: 1000}),
	}
	p.Settle(0)
	for _, c := range calls {
		c.admitted()
	}
	if want := []string{"early", "early by context", "late"}; !slices.Equal(order, want) {
		t.Errorf("the calls are admitted in the order %q, want %q", order, want)
	}
}

// maxWait checks that a call whose expected wait exceeds MaxWait fails at once and takes nothing.
func maxWait(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	for _, d := range []time.Duration{limiter.NoWait, time.Second} {
		_, err := b.Acquire(context.Background(), limiter.Call{Prompt: 900, MaxWait: d})
		var wait *limiter.WaitError
		if !errors.As(err, &wait) || !errors.Is(err, limiter.ErrWouldWait) || wait.Expected < time.Second || wait.Position != 1 {
			t.Errorf("MaxWait %v: error %v, want a WaitError of ErrWouldWait", d, err)
		}
	}
	p.Settle(0)
	b.eventually("the tokens are available", func() bool { return b.WaitTime(1000) == 0 })
	p, err := b.Acquire(context.Background(), limiter.Call{Prompt: 1000, MaxWait: limiter.NoWait})
	if err != nil {
		t.Fatalf("error %v of a call that can start at once", err)
	}
	p.Settle(0)
}

func maxQueue(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	first := b.waiting(context.Background(), 900)
	_, err := b.Acquire(context.Background(), limiter.Call{Prompt: 100, MaxQueue: 1})
	b.is(err, limiter.ErrQueueFull)
	var wait *limiter.WaitError
	if !errors.As(err, &wait) || wait.Position != 2 {
		t.Errorf("error %v, want a WaitError of position 2", err)
	}
	second := b.start(func() (limiter.Admission, error) {
		return b.Acquire(context.Background(), limiter.Call{Prompt: 100, MaxQueue: 2})
	})
	p.Settle(0)
	first.admitted().Settle(0)
	second.admitted().Settle(0)
}

func onQueue(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	var statuses []limiter.QueueStatus
	call := func(tokens int) *call {
		return b.start(func() (limiter.Admission, error) {
			return b.Acquire(context.Background(), limiter.Call{Prompt: tokens, OnQueue: func(s limiter.QueueStatus) { statuses = append(statuses, s) }})
		})
	}
	first := call(900)
	p.Settle(0)
	first.admitted().Settle(0)
	if len(statuses) == 0 || statuses[0].Position != 1 || statuses[0].Expected < time.Second {
		t.Errorf("OnQueue receives %v for a waiting call, want position 1 and at least 1s", statuses)
	}
	b.eventually("the tokens are available", func() bool { return b.WaitTime(1000) == 0 })
	before := len(statuses)
	call(1000).admitted().Settle(0)
	equal(b, "calls of OnQueue for a call that starts at once", len(statuses)-before, 0)
}

// tooLarge also covers other arguments that Acquire rejects.
func tooLarge(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	_, err := b.Acquire(context.Background(), limiter.Call{Prompt: 1001})
	if e, ok := err.(*limiter.TooLargeError); !ok || e.Tokens != 1001 || e.Capacity != 1000 { //nolint:errorlint // the error must not be wrapped
		t.Errorf("error %v, want a TooLargeError of 1001 and 1000", err)
	}
	equal(b, "WaitTime", b.WaitTime(1001), limiter.Never)
	_, err = b.Acquire(context.Background(), limiter.Call{Prompt: -1})
	b.is(err, limiter.ErrNegativeTokens)
	_, err = b.Acquire(context.Background(), limiter.Call{Prompt: 1, Reply: -1})
	b.is(err, limiter.ErrNegativeTokens)
	_, err = b.Acquire(context.Background(), limiter.Call{Prompt: math.MaxInt, Reply: math.MaxInt})
	if !errors.As(err, new(*limiter.TooLargeError)) {
		t.Errorf("error %v, want a TooLargeError", err)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = b.Acquire(done, limiter.Call{Prompt: 1})
	b.is(err, context.Canceled)
	s := b.Snapshot()
	equal(b, "admitted", s.Admitted, 0)
	b.available(plenty, 1000)
}

func abandonedWait(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	cause := &limiter.LimitError{} // any error
	ctx, cancel := context.WithCancelCause(context.Background())
	c := b.waiting(ctx, 1000)
	cancel(cause)
	err := c.failed()
	b.is(err, context.Canceled)
	b.is(err, cause)
	if e, ok := err.(*limiter.WaitError); !ok || e.Tokens != 1000 { //nolint:errorlint // the error must not be wrapped
		t.Errorf("error %v, want a WaitError of 1000 tokens", err)
	}
	s := b.Snapshot()
	equal(b, "waiting", s.Waiting, 0)
	equal(b, "in flight", s.InFlight, 1)
	equal(b, "abandoned", s.Abandoned, 1)
	p.Settle(0)
	b.acquire(1000) // the abandoned call holds no tokens
}

func abandonedHead(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	b.acquire(500)
	ctx, cancel := context.WithCancel(context.Background())
	large := b.waiting(ctx, 1000)
	second := b.start(func() (limiter.Admission, error) { return b.Acquire(context.Background(), limiter.Call{Prompt: 100}) })
	cancel()
	b.is(large.failed(), context.Canceled)
	second.admitted()
}

func setLimit(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	b.acquire(0)
	small, large := b.waiting(context.Background(), 100), b.waiting(context.Background(), 600)
	before := b.Limit()
	if err := b.SetLimit(limiter.Limit{RequestsPerSecond: -1, TokensPerMinute: 1}); err == nil {
		t.Error("SetLimit accepts a limit of -1 requests/s, want an error")
	}
	equal(b, "limit", b.Limit(), before)

	faster := limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 500}
	if err := b.SetLimit(faster); err != nil {
		t.Fatal(err)
	}
	equal(b, "limit", b.Limit(), faster.WithDefaults())
	equal(b, "limit in the snapshot", b.Snapshot().Limit, faster.WithDefaults())
	if _, ok := large.failed().(*limiter.TooLargeError); !ok { //nolint:errorlint // the error must not be wrapped
		t.Errorf("error %v, want a TooLargeError", large.err)
	}
	small.admitted()
}

func expectedWait(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	equal(b, "wait with a full bucket", b.WaitTime(1000), 0)
	b.acquire(1000).Settle(1000)
	equal(b, "wait of a call without tokens", b.WaitTime(0), 0)
	if d := b.WaitTime(100); d < 50*time.Second {
		t.Errorf("the wait for 100 tokens at 1 token/s is %v, want at least 50s", d)
	}
	equal(b, "admitted", b.Snapshot().Admitted, 1)
}
