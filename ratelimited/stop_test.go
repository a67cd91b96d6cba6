package ratelimited_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

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
