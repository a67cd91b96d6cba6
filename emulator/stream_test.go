package emulator_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// weather returns a function. The default model calls it if the prompt contains "weather".
func weather() generated.Tool {
	return generated.NewTool(generated.FunctionTool{Function: generated.Function{
		Name: "get_weather", Description: "Returns the weather of a city.",
		Parameters: map[string]any{
			"type":       "object",
			"properties": map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}},
			"required":   []string{"city", "days"},
		},
	}})
}

// startRequests returns start startRequests that lead to each kind of output.
func startRequests() map[string]generated.StartConversationRequest {
	text := textRequest("Repeat exactly: one  two\n\nthree, with <marks> & \u2028 and trailing space ")
	cut := textRequest("Count to 50")
	cut.CompletionArgs.MaxTokens = ptr(7)
	none := textRequest("Count to 50")
	none.CompletionArgs.MaxTokens = ptr(0)
	call := textRequest("What will the weather in Paris be for 3 days?")
	call.Tools = []generated.Tool{weather()}
	search := textRequest("Search the web for gophers")
	search.Tools = []generated.Tool{generated.NewTool(generated.WebSearchTool{})}
	return map[string]generated.StartConversationRequest{"text": text, "cut": cut, "none": none, "call": call, "search": search}
}

// joinDeltas assembles the outputs from the deltas of a stream.
func joinDeltas(t *testing.T, list []event) []generated.Entry {
	t.Helper()
	outputs := map[int]generated.EntryVariant{}
	texts := map[int]map[int]string{}
	for _, e := range list {
		switch v := e.Value().(type) {
		case generated.MessageOutputEvent:
			m, _ := outputs[v.OutputIndex].(generated.MessageOutputEntry)
			if texts[v.OutputIndex] == nil {
				texts[v.OutputIndex] = map[int]string{}
			}
			if text, ok := v.Content.PlainText(); ok {
				texts[v.OutputIndex][v.ContentIndex] += text
				chunk := generated.NewContentChunk(generated.TextChunk{Text: texts[v.OutputIndex][v.ContentIndex]})
				chunks := slices.Clone(m.Content.Chunks())
				m.Content = generated.NewChunkContent(append(chunks[:v.ContentIndex], chunk)...)
			} else {
				m.Content = generated.NewChunkContent(append(m.Content.Chunks(), v.Content.Chunks()...)...)
			}
			outputs[v.OutputIndex] = m
		case generated.FunctionCallEvent:
			call, _ := outputs[v.OutputIndex].(generated.FunctionCallEntry)
			if call.Name == "" && v.Arguments != "" {
				t.Errorf("arguments of the first event of a call are %q, want none", v.Arguments)
			}
			call.Name, call.Arguments = v.Name, call.Arguments+generated.FunctionCallEntryArguments(v.Arguments)
			outputs[v.OutputIndex] = call
		case generated.ToolExecutionStartedEvent:
			outputs[v.OutputIndex] = generated.ToolExecutionEntry{Name: v.Name, Arguments: v.Arguments}
		case generated.ToolExecutionDeltaEvent:
			run := outputs[v.OutputIndex].(generated.ToolExecutionEntry)
			run.Arguments += v.Arguments
			outputs[v.OutputIndex] = run
		case generated.ToolExecutionDoneEvent:
			run := outputs[v.OutputIndex].(generated.ToolExecutionEntry)
			run.Info = v.Info
			outputs[v.OutputIndex] = run
		}
	}
	entries := make([]generated.Entry, len(outputs))
	for i := range entries {
		entries[i] = generated.NewEntry(outputs[i])
	}
	return entries
}

// stableParts returns the parts of the outputs that do not change from call to call.
func stableParts(t *testing.T, outputs []generated.Entry) string {
	t.Helper()
	var list []any
	for _, output := range outputs {
		switch v := output.Value().(type) {
		case generated.MessageOutputEntry:
			list = append(list, v.Content.Chunks())
		case generated.FunctionCallEntry:
			list = append(list, []any{v.Name, v.Arguments})
		case generated.ToolExecutionEntry:
			list = append(list, []any{v.Name, v.Arguments, v.Info})
		default:
			t.Errorf("output is %T", v)
		}
	}
	return encoded(t, list)
}

func TestStreamEqualsResponse(t *testing.T) {
	t.Parallel()
	for name, request := range startRequests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Config{TokensPerMinute: 1_000_000})
			plain := read[generated.ConversationResponse](a.post("/v1/conversations", request))
			request.Stream = true
			streamed := a.post("/v1/conversations", request).want(http.StatusOK)
			if got := streamed.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
			list := events(t, streamed.body)
			started, ok := list[0].Value().(generated.ResponseStartedEvent)
			if !ok {
				t.Fatalf("first event is %s", list[0].name)
			}
			done, ok := list[len(list)-1].Value().(generated.ResponseDoneEvent)
			if !ok {
				t.Fatalf("last event is %s", list[len(list)-1].name)
			}
			if got, want := encoded(t, done.Usage), encoded(t, plain.Usage); got != want {
				t.Errorf("usage is %s, want %s as without streaming", got, want)
			}
			want := stableParts(t, plain.Outputs)
			if got := stableParts(t, joinDeltas(t, list)); got != want {
				t.Errorf("stream has %s, want %s as without streaming", got, want)
			}
			history := read[generated.ConversationHistory](a.do(http.MethodGet, "/v1/conversations/"+started.ConversationID+"/history", ""))
			if got := stableParts(t, history.Entries[1:]); got != want {
				t.Errorf("history has %s, want %s", got, want)
			}
		})
	}
}

