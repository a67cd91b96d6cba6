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

const plenty = 1_000_000_000 // a rate that never makes anybody wait

// A bench is a limiter in a synctest bubble, whose clock stands still unless
// everybody waits: every duration below is exact.
type bench struct {
	*testing.T
	*limiter.Limiter
	start time.Time
}

// inBubble runs f with a new limiter on a virtual clock.
func inBubble(t *testing.T, limit limiter.Limit, f func(*bench), options ...limiter.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := limiter.New(limit, options...)
		if err != nil {
			t.Fatal(err)
		}
		f(&bench{t, l, time.Now()})
	})
}

// guarded is the jitter of most guarded limiters here: windows of requests are
// 50 ms longer than the requests take.
var guarded = limiter.Guarded(50 * time.Millisecond)

// use makes a call that is over at once and used exactly what it acquired.
func (b *bench) use(tokens int) {
	b.Helper()
	b.acquire(tokens).Settle(tokens)
}

// remain lets the server say how many tokens remain.
func (b *bench) remain(tokens int) {
	b.Observe(limiter.ServerState{RemainingTokens: &tokens})
}

// room checks how many tokens are available, exactly.
func (b *bench) room(want int) {
	b.Helper()
	if got := b.Snapshot().AvailableTokens; got != float64(want) {
		b.Errorf("at %v %v tokens are available, want %v", b.now(), got, want)
	}
}

func (b *bench) now() time.Duration { return time.Since(b.start) }

// until lets the clock run to a time after the start, and everybody act who
// can act then.
func (b *bench) until(d time.Duration) {
	time.Sleep(d - b.now())
	synctest.Wait()
}

// acquire acquires in this goroutine and fails the test if that fails.
func (b *bench) acquire(tokens int) *limiter.Permit {
	b.Helper()
	p, err := b.Acquire(context.Background(), tokens)
	if err != nil {
		b.Fatalf("Acquire(%d): %v", tokens, err)
	}
	return p
}

// A pending is a call that was made in another goroutine.
type pending struct {
	b    *bench
	over atomic.Pointer[outcome] // nil while it waits
}

type outcome struct {
	permit *limiter.Permit
	err    error
	at     time.Duration
}

// goAcquire acquires in another goroutine, which is in the queue or through
// when goAcquire returns.
func (b *bench) goAcquire(ctx context.Context, tokens int) *pending {
	return b.goDo(func() (*limiter.Permit, error) { return b.Acquire(ctx, tokens) })
}

// goRetry is goAcquire for a retry.
func (b *bench) goRetry(ctx context.Context, permit *limiter.Permit) *pending {
	return b.goDo(func() (*limiter.Permit, error) { return permit, permit.Retry(ctx) })
}

func (b *bench) goDo(call func() (*limiter.Permit, error)) *pending {
	p := &pending{b: b}
	go func() {
		permit, err := call()
		p.over.Store(&outcome{permit, err, b.now()})
	}()
	synctest.Wait()
	return p
}

func (p *pending) admittedAt(want time.Duration) {
	p.b.Helper()
	switch o := p.over.Load(); {
	case o == nil:
		p.b.Errorf("at %v still waiting, want admitted at %v", p.b.now(), want)
	case o.err != nil:
		p.b.Errorf("at %v: %v; want admitted at %v", o.at, o.err, want)
	case o.at != want:
		p.b.Errorf("admitted at %v, want %v", o.at, want)
	}
}

func (p *pending) waiting() {
	p.b.Helper()
	if o := p.over.Load(); o != nil {
		p.b.Errorf("over at %v (error %v), want still waiting at %v", o.at, o.err, p.b.now())
	}
}

func (p *pending) failedAt(want time.Duration, target error) {
	p.b.Helper()
	switch o := p.over.Load(); {
	case o == nil:
		p.b.Errorf("at %v still waiting, want failed at %v", p.b.now(), want)
	case !errors.Is(o.err, target):
		p.b.Errorf("error %v, want %v", o.err, target)
	case o.at != want:
		p.b.Errorf("failed at %v, want %v", o.at, want)
	}
}

// available checks both balances, to a billionth.
func (b *bench) available(requests, tokens float64) {
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
