package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The client waits for the time in Retry-After.
func TestRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		want   time.Duration
	}{
		"seconds":      {[]string{"Retry-After", "12"}, 12 * time.Second},
		"fraction":     {[]string{"Retry-After", "1.5"}, 1500 * time.Millisecond},
		"milliseconds": {[]string{"Retry-After-Ms", "250", "Retry-After", "9"}, 250 * time.Millisecond},
		// In a synctest bubble, the clock starts at midnight UTC on 2000-01-01.
		"date": {[]string{"Retry-After", "Sat, 01 Jan 2000 00:00:20 GMT"}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, handlersInOrder(status(429, rateLimitBody, test.header...), ok), func(t *testing.T, client *ratelimited.Client) {
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

// Without a usable Retry-After, the client waits for a random, growing backoff.
func TestBackoff(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{
		"429 without Retry-After":     status(429, `{"detail":"Token rate limit reached."}`),
		"429 with text":               status(429, rateLimitBody, "Retry-After", "soon"),
		"429 with a negative number":  status(429, rateLimitBody, "Retry-After", "-3"),
		"429 with a date in the past": status(429, rateLimitBody, "Retry-After", "Fri, 31 Dec 1999 00:00:00 GMT"),
		"500":                         status(500, `{"object":"error","message":"oops"}`),
		"502 with an HTML page":       status(502, "<html>Bad Gateway</html>"),
		"503 as text":                 status(503, "upstream connect error"),
		"504":                         status(504, ""),
		"connection reset":            reset,
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, handlersInOrder(failure, failure, failure, ok), func(t *testing.T, client *ratelimited.Client) {
				got := elapsed(func() {
					if _, err := start(t.Context(), client); err != nil {
						t.Errorf("Start: %v", err)
					}
				})
				// The three waits are random: 1–2 s, 1–4 s, and 1–8 s.
				if got < 3*time.Second || got > 14*time.Second {
					t.Errorf("the call took %v, want 3 s to 14 s", got)
				}
			})
		})
	}
}

// The call returns the error of its last attempt, with all fields of the response.
func TestLastFailureIsReturned(t *testing.T) {
	body := `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":"inputs","code":1300}`
	config := fast
	config.MaxOutage = -1 // with it, each 429 uses up a retry
	runWithHandler(t, config, status(429, body, "Retry-After", "2", "Mistral-Correlation-Id", "req-7"), func(t *testing.T, client *ratelimited.Client) {
		var took time.Duration
		var err error
		took = elapsed(func() { _, err = start(t.Context(), client) })
		if took != 6*time.Second {
			t.Errorf("the call took %v, want 6 s", took)
		}
		var limited *ratelimited.RateLimitError
		if !errors.As(err, &limited) {
			t.Fatalf("error is %T (%v), want *RateLimitError", err, err)
		}
		if limited.RetryAfter != 2*time.Second || limited.Attempts != 4 || limited.StatusCode != 429 ||
			limited.Code != "1300" || limited.Type != "rate_limited" || limited.Param != "inputs" ||
			limited.RequestID != "req-7" || string(limited.Body) != body || limited.Header.Get("Retry-After") != "2" {
			t.Errorf("the fields of the error are %+v", *limited.APIError)
		}
		const want = "mistral: POST /v1/conversations: 429 rate_limited (code 1300): Rate limit exceeded [request req-7] (4 attempts); retry after 2s"
		if err.Error() != want {
			t.Errorf("error is\n%s, want\n%s", err, want)
		}
		var api *ratelimited.APIError
		var packageError ratelimited.Error
		if !errors.As(err, &api) || !errors.As(err, &packageError) {
			t.Errorf("%T does not match *APIError and Error", err)
		}
		if s := snapshot(client); s.Admitted != 1 || s.Retried != 3 || s.TokensSettled != 0 {
			t.Errorf("counters are %+v, want one call, three retries, and 0 tokens settled", s.Counters)
		}
	})
}

