package limitertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// threeRequests allows three requests, and 1000 tokens without a wait.
var threeRequests = limiter.Limit{RequestsPerSecond: 1 / forever, RequestBurst: 3, TokensPerMinute: 60, TokenBurst: 1000}

func settleWakes(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	equal(b, "tokens", p.Tokens(), 1000)
	c := b.waiting(context.Background(), 900)
	p.Settle(50)
	equal(b, "tokens of the next", c.admitted().Tokens(), 900)
	b.available(plenty, 50)
}

func cancelWakes(t *testing.T, open Open) {
	b := newFixture(t, open, scarce)
	p := b.acquire(1000)
	c := b.waiting(context.Background(), 1000)
	p.Cancel()
	c.admitted()
}

func debt(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000, TokenBurst: 1000})
	b.acquire(1000).Settle(2500) // more than the capacity
	if n := b.Snapshot().AvailableTokens; n >= 0 {
		t.Errorf("%v tokens are available, want fewer than 0", n)
	}
	b.acquire(0).Settle(0) // needs no tokens
	b.takes(time.Second, "repaying 1500 tokens at 1000 tokens/s", func() { b.acquire(1) })
}

func cancelReturnsEverything(t *testing.T, open Open) {
	b := newFixture(t, open, threeRequests)
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
		b := newFixture(t, open, threeRequests)
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
	b := newFixture(t, open, threeRequests)
	p := b.acquire(100)
	p.Settle(-5)
	equal(b, "settled tokens after Settle(-5)", b.Snapshot().TokensSettled, 0)
	b.available(2, 1000)
}

func requestReturnsOnce(t *testing.T, open Open) {
	b := newFixture(t, open, threeRequests)
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
	equal(b, "returned requests", b.Snapshot().ReturnedRequests, 2)
}

func retryTakesARequest(t *testing.T, open Open) {
	b := newFixture(t, open, threeRequests)
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
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 50, RequestBurst: 1, TokensPerMinute: 60_000})
	p := b.acquire(10)
	b.Pause(time.Now().Add(300 * time.Millisecond))
	var mu sync.Mutex
	var order []string
	record := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, name)
	}
	var calls []*call
	for range 3 {
		calls = append(calls, b.start(func() (limiter.Admission, error) {
			p, err := b.Acquire(context.Background(), limiter.Call{Prompt: 10})
			record("new call")
			return p, err
		}))
	}
	calls = append(calls, b.start(func() (limiter.Admission, error) {
		err := p.Retry(context.Background())
		record("retry")
		return p, err
	}))
	for _, c := range calls {
		c.admitted()
	}
	equal(b, "first", order[0], "retry")
}

func abandonedRetry(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
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
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 1 / forever, TokensPerMinute: 600})
	p := b.acquire(100)
	c := b.start(func() (limiter.Admission, error) { return p, p.Retry(context.Background()) })
	p.Settle(100)
	b.is(c.failed(), limiter.ErrFinished)
	b.is(p.Retry(context.Background()), limiter.ErrFinished)
	equal(b, "waiting", b.Snapshot().Waiting, 0)
}

func countersAddUp(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 600_000, TokenBurst: 2000})
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
				_ = p.Retry(ctx) // may fail: the deadline may have passed
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
	equal(b, "all calls are admitted or abandoned", s.Admitted+s.Abandoned >= 60, true)
	equal(b, "tokens", acquired, s.TokensSettled+s.TokensRefunded-s.TokensCharged)
	equal(b, "held", s.HeldTokens, 0)
	equal(b, "in flight", s.InFlight, 0)
	equal(b, "waiting", s.Waiting, 0)
	b.eventually("the tokens are available", func() bool { return b.WaitTime(1000) == 0 })
}
