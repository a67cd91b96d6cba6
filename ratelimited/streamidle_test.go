package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// resetAfter returns a handler that sends the beginning of a stream and then closes the connection.
func resetAfter(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streaming(head)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// stallAfter returns a handler that sends the beginning of a stream and then nothing.
func stallAfter(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streaming(head)(w, r)
		<-r.Context().Done()
	}
}

// The client retries a stream that fails before its first event, except after a timeout. It does not retry a
// stream after its first event.
func TestStreamIsRetriedUntilItsFirstEvent(t *testing.T) {
	for name, test := range map[string]struct {
		first   http.HandlerFunc
		retried bool
		events  int           // in the first attempt
		took    time.Duration // the duration of the first attempt
	}{
		"reset at once":          {resetAfter(""), true, 0, 0},
		"reset after a comment":  {resetAfter(": hello\n\n"), true, 0, 0},
		"reset within an event":  {resetAfter(started[:20]), true, 0, 0},
		"ended at once":          {streaming(""), true, 0, 0},
		"stalled at once":        {stallAfter(""), false, 0, time.Minute},
		"reset after an event":   {resetAfter(started), false, 1, 0},
		"stalled after an event": {stallAfter(started), false, 1, time.Minute},
		"ended after an event":   {streaming(started), false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			handler := handlersInOrder(test.first, streaming(started+hello+done))
			config := fast
			config.BaseDelay, config.MaxDelay = time.Second, time.Second
			runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; handler(w, r) }, func(t *testing.T, client *ratelimited.Client) {
				begin := time.Now()
				var events []sse.Event
				stream, err := openStream(t.Context(), client)
				if err == nil {
					events, err = collect(stream)
				}
				s := snapshot(client)
				if test.retried {
					// The server may have processed the failed attempt, so the client charges its estimate.
					if err != nil || len(events) != 3 || requests != 2 || s.TokensSettled != 8+defaultResponseEstimate+15 {
						t.Errorf("%d events after %d requests, %d tokens settled: %v", len(events), requests, s.TokensSettled, err)
					}
					if took := time.Since(begin); took != test.took+time.Second {
						t.Errorf("the call took %v, want %v", took, test.took+time.Second)
					}
					return
				}
				if took := time.Since(begin); took != test.took || requests != 1 {
					t.Errorf("%d requests in %v, want one in %v", requests, took, test.took)
				}
				if test.events == 0 {
					if !errors.As(err, new(*ratelimited.TransportError)) || !errors.Is(err, context.DeadlineExceeded) || s.TokensSettled != 8+defaultResponseEstimate {
						t.Errorf("%d tokens settled: %v, want the estimate, and a TransportError of a timeout", s.TokensSettled, err)
					}
					return
				}
				var broken *ratelimited.StreamError
				if !errors.As(err, &broken) || broken.Events != test.events || s.TokensSettled != 8 {
					t.Errorf("%d requests, %d tokens settled: %v, want a StreamError after one event", requests, s.TokensSettled, err)
				}
			})
		})
	}
}

// StreamIdleTimeout ends a stream without events.
func TestStreamIdleTimeout(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = 5 * time.Second
	runWithHandler(t, config, stallAfter(started+hello), func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
		if took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 2 events: no event arrived for 5s") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// The time that the caller spends on an event does not count toward StreamIdleTimeout.
func TestStreamIdleTimeoutExcludesTheCaller(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = 2500 * time.Millisecond
	handler := streaming(started + "~: a comment\n\n~" + hello + "~" + done)
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		events := 0
		for _, err := range startStream(t.Context(), t, client).Events() {
			if err != nil {
				t.Fatal(err)
			}
			events++
			time.Sleep(time.Minute)
		}
		if events != 3 {
			t.Errorf("%d events, want 3", events)
		}
	})
}

// Events yields each event before the server sends the next one.
func TestEventsAreNotBuffered(t *testing.T) {
	seen := make(chan int)
	handler := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			text := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":"%d"}`, i))
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			if got := <-seen; got != i {
				t.Errorf("the caller received event %d, want %d", got, i)
			}
		}
		_, _ = io.WriteString(w, done)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		i := 0
		for _, err := range startStream(t.Context(), t, client).Events() {
			if err != nil {
				t.Fatal(err)
			}
			if i < 20 {
				seen <- i
			}
			i++
		}
	})
}

// 1,000 concurrent streams end in all possible ways. Each must settle and release its permit.
func TestThousandStreams(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1e6, TokensPerMinute: 1e9, StreamIdleTimeout: time.Minute}
	endings := []http.HandlerFunc{
		streaming(started + hello + world + done),
		streaming(started + hello),
		streaming(started + frame("conversation.response.error", `{"type":"conversation.response.error","message":"no","code":500}`)),
		streaming(started + frame("message.output.delta", `not JSON`)),
		resetAfter(started + hello),
		stallAfter(started + hello),
		streaming(started + "~" + hello + "~" + world + "~" + done),
	}
	numbers := make(chan int, 1000)
	for i := range 1000 {
		numbers <- i
	}
	handler := func(w http.ResponseWriter, r *http.Request) { endings[<-numbers%len(endings)](w, r) }
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		inputs := make([]int, 1000)
		for i := range inputs {
			inputs[i] = i
		}
		results := ratelimited.Gather(t.Context(), inputs, func(ctx context.Context, input int) (int, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream := startStream(ctx, t, client)
			n := 0
			for _, err := range stream.Events() {
				if err != nil {
					return n, err
				}
				if n++; n < 2 {
					continue
				}
				switch input % 5 { // three of five callers leave the stream early
				case 0:
					return n, nil
				case 1:
					cancel()
				case 2:
					_ = stream.Close()
				}
			}
			return n, nil
		})
		succeeded := 0
		for _, result := range results {
			if result.Err == nil {
				succeeded++
			}
		}
		if s := snapshot(client); s.Settled != 1000 || s.InFlight != 0 || succeeded == 0 || succeeded == 1000 {
			t.Errorf("%d of 1,000 streams succeeded, counters are %+v; want 1,000 settled", succeeded, s.Counters)
		}
	})
}

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
