// Package limitertest tests implementations of [limiter.Backend], as testing/fstest tests file
// systems:
//
//	func TestConformance(t *testing.T) {
//		open := func(t *testing.T, limit limiter.Limit) limiter.Backend { … }
//		limitertest.Run(t, open)
//		limitertest.Run(t, open, limitertest.Learning()...) // for a limiter that learns limits
//	}
//
// The cases check minimum durations only, which follow from the limits. They therefore pass on
// slow machines too. [Cases] returns the single cases, for example for testing/synctest.
package limitertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Open creates a limiter with separate state for one case. It ends the test if that fails. The
// tolerated jitter should be at most a few milliseconds; otherwise the cases take long.
type Open func(t *testing.T, limit limiter.Limit) limiter.Backend

// Case is a test of one property.
type Case struct {
	Name string                        // The name of the subtest.
	Run  func(t *testing.T, open Open) // The test itself.
}

// Run runs the given cases as subtests. Without cases it runs those of [Cases].
func Run(t *testing.T, open Open, cases ...Case) {
	t.Helper()
	if len(cases) == 0 {
		cases = Cases()
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open) })
	}
}

// Cases returns the cases for all limiters. [Learning] and [Climbing] return further cases for
// limiters that learn limits.
func Cases() []Case {
	return []Case{
		{"the request limit is enforced", requestsAreLimited},
		{"the token limit is enforced", tokensAreLimited},
		{"a waiting call takes neither requests nor tokens", bothOrNeither},
		{"first come, first served", firstComeFirstServed},
		{"an earlier place goes first", earlierPlaceFirst},
		{"MaxWait rejects calls at once", maxWait},
		{"a waiting call is estimated again", estimatedAgain},
		{"an invalid new estimate fails the call", estimatedTooLarge},
		{"MaxQueue rejects calls at once", maxQueue},
		{"OnQueue reports the position", onQueue},
		{"a deadline that cannot be met fails the call at once", deadlineAhead},
		{"a late call fails and the next one starts", lateCallFails},
		{"a late call starts as a trial", trial},
		{"Settle wakes waiting calls", settleWakes},
		{"Cancel wakes waiting calls", cancelWakes},
		{"excess usage becomes a debt", debt},
		{"Cancel returns everything", cancelReturnsEverything},
		{"a permit ends once", endsOnce},
		{"an unsent request is returned once", requestReturnsOnce},
		{"a retry takes only a request", retryTakesARequest},
		{"a retry goes first", retryGoesFirst},
		{"an abandoned retry changes nothing", abandonedRetry},
		{"a retry fails after the end of the call", retryAfterTheEnd},
		{"a pause delays all calls", pause},
		{"a throttled request pauses all calls", throttled},
		{"the server's state lowers the balance and does not raise it", observe},
		{"a call that is too large fails at once", tooLarge},
		{"an abandoned wait changes nothing", abandonedWait},
		{"the next call starts when the head of the queue is abandoned", abandonedHead},
		{"a new limit applies to waiting calls", setLimit},
		{"WaitTime returns the expected wait", expectedWait},
		{"the counters add up", countersAddUp},
	}
}

const (
	plenty  = 1000.0               // A request rate (requests/s) that never limits.
	forever = 1_000_000.0          // The seconds until a bucket of one request refills.
	timeout = 30 * time.Second     // The bound for steps that do not depend on a refill.
	tick    = 2 * time.Millisecond // The interval between two checks of a condition.
)

// scarce refills 1 token/s, so that calls start because of refunds only.
var scarce = limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60, TokenBurst: 1000}

// fixture is a limiter in a test.
type fixture struct {
	*testing.T
	limiter.Backend
}

func newFixture(t *testing.T, open Open, limit limiter.Limit) *fixture {
	t.Helper()
	return &fixture{t, open(t, limit)}
}

func (b *fixture) acquire(tokens int) limiter.Admission {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	p, err := b.Acquire(ctx, limiter.Call{Prompt: tokens})
	if err != nil {
		b.Fatalf("Acquire(%d): %v", tokens, err)
	}
	return p
}

// call is a call in a separate goroutine.
type call struct {
	b      *fixture
	done   chan struct{}
	permit limiter.Admission
	err    error
}

// start makes a call and returns when the call waits in the queue or is done.
func (b *fixture) start(do func() (limiter.Admission, error)) *call {
	b.Helper()
	before := b.Snapshot().Waiting
	c := &call{b: b, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.permit, c.err = do()
	}()
	b.eventually("the call waits or is done", func() bool { return c.isDone() || b.Snapshot().Waiting > before })
	return c
}

// waiting starts an Acquire that must wait.
func (b *fixture) waiting(ctx context.Context, tokens int) *call {
	b.Helper()
	c := b.start(func() (limiter.Admission, error) { return b.Acquire(ctx, limiter.Call{Prompt: tokens}) })
	if c.isDone() {
		b.Fatalf("Acquire(%d) returned with error %v, want it to wait", tokens, c.err)
	}
	return c
}

func (c *call) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// admitted waits until the call is admitted and returns its permit.
func (c *call) admitted() limiter.Admission {
	c.b.Helper()
	c.b.eventually("a call is admitted", c.isDone)
	if c.err != nil {
		c.b.Fatalf("error %v, want the call admitted", c.err)
	}
	return c.permit
}

// failed waits until the call has failed and returns its error.
func (c *call) failed() error {
	c.b.Helper()
	c.b.eventually("the call fails", c.isDone)
	if c.err == nil {
		c.b.Fatal("the call is admitted, want it to fail")
	}
	return c.err
}

// eventually waits until a condition holds that does not depend on a refill.
func (b *fixture) eventually(what string, is func() bool) {
	b.Helper()
	for begin := time.Now(); !is(); time.Sleep(tick) {
		if time.Since(begin) > timeout {
			b.Fatalf("timeout of %v: want that %s", timeout, what)
		}
	}
}

// available checks the available amounts, with a tolerance for refills. While calls are in flight,
// fewer tokens may be available, because a limiter may keep more free than they need.
func (b *fixture) available(requests, tokens float64) {
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

// takes checks that do takes at least the given time, with a tolerance for the clocks of two
// processes.
func (b *fixture) takes(minimum time.Duration, what string, do func()) {
	b.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took < minimum-minimum/100-2*time.Millisecond {
		b.Errorf("%s takes %v, want at least %v", what, took, minimum)
	}
}

func (b *fixture) is(err, target error) {
	b.Helper()
	if !errors.Is(err, target) {
		b.Errorf("error %v, want %v", err, target)
	}
}

func equal[T comparable](b *fixture, what string, got, want T) {
	b.Helper()
	if got != want {
		b.Errorf("%s: %v, want %v", what, got, want)
	}
}
