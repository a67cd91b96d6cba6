package ratelimited_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// For half a minute the server answers nothing but 503, to 200 callers who make a call
// every so often. It gets at most a fifth more requests than without the outage, and
// MaxDelay after its end everybody has been answered.
func TestOutage(t *testing.T) {
	const callers = 200
	const from, to, end = 30 * time.Second, time.Minute, 2 * time.Minute
	config := ratelimited.Config{RequestsPerSecond: 200, TokensPerMinute: 1e9}
	for _, every := range []time.Duration{2 * time.Second, 6 * time.Second, 30 * time.Second} {
		t.Run(fmt.Sprintf("a call every %v", every), func(t *testing.T) {
			var before, during, dry atomic.Int64
			var begin time.Time
			handler := func(w http.ResponseWriter, r *http.Request) {
				switch at := time.Since(begin); {
				case at < from:
					before.Add(1)
				case at < to:
					during.Add(1)
					status(503, "overloaded")(w, r)
					return
				}
				ok(w, r)
			}
			inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
				begin = time.Now()
				var calls sync.WaitGroup
				for i := range callers {
					for at := every * time.Duration(i) / callers; at < end; at += every {
						calls.Go(func() {
							time.Sleep(at)
							_, err := start(t.Context(), client)
							switch done := time.Since(begin); {
							case err == nil:
							case !errors.Is(err, ratelimited.ErrServer):
								t.Errorf("a call failed with %v, want the 503", err)
							case at >= to || done > to+ratelimited.DefaultMaxDelay:
								t.Errorf("a call of %v after the outage failed %v after it: %v", at-to, done-to, err)
							case errors.Is(err, ratelimited.ErrRetryBudget):
								dry.Add(1)
							}
						})
					}
				}
				calls.Wait()
				if took := time.Since(begin); took > max(end, to+ratelimited.DefaultMaxDelay)+time.Second {
					t.Errorf("the last call ends after %v", took)
				}
				t.Logf("%d requests before, %d during the outage, %d calls with no retry left", before.Load(), during.Load(), dry.Load())
				if float64(during.Load()) > 1.2*float64(before.Load()) {
					t.Errorf("%d requests during the outage, more than 1.2 times the %d before", during.Load(), before.Load())
				}
				if dry.Load() == 0 {
					t.Error("no call was refused a retry: the budget has no bounds")
				}
			})
		})
	}
}

// Twenty retries are there at first, and each call brings a tenth of another. A 429 that
// pauses everybody needs none; one about a tool does.
func TestRetryBudget(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		most   int // retries
	}{
		"a failure":            {503, "busy", 20 + 200/10},
		"a limit of a tool":    {429, `{"detail":"web_search rate limit reached."}`, 20 + 200/10},
		"a limit of the model": {429, `{"detail":"Token rate limit reached."}`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			count := func(w http.ResponseWriter, r *http.Request) {
				requests++
				status(test.status, test.body)(w, r)
			}
			config := fast
			config.MaxRetries = 1
			config.BaseDelay, config.MaxDelay = time.Millisecond, time.Millisecond
			inBubble(t, config, count, func(t *testing.T, client *ratelimited.Client) {
				dry := 0
				for range 200 {
					_, err := start(t.Context(), client)
					if !errors.Is(err, ratelimited.ErrRetryable) {
						t.Fatalf("error is %v", err)
					}
					if errors.Is(err, ratelimited.ErrRetryBudget) {
						dry++
					}
				}
				if retries := requests - 200; retries < test.most-1 || retries > test.most || dry != 200-retries {
					t.Errorf("%d retries of 200 calls, and %d that wanted one, want %d", retries, dry, test.most)
				}
			})
		})
	}
}

func TestKindsOfFailures(t *testing.T) {
	all := map[string]error{
		"retryable": ratelimited.ErrRetryable, "invalid": ratelimited.ErrInvalid, "unauthorized": ratelimited.ErrUnauthorized,
		"forbidden": ratelimited.ErrForbidden, "not found": ratelimited.ErrNotFound, "rate limited": ratelimited.ErrRateLimited, "server": ratelimited.ErrServer,
	}
	for code, kinds := range map[int]string{
		400: "invalid", 401: "unauthorized", 402: "", 403: "forbidden", 404: "not found", 409: "", 422: "invalid",
		429: "rate limited retryable", 500: "server retryable", 501: "server", 502: "server retryable", 503: "server retryable", 504: "server retryable",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inBubble(t, fast, status(code, `{"message":"no"}`), func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				for name, kind := range all {
					if got, want := errors.Is(err, kind), strings.Contains(kinds, name); got != want {
						t.Errorf("%v is %q: %v, want %v", err, name, got, want)
					}
				}
			})
		})
	}
	t.Run("a limit that will not pass", func(t *testing.T) {
		inBubble(t, fast, status(429, tooMany, "X-Ratelimit-Limit-Tokens-Minute", "0"), func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client); errors.Is(err, ratelimited.ErrRetryable) || !errors.Is(err, ratelimited.ErrRateLimited) {
				t.Errorf("%v is retryable, or no 429", err)
			}
		})
	})
	t.Run("transport", func(t *testing.T) {
		drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		inBubble(t, fast, drop, func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client, ratelimited.WithMaxRetries(0)); !errors.Is(err, ratelimited.ErrRetryable) {
				t.Errorf("%v is not retryable", err)
			}
			if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(1<<40)); !errors.Is(err, ratelimited.ErrInvalid) {
				t.Errorf("%v is not invalid", err)
			}
		})
	})
}
