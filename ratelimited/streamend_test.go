package ratelimited_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// After the caller has left a stream, a second loop does not yield events, even if they have arrived.
func TestStreamEndsWhenTheCallerLeaves(t *testing.T) {
	const (
		readOn = iota
		breakLoop
		closeStream
	)
	for name, test := range map[string]struct {
		after   int    // events
		action  int    // after these events
		first   string // part of the error of the first loop; "" for success
		second  string // part of the error of the second loop
		settled int64
	}{
		"closed inside the loop": {2, closeStream, "no further events, after 2 events", "no further events, after 2 events", 8 + 1},
		"closed at once":         {1, closeStream, "no further events, after 1 events", "no further events, after 1 events", 8},
		"break":                  {2, breakLoop, "", "no further events, after 2 events", 8 + 1},
		"break later":            {3, breakLoop, "", "no further events, after 3 events", 8 + 2},
		"break on the last":      {4, breakLoop, "", "", 15},
		"closed on the last":     {4, closeStream, "", "", 15},
		"read to the end":        {4, readOn, "", "", 15},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, streaming(started+hello+world+done), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				events, end := 0, ""
				for _, err := range stream.Events() {
					if err != nil {
						end = err.Error()
						continue
					}
					events++
					if events == test.after && test.action == closeStream {
						if err := stream.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					}
					if events == test.after && test.action == breakLoop {
						break
					}
				}
				if events != test.after || !matchesError(end, test.first) {
					t.Errorf("%d events and %q, want %d and %q", events, end, test.after, test.first)
				}
				text := stream.Text()
				for range 2 {
					more, err := collect(stream)
					end = ""
					if err != nil {
						end = err.Error()
					}
					if len(more) != 0 || !matchesError(end, test.second) {
						t.Errorf("another loop yields %d events and %q, want 0 and %q", len(more), end, test.second)
					}
				}
				if stream.Text() != text {
					t.Errorf("the text grew from %q to %q", text, stream.Text())
				}
				wantSettledOnce(t, client, stream, test.settled)
			})
		})
	}
}

// matchesError reports whether the text of an error contains want. An empty text means success.
func matchesError(end, want string) bool {
	return (end == "") == (want == "") && strings.Contains(end, want)
}

// wantSettledOnce checks that a stream settled once, and that its usage equals the settled tokens.
func wantSettledOnce(t *testing.T, client *ratelimited.Client, stream *ratelimited.Stream, tokens int64) {
	t.Helper()
	s := snapshot(client)
	if s.Settled != 1 || s.TokensSettled != tokens {
		t.Errorf("settled %d times with %d tokens, want once with %d", s.Settled, s.TokensSettled, tokens)
	}
	if usage := stream.Usage(); usage != nil && int64(usage.TotalTokens) != s.TokensSettled {
		t.Errorf("Usage returns %d tokens, but %d were settled", usage.TotalTokens, s.TokensSettled)
	}
}

// If the caller leaves the loop at the last event, the client reuses the connection.
func TestBreakAtTheLastEventKeepsTheConnection(t *testing.T) {
	dials := 0
	synctest.Test(t, func(t *testing.T) {
		server := newCountingServer(streaming(started+hello+done+"data: [DONE]\n\n"), &dials)
		defer server.Close()
		config := fast
		config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.client
		client := newClient(t, config)
		for range 10 {
			for event, err := range startStream(t.Context(), t, client).Events() {
				if err != nil {
					t.Fatal(err)
				}
				if _, last := event.(generated.ResponseDoneEvent); last {
					break
				}
			}
		}
		client.Close()
		synctest.Wait()
		wantNoPermits(t, client)
	})
	if dials != 1 {
		t.Errorf("ten streams opened %d connections, want 1", dials)
	}
}

