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

// tripper is a transport that does not say what it does: it calls no trace.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// canned is a reply as a transport returns it.
func canned(code int, mediaType, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {mediaType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// overTransport runs a test in virtual time with a client that uses transport. It
// fails when a permit is left over.
func overTransport(t *testing.T, config ratelimited.Config, transport http.RoundTripper, test func(t *testing.T, client *ratelimited.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config.APIKey, config.HTTPClient = secretKey, &http.Client{Transport: transport}
		client := newClient(t, config)
		defer client.Close()
		test(t, client)
		synctest.Wait()
		wantNoPermits(t, client)
	})
}

// scarce is a limit in which a request that is not given back shows: the next one
// comes a quarter of an hour later.
var scarce = ratelimited.Config{
	RequestsPerSecond: 0.001, TokensPerMinute: 2000,
	BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Timeout: time.Millisecond,
}

// The timeout of one attempt ends that attempt, and not the one after it.
func TestLateTimeoutSparesTheNextAttempt(t *testing.T) {
	config := fast
	config.Timeout, config.BaseDelay, config.MaxDelay = time.Millisecond, time.Millisecond, time.Millisecond
	for name, first := range map[string]time.Duration{
		"before its timeout":       config.Timeout - time.Nanosecond,
		"just when the time is up": config.Timeout,
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			transport := tripper(func(req *http.Request) (*http.Response, error) {
				if requests++; requests%2 == 1 {
					time.Sleep(first)
					return canned(503, "text/plain", "busy"), nil
				}
				select {
				case <-time.After(config.Timeout - time.Nanosecond):
					return canned(200, "application/json", reply("fine", 30)), nil
				case <-req.Context().Done():
					return nil, context.Cause(req.Context())
				}
			})
			overTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
				for range 20 { // each takes a retry
					if _, err := start(t.Context(), client, ratelimited.WithMaxRetries(1)); err != nil {
						t.Fatalf("the second attempt, which keeps to its time: %v", err)
					}
				}
				if requests != 40 {
					t.Errorf("%d requests for 20 calls, want two each", requests)
				}
			})
		})
	}
}

// The same with a real clock, for the race detector: the timer fires while the
// next attempt is being made.
func TestTimeoutRacesWithTheNextAttempt(t *testing.T) {
	config := fast
	config.APIKey = secretKey
	config.Timeout, config.BaseDelay, config.MaxDelay = time.Millisecond, time.Millisecond, time.Millisecond
	requests := 0
	config.HTTPClient = &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		if requests++; requests%2 == 0 {
			return canned(200, "application/json", reply("fine", 30)), nil
		}
		for begin := time.Now(); time.Since(begin) < config.Timeout; {
			continue // a sleep would wake too late
		}
		return canned(503, "text/plain", "busy"), nil
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

// Without a connection nothing was sent: tokens and requests of all attempts come
// back.
func TestNoConnectionCostsNothing(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, test := range map[string]struct {
		dial     func(ctx context.Context, network, address string) (net.Conn, error)
		give     time.Duration // the context's; 0 for no end
		attempts int
		cause    error
	}{
		"refused": {func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}, 0, 4, nil},
		"a dialer's own error": {func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no way there")
		}, 0, 4, nil},
		"no such host": {func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}
		}, 0, 1, nil},
		"hangs until the timeout": {hang, 0, 4, context.DeadlineExceeded},
		"the context ends":        {hang, 500 * time.Microsecond, 1, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{DialContext: test.dial}
			overTransport(t, scarce, transport, func(t *testing.T, client *ratelimited.Client) {
				ctx := t.Context()
				if test.give > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.give)
					defer cancel()
				}
				var err error
				took := elapsed(func() { _, err = start(ctx, client) })
				wantNothingSent(t, client, err, test.attempts)
				if test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("error %v does not wrap %v", err, test.cause)
				}
				if took > time.Second {
					t.Errorf("the call took %v: its attempts had to wait for requests", took)
				}
			})
		})
	}
}

