package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// limit is a possible limit of an account. The buckets hold 1.2 requests and 30,000 tokens and
// are full at the start.
var limit = limiter.Limit{RequestsPerSecond: 1.2, TokensPerMinute: 30_000}

const (
	estimate = 7000            // the estimated tokens of each call
	duration = 2 * time.Second // the time from the start of a call to its response
)

// used holds the tokens that each call uses: one call uses more than its estimate, the others less.
var used = []int{2000, 3000, 2500, 4000, 2000, 3000, 8000, 2500, 3000}

// A recording holds the calls of a run and samples of the bucket levels.
type recording struct {
	limiter *limiter.Limiter

	mu      sync.Mutex
	begin   time.Time
	calls   []call
	samples []sample
}

// A call holds the times of a call since the start of the recording. A time is never if the call
// has not reached that point.
type call struct {
	arrived, admitted, settled time.Duration
	used                       int
}

const never = time.Duration(-1)

// A sample holds the levels of the buckets at an instant.
type sample struct {
	at               time.Duration
	requests, tokens float64
}

func newRecording() (*recording, error) {
	l, err := limiter.New(limit) // without limiter.Guarded, to show only the buckets
	if err != nil {
		return nil, err
	}
	r := &recording{limiter: l}
	for _, n := range used {
		r.calls = append(r.calls, call{arrived: never, admitted: never, settled: never, used: n})
	}
	return r, nil
}

// record makes the calls and takes the samples.
func (r *recording) record(ctx context.Context) error {
	r.mu.Lock()
	r.begin = time.Now()
	r.mu.Unlock()
	r.takeSample()

	ctx, stopSampling := context.WithCancel(ctx)
	defer stopSampling()
	var sampling sync.WaitGroup
	sampling.Go(func() { r.sampleLoop(ctx) })

	var calls errgroup.Group
	for i := range r.calls {
		calls.Go(func() error { return r.call(ctx, &r.calls[i]) })
		time.Sleep(time.Microsecond) // fixes the order of the calls
	}
	err := calls.Wait()
	stopSampling()
	sampling.Wait()
	return err
}

// call makes one call as any program with package limiter does.
func (r *recording) call(ctx context.Context, c *call) error {
	r.setTime(&c.arrived)
	permit, err := r.limiter.Acquire(ctx, estimate) // one request, and the estimate
	if err != nil {
		return err
	}
	r.setTime(&c.admitted)
	time.Sleep(duration) // a real program sends its request here
	r.setTime(&c.settled)
	permit.Settle(c.used) // returns the unused tokens
	return nil
}

// setTime sets *at to the time since the start of the recording.
func (r *recording) setTime(at *time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*at = time.Since(r.begin)
}

// sampleLoop takes samples until ctx ends. The offset of 333 µs avoids the instants at which calls
// start and end, so that every recording in virtual time is the same.
func (r *recording) sampleLoop(ctx context.Context) {
	const interval = 5 * time.Millisecond
	for wait := 333 * time.Microsecond; ; wait = interval {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			r.takeSample()
		}
	}
}

// takeSample appends the current levels of the buckets.
func (r *recording) takeSample() {
	s := r.limiter.Snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample{time.Since(r.begin), s.AvailableRequests, s.AvailableTokens})
}

// waitedFor returns the resource that a call waited for just before its start.
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
