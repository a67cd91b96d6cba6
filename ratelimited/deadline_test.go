package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// startWithin makes a call with a timeout of d.
func startWithin(t *testing.T, client *ratelimited.Client, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	_, err := start(ctx, client)
	return err
}

// delayed calls a handler after a delay.
func delayed(d time.Duration, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			handler(w, r)
		case <-r.Context().Done():
		}
	}
}

// The program makes three times as many calls as the limit allows. Each call has 30 s for a response
// that takes 10 s. Except at the beginning, each call that is sent must succeed, and the others must
// fail early.
func TestDeadlinesUnderOverload(t *testing.T) {
	const length = 5 * time.Minute
	var succeeded, timedOut, waited atomic.Int64
	stats := runWithEmulator(t, ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 1_000_000}, emulator.Config{
		RequestsPerSecond: 1, TokensPerMinute: 1_000_000, Latency: 10 * time.Second,
	}, func(t *testing.T, client *ratelimited.Client) {
		for begin := time.Now(); time.Since(begin) < length; time.Sleep(time.Second / 3) {
			go func() {
				err := startWithin(t, client, 30*time.Second)
				var wait *ratelimited.WaitError
				switch {
				case err == nil:
					succeeded.Add(1)
				case errors.As(err, &wait):
					waited.Add(int64(wait.WaitDuration))
				default:
					timedOut.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
	})
	t.Logf("%d calls succeeded and %d timed out, of %d requests; the other calls waited for %v in total", succeeded.Load(), timedOut.Load(), stats.Admitted, time.Duration(waited.Load()))
	if want := int64(0.9 * length.Seconds()); succeeded.Load() < want || int64(stats.Admitted) != succeeded.Load()+timedOut.Load() || stats.Refused() != 0 {
		t.Errorf("%d calls succeeded, want %d, and %d timed out: %+v", succeeded.Load(), want, timedOut.Load(), stats)
	}
}

// A call fails at once if the calls ahead of it leave too little time before its deadline. The client
// does not send it, and the error contains the expected wait.
func TestDeadlineThatCannotBeMet(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.1, TokensPerMinute: 500_000, BareBuckets: true}
	var requests atomic.Int64
	handler := delayed(10*time.Second, ok)
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); handler(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var others []*ratelimited.Future[timedResult]
		for range 3 {
			others = append(others, callAsync(begin, func() error { _, err := start(t.Context(), client); return err }))
			synctest.Wait()
		}
		err := startWithin(t, client, 40*time.Second-1)
		var wait *ratelimited.WaitError
		if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrWouldWait) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if wait.Expected != 30*time.Second || wait.Position != 3 || wait.Left != 40*time.Second-1 || wait.Duration != 10*time.Second || time.Since(begin) != 0 {
			t.Errorf("after %v: %+v", time.Since(begin), wait)
		}
		const want = "not sent: expected to wait 30s, at position 3 of the queue, for 1 request and 4105 tokens of m (0.1 requests a second, 500000 tokens a minute): " +
			"the deadline is in 40s, and such calls take at least 10s"
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
		for i, other := range others {
			wantResult(t, fmt.Sprintf("call %d ahead", i), other, time.Duration(i+1)*10*time.Second)
		}
		if n := requests.Load(); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}

// While calls take longer than their deadlines allow, the client sends one call every ten seconds. The
// first call that is fast again lets the others start.
func TestSlowServerIsProbed(t *testing.T) {
	var slow atomic.Bool
	var requests atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		took := 100 * time.Millisecond
		if slow.Load() {
			took = 10 * time.Second
		}
		delayed(took, ok)(w, r)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		slow.Store(true)
		for range 2 { // the second call starts the interval between such calls
			if _, err := start(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		requests.Store(0)
		begin := time.Now()
		for time.Since(begin) < 35*time.Second {
			err := startWithin(t, client, time.Second)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := requests.Load(); n != 4 {
			t.Errorf("%d requests in 35 s, want 4", n)
		}
		slow.Store(false)
		time.Sleep(10 * time.Second)
		for i := range 10 {
			if err := startWithin(t, client, time.Second); err != nil {
				t.Errorf("call %d after the server is fast again: %v", i, err)
			}
		}
	})
}

// callRecorder is a limiter that records the latest call.
type callRecorder struct {
	limiter.Backend
	latest *limiter.Call
}

func (r callRecorder) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	*r.latest = call
	return r.Backend.Acquire(ctx, call)
}

