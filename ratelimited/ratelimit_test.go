package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// withHeader adds header fields to the responses of a handler. They alternate between names and values.
func withHeader(handler http.HandlerFunc, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		handler(w, r)
	}
}

// limitHeaders are the rate-limit header fields of a response.
var limitHeaders = []string{
	"x-ratelimit-limit-tokens-minute", "100000", "x-ratelimit-remaining-tokens-minute", "4000", "x-ratelimit-tokens-query-cost", "30",
	"x-ratelimit-limit-req-minute", "720", "x-ratelimit-remaining-req-minute", "717",
}

// The client reads the rate-limit header fields of every kind of response. It stores them, and
// lowers its own balance if the server reports less.
func TestRateLimitHeadersAreRead(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 12, TokensPerMinute: 100_000, MaxRetries: ratelimited.NoRetries}
	plain := func(t *testing.T, client *ratelimited.Client) error { _, err := start(t.Context(), client); return err }
	streamed := func(t *testing.T, client *ratelimited.Client) error {
		_, err := collect(startStream(t.Context(), t, client))
		return err
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		call    func(*testing.T, *ratelimited.Client) error
	}{
		"success": {ok, plain},
		"stream":  {streaming(started + hello + done), streamed},
		"400":     {status(400, `{"message":"no"}`), plain},
		"429":     {status(429, rateLimitBody), plain},
		"503":     {status(503, "busy"), plain},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, config, withHeader(test.handler, limitHeaders...), func(t *testing.T, client *ratelimited.Client) {
				_ = test.call(t, client) // some of the calls fail
				reported := snapshot(client).Server
				for name, field := range map[string]struct {
					got  *int
					want int
				}{
					"token limit": {reported.LimitTokens, 100_000}, "remaining tokens": {reported.RemainingTokens, 4000}, "query cost": {reported.QueryCost, 30},
					"request limit": {reported.LimitRequests, 720}, "remaining requests": {reported.RemainingRequests, 717},
				} {
					if field.got == nil || *field.got != field.want {
						t.Errorf("the reported %s is not stored as %d", name, field.want)
					}
				}
				if !reported.At.Equal(time.Now()) {
					t.Errorf("the report is dated %v, want %v", reported.At, time.Now())
				}
				if got := snapshot(client).AvailableTokens; got > 4000 {
					t.Errorf("%v tokens are available, want at most the reported 4000", got)
				}
			})
		})
	}
}

// The client ignores header fields that are invalid, and fields that report more than it counts.
func TestUnusableRateLimitHeadersAreIgnored(t *testing.T) {
	for name, header := range map[string][]string{
		"absent":           nil,
		"more than local":  {"x-ratelimit-limit-tokens-minute", "9000000", "x-ratelimit-remaining-tokens-minute", "8000000"},
		"not a number":     {"x-ratelimit-remaining-tokens-minute", "few"},
		"negative":         {"x-ratelimit-remaining-tokens-minute", "-1"},
		"a fraction":       {"x-ratelimit-remaining-tokens-minute", "1.5"},
		"above its limit":  {"x-ratelimit-limit-tokens-minute", "10", "x-ratelimit-remaining-tokens-minute", "11"},
		"a limit of 0":     {"x-ratelimit-limit-tokens-minute", "0", "x-ratelimit-remaining-tokens-minute", "0"},
		"another window":   {"x-ratelimit-remaining-tokens-month", "1"},
		"another resource": {"x-ratelimit-remaining-web-search-minute", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, withHeader(ok, header...), func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				wantTokens(t, client, 2000-30)
			})
		})
	}
}

// If waiting cannot help, a 429 fails the call at once with the reason. It does not pause other
// calls.
func TestPermanentRateLimits(t *testing.T) {
	const tokens = `{"detail":"Token rate limit reached."}`
	for name, test := range map[string]struct {
		body     string
		header   []string
		reason   string
		attempts int
	}{
		"not in the plan":       {tokens, []string{"x-ratelimit-limit-tokens-minute", "0", "x-ratelimit-remaining-tokens-minute", "0"}, "limit is 0", 1},
		"request limit of 0":    {rateLimitBody, []string{"x-ratelimit-limit-req-minute", "0"}, "limit is 0", 1},
		"larger than the limit": {tokens, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "500"}, "larger than", 1},
		"daily limit used up":   {`{"detail":"web_search rate limit reached."}`, []string{"x-ratelimit-remaining-web-search-day", "0"}, "day's limit", 1},
		"minute limit used up":  {tokens, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "0"}, "", 4},
		"another daily limit":   {tokens, []string{"x-ratelimit-remaining-web-search-day", "0"}, "", 4},
		"requests, not tokens":  {`{"message":"Requests rate limit exceeded"}`, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "500"}, "", 4},
	} {
		t.Run(name, func(t *testing.T) {
			attempts := 0
			config := fast
			config.MaxOutage = -1 // with it, each 429 uses up a retry
			count := func(w http.ResponseWriter, r *http.Request) { attempts++; status(429, test.body, test.header...)(w, r) }
			runWithHandler(t, config, count, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client)
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || (limited.Reason == "") != (test.reason == "") || !strings.Contains(limited.Reason, test.reason) ||
					!strings.Contains(err.Error(), test.reason) || attempts != test.attempts {
					t.Errorf("after %d attempts (want %d): %v, want the reason %q", attempts, test.attempts, err, test.reason)
				}
				model, hasLimit := client.Snapshot()["m"] // exists if the server reported a lower limit of the model
				if paused := !model.PausedUntil.IsZero() || !snapshot(client).PausedUntil.IsZero(); paused != (test.reason == "") {
					t.Errorf("other calls are paused: %v", paused)
				}
				if hasLimit && test.body == tokens && !snapshot(client).PausedUntil.IsZero() {
					t.Error("other models are paused")
				}
			})
		})
	}
}

