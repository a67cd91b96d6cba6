package ratelimited_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// fast is a configuration whose limits do not matter.
var fast = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 1e8}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		want   time.Duration
	}{
		"seconds":      {[]string{"Retry-After", "12"}, 12 * time.Second},
		"fraction":     {[]string{"Retry-After", "1.5"}, 1500 * time.Millisecond},
		"milliseconds": {[]string{"Retry-After-Ms", "250", "Retry-After", "9"}, 250 * time.Millisecond},
		// A bubble's clock starts at midnight UTC 2000-01-01.
		"date": {[]string{"Retry-After", "Sat, 01 Jan 2000 00:00:20 GMT"}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, inTurn(status(429, tooMany, test.header...), ok), func(t *testing.T, client *ratelimited.Client) {
				got := elapsed(func() {
					if _, err := start(t.Context(), client); err != nil {
						t.Errorf("Start: %v", err)
					}
				})
				if got != test.want {
					t.Errorf("the call took %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{
		"429 without Retry-After":     status(429, `{"detail":"Token rate limit reached."}`),
		"429 with garbage":            status(429, tooMany, "Retry-After", "soon"),
		"429 with a negative number":  status(429, tooMany, "Retry-After", "-3"),
		"429 with a date in the past": status(429, tooMany, "Retry-After", "Fri, 31 Dec 1999 00:00:00 GMT"),
		"500":                         status(500, `{"object":"error","message":"oops"}`),
		"502 with an HTML page":       status(502, "<html>Bad Gateway</html>"),
		"503 as text":                 status(503, "upstream connect error"),
		"504":                         status(504, ""),
		"connection reset":            reset,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, inTurn(failure, failure, failure, ok), func(t *testing.T, client *ratelimited.Client) {
				got := elapsed(func() {
					if _, err := start(t.Context(), client); err != nil {
						t.Errorf("Start: %v", err)
					}
				})
				// Three waits, drawn from 1 s to 2, 4 and 8 s.
				if got < 3*time.Second || got > 14*time.Second {
					t.Errorf("the call took %v, want 3 s to 14 s", got)
				}
			})
		})
	}
}

// reset breaks the connection before a reply.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestLastFailureIsReturned(t *testing.T) {
	body := `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":"inputs","code":1300}`
	config := fast
	config.MaxOutage = -1 // all attempts count
	inBubble(t, config, status(429, body, "Retry-After", "2", "Mistral-Correlation-Id", "req-7"), func(t *testing.T, client *ratelimited.Client) {
		var took time.Duration
		var err error
		took = elapsed(func() { _, err = start(t.Context(), client) })
		if took != 6*time.Second {
			t.Errorf("the call took %v, want three waits of 2 s", took)
		}
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) {
			t.Fatalf("error is %T (%v), want *RateLimitError", err, err)
		}
		if limited.RetryAfter != 2*time.Second || limited.Attempts != 4 || limited.StatusCode != 429 ||
			limited.Code != "1300" || limited.Type != "rate_limited" || limited.Param != "inputs" ||
			limited.RequestID != "req-7" || string(limited.Body) != body || limited.Header.Get("Retry-After") != "2" {
			t.Errorf("error has %+v", *limited.APIError)
		}
		const want = "mistral: POST /v1/conversations: 429 rate_limited (code 1300): Rate limit exceeded [request req-7] (4 attempts); retry after 2s"
		if err.Error() != want {
			t.Errorf("message is\n%s, want\n%s", err, want)
		}
		var api *ratelimited.APIError
		var ours ratelimited.Error
		if !errors.As(err, &api) || !errors.As(err, &ours) {
			t.Errorf("%T is found neither as *APIError nor as Error", err)
		}
		if s := snapshot(client); s.Admitted != 1 || s.Retried != 3 || s.TokensSettled != 0 {
			t.Errorf("books: %+v, want one call, three retries and no tokens used", s.Counters)
		}
	})
}

