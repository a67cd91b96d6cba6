package ratelimited_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

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
