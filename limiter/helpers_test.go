package limiter_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

const unlimitedRate = 1_000_000_000 // a rate at which no call waits

// A testLimiter is a limiter under testing/synctest. Its clock advances only while all goroutines wait,
// so every duration below is exact.
type testLimiter struct {
	*testing.T
	*limiter.Limiter
	start time.Time
}

// runVirtual runs f with a new limiter on a virtual clock.
func runVirtual(t *testing.T, limit limiter.Limit, f func(*testLimiter), options ...limiter.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := limiter.New(limit, options...)
		if err != nil {
			t.Fatal(err)
		}
		f(&testLimiter{t, l, time.Now()})
	})
}

// guarded is the option of most guarded limiters in these tests. Its request windows are 50 ms longer
// than the requests take.
var guarded = limiter.Guarded(50 * time.Millisecond)

// use makes a call that ends at once and uses exactly its estimate.
func (b *testLimiter) use(tokens int) {
	b.Helper()
	b.acquire(tokens).Settle(tokens)
}

// reportRemaining observes the given number of remaining tokens.
func (b *testLimiter) reportRemaining(tokens int) {
	b.Observe(limiter.ServerState{RemainingTokens: &tokens})
}

// wantTokens checks the exact number of available tokens.
func (b *testLimiter) wantTokens(want int) {
	b.Helper()
	if got := b.Snapshot().AvailableTokens; got != float64(want) {
		b.Errorf("at %v %v tokens are available, want %v", b.now(), got, want)
	}
}

func (b *testLimiter) now() time.Duration { return time.Since(b.start) }

// until advances the clock to a time after the start, and lets all goroutines run that can run then.
func (b *testLimiter) until(d time.Duration) {
	time.Sleep(d - b.now())
	synctest.Wait()
}

// acquire acquires in this goroutine. An error ends the test.
func (b *testLimiter) acquire(tokens int) *limiter.Permit {
	b.Helper()
	p, err := b.Acquire(context.Background(), tokens)
	if err != nil {
		b.Fatalf("Acquire(%d): %v", tokens, err)
	}
	return p
}

// An asyncCall is a call made in another goroutine.
type asyncCall struct {
	b      *testLimiter
	result atomic.Pointer[callResult] // nil during the wait
}

type callResult struct {
	permit *limiter.Permit
	err    error
	at     time.Duration
}

// goAcquire acquires in another goroutine. When goAcquire returns, the call waits or has ended.
func (b *testLimiter) goAcquire(ctx context.Context, tokens int) *asyncCall {
	return b.goDo(func() (*limiter.Permit, error) { return b.Acquire(ctx, tokens) })
}

// goRetry is goAcquire for a retry.
func (b *testLimiter) goRetry(ctx context.Context, permit *limiter.Permit) *asyncCall {
	return b.goDo(func() (*limiter.Permit, error) { return permit, permit.Retry(ctx) })
}

func (b *testLimiter) goDo(call func() (*limiter.Permit, error)) *asyncCall {
	p := &asyncCall{b: b}
	go func() {
		permit, err := call()
		p.result.Store(&callResult{permit, err, b.now()})
	}()
	synctest.Wait()
	return p
}

func (p *asyncCall) admittedAt(want time.Duration) {
	p.b.Helper()
	switch o := p.result.Load(); {
	case o == nil:
		p.b.Errorf("at %v call still waits, want admitted at %v", p.b.now(), want)
	case o.err != nil:
		p.b.Errorf("at %v: %v; want admitted at %v", o.at, o.err, want)
	case o.at != want:
		p.b.Errorf("admitted at %v, want %v", o.at, want)
	}
}

func (p *asyncCall) waiting() {
	p.b.Helper()
	if o := p.result.Load(); o != nil {
		p.b.Errorf("call ended at %v (error %v), want it to wait at %v", o.at, o.err, p.b.now())
	}
}

func (p *asyncCall) failedAt(want time.Duration, target error) {
	p.b.Helper()
	switch o := p.result.Load(); {
	case o == nil:
		p.b.Errorf("at %v call still waits, want failed at %v", p.b.now(), want)
	case !errors.Is(o.err, target):
		p.b.Errorf("error %v, want %v", o.err, target)
	case o.at != want:
		p.b.Errorf("failed at %v, want %v", o.at, want)
	}
}

// available checks both balances, up to rounding errors.
func (b *testLimiter) available(requests, tokens float64) {
	b.Helper()
	s := b.Snapshot()
	if math.Abs(s.AvailableRequests-requests) > 1e-9 {
		b.Errorf("at %v %v requests are available, want %v", b.now(), s.AvailableRequests, requests)
	}
	if math.Abs(s.AvailableTokens-tokens) > 1e-6 {
		b.Errorf("at %v %v tokens are available, want %v", b.now(), s.AvailableTokens, tokens)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
