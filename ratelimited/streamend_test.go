package ratelimited_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A stream that the caller leaves is over, though the next events have arrived
// already and a second loop asks for them.
func TestStreamIsOverWhenLeft(t *testing.T) {
	const (
		carryOn = iota
		breakOff
		closeIt
	)
	for name, test := range map[string]struct {
		after   int // events
		how     int
		first   string // the error of the first loop
		second  string // of the loop after it
		settled int64
	}{
		"closed inside the loop": {2, closeIt, "no further events, after 2 events", "no further events, after 2 events", 8 + 1},
		"closed at once":         {1, closeIt, "no further events, after 1 events", "no further events, after 1 events", 8},
		"break":                  {2, breakOff, "", "no further events, after 2 events", 8 + 1},
		"break later":            {3, breakOff, "", "no further events, after 3 events", 8 + 2},
		"break on the last":      {4, breakOff, "", "", 15},
		"closed on the last":     {4, closeIt, "", "", 15},
		"read to the end":        {4, carryOn, "", "", 15},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, small, streaming(started+hello+world+done), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				events, end := 0, ""
				for _, err := range stream.Events() {
					if err != nil {
						end = err.Error()
						continue
					}
					events++
					if events == test.after && test.how == closeIt {
						if err := stream.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					}
					if events == test.after && test.how == breakOff {
						break
					}
				}
				if events != test.after || !endsAs(end, test.first) {
					t.Errorf("%d events and %q, want %d and %q", events, end, test.after, test.first)
				}
				text := stream.Text()
				for range 2 {
					more, err := collect(stream)
					end = ""
					if err != nil {
						end = err.Error()
					}
					if len(more) != 0 || !endsAs(end, test.second) {
						t.Errorf("another loop yields %d events and %q, want none and %q", len(more), end, test.second)
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

// endsAs reports whether an error is the one wanted; empty is none.
func endsAs(end, want string) bool {
	return (end == "") == (want == "") && strings.Contains(end, want)
}

func wantSettledOnce(t *testing.T, client *ratelimited.Client, stream *ratelimited.Stream, tokens int64) {
	t.Helper()
	s := snapshot(client)
	if s.Settled != 1 || s.TokensSettled != tokens {
		t.Errorf("settled %d times with %d tokens, want once with %d", s.Settled, s.TokensSettled, tokens)
	}
	if usage := stream.Usage(); usage != nil && int64(usage.TotalTokens) != s.TokensSettled {
		t.Errorf("Usage says %d tokens, and %d were settled", usage.TotalTokens, s.TokensSettled)
	}
}

// Who leaves at the last event keeps the connection.
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

// A stream left early counts the prompt and what came of the reply. An estimate of
// the caller's has both in it, so the larger of the two counts.
func TestStreamLeftEarlySettlesWhatCame(t *testing.T) {
	thought := func(content string) string {
		return frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content":`+content+`}`)
	}
	const thinking = `{"type":"thinking","thinking":[{"type":"text","text":"Hello"},{"type":"text","text":" world"}]}`
	for name, test := range map[string]struct {
		events   []string
		estimate int // 0 for the client's own
		want     int64
	}{
		"nothing but the start":            {[]string{started}, 0, 8},
		"text":                             {[]string{started, hello, world}, 0, 8 + 2},
		"thoughts":                         {[]string{started, thought(thinking)}, 0, 8 + 2},
		"thoughts in a list":               {[]string{started, thought(`[` + thinking + `,{"type":"text","text":"Hello"}]`)}, 0, 8 + 2 + 1},
		"a function call":                  {[]string{started, frame("function.call.delta", `{"id":"f","name":"f","tool_call_id":"t","arguments":"Hello"}`)}, 0, 8 + 1},
		"more was estimated":               {[]string{started, hello}, 1200, 1200},
		"less was estimated":               {[]string{started, hello, world}, 1, 2},
		"less was estimated than thoughts": {[]string{started, thought(thinking)}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, small, streaming(strings.Join(test.events, "")+"~"+done), func(t *testing.T, client *ratelimited.Client) {
				var options []ratelimited.CallOption
				if test.estimate > 0 {
					options = append(options, ratelimited.WithTokenEstimate(test.estimate))
				}
				stream, err := openedStream(t.Context(), client, options...)
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
					t.Errorf("usage is %+v, which no event has reported", stream.Usage())
				}
				wantSettledOnce(t, client, stream, test.want)
			})
		})
	}
}

// The history of a conversation counts in its next call, also if the stream that
// began it was left early.
func TestConversationLeftEarlyIsRemembered(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, FixedEstimates: true}
	for name, test := range map[string]struct {
		options []ratelimited.CallOption
		history int
	}{
		"as counted":   {nil, 8 + 1},
		"as estimated": {[]ratelimited.CallOption{ratelimited.WithTokenEstimate(1200)}, 1200},
	} {
		t.Run(name, func(t *testing.T) {
			var o observer
			inBubble(t, config, o.watch(streaming(started+hello+"~"+done), ok), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				stream, err := openedStream(t.Context(), client, test.options...)
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range stream.Events() {
					if err != nil || stream.Text() != "" {
						break
					}
				}
				_, err = client.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
				if err != nil || o.byName[""] != test.history+508 {
					t.Errorf("the next call holds %d tokens (%v), want %d of history and 508", o.byName[""], err, test.history)
				}
			})
		})
	}
}