// Config.MaxRetries limits the attempts of a call. WithMaxRetries overrides it.
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
		runWithHandler(t, config, count, func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client, test.option...)
			var api *ratelimited.APIError
			if !errors.As(err, &api) || api.Attempts != test.want || requests != test.want {
				t.Errorf("MaxRetries %d: %d requests, %v; want %d attempts", test.config, requests, err, test.want)
			}
		})
	}
}

// The message of a 429 determines the limit type of its error.
func TestLimitType(t *testing.T) {
	for body, want := range map[string]string{
		`{"detail":"Token rate limit reached."}`:      "tokens",
		`{"message":"Requests rate limit exceeded"}`:  "requests",
		`{"detail":"web_search rate limit reached."}`: "web_search",
		rateLimitBody: "",
	} {
		runWithHandler(t, fast, status(429, body), func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
			var limited *ratelimited.RateLimitError
			if !errors.As(err, &limited) || limited.LimitType != want {
				t.Errorf("%s: %v, want limit type %q", body, err, want)
			}
		})
	}
}

// The client does not retry permanent failures, or a Retry-After above its maximum.
func TestNotRetried(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{
		"400": status(400, `{"message":"bad"}`), "401": status(401, `{"detail":"Unauthorized"}`),
		"402": status(402, `{"detail":"no payment method"}`), "403": status(403, `{"error":{"message":"blocked"},"guardrails":[]}`),
		"404": status(404, `{"detail":"Not Found"}`), "422": status(422, `{"detail":[{"loc":["body"],"msg":"no","type":"t"}]}`),
		"redirect":              status(307, "", "Location", "http://127.0.0.1/elsewhere"),
		"Retry-After too long":  status(429, rateLimitBody, "Retry-After", "62"),
		"Retry-After overflows": status(503, "", "Retry-After", "1e300"),
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			count := func(w http.ResponseWriter, r *http.Request) { requests++; failure(w, r) }
			runWithHandler(t, fast, count, func(t *testing.T, client *ratelimited.Client) {
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

// A 429 pauses all calls. Later calls wait behind the call that received it.
func TestRateLimitPausesTheQueue(t *testing.T) {
	config := fast
	config.RequestsPerSecond = 1
	runWithHandler(t, config, handlersInOrder(status(429, rateLimitBody, "Retry-After", "10"), ok), func(t *testing.T, client *ratelimited.Client) {
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

// If the next attempt would start after the deadline, the call fails at once with the deadline and the 429.
func TestDeadlineBeforeTheNextAttempt(t *testing.T) {
	runWithHandler(t, fast, status(429, rateLimitBody, "Retry-After", "20"), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		took := elapsed(func() { _, err = start(ctx, client) })
		var limited *ratelimited.RateLimitError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &limited) || limited.RetryAfter != 20*time.Second {
			t.Errorf("error is %v, want context.DeadlineExceeded and the 429", err)
		}
		if took != 0 {
			t.Errorf("the call took %v, want 0", took)
		}
	})
}

// If the context ends between two attempts, the error contains its cause and the last failure.
func TestCancelledBetweenAttempts(t *testing.T) {
	runWithHandler(t, fast, status(503, ""), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("the user left")
		time.AfterFunc(500*time.Millisecond, func() { cancel(reason) })
		_, err := start(ctx, client)
		var api *ratelimited.APIError
		if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || !errors.As(err, &api) {
			t.Errorf("error is %v, want context.Canceled, its cause, and the 503", err)
		}
	})
}

// If a call of a model times out, a retry would probably take and cost the same. So the client does not
// retry it, and the error names the settings for the timeout. The client retries other calls.
func TestTimeoutOfOneAttempt(t *testing.T) {
	config := fast
	config.Timeout = 5 * time.Second
	var requests atomic.Int64
	handler := handlersInOrder(noResponse, noResponse, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, `{"id":"conv_1"}`) }, noResponse)
	count := func(w http.ResponseWriter, r *http.Request) { requests.Add(1); handler(w, r) }
	runWithHandler(t, config, count, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = start(t.Context(), client) })
		var transport *ratelimited.TransportError
		var timeout net.Error
		if !errors.As(err, &transport) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error is %v, want a TransportError that is a timeout", err)
		}
		if took != config.Timeout || requests.Load() != 1 {
			t.Errorf("%d requests in %v, want one in %v", requests.Load(), took, config.Timeout)
		}
		for _, part := range []string{"no response within the timeout of 5s", "Config.Timeout", "WithTimeout"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not contain %q", err, part)
			}
		}
		// The server may have processed the call, so the client charges the estimate.
		if s := snapshot(client); s.TokensSettled != 8+defaultResponseEstimate {
			t.Errorf("%d tokens settled, want the estimate of %d", s.TokensSettled, 8+defaultResponseEstimate)
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

// If no connection succeeds, the client returns all tokens and requests.
func TestUnreachableServerIsNotCharged(t *testing.T) {
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
		t.Errorf("the snapshot is %+v, want one cancelled call and all tokens returned", s)
	}
}