func wantNothingSent(t *testing.T, client *ratelimited.Client, err error, attempts int) {
	t.Helper()
	var transport *ratelimited.TransportError
	if !errors.As(err, &transport) || transport.Attempts != attempts {
		t.Errorf("error is %v, want a TransportError after %d attempts", err, attempts)
	}
	if s := snapshot(client); s.Cancelled != 1 || s.Settled != 0 || s.AvailableRequests < 0.999 || s.AvailableTokens < 1999.5 {
		t.Errorf("%.3f requests and %.1f tokens are left, with %+v; want all of them and the call cancelled",
			s.AvailableRequests, s.AvailableTokens, s.Counters)
	}
}

// An https address of a server that speaks http stays one.
func TestPlainServerAtSecureAddress(t *testing.T) {
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

// Whoever does not say that nothing was sent may have sent it: each attempt stays
// charged.
func TestSilentTransportIsCharged(t *testing.T) {
	for name, failure := range map[string]error{
		"its own error": errors.New("something broke"),
		"a short reply": io.ErrUnexpectedEOF,
	} {
		t.Run(name, func(t *testing.T) {
			transport := tripper(func(*http.Request) (*http.Response, error) { return nil, failure })
			overTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(1))
				var broken *ratelimited.TransportError
				if !errors.As(err, &broken) || broken.Attempts != 2 || !errors.Is(err, failure) {
					t.Errorf("error is %v, want a TransportError of %v after 2 attempts", err, failure)
				}
				if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 2*(8+unknownReply) {
					t.Errorf("%d tokens settled, want the estimate of both attempts", s.TokensSettled)
				}
			})
		})
	}
	// One that fails to dial, and says so, has sent nothing.
	transport := tripper(func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	})
	overTransport(t, scarce, transport, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		wantNothingSent(t, client, err, 4)
	})
}

// A transport that panics with the request sent: the request stays spent and the
// permit is not lost.
func TestPanicAfterSendingIsNotForgotten(t *testing.T) {
	requests := 0
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }))
		defer server.Close()
		inner := server.Client().Transport
		config := scarce
		config.Timeout = time.Minute
		config.APIKey, config.BaseURL = secretKey, server.URL()
		config.HTTPClient = &http.Client{Transport: tripper(func(req *http.Request) (*http.Response, error) {
			resp, err := inner.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close() // all of it has been seen that is wanted
			}
			panic("broken transport")
		})}
		client := newClient(t, config)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = start(t.Context(), client)
		}()
		s := snapshot(client)
		if requests != 1 || s.Settled != 1 || s.Cancelled != 0 || s.AvailableRequests > 0.5 {
			t.Errorf("after %d requests %.1f are left, with %+v; want none left and the call settled", requests, s.AvailableRequests, s.Counters)
		}
		wantNoPermits(t, client)
	})
}

// A request that had to wait for its connection counts from when it left, so that
// the server never sees two of them too close together.
func TestPaceBeginsWhenTheRequestLeaves(t *testing.T) {
	const slowDial = 400 * time.Millisecond
	for name, test := range map[string]struct {
		config ratelimited.Config
		want   time.Duration // between the requests at the server
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
					t.Errorf("the first request came after %v and the second %v later, want %v and %v", first, gap, slowDial, test.want)
				}
				wantNoPermits(t, client)
			})
		})
	}
}

// A reply of another type that never ends does not hold up a call for a stream.
func TestEndlessReplyInsteadOfStream(t *testing.T) {
	config := small
	config.Timeout = 3 * time.Second
	endless := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, `{"object":`)
		_ = http.NewResponseController(w).Flush() // shows in what is read
		slow(w, r)
	}
	inBubble(t, config, endless, func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = openedStream(t.Context(), client) })
		var api *ratelimited.APIError
		if !errors.As(err, &api) || api.StatusCode != 200 || string(api.Body) != `{"object":` || api.Err == nil {
			t.Errorf("error is %v, want an APIError with what came of the body", err)
		}
		if took != config.Timeout {
			t.Errorf("the call took %v, want its timeout of %v", took, config.Timeout)
		}
		if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 508 {
			t.Errorf("%d tokens settled in %d calls, want the estimate in one", s.TokensSettled, s.Settled)
		}
	})
}

