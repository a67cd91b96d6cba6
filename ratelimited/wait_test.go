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
		const want = "not sent: expected to wait 30s, at position 3 of the queue, for 1 request and 4105 tokens of m (0.1 requests/s, 500000 tokens/min): " +
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

// With WithMaxWait, a call that would wait for too long fails at once. Its error contains the expected wait.
func TestWithMaxWait(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, TokensPerMinute: 500_000, BareBuckets: true}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := func(d time.Duration) error {
			_, err := start(t.Context(), client, ratelimited.WithMaxWait(d))
			return err
		}
		if err := call(0); err != nil {
			t.Fatalf("the first call: %v", err)
		}
		waiting := callAsync(begin, func() error { return call(2 * time.Second) })
		synctest.Wait()
		for _, d := range []time.Duration{0, 4*time.Second - 1} {
			var wait *ratelimited.WaitError
			err := call(d)
			if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrWouldWait) || wait.Expected != 4*time.Second || wait.Position != 2 {
				t.Errorf("a call with a maximum wait of %v returns %v", d, err)
			}
			if want := "expected to wait 4s, at position 2 of the queue, for 1 request and"; !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %q, want it to contain %q", err, want)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the calls fail after %v, want 0", took)
		}
		wantResult(t, "a call with a sufficient maximum wait", waiting, 2*time.Second)
		var config *ratelimited.ConfigError
		if err := call(-1); !errors.As(err, &config) || config.Field != "WithMaxWait" {
			t.Errorf("a negative wait returns %v, want a ConfigError", err)
		}
	})
}

// In an outage, a call with WithMaxWait fails at once, because the wait is unknown.
func TestWithMaxWaitInAnOutage(t *testing.T) {
	runWithHandler(t, fast, handlersInOrder(ok, status(503, `{}`)), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		var held []*ratelimited.Future[timedResult]
		for range 2 {
			held = append(held, callAsync(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(10 * time.Second)
		var wait *ratelimited.WaitError
		_, err := start(t.Context(), client, ratelimited.WithMaxWait(time.Hour))
		if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrWouldWait) || wait.Outage == nil {
			t.Errorf("error is %v, want a WaitError with an outage", err)
		}
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, call := range held {
			wantResult(t, "a call that is held", call, 10*time.Second, ratelimited.ErrShuttingDown)
		}
	})
}

// WithStop ends a waiting call, but not a call in flight. Other calls continue.
func TestWithStop(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, TokensPerMinute: 500_000, BareBuckets: true}
	runWithHandler(t, config, inThreeSeconds, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		reason := errors.New("enough")
		stop, cancel := context.WithCancelCause(t.Context())
		call := func(options ...ratelimited.CallOption) *ratelimited.Future[timedResult] {
			f := callAsync(begin, func() error { _, err := start(t.Context(), client, options...); return err })
			synctest.Wait()
			return f
		}
		inFlight, waiting := call(ratelimited.WithStop(stop)), call(ratelimited.WithStop(stop))
		other := call()
		time.Sleep(time.Second)
		cancel(reason)
		synctest.Wait()
		late := call(ratelimited.WithStop(stop))
		for what, f := range map[string]*ratelimited.Future[timedResult]{"waiting call": waiting, "new call": late} {
			e, err := f.Await(t.Context())
			if err != nil || e.at != time.Second || !errors.Is(e.err, reason) || !errors.As(e.err, new(*ratelimited.WaitError)) {
				t.Errorf("%s: ended at %v with %v, %v; want a WaitError at 1 s", what, e.at, e.err, err)
			}
		}
		wantResult(t, "call in flight", inFlight, 3*time.Second)
		wantResult(t, "other call", other, 5*time.Second)

		var config *ratelimited.ConfigError
		if _, err := start(t.Context(), client, ratelimited.WithStop(nil)); !errors.As(err, &config) || config.Field != "WithStop" { //nolint:staticcheck // the test passes a nil context on purpose
			t.Errorf("WithStop(nil) returns %v, want a ConfigError", err)
		}
	})
}

// The client does not retry a stopped call.
func TestWithStopDoesNotRetry(t *testing.T) {
	fails := 0
	config := ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 500_000}
	runWithHandler(t, config, handlersInOrder(status(500, `{}`)), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		stop, cancel := context.WithCancel(t.Context())
		f := callAsync(begin, func() error { _, err := start(t.Context(), client, ratelimited.WithStop(stop)); fails++; return err })
		time.Sleep(100 * time.Millisecond) // the call waits for its next attempt
		cancel()
		e, err := f.Await(t.Context())
		if err != nil || e.at != 100*time.Millisecond || !errors.Is(e.err, ratelimited.ErrServer) || fails != 1 {
			t.Errorf("ended at %v with %v, %v; want ErrServer at 100 ms", e.at, e.err, err)
		}
	})
}
