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

// large is a limit that five streams of large estimates use up.
var large = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 500_000, BareBuckets: true}

// A stream whose context ends returns its permit by itself: read or not, closed or not.
func TestStreamsWhoseContextEnds(t *testing.T) {
	inBubble(t, large, silent(started+hello), func(t *testing.T, client *ratelimited.Client) {
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := openedStream(ctx, client, ratelimited.WithTokenEstimate(100_000))
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
			stream, err := openedStream(ctx, client, ratelimited.WithTokenEstimate(100_000))
			if err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
			gone := errors.New("the user has gone")
			cancel(gone)
			synctest.Wait()
			if s := snapshot(client); s.InFlight != 0 || s.HeldTokens != 0 {
				t.Fatalf("stream %d: %d permits with %d tokens are held", i, s.InFlight, s.HeldTokens)
			}
			var broken *ratelimited.StreamError
			if _, err := collect(stream); !errors.As(err, &broken) || !errors.Is(err, context.Canceled) || !errors.Is(err, gone) {
				t.Errorf("stream %d ends with %v, want the context's error", i, err)
			}
			_ = stream.Close()
			time.Sleep(time.Minute) // the tokens that counted as used are back
		}
	})
}

// The end of a stream by its context is told once, with the context's error.
func TestExpiredStreamIsToldOnce(t *testing.T) {
	var w witness
	config := large
	config.Observer = w.observe
	inBubble(t, config, silent(started+hello), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		stream, err := openedStream(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		_ = stream.Close()
		heard := w.heard(t)
		if strings.Count(heard, "settled") != 1 || !strings.HasSuffix(heard, "ended *ratelimited.StreamError 1 3s") {
			t.Errorf("heard %s", heard)
		}
		ended := w.calls[0][len(w.calls[0])-1].(ratelimited.Ended)
		if !errors.Is(ended.Err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", ended.Err)
		}
	})
}

// A stream that the program drops returns its permit when the garbage collector finds it,
// with a record at warn level.
func TestDroppedStream(t *testing.T) {
	t.Parallel()
	server := memnet.Start(checked(t, silent(started+hello)))
	defer server.Close()
	config := large
	log := make(chan string, 100)
	config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
	config.Logger = slog.New(slog.NewTextHandler(lines(log), nil))
	client := newClient(t, config)
	func() {
		stream := startStream(t.Context(), t, client)
		for _, err := range stream.Events() {
			if err != nil {
				t.Error(err)
			}
			runtime.GC() // it is in use
			if s := snapshot(client); s.InFlight != 1 {
				t.Errorf("%d streams in flight within the loop", s.InFlight)
			}
			break
		}
		startStream(t.Context(), t, client) // dropped at once
	}()
	for snapshot(client).InFlight > 0 {
		runtime.GC()
		runtime.Gosched()
	}
	if line := <-log; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "dropped without Close") || !strings.Contains(line, "Conversations.StartStream") {
		t.Errorf("the log has %s", line)
	}
	wantNoPermits(t, client)
}

// lines sends what is written to a channel.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// A body whose Close panics keeps no permit.
func TestBodyWhoseClosePanics(t *testing.T) {
	for name, test := range map[string]struct{ mediaType, body string }{
		"plain": {"application/json", reply("fine", 30)}, "stream": {"text/event-stream", started + hello + done}, "error": {"application/json", "{"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := func(*http.Request) (*http.Response, error) {
				r := canned(200, test.mediaType, test.body)
				r.Body = closePanics{r.Body}
				return r, nil
			}
			overTransport(t, fast, tripper(transport), func(t *testing.T, client *ratelimited.Client) {
				func() {
					defer func() { _ = recover() }()
					_ = callOrStream(t.Context(), client, "Hello!", name == "stream")
				}()
				if s := snapshot(client); s.InFlight != 0 || s.HeldTokens != 0 || s.Settled != 1 {
					t.Errorf("%d permits with %d tokens are held, %d are settled", s.InFlight, s.HeldTokens, s.Settled)
				}
			})
		})
	}
}

type closePanics struct{ io.Reader }

func (closePanics) Close() error { panic("Close") }

// Comments, blank lines, events without data and [DONE] are not events: StartStream returns
// within its timeout, and a stream ends when it is idle.
func TestWhatIsNotAnEvent(t *testing.T) {
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
			inBubble(t, config, endless(""), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = openedStream(t.Context(), client) })
				if took != 300*time.Millisecond || !errors.As(err, new(*ratelimited.TransportError)) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %v: %v", took, err)
				}
			})
			inBubble(t, config, endless(started), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
				if took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// However long StreamIdleTimeout is, ten minutes without any bytes end a stream.
func TestTenMinutesOfSilence(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = time.Hour
	inBubble(t, config, silent(started), func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
		if took != 10*time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// An event whose bytes come slowly is waited for, with any line ends: also the first.
func TestSlowEvents(t *testing.T) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(started+hello+done, "\n", end)
			slow := func(w http.ResponseWriter, r *http.Request) {
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
			inBubble(t, config, slow, func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if events, err := collect(stream); err != nil || len(events) != 3 {
					t.Errorf("%d events, %v", len(events), err)
				}
			})
		})
	}
}
