package ratelimited_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// WithMaxWait answers at once how long a call would wait, if that is too long.
func TestWithMaxWait(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, TokensPerMinute: 500_000, BareBuckets: true}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := func(d time.Duration) error {
			_, err := start(t.Context(), client, ratelimited.WithMaxWait(d))
			return err
		}
		if err := call(0); err != nil {
			t.Fatalf("the first call: %v", err)
		}
		waiting := ended(begin, func() error { return call(2 * time.Second) })
		synctest.Wait()
		for _, d := range []time.Duration{0, 4*time.Second - 1} {
			var wait *ratelimited.WaitError
			err := call(d)
			if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrWouldWait) || wait.Expected != 4*time.Second || wait.Position != 2 {
				t.Errorf("a call that may wait for %v: %v", d, err)
			}
			if want := "expected to wait 4s, at position 2 of the queue, for 1 request and"; !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %q, want %q in it", err, want)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the answers take %v", took)
		}
		wantEnding(t, "a call that may wait", waiting, 2*time.Second)
		var config *ratelimited.ConfigError
		if err := call(-1); !errors.As(err, &config) || config.Field != "WithMaxWait" {
			t.Errorf("a negative wait: %v", err)
		}
	})
}

// A call that an outage holds would wait, and nobody knows for how long.
func TestWithMaxWaitInAnOutage(t *testing.T) {
	inBubble(t, fast, inTurn(ok, status(503, `{}`)), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		var held []*ratelimited.Future[ending]
		for range 2 {
			held = append(held, ended(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(10 * time.Second)
		var wait *ratelimited.WaitError
		_, err := start(t.Context(), client, ratelimited.WithMaxWait(time.Hour))
		if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrWouldWait) || wait.Outage == nil {
			t.Errorf("error %v", err)
		}
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, call := range held {
			wantEnding(t, "a call that is held", call, 10*time.Second, ratelimited.ErrShuttingDown)
		}
	})
}
