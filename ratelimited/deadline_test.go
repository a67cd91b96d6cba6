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

// startWithin makes a call that has the given time.
func startWithin(t *testing.T, client *ratelimited.Client, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	_, err := start(ctx, client)
	return err
}

// after answers a request when some time has passed.
func after(d time.Duration, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			handler(w, r)
		case <-r.Context().Done():
		}
	}
}

// Three times as many calls as the limit allows, each with 30 s for a response that takes 10 s: what
// starts succeeds, but for a few calls at first, and the others are refused early.
func TestDeadlinesUnderOverload(t *testing.T) {
	const length = 5 * time.Minute
	var useful, cutOff, waited atomic.Int64
	stats := emulated(t, ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 1_000_000}, emulator.Config{
		RequestsPerSecond: 1, TokensPerMinute: 1_000_000, Latency: 10 * time.Second,
	}, func(t *testing.T, client *ratelimited.Client) {
		for begin := time.Now(); time.Since(begin) < length; time.Sleep(time.Second / 3) {
			go func() {
				err := startWithin(t, client, 30*time.Second)
				var wait *ratelimited.WaitError
				switch {
				case err == nil:
					useful.Add(1)
				case errors.As(err, &wait):
					waited.Add(int64(wait.WaitDuration))
				default:
					cutOff.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
	})
	t.Logf("%d calls succeeded and %d were cut off, of %d requests; %v were waited for nothing", useful.Load(), cutOff.Load(), stats.Admitted, time.Duration(waited.Load()))
	if want := int64(0.9 * length.Seconds()); useful.Load() < want || int64(stats.Admitted) != useful.Load()+cutOff.Load() || stats.Refused() != 0 {
		t.Errorf("%d calls succeeded, want %d, and %d were cut off: %+v", useful.Load(), want, cutOff.Load(), stats)
	}
}

// A call whose deadline the requests ahead of it make impossible fails at once, with the figures, and is
// not sent.
func TestDeadlineThatCannotBeMet(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.1, TokensPerMinute: 500_000, BareBuckets: true}
	var requests atomic.Int64
	handler := after(10*time.Second, ok)
	inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); handler(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var others []*ratelimited.Future[ending]
		for range 3 {
			others = append(others, ended(begin, func() error { _, err := start(t.Context(), client); return err }))
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
			wantEnding(t, fmt.Sprintf("call %d ahead", i), other, time.Duration(i+1)*10*time.Second)
		}
		if n := requests.Load(); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}

// While calls take too long for their deadlines, one in ten seconds is sent, and the first that is fast
// lets the others start.
func TestSlowSpell(t *testing.T) {
	var slow atomic.Bool
	var requests atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		took := 100 * time.Millisecond
		if slow.Load() {
			took = 10 * time.Second
		}
		after(took, ok)(w, r)
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		slow.Store(true)
		for range 2 { // the second is for the interval between such calls to begin
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
				t.Errorf("call %d when the server is fast again: %v", i, err)
			}
		}
	})
}

// A noting limiter notes the calls that it is asked for.
type noting struct {
	limiter.Backend
	latest *limiter.Call
}

func (n noting) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	*n.latest = call
	return n.Backend.Acquire(ctx, call)
}

// How long calls take is learned of what the server took for the attempt that succeeded.
func TestDurationsAreLearned(t *testing.T) {
	const second = time.Second
	call := func(t *testing.T, client *ratelimited.Client) { _, _ = start(t.Context(), client) }
	read := func(busy ...time.Duration) func(t *testing.T, client *ratelimited.Client) {
		return func(t *testing.T, client *ratelimited.Client) {
			stream, err := openedStream(t.Context(), client)
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
		handler         http.HandlerFunc
		call            func(t *testing.T, client *ratelimited.Client)
		duration, least time.Duration
	}{
		"a response":           {after(8*second, ok), call, 9 * second, 8 * second},
		"a stream":             {streaming("~~" + started + "~~~" + hello + "~~~" + done), read(), 9 * second, 8 * second},
		"a stream's last wait": {streaming(started + "~~~~~~~~" + hello + done), read(), 9 * second, 8 * second},
		"a reader that keeps up": {
			streaming("~" + started + "~~~" + hello + "~~~~" + done), read(2*second, 3*second), 9 * second, 8 * second,
		},
		"a slow reader": { // from 8 s on, everything had come
			streaming("~" + started + "~~~~~~~" + hello + world + done), read(0, time.Minute, time.Hour), 9 * second, 8 * second,
		},
		"a stream left early":      {streaming("~" + started + "~" + hello), read(), 0, 0},
		"an error":                 {after(8*second, status(400, `{}`)), call, 0, 0},
		"an attempt that failed":   {inTurn(after(8*second, status(500, `{}`)), after(4*second, ok)), call, 4500 * time.Millisecond, 4 * second},
		"a refusal":                {inTurn(status(429, tooMany, "Retry-After", "20"), after(4*second, ok)), call, 4500 * time.Millisecond, 4 * second},
		"the client's own timeout": {after(2*time.Minute, ok), call, 0, 0},
		"a deadline": {after(20*second, ok), func(t *testing.T, client *ratelimited.Client) {
			_ = startWithin(t, client, 8*second)
		}, 9 * second, 0},
		"a deadline in a stream": {streaming(started + "~~~~~~~~~" + done), func(t *testing.T, client *ratelimited.Client) {
			ctx, cancel := context.WithTimeout(t.Context(), 8*second)
			defer cancel()
			stream, err := openedStream(ctx, client)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = collect(stream)
		}, 9 * second, 0},
		"a context that was cancelled": {after(20*second, ok), func(t *testing.T, client *ratelimited.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(8*second, cancel)
			_, _ = start(ctx, client)
		}, 0, 0},
		"an estimate of the caller": {after(8*second, ok), func(t *testing.T, client *ratelimited.Client) {
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(10))
		}, 9 * second, 8 * second},
		"another operation": {after(8*second, status(200, `[]`)), func(t *testing.T, client *ratelimited.Client) {
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
					return noting{b, &latest}, err
				}
				inBubble(t, config, test.handler, func(t *testing.T, client *ratelimited.Client) {
					test.call(t, client)
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Second, cancel)
					_, _ = start(ctx, client)
					if fixed {
						test.duration, test.least = 0, 0
					}
					if latest.Duration != test.duration || latest.MinDuration != test.least {
						t.Errorf("calls are expected to take %v, and %v at least, want %v and %v", latest.Duration, latest.MinDuration, test.duration, test.least)
					}
				})
			})
		}
	}
}
