package ratelimited_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The timeout of one attempt does not end the next attempt.
func TestTimeoutDoesNotEndTheNextAttempt(t *testing.T) {
	config := fast
	config.Timeout, config.BaseDelay, config.MaxDelay = time.Millisecond, time.Millisecond, time.Millisecond
	for name, first := range map[string]time.Duration{
		"shortly before the timeout": config.Timeout - time.Nanosecond,
		"exactly at the timeout":     config.Timeout,
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			transport := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
				if requests++; requests%2 == 1 {
					time.Sleep(first)
					return newResponse(503, "text/plain", "busy"), nil
				}
				select {
				case <-time.After(config.Timeout - time.Nanosecond):
					return newResponse(200, "application/json", responseJSON("fine", 30)), nil
				case <-req.Context().Done():
					return nil, context.Cause(req.Context())
				}
			})
			runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
				for range 20 {
					if _, err := start(t.Context(), client, ratelimited.WithMaxRetries(1)); err != nil {
						t.Fatalf("the second attempt, which ends before its timeout: %v", err)
					}
				}
				if requests != 40 {
					t.Errorf("%d requests for 20 calls, want 40", requests)
				}
			})
		})
	}
}

// The timer of one attempt fires while the next attempt starts. This test uses a real clock, so
// that the race detector can see a race between them.
func TestTimeoutRacesWithTheNextAttempt(t *testing.T) {
	config := fast
	config.APIKey = secretKey
	config.Timeout, config.BaseDelay, config.MaxDelay = time.Millisecond, time.Millisecond, time.Millisecond
	requests := 0
	config.HTTPClient = &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
		if requests++; requests%2 == 0 {
			return newResponse(200, "application/json", responseJSON("fine", 30)), nil
		}
		for begin := time.Now(); time.Since(begin) < config.Timeout; {
			continue // time.Sleep would return too late
		}
		return newResponse(503, "text/plain", "busy"), nil
	})}
	for range 15 {
		client := newClient(t, config)
		for range 20 {
			if _, err := start(t.Context(), client); err != nil {
				t.Fatalf("Start: %v", err)
			}
		}
		wantNoPermits(t, client)
	}
}

// Without a connection, the client has not sent a request. It returns the tokens and requests of
// all attempts.
func TestFailedConnectionsAreNotCharged(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, test := range map[string]struct {
		dial     func(ctx context.Context, network, address string) (net.Conn, error)
		deadline time.Duration // of the context, from now; 0 for none
		attempts int
		cause    error
	}{
		"refused": {func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}, 0, 4, nil},
		"custom error of the dialer": {func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no route")
		}, 0, 4, nil},
		"no such host": {func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}
		}, 0, 1, nil},
		"hangs until the timeout": {hang, 0, 4, context.DeadlineExceeded},
		"the context ends":        {hang, 500 * time.Microsecond, 1, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{DialContext: test.dial}
			runWithTransport(t, scarce, transport, func(t *testing.T, client *ratelimited.Client) {
				ctx := t.Context()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				var err error
				took := elapsed(func() { _, err = start(ctx, client) })
				wantNothingSent(t, client, err, test.attempts)
				if test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("error %v does not wrap %v", err, test.cause)
				}
				if took > time.Second {
					t.Errorf("the call took %v: its attempts waited for the limiter", took)
				}
			})
		})
	}
}

// wantNothingSent checks that a call failed without sending a request, and that the client
// returned its tokens and requests.
func wantNothingSent(t *testing.T, client *ratelimited.Client, err error, attempts int) {
	t.Helper()
	var transport *ratelimited.TransportError
	if !errors.As(err, &transport) || transport.Attempts != attempts {
		t.Errorf("error is %v, want a TransportError after %d attempts", err, attempts)
	}
	if s := snapshot(client); s.Cancelled != 1 || s.Settled != 0 || s.AvailableRequests < 0.999 || s.AvailableTokens < 1999.5 {
		t.Errorf("%.3f requests and %.1f tokens are available, with %+v; want all of them and the call cancelled",
			s.AvailableRequests, s.AvailableTokens, s.Counters)
	}
}

// A client with an https base URL does not fall back to plain HTTP.
func TestHTTPSToPlainHTTPServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(http.HandlerFunc(ok))
		defer server.Close()
		config := scarce
		config.Timeout = time.Minute
		config.APIKey, config.BaseURL, config.HTTPClient = secretKey, "https://127.0.0.1", server.Client()
		client := newClient(t, config)
		_, err := start(t.Context(), client)
		if !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("error is %v, want http.ErrSchemeMismatch", err)
		}
		wantNothingSent(t, client, err, 1)
		wantNoPermits(t, client)
	})
}

