package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The client retries transient status codes, including those of gateways. It does not retry others.
func TestTransientStatuses(t *testing.T) {
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			handler := handlersInOrder(status(code, fmt.Sprintf("error code: %d", code)), ok)
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Errorf("Start: %v", err)
				}
			})
		})
	}
	for _, code := range []int{400, 401, 402, 403, 404, 409, 422, 501, 505, 528, 531} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			requests := 0
			handler := func(w http.ResponseWriter, r *http.Request) { requests++; status(code, "")(w, r) }
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err == nil || errors.Is(err, ratelimited.ErrRetryable) || requests != 1 {
					t.Errorf("after %d requests: %v, want a permanent error after 1", requests, err)
				}
			})
		})
	}
}

// If a call is larger than the server's limit, the 429 fails it at once and does not pause other calls.
func TestCallLargerThanTheServersLimit(t *testing.T) {
	requests := 0
	limited := status(429, rateLimitBody, "x-ratelimit-limit-tokens-minute", "2000", "x-ratelimit-remaining-tokens-minute", "2000")
	handler := func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests == 1 {
			limited(w, r)
			return
		}
		ok(w, r)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client, ratelimited.WithTokenEstimate(5000)) })
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || limited.Reason == "" || limited.Attempts != 1 || took != 0 || errors.Is(err, ratelimited.ErrRetryable) {
			t.Errorf("after %v: %v, want a RateLimitError with a reason at once", took, err)
		}
		if took := elapsed(func() { _, err = start(t.Context(), client) }); took != 0 || err != nil {
			t.Errorf("the next call took %v (%v), want 0", took, err)
		}
	})
}

// A 429 for the limit of any tool delays only the call that received it.
func TestLimitOfAnyTool(t *testing.T) {
	handler := handlersInOrder(status(429, `{"detail":"mcp_connector rate limit reached."}`), ok)
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		limited := ratelimited.Async(func() (time.Duration, error) {
			var err error
			return elapsed(func() { _, err = start(t.Context(), client) }), err
		})
		time.Sleep(time.Millisecond)
		if took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		}); took != 0 {
			t.Errorf("another call took %v, want 0", took)
		}
		if took, err := limited.Await(t.Context()); err != nil || took < time.Second {
			t.Errorf("the rate-limited call took %v (%v), want at least 1 s", took, err)
		}
	})
}

// For up to MaxOutage, a 429 that pauses all calls does not use up a retry of the call that received it.
func TestRateLimitErrorsDoNotUseUpRetries(t *testing.T) {
	limited := status(429, rateLimitBody, "Retry-After", "1")
	runWithHandler(t, fast, handlersInOrder(limited, limited, limited, limited, limited, limited, ok), func(t *testing.T, client *ratelimited.Client) {
		took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
		if took != 6*time.Second {
			t.Errorf("a call with six 429 responses took %v, want 6 s", took)
		}
	})
	runWithHandler(t, fast, limited, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client) })
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || took != ratelimited.DefaultMaxOutage+3*time.Second || len(limited.PreviousErrors) > 8 {
			t.Errorf("after %v with %d previous errors: %v, want MaxOutage plus 3 s and at most 8", took, len(limited.PreviousErrors), err)
		}
	})
	config := fast
	config.MaxOutage = -1
	runWithHandler(t, config, limited, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || limited.Attempts != 4 {
			t.Errorf("error is %v, want 4 attempts with MaxOutage -1", err)
		}
	})
}

// A timeout of Config.HTTPClient is treated like Config.Timeout. It does not start an outage, and the client does
// not retry the call.
func TestTimeoutOfTheHTTPClient(t *testing.T) {
	var requests atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			ok(w, r)
			return
		}
		noResponse(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(checked(t, handler))
		defer server.Close()
		config := fast
		config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
		config.HTTPClient.Timeout = 3 * time.Second
		client := newClient(t, config)
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var err error
			took := elapsed(func() { _, err = start(t.Context(), client) })
			if took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ratelimited.ErrOutage) {
				t.Errorf("after %v: %v, want a timeout after 3 s", took, err)
			}
		}
		if requests.Load() != 4 || !snapshot(client).OutageSince.IsZero() {
			t.Errorf("%d requests, want 4; an outage since %v, want none", requests.Load(), snapshot(client).OutageSince)
		}
		wantNoPermits(t, client)
	})
}

// If the timeout of a call is too short for a connection, the failure does not start an outage.
func TestTimeoutTooShortToConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(checked(t, ok))
		defer server.Close()
		config := fast
		config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
		transport := config.HTTPClient.Transport.(*http.Transport)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case <-time.After(10 * time.Millisecond):
				return dial(ctx, network, address)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		transport.DisableKeepAlives = true
		client := newClient(t, config)
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		_, err := start(t.Context(), client, ratelimited.WithTimeout(time.Millisecond))
		var transportError *ratelimited.TransportError
		if !errors.As(err, &transportError) || transportError.Attempts != 4 || !snapshot(client).OutageSince.IsZero() {
			t.Errorf("error is %v, outage since %v; want a TransportError after 4 attempts and no outage", err, snapshot(client).OutageSince)
		}
		wantNoPermits(t, client)
	})
}
