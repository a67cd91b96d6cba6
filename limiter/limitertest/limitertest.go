// Package limitertest checks that an implementation of [limiter.Backend] does what
// it promises, as testing/fstest does for file systems:
//
//	func TestConformance(t *testing.T) {
//		open := func(t *testing.T, limit limiter.Limit) limiter.Backend { … }
//		limitertest.Run(t, open)
//		limitertest.Run(t, open, limitertest.Learning()...) // if it learns limits
//	}
//
// The cases take time only where a limit says so. They assert no more of it than
// that, so they hold on any machine; [Cases] gives them one by one, for bubbles of
// testing/synctest.
package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// An Open makes a new limiter, with books of its own, for one case. It ends the
// test if it cannot. The requests of a case come from one place: a slack for jitter
// should be a few milliseconds at most, or the cases take long.
type Open func(t *testing.T, limit limiter.Limit) limiter.Backend

// A Case is one promise.
type Case struct {
	Name string                        // of the test
	Run  func(t *testing.T, open Open) // fails the test where the promise is broken
}

// Run runs the given cases; [Cases] if none is given.
func Run(t *testing.T, open Open, cases ...Case) {
	t.Helper()
	if len(cases) == 0 {
		cases = Cases()
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open) })
	}
}

// Cases returns the cases for all limiters. Those that learn limits have further ones:
// [Learning] or [Climbing].
func Cases() []Case {
	return []Case{
		{"the limit of requests is kept", requestsAreLimited},
		{"the limit of tokens is kept", tokensAreLimited},
		{"both or neither", bothOrNeither},
		{"first come, first served", firstComeFirstServed},
		{"an earlier place goes first", earlierPlace},
		{"a call that may not wait", maxWait},
		{"a call that waited is estimated again", estimatedAgain},
		{"a new estimate that cannot be", estimatedTooLarge},
		{"a full queue", maxQueue},
		{"a call is told where it waits", onQueue},
		{"a deadline that cannot be met", deadlineAhead},
		{"a call that is late gives way", givesWay},
		{"a late call starts as a trial", trial},
		{"a settlement wakes who waits", settleWakes},
		{"a cancelled call wakes who waits", cancelWakes},
		{"a shortfall is a debt", debt},
		{"a cancelled call leaves no trace", cancelLeavesNoTrace},
		{"a permit ends once", endsOnce},
		{"what was not sent comes back once", unsentOnce},
		{"a retry takes a request only", retryTakesARequest},
		{"a retry goes first", retryGoesFirst},
		{"a retry that gives up changes nothing", retryGivesUp},
		{"a retry of what has ended", retryAfterTheEnd},
		{"a pause holds everybody", pause},
		{"a refusal pauses everybody", refusal},
		{"the server's word lowers and does not raise", observe},
		{"a call that is too large fails at once", tooLarge},
		{"a wait that is given up leaves no trace", givingUp},
		{"who gives up lets the next go", headGivesUp},
		{"a new limit is for those who wait too", setLimit},
		{"the wait that is foretold", waitTime},
		{"the books are balanced", booksBalance},
	}
}

const (
	plenty  = 1000.0               // requests a second
	forever = 1_000_000.0          // seconds until a bucket of one request refills
	patient = 30 * time.Second     // for what must happen without the passing of time
	tick    = 2 * time.Millisecond // between two looks
)

// scarce refills by a token a second: what is admitted is admitted by a refund.
var scarce = limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60, TokenBurst: 1000}

// A bench is a limiter in a test.
type bench struct {
	*testing.T
	limiter.Backend
}

func newBench(t *testing.T, open Open, limit limiter.Limit) *bench {
	t.Helper()
	return &bench{t, open(t, limit)}
}

func (b *bench) acquire(tokens int) limiter.Admission {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	p, err := b.Acquire(ctx, limiter.Call{Prompt: tokens})
	if err != nil {
		b.Fatalf("Acquire(%d): %v", tokens, err)
	}
	return p
}

// A call is one that was made in a goroutine of its own.
type call struct {
	b      *bench
	over   chan struct{}
	permit limiter.Admission
	err    error
}

// start makes a call, and returns when it is in the queue or over.
func (b *bench) start(do func() (limiter.Admission, error)) *call {
	b.Helper()
	before := b.Snapshot().Waiting
	c := &call{b: b, over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.permit, c.err = do()
	}()
	b.eventually("the call waits or is over", func() bool { return c.isOver() || b.Snapshot().Waiting > before })
	return c
}

// waiting starts an Acquire that has to wait.
func (b *bench) waiting(ctx context.Context, tokens int) *call {
	b.Helper()
	c := b.start(func() (limiter.Admission, error) { return b.Acquire(ctx, limiter.Call{Prompt: tokens}) })
	if c.isOver() {
		b.Fatalf("a call of %d tokens is admitted, or fails with %v: it should wait", tokens, c.err)
	}
	return c
}

func (c *call) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// admitted waits until the call has its permit.
func (c *call) admitted() limiter.Admission {
	c.b.Helper()
	c.b.eventually("a call is admitted", c.isOver)
	if c.err != nil {
		c.b.Fatalf("error %v, want the call to be admitted", c.err)
	}
	return c.permit
}

// failed waits until the call has failed.
func (c *call) failed() error {
	c.b.Helper()
	c.b.eventually("a call fails", c.isOver)
	if c.err == nil {
		c.b.Fatal("a call is admitted, want it to fail")
	}
	return c.err
}

// eventually waits until something is so that needs no passing of time.
func (b *bench) eventually(what string, is func() bool) {
	b.Helper()
	for begin := time.Now(); !is(); time.Sleep(tick) {
		if time.Since(begin) > patient {
			b.Fatalf("after %v it is still not so that %s", patient, what)
		}
	}
}

// available checks what is available, but for what refills meanwhile. While calls are
// in flight there may be fewer tokens: a limiter may keep more free than they need.
func (b *bench) available(requests, tokens float64) {
	b.Helper()
	s := b.Snapshot()
	limit := s.Limit
	slack := 0.001 + 2*limit.RequestsPerSecond
	if r := s.AvailableRequests; limit.RequestsPerSecond < plenty && (r < requests-0.001 || r > requests+slack) {
		b.Errorf("%v requests are available, want %v", r, requests)
	}
	slack = 1 + 10*float64(limit.TokensPerMinute)/60
	if n := s.AvailableTokens; n < tokens-1 && s.InFlight == 0 || n > tokens+slack {
		b.Errorf("%v tokens are available, want %v", n, tokens)
	}
}

// takes checks that something takes at least as long as a limit says. Clocks of two
// processes may go a little differently.
func (b *bench) takes(least time.Duration, what string, do func()) {
	b.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took < least-least/100-2*time.Millisecond {
		b.Errorf("%s takes %v, want at least %v", what, took, least)
	}
}

func (b *bench) is(err, target error) {
	b.Helper()
	if !errors.Is(err, target) {
		b.Errorf("error %v, want %v", err, target)
	}
}

func equal[T comparable](b *bench, what string, got, want T) {
	b.Helper()
	if got != want {
		b.Errorf("%s: %v, want %v", what, got, want)
	}
}