func openedStream(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) (*ratelimited.Stream, error) {
	return client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...)
}

// closing is a body that notes that it was closed.
type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

// The headers of a stream come when the time is just up: that attempt is over, and
// the model is not asked again.
func TestStreamHeadersJustTooLate(t *testing.T) {
	requests, closed := 0, 0
	late := func(req *http.Request) (*http.Response, error) {
		requests++
		resp := canned(200, "text/event-stream", "")
		resp.Body = closing{strings.NewReader(started + hello + done), &closed}
		<-req.Context().Done()
		return resp, nil
	}
	overTransport(t, fast, tripper(late), func(t *testing.T, client *ratelimited.Client) {
		_, err := openedStream(t.Context(), client)
		var transport *ratelimited.TransportError
		var broken *ratelimited.StreamError
		if !errors.As(err, &transport) || errors.As(err, &broken) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v (%T), want a TransportError of a timeout", err, err)
		}
		if s := snapshot(client); s.TokensSettled != 8+unknownReply || requests != 1 || closed == 0 {
			t.Errorf("%d tokens settled after %d requests, %d bodies closed; want those of one attempt", s.TokensSettled, requests, closed)
		}
	})
}

// What is wrong before anything is sent is said at once, and takes nothing.
func TestNothingIsWaitedForInVain(t *testing.T) {
	reason := errors.New("the user left")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	var none context.Context
	plain := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}
	odd := plain
	odd.CompletionArgs.Temperature = ratelimited.Ptr(math.NaN())

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
		"not a number": {t.Context(), odd, func(err error) bool {
			var request *ratelimited.RequestError
			var value *json.UnsupportedValueError
			return errors.As(err, &request) && request.Field == "request" && errors.As(err, &value)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			config := ratelimited.Config{RequestsPerSecond: 0.001}
			inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
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
					var ours ratelimited.Error
					if !test.check(errs[i]) || !errors.As(errs[i], &ours) || !strings.Contains(errs[i].Error(), want+":") {
						t.Errorf("%s: error is %v (%T)", want, errs[i], errs[i])
					}
				}
				if after := snapshot(client); took != 0 || requests != 1 || after.Counters != before.Counters {
					t.Errorf("after %v and %d requests: %+v, want %+v at once", took, requests, after.Counters, before.Counters)
				}
			})
		})
	}
}

// A context that ends in the limiter's queue.
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
		"cancelled for a reason": {func(parent context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(parent)
			time.AfterFunc(300*time.Millisecond, func() { cancel(reason) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, reason}},
		"deadline": {func(parent context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(parent, 300*time.Millisecond)
		}, []error{context.DeadlineExceeded}},
		"deadline with a reason": {func(parent context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(parent, 300*time.Millisecond, reason)
		}, []error{context.DeadlineExceeded, reason}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, ratelimited.Config{RequestsPerSecond: 1}, ok, func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				_, err := start(ctx, client)
				var wait *ratelimited.WaitError
				var ours ratelimited.Error
				if !errors.As(err, &wait) || !errors.As(err, &ours) {
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
					t.Errorf("books: %+v, want one wait given up", s.Counters)
				}
			})
		})
	}
}

// A program may have put a transport of its own in the place of net/http's.
func TestDefaultTransportOfAnotherKind(t *testing.T) {
	shared := http.DefaultTransport
	defer func() { http.DefaultTransport = shared }()
	requests := 0
	http.DefaultTransport = tripper(func(*http.Request) (*http.Response, error) {
		requests++
		return canned(200, "application/json", reply("fine", 30)), nil
	})
	client := newClient(t, ratelimited.Config{APIKey: secretKey})
	if _, err := start(t.Context(), client); err != nil || requests != 1 {
		t.Errorf("%d requests through it, error %v; want one", requests, err)
	}
	client.Close()
	wantNoPermits(t, client)
}