// The client learns the duration of calls from the attempts that succeed.
func TestDurationsAreLearned(t *testing.T) {
	const second = time.Second
	call := func(t *testing.T, client *ratelimited.Client) { _, _ = start(t.Context(), client) }
	read := func(busy ...time.Duration) func(t *testing.T, client *ratelimited.Client) {
		return func(t *testing.T, client *ratelimited.Client) {
			stream, err := openStream(t.Context(), client)
			if err != nil {
				return
			}
			i := 0
			for _, err := range stream.Events() {
				if err == nil && i < len(busy) {
					time.Sleep(busy[i])
				}
				i++
			}
		}
	}
	for name, test := range map[string]struct {
		handler               http.HandlerFunc
		call                  func(t *testing.T, client *ratelimited.Client)
		duration, minDuration time.Duration
	}{
		"a response":           {delayed(8*second, ok), call, 9 * second, 8 * second},
		"a stream":             {streaming("~~" + started + "~~~" + hello + "~~~" + done), read(), 9 * second, 8 * second},
		"a stream's last wait": {streaming(started + "~~~~~~~~" + hello + done), read(), 9 * second, 8 * second},
		"a reader that keeps up": {
			streaming("~" + started + "~~~" + hello + "~~~~" + done), read(2*second, 3*second), 9 * second, 8 * second,
		},
		"a slow reader": { // all events have arrived after 8 s
			streaming("~" + started + "~~~~~~~" + hello + world + done), read(0, time.Minute, time.Hour), 9 * second, 8 * second,
		},
		"a stream left early":       {streaming("~" + started + "~" + hello), read(), 0, 0},
		"an error":                  {delayed(8*second, status(400, `{}`)), call, 0, 0},
		"a failed attempt":          {handlersInOrder(delayed(8*second, status(500, `{}`)), delayed(4*second, ok)), call, 4500 * time.Millisecond, 4 * second},
		"a 429":                     {handlersInOrder(status(429, rateLimitBody, "Retry-After", "20"), delayed(4*second, ok)), call, 4500 * time.Millisecond, 4 * second},
		"the timeout of an attempt": {delayed(2*time.Minute, ok), call, 0, 0},
		"a deadline": {delayed(20*second, ok), func(t *testing.T, client *ratelimited.Client) {
			_ = startWithin(t, client, 8*second)
		}, 9 * second, 0},
		"a deadline in a stream": {streaming(started + "~~~~~~~~~" + done), func(t *testing.T, client *ratelimited.Client) {
			ctx, cancel := context.WithTimeout(t.Context(), 8*second)
			defer cancel()
			stream, err := openStream(ctx, client)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = collect(stream)
		}, 9 * second, 0},
		"a cancelled context": {delayed(20*second, ok), func(t *testing.T, client *ratelimited.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(8*second, cancel)
			_, _ = start(ctx, client)
		}, 0, 0},
		"an estimate of the caller": {delayed(8*second, ok), func(t *testing.T, client *ratelimited.Client) {
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(10))
		}, 9 * second, 8 * second},
		"another operation": {delayed(8*second, status(200, `[]`)), func(t *testing.T, client *ratelimited.Client) {
			_, _ = client.Beta.Conversations.List(t.Context(), generated.ListConversationsParams{})
		}, 0, 0},
	} {
		for _, fixed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fixed %t", name, fixed), func(t *testing.T) {
				var latest limiter.Call
				config := fast
				config.FixedEstimates = fixed
				config.Limiter = func(model string, limit limiter.Limit) (limiter.Backend, error) {
					b, err := limiter.InProcess()(model, limit)
					return callRecorder{b, &latest}, err
				}
				runWithHandler(t, config, test.handler, func(t *testing.T, client *ratelimited.Client) {
					test.call(t, client)
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Second, cancel)
					_, _ = start(ctx, client)
					if fixed {
						test.duration, test.minDuration = 0, 0
					}
					if latest.Duration != test.duration || latest.MinDuration != test.minDuration {
						t.Errorf("the expected duration is %v, and the minimum %v, want %v and %v", latest.Duration, latest.MinDuration, test.duration, test.minDuration)
					}
				})
			})
		}
	}
}
