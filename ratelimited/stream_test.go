package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// frame returns an event of an event stream.
func frame(event, data string) string { return fmt.Sprintf("event: %s\ndata: %s\n\n", event, data) }

// These events form a stream with the text "Hello world" and a usage of 15 tokens.
var (
	started = frame("conversation.response.started", `{"type":"conversation.response.started","conversation_id":"conv_1"}`)
	hello   = frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content":"Hello"}`)
	world   = frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content":{"type":"text","text":" world"}}`)
	done    = frame("conversation.response.done", `{"type":"conversation.response.done","usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`)
)

// streaming returns a handler that sends text as an event stream. At each "~", the handler waits for 1 s.
func streaming(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, part := range strings.SplitAfter(text, "~") {
			_, _ = io.WriteString(w, strings.TrimSuffix(part, "~"))
			_ = http.NewResponseController(w).Flush()
			if strings.HasSuffix(part, "~") {
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		}
	}
}

// startStream starts a stream whose prompt counts as 8 tokens. The call must succeed.
func startStream(ctx context.Context, t *testing.T, client *ratelimited.Client) *ratelimited.Stream {
	t.Helper()
	stream, err := client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")})
	if err != nil {
		t.Fatalf("StartStream: %v", err)
	}
	return stream
}

// collect reads a stream to its end.
func collect(stream *ratelimited.Stream) (events []sse.Event, err error) {
	for event, e := range stream.Events() {
		if e != nil {
			return events, e
		}
		events = append(events, event)
	}
	return events, nil
}

// The client reads all events of a stream, ignores comments and empty events, and settles the reported usage.
func TestStream(t *testing.T) {
	var accept, body string
	record := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		accept, body = r.Header.Get("Accept"), string(b)
		unknown := frame("hologram", `{"type":"hologram","x":1}`)
		streaming(": hello\n\n"+started+hello+unknown+"data\n\n"+world+done+"data: [DONE]\n\n")(w, r)
	}
	runWithHandler(t, small, record, func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		events, err := collect(stream)
		if err != nil || len(events) != 5 {
			t.Fatalf("%d events, error %v; want 5 events", len(events), err)
		}
		if e, ok := events[0].(generated.ResponseStartedEvent); !ok || e.ConversationID != "conv_1" {
			t.Errorf("the first event is %#v", events[0])
		}
		if e, ok := events[2].(generated.UnknownStreamEvent); !ok || e.Type != "hologram" || string(e.Raw) != `{"type":"hologram","x":1}` {
			t.Errorf("the event of an unknown type is %#v", events[2])
		}
		if stream.ConversationID() != "conv_1" || stream.Text() != "Hello world" || stream.Usage() == nil || stream.Usage().TotalTokens != 15 {
			t.Errorf("conversation %q, text %q, usage %v", stream.ConversationID(), stream.Text(), stream.Usage())
		}
		if accept != "text/event-stream" || !strings.Contains(body, `"stream":true`) {
			t.Errorf("the request has the Accept field %q and the body %s", accept, body)
		}
		wantTokens(t, client, 2000-15)
		if events, err := collect(stream); len(events) != 0 || err != nil {
			t.Errorf("a second loop yields %d events and %v, want 0 and no error", len(events), err)
		}
	})
}

// Events yields each event as soon as it arrives.
func TestEventsAreYieldedAtOnce(t *testing.T) {
	runWithHandler(t, fast, streaming(started+"~"+hello+"~"+world+"~"+done), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		stream := startStream(t.Context(), t, client)
		at := time.Duration(0)
		for _, err := range stream.Events() {
			if err != nil || time.Since(begin) != at {
				t.Errorf("Events yields an event after %v (%v), want %v", time.Since(begin), err, at)
			}
			at += time.Second
		}
	})
}

// For each way in which a stream can end, it settles once and returns the right error.
func TestStreamEndings(t *testing.T) {
	const received = 9 // 8 tokens of the prompt, and 1 of "Hello"
	for name, test := range map[string]struct {
		text  string
		stop  func(t *testing.T, cancel context.CancelFunc, stream *ratelimited.Stream, events int) bool
		want  string // part of the error; "" for success
		cause error
		left  float64 // available tokens of 2000
	}{
		"done":            {text: started + hello + done, left: 2000 - 15},
		"end of the body": {text: started + hello, want: "the stream ended before its last event, after 2 events", cause: io.ErrUnexpectedEOF, left: 2000 - received},
		"half a frame":    {text: started + hello + "event: message.output.delta\ndata: {", want: "the stream ended before its last event, after 2 events", cause: io.ErrUnexpectedEOF, left: 2000 - received},
		"error event": {text: started + hello + frame("conversation.response.error", `{"type":"conversation.response.error","message":"overloaded","code":3500}`),
			want: "mistral: stream: overloaded (code 3500), after 2 events", left: 2000 - received},
		"invalid error event": {text: started + hello + frame("conversation.response.error", `{"message":"overloaded","code":"x"}`),
			want: "mistral: stream: overloaded, after 2 events", left: 2000 - received},
		"not JSON": {text: started + hello + frame("message.output.delta", `{"content":`), want: "an event cannot be decoded, after 2 events: sse: event", left: 2000 - received},
		"end within a function call": {text: started + frame("function.call.delta", `{"id":"f","name":"f","tool_call_id":"t","arguments":"Hello"}`),
			want: "the stream ended before its last event", left: 2000 - received},
		"break": {text: started + hello + "~" + done, left: 2000 - received,
			stop: func(_ *testing.T, _ context.CancelFunc, _ *ratelimited.Stream, events int) bool { return events == 2 }},
		"close": {text: started + hello + "~" + done, left: 2000 - received, want: "no further events, after 2 events",
			stop: func(t *testing.T, _ context.CancelFunc, stream *ratelimited.Stream, events int) bool {
				if events == 2 {
					if err := stream.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				return false
			}},
		"cancel": {text: started + hello + "~" + done, left: 2000 - received, want: "the call's context ended, after 2 events: context canceled", cause: context.Canceled,
			stop: func(_ *testing.T, cancel context.CancelFunc, _ *ratelimited.Stream, events int) bool {
				if events == 2 {
					cancel()
				}
				return false
			}},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, streaming(test.text), func(t *testing.T, client *ratelimited.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream := startStream(ctx, t, client)
				var got error
				events := 0
				for _, err := range stream.Events() {
					if err != nil {
						got = err
						break
					}
					if events++; test.stop != nil && test.stop(t, cancel, stream, events) {
						break
					}
				}
				if got == nil && test.want != "" || got != nil && (test.want == "" || !strings.Contains(got.Error(), test.want)) {
					t.Errorf("error is %v, want %q", got, test.want)
				}
				if test.cause != nil && !errors.Is(got, test.cause) {
					t.Errorf("error %v does not wrap %v", got, test.cause)
				}
				var streamError *ratelimited.StreamError
				if got != nil && !errors.As(got, &streamError) {
					t.Errorf("error is %T, want *StreamError", got)
				}
				if err := stream.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				synctest.Wait() // after a cancellation, a goroutine settles the stream, and Close does not wait for it
				wantTokens(t, client, test.left)
				if s := snapshot(client); s.Settled != 1 {
					t.Errorf("settled %d times, want once", s.Settled)
				}
			})
		})
	}
}

