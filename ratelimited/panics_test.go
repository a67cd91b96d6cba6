package ratelimited_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// If the transport panics, the request may have been sent, so the call is charged its estimate.
func TestPanicIsCharged(t *testing.T) {
	transport := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		panic("broken transport")
	})
	runWithTransport(t, small, transport, func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client)
		}()
		if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 508 {
			t.Errorf("%d tokens settled in %d calls, want the estimate of 508 in one call", s.TokensSettled, s.Settled)
		}
	})
}

// If the logger panics while a stream settles, the stream still closes its body.
func TestPanickingLoggerDoesNotLeaveTheBodyOpen(t *testing.T) {
	closed := 0
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
		resp := newResponse(200, "text/event-stream", "")
		resp.Body = closeCounter{strings.NewReader(started + hello + done), &closed}
		return resp, nil
	})
	config := fast
	config.Logger = slog.New(logFunc(func(r slog.Record) {
		if r.Message == "mistral: settled" {
			panic("broken logger")
		}
	}))
	runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		stream, err := openStream(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			for _, err := range stream.Events() {
				if err != nil {
					t.Error(err)
				}
				break
			}
		}()
		_ = stream.Close()
		if closed != 1 {
			t.Errorf("the body was closed %d times, want once", closed)
		}
	})
}

// logFunc is a [slog.Handler] that calls a function for each record.
type logFunc func(slog.Record)

func (logFunc) Enabled(context.Context, slog.Level) bool { return true }

func (f logFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }

func (f logFunc) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f logFunc) WithGroup(string) slog.Handler { return f }

// If the logger panics at any record of a call, the client releases the permit.
func TestPanickingLogger(t *testing.T) {
	unreachable := func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch }
	for name, test := range map[string]struct {
		records    []string // the log records of the call, in order
		stream     bool
		transports []roundTripperFunc
	}{
		"plain": {[]string{"acquired", "response", "retry", "no response", "retry", "response", "settled", "ended"}, false, []roundTripperFunc{
			response503, func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			func(*http.Request) (*http.Response, error) {
				return newResponse(200, "application/json", responseJSON("fine", 30)), nil
			},
		}},
		"stream": {[]string{"acquired", "response", "retry", "response", "settled", "ended"}, true, []roundTripperFunc{
			response503, func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", started+hello+done), nil
			},
		}},
		"truncated stream": {[]string{"acquired", "response", "settled", "ended"}, true, []roundTripperFunc{
			func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", started+hello), nil
			},
		}},
		"nothing sent": {[]string{"acquired", "no response", "cancelled", "ended"}, false, []roundTripperFunc{unreachable}},
	} {
		for i, record := range test.records {
			t.Run(fmt.Sprintf("%s/%d %s", name, i, record), func(t *testing.T) {
				config, next := fast, 0
				config.Logger = slog.New(logFunc(func(r slog.Record) {
					if r.Message != "mistral: "+record && next == i {
						t.Errorf("record %d is %q, want %q", next, r.Message, record)
					}
					if next++; next == i+1 {
						panic("broken logger")
					}
				}))
				runWithTransport(t, config, roundTrippersInOrder(test.transports...), func(t *testing.T, client *ratelimited.Client) {
					defer func() {
						if recover() == nil {
							t.Error("the panic was swallowed")
						}
						if n := snapshot(client).InFlight; n != 0 {
							t.Errorf("%d permits are held, want 0", n)
						}
					}()
					_ = callOrStream(t.Context(), client, "Hello!", test.stream) // it panics
				})
			})
		}
	}
}

