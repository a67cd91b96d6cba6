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

// What may pass is tried again: also what a gateway says of the server behind it.
func TestTransientStatuses(t *testing.T) {
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			handler := inTurn(status(code, fmt.Sprintf("error code: %d", code)), ok)
			inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
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
			inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err == nil || errors.Is(err, ratelimited.ErrRetryable) || requests != 1 {
					t.Errorf("after %d requests: %v", requests, err)
				}
			})
		})
	}
}

// A 429 that cannot pass ends the call that was refused, at once, and pauses nobody.
func TestCallLargerThanTheServersLimit(t *testing.T) {
	requests := 0
	refusal := status(429, tooMany, "x-ratelimit-limit-tokens-minute", "2000", "x-ratelimit-remaining-tokens-minute", "2000")
	handler := func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests == 1 {
			refusal(w, r)
			return
		}
		ok(w, r)
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client, ratelimited.WithTokenEstimate(5000)) })
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || limited.Reason == "" || limited.Attempts != 1 || took != 0 || errors.Is(err, ratelimited.ErrRetryable) {
			t.Errorf("after %v: %v, want a RateLimitError with a reason at once", took, err)
		}
		if took := elapsed(func() { _, err = start(t.Context(), client) }); took != 0 || err != nil {
			t.Errorf("the next call takes %v (%v)", took, err)
		}
	})
}

// The limit of a tool makes the call wait that needs it, and no other, whatever the tool.
func TestLimitOfAnyTool(t *testing.T) {
	handler := inTurn(status(429, `{"detail":"mcp_connector rate limit reached."}`), ok)
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		refused := ratelimited.Async(func() (time.Duration, error) {
			var err error
			return elapsed(func() { _, err = start(t.Context(), client) }), err
		})
		time.Sleep(time.Millisecond)
		if took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		}); took != 0 {
			t.Errorf("another call takes %v", took)
		}
		if took, err := refused.Await(t.Context()); err != nil || took < time.Second {
			t.Errorf("the refused call takes %v (%v)", took, err)
		}
	})
}

// A 429 that pauses all calls does not use up the retries of the one that it refuses, for
// as long as an outage may last.
func TestRefusalsDoNotCount(t *testing.T) {
	refusal := status(429, tooMany, "Retry-After", "1")
	inBubble(t, fast, inTurn(refusal, refusal, refusal, refusal, refusal, refusal, ok), func(t *testing.T, client *ratelimited.Client) {
		took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
		if took != 6*time.Second {
			t.Errorf("six refusals take %v", took)
		}
	})
	inBubble(t, fast, refusal, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client) })
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || took != ratelimited.DefaultMaxOutage+3*time.Second || len(limited.PreviousErrors) > 8 {
			t.Errorf("after %v and with %d earlier failures: %v", took, len(limited.PreviousErrors), err)
		}
	})
	config := fast
	config.MaxOutage = -1
	inBubble(t, config, refusal, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) || limited.Attempts != 4 {
			t.Errorf("%v, want 4 attempts where no call is held", err)
		}
	})
}

// A timeout of the caller's own HTTP client is one, too: it says nothing of the
// connection, and the model is not asked again.
func TestTimeoutOfTheCallersClient(t *testing.T) {
	var requests atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			ok(w, r)
			return
		}
		slow(w, r)
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
				t.Errorf("after %v: %v, want a timeout", took, err)
			}
		}
		if requests.Load() != 4 || !snapshot(client).OutageSince.IsZero() {
			t.Errorf("%d requests, want one for each call; an outage since %v", requests.Load(), snapshot(client).OutageSince)
		}
		wantNoPermits(t, client)
	})
}

// A call that leaves no time for a connection is not evidence that the server is down.
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
			t.Errorf("%v, an outage since %v; want a TransportError after 4 attempts and no outage", err, snapshot(client).OutageSince)
		}
		wantNoPermits(t, client)
	})
}