// The number of attempts is the configured one, or the call's own.
func TestMaxRetries(t *testing.T) {
	for _, test := range []struct {
		config int
		option []ratelimited.CallOption
		want   int
	}{
		{0, nil, 4}, // the default of 3 retries
		{1, nil, 2},
		{ratelimited.NoRetries, nil, 1},
		{1, []ratelimited.CallOption{ratelimited.WithMaxRetries(5)}, 6},
		{5, []ratelimited.CallOption{ratelimited.WithMaxRetries(0)}, 1},
	} {
		config, requests := fast, 0
		config.MaxRetries = test.config
		count := func(w http.ResponseWriter, r *http.Request) { requests++; status(503, "")(w, r) }
		inBubble(t, config, count, func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client, test.option...)
			var api *ratelimited.APIError
			if !errors.As(err, &api) || api.Attempts != test.want || requests != test.want {
				t.Errorf("MaxRetries %d: %d requests, %v; want %d", test.config, requests, err, test.want)
			}
		})
	}
}

func TestLimitType(t *testing.T) {
	for body, want := range map[string]string{
		`{"detail":"Token rate limit reached."}`:      "tokens",
		`{"message":"Requests rate limit exceeded"}`:  "requests",
		`{"detail":"web_search rate limit reached."}`: "web_search",
		tooMany: "",
	} {
		inBubble(t, fast, status(429, body), func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
			var limited *ratelimited.RateLimitError
			if !errors.As(err, &limited) || limited.LimitType != want {
				t.Errorf("%s: %v, want limit type %q", body, err, want)
			}
		})
	}
}

func TestNotRetried(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{
		"400": status(400, `{"message":"bad"}`), "401": status(401, `{"detail":"Unauthorized"}`),
		"402": status(402, `{"detail":"no payment method"}`), "403": status(403, `{"error":{"message":"blocked"},"guardrails":[]}`),
		"404": status(404, `{"detail":"Not Found"}`), "422": status(422, `{"detail":[{"loc":["body"],"msg":"no","type":"t"}]}`),
		"redirect":              status(307, "", "Location", "http://127.0.0.1/elsewhere"),
		"Retry-After too long":  status(429, tooMany, "Retry-After", "62"),
		"Retry-After overflows": status(503, "", "Retry-After", "1e300"),
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			count := func(w http.ResponseWriter, r *http.Request) { requests++; failure(w, r) }
			inBubble(t, fast, count, func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = start(t.Context(), client) })
				var api *ratelimited.APIError
				if !errors.As(err, &api) || requests != 1 || took != 0 {
					t.Errorf("after %d requests and %v: %v, want an APIError after the first", requests, took, err)
				}
			})
		})
	}
}

// slow never answers.
func slow(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // a server notices that the client left when it has read the request
	<-r.Context().Done()
}

// A 429 pauses everybody: who comes later waits too, and behind the one that
// was refused.
func TestRateLimitPausesTheQueue(t *testing.T) {
	config := fast
	config.RequestsPerSecond = 1
	inBubble(t, config, inTurn(status(429, tooMany, "Retry-After", "10"), ok), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		var mu sync.Mutex
		var ends []time.Duration
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := start(t.Context(), client); err != nil {
					t.Errorf("Start: %v", err)
				}
				mu.Lock()
				ends = append(ends, time.Since(begin))
				mu.Unlock()
			})
		}
		wg.Wait()
		want := []time.Duration{10 * time.Second, 11050 * time.Millisecond, 12100 * time.Millisecond}
		for i := range want {
			if ends[i] != want[i] {
				t.Fatalf("calls ended at %v, want %v", ends, want)
			}
		}
	})
}

func TestDeadlineBeforeTheNextAttempt(t *testing.T) {
	inBubble(t, fast, status(429, tooMany, "Retry-After", "20"), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		took := elapsed(func() { _, err = start(ctx, client) })
		var limited *ratelimited.RateLimitError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &limited) || limited.RetryAfter != 20*time.Second {
			t.Errorf("error is %v, want both the deadline and the 429 that it cut short", err)
		}
		if took != 0 {
			t.Errorf("it took %v to see that 20 s do not fit into 5 s", took)
		}
	})
}

