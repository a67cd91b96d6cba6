package ratelimited_test

import (
	"context"
	"errors"
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

// large is a configuration whose tokens five streams with estimates of 100,000 use up.
var large = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 500_000, BareBuckets: true}

// When the context of a stream ends, the client releases the permit, even if the stream is not read or closed.
func TestStreamsWhoseContextEnds(t *testing.T) {
	runWithHandler(t, large, stallAfter(started+hello), func(t *testing.T, client *ratelimited.Client) {
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := openStream(ctx, client, ratelimited.WithTokenEstimate(100_000))
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range stream.Events() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			cancel()
		}
		for i := range 5 {
			ctx, cancel := context.WithCancelCause(t.Context())
			stream, err := openStream(ctx, client, ratelimited.WithTokenEstimate(100_000))
			if err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
			cause := errors.New("the user left")
			cancel(cause)
			synctest.Wait()
			if s := snapshot(client); s.InFlight != 0 || s.HeldTokens != 0 {
				t.Fatalf("stream %d: %d permits with %d tokens are held, want 0", i, s.InFlight, s.HeldTokens)
			}
			var broken *ratelimited.StreamError
			if _, err := collect(stream); !errors.As(err, &broken) || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("stream %d ends with %v, want the context's error and cause", i, err)
			}
			_ = stream.Close()
			time.Sleep(time.Minute) // the token bucket refills
		}
	})
}

// When the context of a stream ends, the observer receives Settled and Ended once, with the context's error.
func TestObserverOfAnExpiredStream(t *testing.T) {
	var w eventRecorder
	config := large
	config.Observer = w.observe
	runWithHandler(t, config, stallAfter(started+hello), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		stream, err := openStream(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		_ = stream.Close()
		events := w.summary(t)
		if strings.Count(events, "settled") != 1 || !strings.HasSuffix(events, "ended *ratelimited.StreamError 1 3s") {
			t.Errorf("events are %s", events)
		}
		ended := w.calls[0][len(w.calls[0])-1].(ratelimited.Ended)
		if !errors.Is(ended.Err, context.DeadlineExceeded) {
			t.Errorf("the error of Ended is %v, want context.DeadlineExceeded", ended.Err)
		}
	})
}

// When the garbage collector finds an unreachable stream, the client releases its permit and logs a warning.
func TestDroppedStream(t *testing.T) {
	t.Parallel()
	server := memnet.Start(checked(t, stallAfter(started+hello)))
	defer server.Close()
	config := large
	log := make(chan string, 100)
	config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
	config.Logger = slog.New(slog.NewTextHandler(channelWriter(log), nil))
	client := newClient(t, config)
	func() {
		stream := startStream(t.Context(), t, client)
		for _, err := range stream.Events() {
			if err != nil {
				t.Error(err)
			}
			runtime.GC() // the stream is still in use
			if s := snapshot(client); s.InFlight != 1 {
				t.Errorf("%d streams in flight within the loop, want 1", s.InFlight)
			}
			break
		}
		startStream(t.Context(), t, client) // unreachable at once
	}()
	for snapshot(client).InFlight > 0 {
		runtime.GC()
		runtime.Gosched()
	}
	if line := <-log; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "dropped without Close") || !strings.Contains(line, "Conversations.StartStream") {
		t.Errorf("the log contains %s", line)
	}
	wantNoPermits(t, client)
}

// channelWriter is a writer that sends each write to a channel.
type channelWriter chan string

func (c channelWriter) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
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

// Comments, blank lines, events without data, and [DONE] do not count as events. They extend neither the timeout of
// StartStream nor StreamIdleTimeout.
func TestNonEventsDoNotExtendTimeouts(t *testing.T) {
	for name, noise := range map[string]string{
		"comments": ": ping\n", "blank lines": "\n", "an event without data": "event: ping\n\n", "empty data": "data:\n\n", "done": "data: [DONE]\n\n", "an id": "id: 7\n\n", "a retry": "retry: 1\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			endless := func(head string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					streaming(head)(w, r)
					for r.Context().Err() == nil {
						_, _ = io.WriteString(w, noise)
						_ = http.NewResponseController(w).Flush()
						select {
						case <-time.After(50 * time.Millisecond):
						case <-r.Context().Done():
						}
					}
				}
			}
			config := fast
			config.Timeout, config.StreamIdleTimeout = 300*time.Millisecond, 5*time.Second
			runWithHandler(t, config, endless(""), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = openStream(t.Context(), client) })
				if took != 300*time.Millisecond || !errors.As(err, new(*ratelimited.TransportError)) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %v: %v, want a TransportError of a timeout after 300 ms", took, err)
				}
			})
			runWithHandler(t, config, endless(started), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
				if took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %v: %v, want context.DeadlineExceeded after 5 s", took, err)
				}
			})
		})
	}
}

// A stream ends after 10 minutes without any bytes, even if StreamIdleTimeout is longer.
func TestMaximumIdleTimeOfStreams(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = time.Hour
	runWithHandler(t, config, stallAfter(started), func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
		if took != 10*time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v, want context.DeadlineExceeded after 10 minutes", took, err)
		}
	})
}

// The client waits for an event whose bytes arrive slowly, with any line ends. This includes the first event.
func TestSlowEvents(t *testing.T) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(started+hello+done, "\n", end)
			slowBytes := func(w http.ResponseWriter, r *http.Request) {
				streaming("")(w, r)
				for _, c := range []byte(text) {
					_, _ = w.Write([]byte{c})
					_ = http.NewResponseController(w).Flush()
					select {
					case <-time.After(4 * time.Second):
					case <-r.Context().Done():
					}
				}
			}
			config := fast
			config.StreamIdleTimeout, config.Timeout = 10*time.Second, 10*time.Second
			runWithHandler(t, config, slowBytes, func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if events, err := collect(stream); err != nil || len(events) != 3 {
					t.Errorf("%d events, error %v; want 3 events", len(events), err)
				}
			})
		})
	}
}
