package limitertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// few has three requests, and tokens that are there.
var few = limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 3, TokensPerMinute: 60, TokenBurst: 1000}

func settleWakes(t *testing.T, open Open) {
	b := newBench(t, open, scarce)
	p := b.acquire(1000)
	equal(b, "tokens", p.Tokens(), 1000)
	c := b.waiting(context.Background(), 900)
	p.Settle(50)
	equal(b, "tokens of the next", c.admitted().Tokens(), 900)
	b.available(plenty, 50)
}

func cancelWakes(t *testing.T, open Open) {
	b := newBench(t, open, scarce)
	p := b.acquire(1000)
	c := b.waiting(context.Background(), 1000)
	p.Cancel()
	c.admitted()
}

func debt(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000, TokenBurst: 1000})
	b.acquire(1000).Settle(2500) // more than there ever is
	if n := b.Snapshot().AvailableTokens; n >= 0 {
		t.Errorf("%v tokens are available", n)
	}
	b.acquire(0).Settle(0) // needs none
	b.takes(time.Second, "1500 tokens of debt at 1000 a second", func() { b.acquire(1) })
}

func cancelLeavesNoTrace(t *testing.T, open Open) {
	b := newBench(t, open, few)
	p := b.acquire(400)
	b.available(2, 600)
	p.Cancel()
	b.available(3, 1000)
	s := b.Snapshot()
	equal(b, "held", s.HeldTokens, 0)
	equal(b, "in flight", s.InFlight, 0)
}

func endsOnce(t *testing.T, open Open) {
	for name, ends := range map[string][]func(limiter.Admission){
		"settled":   {func(p limiter.Admission) { p.Settle(100) }, limiter.Admission.Cancel, func(p limiter.Admission) { p.Settle(0) }},
		"cancelled": {limiter.Admission.Cancel, limiter.Admission.Cancel, func(p limiter.Admission) { p.Settle(900) }},
	} {
		b := newBench(t, open, few)
		p := b.acquire(100)
		ends[0](p)
		before := b.Snapshot()
		for _, end := range ends[1:] {
			end(p)
		}
		p.Sent()
		p.ReturnRequest()
		after := b.Snapshot()
		equal(b, name+": counters", after.Counters, before.Counters)
		equal(b, name+": ended", after.Settled+after.Cancelled, 1)
		b.available(before.AvailableRequests, before.AvailableTokens)
	}
	b := newBench(t, open, few)
	p := b.acquire(100)
	p.Settle(-5)
	equal(b, "a negative number counts as 0", b.Snapshot().TokensSettled, 0)
	b.available(2, 1000)
}

func unsentOnce(t *testing.T, open Open) {
	b := newBench(t, open, few)
	b.acquire(0)
	p := b.acquire(100)
	b.available(1, 900)
	p.ReturnRequest()
	b.available(2, 900)
	p.ReturnRequest()
	p.Sent()
	b.available(2, 900)
	p.Cancel()
	b.available(2, 1000)
	b.acquire(0).Cancel()
	equal(b, "requests that were not sent", b.Snapshot().ReturnedRequests, 2)
}

func retryTakesARequest(t *testing.T, open Open) {
	b := newBench(t, open, few)
	p := b.acquire(500)
	if err := p.Retry(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.available(1, 500)
	s := b.Snapshot()
	equal(b, "held", s.HeldTokens, 500)
	equal(b, "retried", s.Retried, 1)
	equal(b, "admitted", s.Admitted, 1)
	p.Cancel() // the first attempt did reach the server
	b.available(2, 1000)
}

func retryGoesFirst(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 50, RequestBurst: 1, TokensPerMinute: 60_000})
	p := b.acquire(10)
	b.Pause(time.Now().Add(300 * time.Millisecond))
	var mu sync.Mutex
	var order []string
	note := func(who string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, who)
	}
	var calls []*call
	for range 3 {
		calls = append(calls, b.start(func() (limiter.Admission, error) {
			p, err := b.Acquire(context.Background(), limiter.Call{Prompt: 10})
			note("newcomer")
			return p, err
		}))
	}
	calls = append(calls, b.start(func() (limiter.Admission, error) {
		err := p.Retry(context.Background())
		note("retry")
		return p, err
	}))
	for _, c := range calls {
		c.admitted()
	}
	equal(b, "first", order[0], "retry")
}

func retryGivesUp(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	p := b.acquire(100)
	ctx, cancel := context.WithCancel(context.Background())
	c := b.start(func() (limiter.Admission, error) { return p, p.Retry(ctx) })
	b.is(p.Retry(context.Background()), limiter.ErrRetrying)
	cancel()
	b.is(c.failed(), context.Canceled)
	b.is(p.Retry(ctx), context.Canceled)
	equal(b, "held", b.Snapshot().HeldTokens, 100)
	b.available(0, 500)
	p.Cancel()
	b.available(1, 600)
}

func retryAfterTheEnd(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	p := b.acquire(100)
	c := b.start(func() (limiter.Admission, error) { return p, p.Retry(context.Background()) })
	p.Settle(100)
	b.is(c.failed(), limiter.ErrFinished)
	b.is(p.Retry(context.Background()), limiter.ErrFinished)
	equal(b, "waiting", b.Snapshot().Waiting, 0)
}

func booksBalance(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 600_000, TokenBurst: 2000})
	balanced := func() {
		b.Helper()
		s := b.Snapshot()
		equal(b, "calls", s.Admitted, s.Settled+s.Cancelled+int64(s.InFlight))
	}
	var mu sync.Mutex
	var acquired int64
	var calls sync.WaitGroup
	for i := range 60 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%3)*100*time.Millisecond)
			defer cancel()
			tokens := rand.IntN(200)
			p, err := b.Acquire(ctx, limiter.Call{Prompt: tokens})
			if err != nil {
				return
			}
			mu.Lock()
			acquired += int64(tokens)
			mu.Unlock()
			balanced()
			switch i % 4 {
			case 0:
				p.Cancel()
			case 1:
				p.ReturnRequest()
				_ = p.Retry(ctx) // it may be too late
				p.Settle(2 * tokens)
			default:
				p.Sent()
				p.Settle(rand.IntN(300))
			}
		})
	}
	calls.Wait()
	s := b.Snapshot()
	equal(b, "calls", s.Admitted, s.Settled+s.Cancelled)
	equal(b, "calls that came", s.Admitted+s.Abandoned >= 60, true)
	equal(b, "tokens", acquired, s.TokensSettled+s.TokensRefunded-s.TokensCharged)
	equal(b, "held", s.HeldTokens, 0)
	equal(b, "in flight", s.InFlight, 0)
	equal(b, "waiting", s.Waiting, 0)
	b.eventually("all comes back that is to", func() bool { return b.WaitTime(1000) == 0 })
}