func TestCancelledBetweenAttempts(t *testing.T) {
	inBubble(t, fast, status(503, ""), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("the user left")
		time.AfterFunc(500*time.Millisecond, func() { cancel(reason) })
		_, err := start(ctx, client)
		var api *ratelimited.APIError
		if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || !errors.As(err, &api) {
			t.Errorf("error is %v, want the cancellation, its cause and the 503", err)
		}
	})
}

// A model that takes too long would take as long the next time, and cost as much: its
// call is not repeated, and says what could allow more. A read is.
func TestTimeoutOfOneAttempt(t *testing.T) {
	config := fast
	config.Timeout = 5 * time.Second
	var requests atomic.Int64
	handler := inTurn(slow, slow, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"id":"conv_1"}`) }, slow)
	count := func(w http.ResponseWriter, r *http.Request) { requests.Add(1); handler(w, r) }
	inBubble(t, config, count, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client) })
		var transport *ratelimited.TransportError
		var timeout net.Error
		if !errors.As(err, &transport) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error is %v, want a TransportError that is a timeout", err)
		}
		if took != config.Timeout || requests.Load() != 1 {
			t.Errorf("%d requests in %v, want one, which is not repeated", requests.Load(), took)
		}
		for _, part := range []string{"no response within the timeout of 5s", "Config.Timeout", "WithTimeout"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}
		// The server may have carried it out: it stays charged.
		if s := snapshot(client); s.TokensSettled != 8+unknownReply {
			t.Errorf("%d tokens settled, want the estimate", s.TokensSettled)
		}

		took = elapsed(func() { _, err = client.Beta.Conversations.Get(t.Context(), "conv_1") })
		if err != nil || took < 6*time.Second || took > 7*time.Second || requests.Load() != 3 {
			t.Errorf("after %v and %d requests: %v, want success after 5 s and a wait of 1 to 2 s", took, requests.Load(), err)
		}
		_, err = client.Beta.Conversations.Get(t.Context(), "conv_1", ratelimited.WithTimeout(time.Millisecond), ratelimited.WithMaxRetries(0))
		if !errors.As(err, &transport) || requests.Load() != 4 {
			t.Errorf("after %d requests: %v, want a TransportError", requests.Load(), err)
		}
	})
}

func TestUnreachableServerGivesEverythingBack(t *testing.T) {
	config := fast
	dialed := 0
	config.HTTPClient = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			dialed++
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		},
	}}
	config.APIKey = secretKey
	config.MaxDelay = time.Millisecond
	client := newClient(t, config)
	before := snapshot(client).AvailableTokens
	_, err := start(t.Context(), client)
	var transport *ratelimited.TransportError
	if !errors.As(err, &transport) || transport.Attempts != 4 || dialed != 4 {
		t.Fatalf("after %d dials: %v, want a TransportError after 4", dialed, err)
	}
	if s := snapshot(client); s.Cancelled != 1 || s.AvailableTokens < before || s.TokensSettled != 0 {
		t.Errorf("books: %+v, want everything back", s)
	}
}

// The last attempt decides what a call's error is, and has all others.
func TestEarlierAttempts(t *testing.T) {
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	handler := inTurn(status(503, "{}"), cut, status(429, tooMany, "Retry-After", "1"), status(404, "{}"))
	inBubble(t, ratelimited.Config{RequestsPerSecond: 100}, handler, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var last *ratelimited.APIError
		if !errors.As(err, &last) || last.Attempts != 4 || len(last.PreviousErrors) != 3 || errors.Is(err, ratelimited.ErrRetryable) {
			t.Fatalf("error is %v with %+v", err, last)
		}
		var transport *ratelimited.TransportError
		var limited *ratelimited.RateLimitError
		var first *ratelimited.APIError
		if !errors.As(last.PreviousErrors[0], &first) || first.StatusCode != 503 || len(first.PreviousErrors) != 0 || !errors.As(last.PreviousErrors[1], &transport) || !errors.As(last.PreviousErrors[2], &limited) {
			t.Errorf("earlier attempts failed with %v", last.PreviousErrors)
		}
		if len(limited.PreviousErrors) != 2 || limited.PreviousErrors[0] != error(first) {
			t.Errorf("those before the third failed with %v", limited.PreviousErrors)
		}
	})
}