// A logger can call methods of the stream whose settlement it logs.
func TestLoggerCallsMethodsOfTheStream(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		early bool // the caller leaves the loop after the second event
		want  string
	}{
		"done":  {started + hello + done, false, "conv_1 Hello true"},
		"early": {started + hello + done, true, "conv_1 Hello false"},
		"error": {started + hello, false, "conv_1 Hello false"},
	} {
		t.Run(name, func(t *testing.T) {
			var stream *ratelimited.Stream
			var logged string
			config := fast
			config.APIKey = secretKey
			config.HTTPClient = &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", test.body), nil
			})}
			config.Logger = slog.New(logFunc(func(r slog.Record) {
				if r.Message == "mistral: settled" {
					logged = fmt.Sprint(stream.ConversationID(), " ", stream.Text(), " ", stream.Usage() != nil)
				}
			}))
			client := newClient(t, config)
			ended := ratelimited.Async(func() (string, error) {
				var err error
				if stream, err = openStream(t.Context(), client); err != nil {
					return "", err
				}
				events := 0
				for _, err := range stream.Events() {
					if events++; err != nil || test.early && events == 2 {
						break
					}
				}
				return logged, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a deadlock would block the stream
			defer cancel()
			if got, err := ended.Await(ctx); got != test.want || err != nil {
				t.Errorf("the logger read %q (%v), want %q", got, err, test.want)
			}
			wantNoPermits(t, client)
		})
	}
}

// If the transport panics, the panic reaches the caller and the client releases the permit.
func TestPanicReleasesThePermit(t *testing.T) {
	config := small
	config.APIKey = secretKey
	config.HTTPClient = &http.Client{Transport: panickingTransport{}}
	client := newClient(t, config)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = start(t.Context(), client)
	}()
	wantNoPermits(t, client)
}

// panickingTransport is a transport that panics.
type panickingTransport struct{}

func (panickingTransport) RoundTrip(*http.Request) (*http.Response, error) { panic("broken transport") }

// If a transport panics after it has sent the request, the client charges the request and
// releases the permit.
func TestPanicAfterSendingIsCharged(t *testing.T) {
	requests := 0
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }))
		defer server.Close()
		inner := server.Client().Transport
		config := scarce
		config.Timeout = time.Minute
		config.APIKey, config.BaseURL = secretKey, server.URL()
		config.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := inner.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close() // the test does not need it
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
			t.Errorf("after %d requests, %.1f are available, with %+v; want 0 available and the call settled", requests, s.AvailableRequests, s.Counters)
		}
		wantNoPermits(t, client)
	})
}

// If Close of a body panics, the client still settles the call and releases the permit.
func TestBodyWhoseClosePanics(t *testing.T) {
	for name, test := range map[string]struct{ mediaType, body string }{
		"plain": {"application/json", responseJSON("fine", 30)}, "stream": {"text/event-stream", started + hello + done}, "error": {"application/json", "{"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := func(*http.Request) (*http.Response, error) {
				r := newResponse(200, test.mediaType, test.body)
				r.Body = panickingCloser{r.Body}
				return r, nil
			}
			runWithTransport(t, fast, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
				func() {
					defer func() { _ = recover() }()
					_ = callOrStream(t.Context(), client, "Hello!", name == "stream")
				}()
				if s := snapshot(client); s.InFlight != 0 || s.HeldTokens != 0 || s.Settled != 1 {
					t.Errorf("%d permits with %d tokens are held and %d settled, want 0 held and 1 settled", s.InFlight, s.HeldTokens, s.Settled)
				}
			})
		})
	}
}

// panickingCloser is a body whose Close panics.
type panickingCloser struct{ io.Reader }

func (panickingCloser) Close() error { panic("Close") }

// If the logger panics for an unreachable stream, the program continues and the client releases the permit.
func TestDroppedStreamWithPanickingLogger(t *testing.T) {
	t.Parallel()
	server := memnet.Start(checked(t, stallAfter(started+hello)))
	defer server.Close()
	config := large
	config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
	config.Logger = slog.New(slog.NewTextHandler(panickingWriter{}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	client := newClient(t, config)
	startStream(t.Context(), t, client)
	for snapshot(client).InFlight > 0 {
		runtime.GC()
		runtime.Gosched()
	}
	wantNoPermits(t, client)
}

// panickingWriter is a writer that panics.
type panickingWriter struct{}

func (panickingWriter) Write([]byte) (int, error) { panic("the logger panics") }