// The error of a call is the error of its last attempt. It contains the errors of all earlier attempts.
func TestPreviousErrors(t *testing.T) {
	handler := handlersInOrder(status(503, "{}"), reset, status(429, rateLimitBody, "Retry-After", "1"), status(404, "{}"))
	runWithHandler(t, ratelimited.Config{RequestsPerSecond: 100}, handler, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var last *ratelimited.APIError
		if !errors.As(err, &last) || last.Attempts != 4 || len(last.PreviousErrors) != 3 || errors.Is(err, ratelimited.ErrRetryable) {
			t.Fatalf("error is %v with the fields %+v, want the 404 with three previous errors", err, last)
		}
		var transport *ratelimited.TransportError
		var limited *ratelimited.RateLimitError
		var first *ratelimited.APIError
		if !errors.As(last.PreviousErrors[0], &first) || first.StatusCode != 503 || len(first.PreviousErrors) != 0 || !errors.As(last.PreviousErrors[1], &transport) || !errors.As(last.PreviousErrors[2], &limited) {
			t.Errorf("the previous errors are %v, want a 503, a TransportError, and a RateLimitError", last.PreviousErrors)
		}
		if len(limited.PreviousErrors) != 2 || limited.PreviousErrors[0] != error(first) {
			t.Errorf("the previous errors of the third error are %v", limited.PreviousErrors)
		}
	})
}

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

// The clocks of the client and the server can differ by hours. The client computes the wait for a
// date in Retry-After from the Date field of the same response.
func TestRetryAfterDateIsRelativeToDateField(t *testing.T) {
	for name, offset := range map[string]time.Duration{"right": 0, "fast": 3 * time.Hour, "slow": -3 * time.Hour} {
		for _, code := range []int{429, 503} {
			t.Run(name+" "+http.StatusText(code), func(t *testing.T) {
				fail := func(w http.ResponseWriter, r *http.Request) {
					now := time.Now().UTC().Add(offset)
					status(code, rateLimitBody, "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(20*time.Second).Format(http.TimeFormat))(w, r)
				}
				runWithHandler(t, fast, handlersInOrder(fail, ok), func(t *testing.T, client *ratelimited.Client) {
					took := elapsed(func() {
						if _, err := start(t.Context(), client); err != nil {
							t.Error(err)
						}
					})
					if took < 20*time.Second || took > 33*time.Second { // the backoff can be longer than Retry-After
						t.Errorf("the retry was sent after %v, want 20 s to 33 s", took)
					}
				})
			})
		}
	}
}

// If Retry-After-Ms is not a positive number, the client uses Retry-After.
func TestInvalidRetryAfterMsIsIgnored(t *testing.T) {
	for _, ms := range []string{"-1", "0", "soon", "NaN", ""} {
		runWithHandler(t, fast, handlersInOrder(status(429, rateLimitBody, "Retry-After-Ms", ms, "Retry-After", "20"), ok), func(t *testing.T, client *ratelimited.Client) {
			var err error
			took := elapsed(func() { _, err = start(t.Context(), client) })
			if err != nil || took != 20*time.Second {
				t.Errorf("Retry-After-Ms %q: the call took %v (%v), want the 20 s of Retry-After", ms, took, err)
			}
		})
	}
}