// If a transport fails without reporting that it sent nothing, the request may have been sent.
// The client charges the estimate of each such attempt.
func TestTransportWithoutTraceIsCharged(t *testing.T) {
	for name, failure := range map[string]error{
		"custom error":   errors.New("broken transport"),
		"unexpected EOF": io.ErrUnexpectedEOF,
	} {
		t.Run(name, func(t *testing.T) {
			transport := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, failure })
			runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(1))
				var broken *ratelimited.TransportError
				if !errors.As(err, &broken) || broken.Attempts != 2 || !errors.Is(err, failure) {
					t.Errorf("error is %v, want a TransportError of %v after 2 attempts", err, failure)
				}
				if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 2*(8+defaultResponseEstimate) {
					t.Errorf("%d tokens settled, want the estimate of both attempts", s.TokensSettled)
				}
			})
		})
	}
	// A transport that reports a failed dial has not sent the request.
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	})
	runWithTransport(t, scarce, transport, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		wantNothingSent(t, client, err, 4)
	})
}

// The limiter counts a request from the time when it is sent, not from the time when it waits for
// a connection. So the server does not receive two requests too close together.
func TestRequestsAreSpacedFromTheTimeTheyAreSent(t *testing.T) {
	const slowDial = 400 * time.Millisecond
	for name, test := range map[string]struct {
		config ratelimited.Config
		want   time.Duration // between the arrivals at the server
	}{
		"by default":   {ratelimited.Config{RequestsPerSecond: 1}, 1050 * time.Millisecond},
		"more jitter":  {ratelimited.Config{RequestsPerSecond: 1, Jitter: 200 * time.Millisecond}, 1200 * time.Millisecond},
		"bare buckets": {ratelimited.Config{RequestsPerSecond: 1, BareBuckets: true}, time.Second - slowDial},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var arrived []time.Time
				server := memnet.Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					arrived = append(arrived, time.Now())
					ok(w, r)
				}))
				defer server.Close()
				config := test.config
				config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
				transport := config.HTTPClient.Transport.(*http.Transport)
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					time.Sleep(slowDial)
					return dial(ctx, network, address)
				}
				client := newClient(t, config)
				begin := time.Now()
				for range 2 {
					if _, err := start(t.Context(), client); err != nil {
						t.Fatalf("Start: %v", err)
					}
				}
				if first, gap := arrived[0].Sub(begin), arrived[1].Sub(arrived[0]); first != slowDial || gap != test.want {
					t.Errorf("the first request arrived after %v and the second %v later, want %v and %v", first, gap, slowDial, test.want)
				}
				wantNoPermits(t, client)
			})
		})
	}
}

// If the response to a stream call has another media type and does not end, the timeout ends the call.
func TestEndlessResponseInsteadOfStream(t *testing.T) {
	config := small
	config.Timeout = 3 * time.Second
	endless := func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 200, `{"object":`)
		_ = http.NewResponseController(w).Flush() // the client sees an error if this fails
		noResponse(w, r)
	}
	runWithHandler(t, config, endless, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = openStream(t.Context(), client) })
		var api *ratelimited.APIError
		if !errors.As(err, &api) || api.StatusCode != 200 || string(api.Body) != `{"object":` || api.Err == nil {
			t.Errorf("error is %v, want an APIError with the received part of the body", err)
		}
		if took != config.Timeout {
			t.Errorf("the call took %v, want its timeout of %v", took, config.Timeout)
		}
		if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 508 {
			t.Errorf("%d tokens settled in %d calls, want the estimate of 508 in one call", s.TokensSettled, s.Settled)
		}
	})
}

// closeCounter is a body that counts the calls of Close.
type closeCounter struct {
	io.Reader
	closed *int
}

func (c closeCounter) Close() error { *c.closed++; return nil }

// If the header of a stream arrives just after the timeout, the attempt has failed. The client
// does not retry it.
func TestStreamHeaderJustAfterTheTimeout(t *testing.T) {
	requests, closed := 0, 0
	late := func(req *http.Request) (*http.Response, error) {
		requests++
		resp := newResponse(200, "text/event-stream", "")
		resp.Body = closeCounter{strings.NewReader(started + hello + done), &closed}
		<-req.Context().Done()
		return resp, nil
	}
	runWithTransport(t, fast, roundTripperFunc(late), func(t *testing.T, client *ratelimited.Client) {
		_, err := openStream(t.Context(), client)
		var transport *ratelimited.TransportError
		var broken *ratelimited.StreamError
		if !errors.As(err, &transport) || errors.As(err, &broken) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v (%T), want a TransportError of a timeout", err, err)
		}
		if s := snapshot(client); s.TokensSettled != 8+defaultResponseEstimate || requests != 1 || closed == 0 {
			t.Errorf("%d tokens settled after %d requests, body closed %d times; want one charged attempt and a closed body", s.TokensSettled, requests, closed)
		}
	})
}

