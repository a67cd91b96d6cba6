package limiter_test

import (
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

var onePerSecond = limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}

// The next request keeps its distance from the time when the latest one was actually sent.
func TestSent(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		p := b.acquire(1)
		next := b.goAcquire(b.Context(), 1)
		b.until(400 * ms)
		p.Sent()
		b.until(600 * ms)
		p.Sent() // the latest call of Sent counts
		b.until(1600 * ms)
		next.waiting() // the timer of 1.05 s was set again
		b.until(time.Minute)
		next.admittedAt(1650 * ms)
	}, guarded)
}

// A request that is sent late counts from then on, once.
func TestSentLate(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 60_000}, func(b *testLimiter) {
		p := b.acquire(1)
		b.until(5 * time.Second)
		p.Sent()
		b.use(0)
		equal(b, "second", b.now(), 5*time.Second)
		b.use(0)
		equal(b, "third", b.now(), 6050*ms)
	}, guarded)
}

// Each attempt counts separately.
func TestSentAfterRetry(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		p := b.acquire(1)
		b.retry(p)
		equal(b, "retry", b.now(), 1050*ms)
		b.until(1500 * ms)
		p.Sent()
		b.use(0)
		equal(b, "next", b.now(), 2550*ms)
	}, guarded)
}

// Without a guard, the bucket counts a request at its admission.
func TestSentWithoutGuard(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		p := b.acquire(1)
		b.until(600 * ms)
		p.Sent()
		b.use(0)
		equal(b, "next", b.now(), time.Second)
	})
}

// A request that was not sent is returned once. The permit keeps its tokens.
func TestReturnRequest(t *testing.T) {
	for name, options := range map[string][]limiter.Option{"bare": nil, "guarded": {limiter.Guarded(0)}} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 60_000, RequestBurst: 3}, func(b *testLimiter) {
				p := b.acquire(1000)
				b.acquire(0)
				equal(b, "requests", b.Snapshot().AvailableRequests, 1)
				p.ReturnRequest()
				equal(b, "requests", b.Snapshot().AvailableRequests, 2)
				p.ReturnRequest()
				p.Sent() // ignored, because the request was returned
				equal(b, "requests", b.Snapshot().AvailableRequests, 2)
				equal(b, "held", b.Snapshot().HeldTokens, 1000)

				b.retry(p)
				equal(b, "requests", b.Snapshot().AvailableRequests, 1)
				p.ReturnRequest() // the request of the second attempt
				equal(b, "requests", b.Snapshot().AvailableRequests, 2)
				p.Cancel() // does not return a request twice
				b.available(2, 60_000)
				p.ReturnRequest()
				p.Sent()
				b.available(2, 60_000)
			}, options...)
		})
	}
}

// Sent ignores a request that was returned and a call that has ended.
func TestSentTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*limiter.Permit)
		next   time.Duration
	}{
		"unsent":    {(*limiter.Permit).ReturnRequest, 500 * ms},
		"cancelled": {(*limiter.Permit).Cancel, 500 * ms},
		"settled":   {func(p *limiter.Permit) { p.Settle(1) }, 1050 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, onePerSecond, func(b *testLimiter) {
				p := b.acquire(1)
				c.before(p)
				b.until(500 * ms)
				p.Sent()
				b.use(0)
				equal(b, "next", b.now(), c.next)
			}, guarded)
		})
	}
}

// The first attempt was sent and failed, the retry was not sent. One request remains spent.
func TestCancelAfterReturnedRetry(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 60_000, RequestBurst: 3}, func(b *testLimiter) {
		p := b.acquire(1000)
		b.retry(p)
		p.ReturnRequest()
		p.Cancel()
		b.available(2, 60_000)
	}, guarded)
}

// Cancel returns the request sent last, from the time when it was sent.
func TestCancelAfterSent(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		p := b.acquire(1)
		b.until(500 * ms)
		p.Sent()
		b.until(900 * ms)
		p.Cancel()
		b.use(0)
		equal(b, "next", b.now(), 900*ms)
	}, guarded)
}

func TestSentAndReturnRequestAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(*limiter.Permit){
		"Settle": func(p *limiter.Permit) { p.Settle(500) },
		"Cancel": (*limiter.Permit).Cancel,
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, onePerSecond, func(b *testLimiter) {
				p := b.acquire(1000)
				end(p)
				b.until(300 * ms)
				before := b.Snapshot()
				p.Sent()
				p.ReturnRequest()
				equal(b, "state", b.Snapshot(), before)
			}, guarded)
		})
	}
}

// While a retry waits, Sent and ReturnRequest do nothing.
func TestSentAndReturnRequestWhileRetrying(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		p := b.acquire(1000)
		retry := b.goRetry(b.Context(), p)
		b.until(300 * ms)
		p.Sent()
		p.ReturnRequest()
		b.until(time.Minute)
		retry.admittedAt(1050 * ms)
	}, guarded)
}

// Of many concurrent calls of ReturnRequest, exactly one returns the request.
func TestConcurrentSentAndReturnRequest(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.001, TokensPerMinute: 60_000, RequestBurst: 10}, func(b *testLimiter) {
		b.acquire(30_000) // so that no balance reaches the capacity
		p := b.acquire(1000)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(p.Sent)
			wg.Go(p.ReturnRequest)
		}
		wg.Wait()
		equal(b, "requests", b.Snapshot().AvailableRequests, 9)
		for range 20 {
			wg.Go(p.Sent)
			wg.Go(p.ReturnRequest)
			wg.Go(p.Cancel)
			wg.Go(func() { p.Settle(1000) })
		}
		wg.Wait()
		s := b.Snapshot()
		equal(b, "ended", s.Settled+s.Cancelled, 1)
		equal(b, "requests", s.AvailableRequests, 9)
		equal(b, "in flight", s.InFlight, 1)
	}, guarded)
}