// If the connection of a stream breaks, the stream returns a StreamError and settles the received tokens.
func TestStreamConnectionBreaks(t *testing.T) {
	closeConnection := func(w http.ResponseWriter, r *http.Request) {
		streaming(started+hello)(w, r)
		panic(http.ErrAbortHandler)
	}
	runWithHandler(t, small, closeConnection, func(t *testing.T, client *ratelimited.Client) {
		events, err := collect(startStream(t.Context(), t, client))
		var broken *ratelimited.StreamError
		if !errors.As(err, &broken) || broken.Events != 2 || len(events) != 2 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d events: %v, want a StreamError after 2", len(events), err)
		}
		wantTokens(t, client, 2000-9)
	})
}

// If another goroutine closes a stream while the loop waits for an event, the loop ends with an error.
func TestStreamClosedByAnotherGoroutine(t *testing.T) {
	runWithHandler(t, small, streaming(started+"~~~"+done), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		ended := ratelimited.Async(func() ([]sse.Event, error) { return collect(stream) })
		synctest.Wait()
		if err := stream.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		events, err := ended.Await(t.Context())
		if len(events) != 1 || err == nil || !strings.Contains(err.Error(), "no further events, after 1 events") {
			t.Errorf("%d events and %v, want 1 event and the error of a closed stream", len(events), err)
		}
	})
}

// A stream that is closed without being read settles the tokens of its prompt.
func TestStreamNeverRead(t *testing.T) {
	runWithHandler(t, small, streaming(started+hello+"~"+done), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		if err := stream.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantTokens(t, client, 2000-8)
	})
}

// If the response to a stream call is not an event stream, the call returns an APIError.
func TestStreamOfAnotherMediaType(t *testing.T) {
	runWithHandler(t, small, status(200, `{"object":"conversation.response"}`), func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.StartStream(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")})
		var api *ratelimited.APIError
		if !errors.As(err, &api) || !strings.Contains(err.Error(), `the response has the media type "application/json" instead of text/event-stream: the response begins "{\"object\"`) {
			t.Errorf("error is %v", err)
		}
	})
}

// The client reuses the connection of a stream that was read to its end.
func TestStreamConnectionIsReused(t *testing.T) {
	dials := 0
	synctest.Test(t, func(t *testing.T) {
		server := newCountingServer(streaming(started+hello+done), &dials)
		defer server.Close()
		config := fast
		config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.client
		client := newClient(t, config)
		for range 3 {
			if _, err := collect(startStream(t.Context(), t, client)); err != nil {
				t.Error(err)
			}
		}
		client.Close()
		synctest.Wait()
	})
	if dials != 1 {
		t.Errorf("three streams opened %d connections, want 1", dials)
	}
}

// Config.Timeout limits the wait for the first event of a stream, not the duration of the stream.
func TestStreamTimeout(t *testing.T) {
	config := fast
	config.Timeout = 2 * time.Second
	runWithHandler(t, config, handlersInOrder(streaming(started+"~~~~~"+hello+done), noResponse), func(t *testing.T, client *ratelimited.Client) {
		if _, err := collect(startStream(t.Context(), t, client)); err != nil {
			t.Errorf("a stream of 5 s with a timeout of 2 s returns %v", err)
		}
		_, err := client.Beta.Conversations.StartStream(t.Context(), generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text("Hello!"),
		}, ratelimited.WithMaxRetries(0))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a response, the call returns %v, want context.DeadlineExceeded", err)
		}
	})
}

// The client retries a stream call after a 429.
func TestStreamIsRetriedAfterRateLimit(t *testing.T) {
	runWithHandler(t, fast, handlersInOrder(status(429, rateLimitBody, "Retry-After", "3"), streaming(started+hello+done)), func(t *testing.T, client *ratelimited.Client) {
		took := elapsed(func() {
			if events, err := collect(startStream(t.Context(), t, client)); err != nil || len(events) != 3 {
				t.Errorf("%d events, %v", len(events), err)
			}
		})
		if took != 3*time.Second {
			t.Errorf("the call took %v, want 3 s", took)
		}
	})
}