// A call with an ended context or an invalid request fails at once. It does not wait for the
// limiter or take tokens.
func TestInvalidCallsFailAtOnce(t *testing.T) {
	reason := errors.New("the user left")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	var none context.Context
	plain := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}
	notEncodable := plain
	notEncodable.CompletionArgs.Temperature = ratelimited.Ptr(math.NaN())

	for name, test := range map[string]struct {
		ctx     context.Context
		request generated.StartConversationRequest
		check   func(err error) bool
	}{
		"context ended": {ended, plain, func(err error) bool {
			var wait *ratelimited.WaitError
			return errors.As(err, &wait) && wait.WaitDuration == 0 && errors.Is(err, context.Canceled) && errors.Is(err, reason)
		}},
		"no context": {none, plain, func(err error) bool {
			var request *ratelimited.RequestError
			return errors.As(err, &request) && request.Field == "ctx"
		}},
		"NaN": {t.Context(), notEncodable, func(err error) bool {
			var request *ratelimited.RequestError
			var value *json.UnsupportedValueError
			return errors.As(err, &request) && request.Field == "request" && errors.As(err, &value)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			config := ratelimited.Config{RequestsPerSecond: 0.001}
			runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				before := snapshot(client)
				var errs [2]error
				took := elapsed(func() {
					_, errs[0] = client.Beta.Conversations.Start(test.ctx, test.request)
					_, errs[1] = client.Beta.Conversations.StartStream(test.ctx, test.request)
				})
				for i, want := range []string{"Conversations.Start", "Conversations.StartStream"} {
					var packageError ratelimited.Error
					if !test.check(errs[i]) || !errors.As(errs[i], &packageError) || !strings.Contains(errs[i].Error(), want+":") {
						t.Errorf("%s: error is %v (%T)", want, errs[i], errs[i])
					}
				}
				if after := snapshot(client); took != 0 || requests != 1 || after.Counters != before.Counters {
					t.Errorf("after %v and %d requests, the counters are %+v, want %+v at once", took, requests, after.Counters, before.Counters)
				}
			})
		})
	}
}

// If the context of a call ends in the limiter's queue, the error contains the context's error and cause.
func TestContextEndsInTheQueue(t *testing.T) {
	reason := errors.New("the user left")
	for name, test := range map[string]struct {
		ctx  func(parent context.Context) (context.Context, context.CancelFunc)
		want []error
	}{
		"cancelled": {func(parent context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(parent)
			time.AfterFunc(300*time.Millisecond, cancel)
			return ctx, cancel
		}, []error{context.Canceled}},
		"cancelled with a cause": {func(parent context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(parent)
			time.AfterFunc(300*time.Millisecond, func() { cancel(reason) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, reason}},
		"deadline": {func(parent context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(parent, 300*time.Millisecond)
		}, []error{context.DeadlineExceeded}},
		"deadline with a cause": {func(parent context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(parent, 300*time.Millisecond, reason)
		}, []error{context.DeadlineExceeded, reason}},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, ratelimited.Config{RequestsPerSecond: 1}, ok, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				_, err := start(ctx, client)
				var wait *ratelimited.WaitError
				var packageError ratelimited.Error
				if !errors.As(err, &wait) || !errors.As(err, &packageError) {
					t.Fatalf("error is %v (%T), want a *WaitError", err, err)
				}
				if wait.Operation != "Conversations.Start" || wait.WaitDuration != 300*time.Millisecond || wait.Tokens == 0 {
					t.Errorf("error has %+v", *wait)
				}
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("error %v does not wrap %v", err, want)
					}
				}
				if s := snapshot(client); s.Admitted != 1 || s.Abandoned != 1 {
					t.Errorf("counters are %+v, want one call admitted and one abandoned", s.Counters)
				}
			})
		})
	}
}

// New works if the program has replaced http.DefaultTransport with a transport of another type.
func TestDefaultTransportOfAnotherType(t *testing.T) {
	shared := http.DefaultTransport
	defer func() { http.DefaultTransport = shared }()
	requests := 0
	http.DefaultTransport = roundTripperFunc(func(*http.Request) (*http.Response, error) {
		requests++
		return newResponse(200, "application/json", responseJSON("fine", 30)), nil
	})
	client := newClient(t, ratelimited.Config{APIKey: secretKey})
	if _, err := start(t.Context(), client); err != nil || requests != 1 {
		t.Errorf("%d requests through the replaced transport, error %v; want one", requests, err)
	}
	client.Close()
	wantNoPermits(t, client)
}