// TestStreamAppendRestart covers the two other streaming operations.
func TestStreamAppendRestart(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	c := a.start("What is 1+1?")
	path := "/v1/conversations/" + c.ConversationID
	appended := events(t, a.post(path, generated.AppendConversationRequest{
		Inputs: generated.NewTextInputs("Add 5"), Stream: true,
	}).body)
	if got := textOf(joinDeltas(t, appended)); got != "7" {
		t.Errorf("append streamed %q, want 7", got)
	}
	restarted := events(t, a.post(path+"/restart", generated.RestartConversationRequest{
		FromEntryID: c.Outputs[0].Value().(generated.MessageOutputEntry).ID,
		Inputs:      generated.NewTextInputs("Add 9"), Stream: true,
	}).body)
	if got := textOf(joinDeltas(t, restarted)); got != "11" {
		t.Errorf("restart streamed %q, want 11", got)
	}
	want := map[string]int{"StartConversation": 1, "AppendConversationStream": 1, "RestartConversationStream": 1}
	if got := a.Stats().Operations; encoded(t, got) != encoded(t, want) {
		t.Errorf("operations are %v, want %v", got, want)
	}
}

func TestStreamOfHandoffAndError(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: func(context.Context, emulator.Prompt) emulator.Reply {
		return emulator.Reply{
			Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{
				PreviousAgentID: "ag_1", PreviousAgentName: "one", NextAgentID: "ag_2", NextAgentName: "two",
			})},
			Text: "So far", Err: errors.New("and no further"),
		}
	}})
	request := textRequest("Go")
	a.post("/v1/conversations", request).want(http.StatusInternalServerError)
	request.Stream = true
	var names []string
	for _, e := range events(t, a.post("/v1/conversations", request).want(http.StatusOK).body) {
		names = append(names, e.name)
	}
	want := "conversation.response.started agent.handoff.started agent.handoff.done message.output.delta message.output.delta conversation.response.error"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("events are %s, want %s", got, want)
	}
}

// TestEventsAreFlushed reads each event before the emulator sends the next.
func TestEventsAreFlushed(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	a := start(t, emulator.Config{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&stepper{ResponseWriter: w, more: more}, r)
	}})
	request := textRequest("Count to 3")
	request.Stream = true
	response, err := a.client.Do(newRequest(t, http.MethodPost, a.URL()+"/v1/conversations", encoded(t, request)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	count := 0
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if line == "\n" {
			count++
			more <- struct{}{}
		}
	}
	if count != 5 {
		t.Errorf("read %d events, want 5", count)
	}
}

// stepper is a ResponseWriter whose flush blocks until the reader has received the event.
type stepper struct {
	http.ResponseWriter
	more <-chan struct{}
}

func (s *stepper) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *stepper) FlushError() error {
	err := http.NewResponseController(s.ResponseWriter).Flush()
	<-s.more
	return err
}

// If the client disconnects before the response, the emulator does not charge the call or
// store the conversation.
func TestClientDisconnectsBeforeResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{TokenDelay: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		direct(ctx, e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Count to 5"}`)
		if got := time.Since(began); got != 1500*time.Millisecond {
			t.Errorf("call took %s, want 1.5 s", got)
		}
		if got := e.Stats().Models["m"].Tokens; got != 0 {
			t.Errorf("the limits charged %d tokens, want 0", got)
		}
		if list := direct(t.Context(), e, http.MethodGet, "/v1/conversations", "").Body.String(); list != "[]" {
			t.Errorf("conversations are %s, want none", list)
		}
	})
}

// If the client disconnects after 2 of 5 deltas, the emulator charges and stores these two.
func TestClientDisconnectsDuringStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{TokenDelay: time.Second, TokensPerMinute: 1000})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		w := direct(ctx, e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Count to 5","stream":true}`)
		if got := time.Since(began); got != 1500*time.Millisecond {
			t.Errorf("stream took %s, want 1.5 s", got)
		}
		list := events(t, w.Body.String())
		if len(list) != 3 {
			t.Fatalf("got %d events, want 3", len(list))
		}
		id := list[0].Value().(generated.ResponseStartedEvent).ConversationID
		history := direct(t.Context(), e, http.MethodGet, "/v1/conversations/"+id+"/history", "").Body.String()
		if !strings.Contains(history, `"content":"1 2"`) {
			t.Errorf("history is %s, want the two words that were sent", history)
		}
		prompt := 3 + 2 + 1 + 1 // an entry; count, to, 5
		if got, want := e.Stats().Models["m"].Tokens, prompt+2; got != want {
			t.Errorf("the limits charged %d tokens, want %d", got, want)
		}
	})
}