// A 429 for the limit of a tool delays only the call that received it.
func TestToolLimitDoesNotPauseOtherCalls(t *testing.T) {
	limited := status(429, `{"detail":"web_search rate limit reached."}`, "Retry-After", "9")
	runWithHandler(t, fast, handlersInOrder(limited, ok), func(t *testing.T, client *ratelimited.Client) {
		searching := ratelimited.Async(func() (time.Duration, error) {
			var err error
			return elapsed(func() { _, err = start(t.Context(), client) }), err
		})
		time.Sleep(time.Second)
		if took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		}); took != 0 {
			t.Errorf("another call took %v, want 0", took)
		}
		if took, err := searching.Await(t.Context()); took != 9*time.Second || err != nil {
			t.Errorf("the rate-limited call took %v (%v), want the 9 s of Retry-After", took, err)
		}
	})
}

// After a 429, all calls wait for the time in Retry-After, up to 61 s. If the time is longer, the
// call that received the 429 fails with the time in its error. The other calls wait for 61 s.
func TestLongRetryAfter(t *testing.T) {
	const window = 61 * time.Second
	for retryAfter, test := range map[string]struct{ limited, next time.Duration }{
		"45": {45 * time.Second, 0}, "61": {window, 0}, "62": {0, window}, "86400": {0, window},
	} {
		t.Run(retryAfter, func(t *testing.T) {
			runWithHandler(t, fast, handlersInOrder(status(429, rateLimitBody, "Retry-After", retryAfter), ok), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = start(t.Context(), client) })
				var limited *ratelimited.RateLimitError
				if failed := errors.As(err, &limited); failed != (test.limited == 0) || took != test.limited {
					t.Errorf("after %v: %v, want %v", took, err, test.limited)
				} else if failed && !strings.Contains(err.Error(), "retry after "+limited.RetryAfter.String()) {
					t.Errorf("error %q does not contain the time of Retry-After", err)
				}
				if took := elapsed(func() { _, err = start(t.Context(), client) }); took != test.next || err != nil {
					t.Errorf("the next call took %v (%v), want %v", took, err, test.next)
				}
			})
		})
	}
}

// Ten calls in flight receive a 429 at almost the same time. The client backs off once for all of
// them, and then retries in order and at the configured rate.
func TestSimultaneousRateLimitErrorsBackOffOnce(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 10, BaseDelay: 4 * time.Second, MaxDelay: 4 * time.Second}
	var mu sync.Mutex
	var sent []time.Duration
	begin := time.Time{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, time.Since(begin))
		n := len(sent)
		mu.Unlock()
		if n <= 10 {
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
			status(429, rateLimitBody)(w, r)
			return
		}
		ok(w, r)
	}
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		begin = time.Now()
		results := ratelimited.Gather(t.Context(), make([]struct{}, 15), func(ctx context.Context, _ struct{}) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		})
		for i, result := range results {
			if result.Err != nil {
				t.Errorf("call %d: %v", i, result.Err)
			}
		}
		// The first 429 arrives after 10 ms, so the pause lasts until 4.01 s. Then one retry is sent alone. After two
		// round trips of 90 ms, the other nine retries follow, and 1.05 s later the remaining five calls.
		slices.Sort(sent)
		const retry, rest = 4010 * time.Millisecond, 1050 * time.Millisecond
		const alone = 180 * time.Millisecond
		for i, at := range sent {
			want := []time.Duration{0, retry + alone, retry + alone + rest}[i/10]
			if i%10 == 0 {
				want = max(0, want-alone)
			}
			if at != want {
				t.Fatalf("requests are sent at %v: request %d is not sent at %v", sent, i, want)
			}
		}
		if s := snapshot(client); s.Retried != 10 || s.Admitted != 15 {
			t.Errorf("counters are %+v, want 15 calls admitted and 10 retries", s.Counters)
		}
	})
}

// SetLimit applies to calls that already wait.
func TestSetLimitAppliesToWaitingCalls(t *testing.T) {
	runWithHandler(t, ratelimited.Config{RequestsPerSecond: 0.01}, ok, func(t *testing.T, client *ratelimited.Client) {
		for range 2 {
			waiting := ratelimited.Async(func() (*generated.ConversationResponse, error) { return start(t.Context(), client) })
			time.Sleep(5 * time.Second)
			if client.Snapshot()[""].Waiting == 1 {
				if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			select {
			case <-waiting.Done():
			default:
				t.Fatal("the call still waits 1 s after the limit was raised")
			}
		}
	})
}

// The messages of gateways for a 429 do not name a tool, so the 429 pauses all calls.
func TestGatewayMessagesDoNotNameATool(t *testing.T) {
	for _, message := range []string{"API rate limit exceeded", "Your rate limit has been reached", "Global rate limit exceeded"} {
		t.Run(message, func(t *testing.T) {
			limited := status(429, fmt.Sprintf(`{"message":%q}`, message), "Retry-After", "20")
			runWithHandler(t, fast, limited, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || limited.LimitType != "" {
					t.Errorf("the limit type of %v is %q, want \"\"", err, limited.LimitType)
				}
				if until := snapshot(client).PausedUntil; !until.Equal(time.Now().Add(20 * time.Second)) {
					t.Errorf("the pause lasts until %v, want 20 s", until)
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
