package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// For half a minute the server answers nothing but 503, to 200 callers who call
// again and again. It gets no more than a fifth more requests than without the
// outage, and work goes on within MaxDelay of its end.
func TestOutage(t *testing.T) {
	const from, to, end = 30 * time.Second, time.Minute, 2 * time.Minute
	config := ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 1e9}
	var before, during atomic.Int64
	var first atomic.Int64 // success after the outage
	begin := time.Time{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch at := time.Since(begin); {
		case at < from:
			before.Add(1)
		case at < to:
			during.Add(1)
			status(503, "overloaded")(w, r)
			return
		default:
			first.CompareAndSwap(0, int64(at-to))
		}
		ok(w, r)
	}
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		begin = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), end)
		defer cancel()
		var failed, refused atomic.Int64
		ratelimited.Gather(t.Context(), make([]struct{}, 200), func(context.Context, struct{}) (struct{}, error) {
			for ctx.Err() == nil {
				_, err := start(ctx, client)
				var api *ratelimited.APIError
				switch {
				case err == nil || ctx.Err() != nil:
				case !errors.As(err, &api) || api.StatusCode != 503:
					t.Errorf("a call failed with %v, want the 503", err)
				case strings.Contains(err.Error(), "too many of this client's calls fail"):
					refused.Add(1)
					fallthrough
				default:
					failed.Add(1)
					time.Sleep(time.Second) // as a caller would
				}
			}
			return struct{}{}, nil
		})
		t.Logf("%d requests before, %d during the outage; %d calls failed, %d of them for want of retries; first success %v after it",
			before.Load(), during.Load(), failed.Load(), refused.Load(), time.Duration(first.Load()))
		if float64(during.Load()) > 1.2*float64(before.Load()) {
			t.Errorf("%d requests during the outage, more than 1.2 times the %d before", during.Load(), before.Load())
		}
		if recovery := time.Duration(first.Load()); recovery == 0 || recovery > ratelimited.DefaultMaxDelay {
			t.Errorf("work went on %v after the outage, want at most %v", recovery, ratelimited.DefaultMaxDelay)
		}
		if refused.Load() == 0 {
			t.Error("no call was refused a retry: the budget has no bounds")
		}
	})
}

// A hundred retries are there at first, and each call brings a fifth of another.
func TestRetryBudget(t *testing.T) {
	requests := 0
	count := func(w http.ResponseWriter, r *http.Request) { requests++; status(503, "busy")(w, r) }
	config := fast
	config.MaxRetries = 1
	inBubble(t, config, count, func(t *testing.T, client *ratelimited.Client) {
		for range 200 {
			if _, err := start(t.Context(), client); !errors.Is(err, ratelimited.ErrServer) || !errors.Is(err, ratelimited.ErrRetryable) {
				t.Fatalf("error is %v", err)
			}
		}
		// Each of the first 124 calls brings 0.2 and takes 1, then one in five is left.
		if retries := requests - 200; retries < 100+200/5-1 || retries > 100+200/5 {
			t.Errorf("%d retries of 200 calls, want 100 and a fifth of the calls", retries)
		}
	})
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
