package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// limit is what an account might allow. The buckets hold 1.2 requests and 30,000 tokens,
// and are full at first.
var limit = limiter.Limit{RequestsPerSecond: 1.2, TokensPerMinute: 30_000}

const (
	estimate = 7000            // tokens that each call is taken to need
	takes    = 2 * time.Second // from the start of a call to its reply
)

// used is what each call turns out to have used: mostly less than its estimate, once more.
var used = []int{2000, 3000, 2500, 4000, 2000, 3000, 8000, 2500, 3000}

// A recording is a run of the limiter as it was seen from outside.
type recording struct {
	limiter *limiter.Limiter

	mu      sync.Mutex
	begin   time.Time
	calls   []call
	samples []sample
}

// A call has its times since the beginning, never where it has not come to that yet.
type call struct {
	asked, admitted, settled time.Duration
	used                     int
}

const never = time.Duration(-1)

// A sample is what the buckets held.
type sample struct {
	at               time.Duration
	requests, tokens float64
}

func newRecording() (*recording, error) {
	l, err := limiter.New(limit) // without limiter.Guarded: the buckets alone
	if err != nil {
		return nil, err
	}
	r := &recording{limiter: l}
	for _, n := range used {
		r.calls = append(r.calls, call{asked: never, admitted: never, settled: never, used: n})
	}
	return r, nil
}

// record makes the calls and takes the samples, as time goes by.
func (r *recording) record(ctx context.Context) error {
	r.mu.Lock()
	r.begin = time.Now()
	r.mu.Unlock()
	r.look()

	ctx, stopSampling := context.WithCancel(ctx)
	defer stopSampling()
	var sampling sync.WaitGroup
	sampling.Go(func() { r.sample(ctx) })

	var calls errgroup.Group
	for i := range r.calls {
		calls.Go(func() error { return r.call(ctx, &r.calls[i]) })
		time.Sleep(time.Microsecond) // at once, but in order: first come, first served
	}
	err := calls.Wait()
	stopSampling()
	sampling.Wait()
	return err
}

// call makes one call, in the way of every program that uses package limiter.
func (r *recording) call(ctx context.Context, c *call) error {
	r.note(&c.asked)
	permit, err := r.limiter.Acquire(ctx, estimate) // one request, and the estimate
	if err != nil {
		return err
	}
	r.note(&c.admitted)
	time.Sleep(takes) // here a program sends its request
	r.note(&c.settled)
	permit.Settle(c.used) // the surplus goes back
	return nil
}

func (r *recording) note(at *time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*at = time.Since(r.begin)
}

// sample looks at the buckets until ctx ends. Its instants lie beside the round ones at
// which calls start and end, so that every recording in virtual time is the same.
func (r *recording) sample(ctx context.Context) {
	const every = 5 * time.Millisecond
	for wait := 333 * time.Microsecond; ; wait = every {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			r.look()
		}
	}
}

func (r *recording) look() {
	s := r.limiter.Snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample{time.Since(r.begin), s.AvailableRequests, s.AvailableTokens})
}

// waitedFor says what a call had to wait for in the end.
func (r *recording) waitedFor(c call) string {
	before := r.samples[0]
	for _, s := range r.samples {
		if s.at >= c.admitted {
			break
		}
		before = s
	}
	switch {
	case before.requests < 1:
		return "a request"
	case before.tokens < estimate:
		return "tokens"
	}
	return ""
}