// A stream that is left early settles the tokens of the prompt and of the received events. An estimate of the
// caller includes both, so the stream settles the larger of the estimate and the received tokens.
func TestStreamLeftEarlySettlesReceivedTokens(t *testing.T) {
	thought := func(content string) string {
		return frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content":`+content+`}`)
	}
	const thinking = `{"type":"thinking","thinking":[{"type":"text","text":"Hello"},{"type":"text","text":" world"}]}`
	for name, test := range map[string]struct {
		events   []string
		estimate int // 0 for the client's own
		want     int64
	}{
		"only the first event":         {[]string{started}, 0, 8},
		"text":                         {[]string{started, hello, world}, 0, 8 + 2},
		"thoughts":                     {[]string{started, thought(thinking)}, 0, 8 + 2},
		"thoughts in a list":           {[]string{started, thought(`[` + thinking + `,{"type":"text","text":"Hello"}]`)}, 0, 8 + 2 + 1},
		"a function call":              {[]string{started, frame("function.call.delta", `{"id":"f","name":"f","tool_call_id":"t","arguments":"Hello"}`)}, 0, 8 + 1},
		"higher estimate":              {[]string{started, hello}, 1200, 1200},
		"lower estimate":               {[]string{started, hello, world}, 1, 2},
		"lower estimate than thoughts": {[]string{started, thought(thinking)}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, streaming(strings.Join(test.events, "")+"~"+done), func(t *testing.T, client *ratelimited.Client) {
				var options []ratelimited.CallOption
				if test.estimate > 0 {
					options = append(options, ratelimited.WithTokenEstimate(test.estimate))
				}
				stream, err := openStream(t.Context(), client, options...)
				if err != nil {
					t.Fatal(err)
				}
				events := 0
				for _, err := range stream.Events() {
					if events++; err != nil || events == len(test.events) {
						break
					}
				}
				if stream.Usage() != nil {
					t.Errorf("usage is %+v, want nil before the last event", stream.Usage())
				}
				wantSettledOnce(t, client, stream, test.want)
			})
		})
	}
}

// The next call of a conversation includes the history in its estimate, even if the stream that started the
// conversation was left early.
func TestHistoryOfAStreamLeftEarly(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, FixedEstimates: true}
	for name, test := range map[string]struct {
		options []ratelimited.CallOption
		history int
	}{
		"as counted":   {nil, 8 + 1},
		"as estimated": {[]ratelimited.CallOption{ratelimited.WithTokenEstimate(1200)}, 1200},
	} {
		t.Run(name, func(t *testing.T) {
			var o heldTokens
			runWithHandler(t, config, o.record(streaming(started+hello+"~"+done), ok), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				stream, err := openStream(t.Context(), client, test.options...)
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range stream.Events() {
					if err != nil || stream.Text() != "" {
						break
					}
				}
				_, err = client.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
				if err != nil || o.byLimiter[""] != test.history+508 {
					t.Errorf("the next call holds %d tokens (%v), want %d for the history and 508", o.byLimiter[""], err, test.history)
				}
			})
		})
	}
}

// A done event with an invalid usage still ends the stream.
func TestLastEventWithoutUsage(t *testing.T) {
	for name, data := range map[string]string{
		"a string":              `{"type":"conversation.response.done","usage":"15"}`,
		"a list":                `{"type":"conversation.response.done","usage":[15]}`,
		"a string as the total": `{"type":"conversation.response.done","usage":{"total_tokens":"many"}}`,
		"a number":              `{"type":"conversation.response.done","usage":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			text := started + hello + frame("conversation.response.done", data) + world
			runWithHandler(t, small, streaming(text), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				for i := range 2 {
					events, err := collect(stream)
					if want := 3 * (1 - i); len(events) != want || err != nil {
						t.Errorf("loop %d yields %d events and %v, want %d and no error", i, len(events), err, want)
					}
				}
				if stream.Usage() != nil || stream.Text() != "Hello" {
					t.Errorf("usage %+v, text %q", stream.Usage(), stream.Text())
				}
				wantSettledOnce(t, client, stream, 8+1)
			})
		})
	}
}

// The client ignores an implausible usage. It settles the estimate, and later calls do not wait.
func TestImplausibleUsage(t *testing.T) {
	for name, usage := range map[string]string{
		"max int64":        `{"total_tokens":9223372036854775807}`,
		"nearly max int64": `{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9223372036854775000}`,
		"parts":            `{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807}`,
		"negative":         `{"prompt_tokens":-5,"completion_tokens":-9223372036854775808,"total_tokens":-1}`,
	} {
		for kind, handler := range map[string]http.HandlerFunc{
			"plain":  status(200, `{"conversation_id":"c","outputs":[],"usage":`+usage+`}`),
			"stream": streaming(started + frame("conversation.response.done", `{"type":"conversation.response.done","usage":`+usage+`}`)),
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				runWithHandler(t, small, handler, func(t *testing.T, client *ratelimited.Client) {
					took := elapsed(func() {
						for range 3 {
							if err := callOrStream(t.Context(), client, "Hello!", kind == "stream"); err != nil {
								t.Error(err)
							}
						}
					})
					if s := snapshot(client); took > time.Second || s.Settled != 3 || s.TokensSettled != 3*508 {
						t.Errorf("three calls took %v and settled %d tokens, want %d tokens and no wait", took, s.TokensSettled, 3*508)
					}
				})
			})
		}
	}
}

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