// A last event of another form is the last all the same.
func TestLastEventWithoutUsage(t *testing.T) {
	for name, data := range map[string]string{
		"a text":     `{"type":"conversation.response.done","usage":"15"}`,
		"a list":     `{"type":"conversation.response.done","usage":[15]}`,
		"texts":      `{"type":"conversation.response.done","usage":{"total_tokens":"many"}}`,
		"not at all": `{"type":"conversation.response.done","usage":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			text := started + hello + frame("conversation.response.done", data) + world
			inBubble(t, small, streaming(text), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				for i := range 2 {
					events, err := collect(stream)
					if want := 3 * (1 - i); len(events) != want || err != nil {
						t.Errorf("loop %d: %d events and %v, want %d and no error", i, len(events), err, want)
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

// A usage that cannot be is taken for a mistake: the estimate stays, and nobody
// waits for it.
func TestAbsurdUsage(t *testing.T) {
	for name, usage := range map[string]string{
		"total":              `{"total_tokens":9223372036854775807}`,
		"nearly the largest": `{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9223372036854775000}`,
		"parts":              `{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807}`,
		"below nothing":      `{"prompt_tokens":-5,"completion_tokens":-9223372036854775808,"total_tokens":-1}`,
	} {
		for kind, handler := range map[string]http.HandlerFunc{
			"plain":  status(200, `{"conversation_id":"c","outputs":[],"usage":`+usage+`}`),
			"stream": streaming(started + frame("conversation.response.done", `{"type":"conversation.response.done","usage":`+usage+`}`)),
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				inBubble(t, small, handler, func(t *testing.T, client *ratelimited.Client) {
					took := elapsed(func() {
						for range 3 {
							if err := callOrStream(t.Context(), client, "Hello!", kind == "stream"); err != nil {
								t.Error(err)
							}
						}
					})
					if s := snapshot(client); took > time.Second || s.Settled != 3 || s.TokensSettled != 3*508 {
						t.Errorf("three calls took %v and settled %d tokens, want the estimates and no wait", took, s.TokensSettled)
					}
				})
			})
		}
	}
}

// What kind of failure a stream's end is: by the code of the API's event, or by
// whether the connection is to blame.
func TestKindsOfStreamErrors(t *testing.T) {
	event := func(code int) string {
		return started + frame("conversation.response.error", fmt.Sprintf(`{"type":"conversation.response.error","message":"slow down","code":%d}`, code))
	}
	kinds := []error{ratelimited.ErrRetryable, ratelimited.ErrRateLimited, ratelimited.ErrServer, ratelimited.ErrInvalid}
	for name, test := range map[string]struct {
		body string
		want string // of kinds, in their order
	}{
		"429":              {event(429), "true true false false"},
		"503":              {event(503), "true false true false"},
		"422":              {event(422), "false false false true"},
		"the end too soon": {started + hello, "true false false false"},
		"no event":         {started + "event: message.output.delta\ndata: [\n\n", "false false false false"},
	} {
		transport := tripper(func(*http.Request) (*http.Response, error) { return canned(200, "text/event-stream", test.body), nil })
		overTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
			stream, err := openedStream(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			for _, err = range stream.Events() {
				if err != nil {
					break
				}
			}
			var got []string
			for _, kind := range kinds {
				got = append(got, fmt.Sprint(errors.Is(err, kind)))
			}
			if strings.Join(got, " ") != test.want || !errors.As(err, new(*ratelimited.StreamError)) {
				t.Errorf("%s: %v is %s, want %s", name, err, got, test.want)
			}
		})
	}
}
