package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// kinds returns the events of a run. Consecutive events of the API are combined.
func kinds(env *environment, run *runner.Run) (list []string, err error) {
	env.Helper()
	for event, err := range run.Events() {
		if err != nil {
			return list, err
		}
		name := ""
		switch e := event.Value.(type) {
		case runner.TurnStarted:
			name = "TurnStarted"
		case runner.TurnEnded:
			name = fmt.Sprintf("TurnEnded of %d outputs", len(e.Response.Outputs))
		case runner.ToolStarted:
			name = "ToolStarted " + e.ID
		case runner.ToolFinished:
			name = "ToolFinished " + e.ID + " " + string(e.Status)
		case runner.Finished:
			name = "Finished " + e.Result.OutputText()
		case generated.StreamEventVariant:
			name = "API"
		default:
			env.Errorf("event %T", e)
		}
		name = fmt.Sprintf("%d %s", event.Turn, name)
		if len(list) == 0 || list[len(list)-1] != name {
			list = append(list, name)
		}
	}
	return list, nil
}

func TestEvents(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("f#a", `{"ms":200}`, "f#b", `{"ms":100}`), say("All is done."))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil)}})
		run := r.StartStream(env.Context(), userRequest("?"))
		if got := run.Result(); got == nil || len(got.Turns) != 0 || len(env.requests()) != 0 {
			env.Errorf("before the loop: %+v", got)
		}
		got, err := kinds(env, run)
		want := []string{
			"1 TurnStarted", "1 API", "1 TurnEnded of 2 outputs", "1 ToolStarted a", "1 ToolStarted b", "1 ToolFinished b done", "1 ToolFinished a done",
			"2 TurnStarted", "2 API", "2 TurnEnded of 1 outputs", "2 Finished All is done.",
		}
		if err != nil || !slices.Equal(got, want) {
			env.Errorf("%v, events are\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if last(run) == nil {
			env.Error("the events can be ranged over twice")
		}
		if result := run.Result(); result.OutputText() != "All is done." {
			env.Errorf("%+v", result)
		}
		env.wantResults(run.Result().ConversationID)
	})
}

func TestTextDeltas(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"), say("All is done."))}}, func(env *environment) {
		var all []string
		for delta, err := range env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}}).StartStream(env.Context(), userRequest("?")).TextDeltas() {
			if err != nil {
				env.Fatal(err)
			}
			all = append(all, delta)
		}
		if len(all) < 2 || strings.Join(all, "") != "All is done." {
			env.Errorf("%q", all)
		}
	})
}

// A plain run and a streamed run of the same script are equal.
func TestPlainAndStreamedRuns(t *testing.T) {
	t.Parallel()
	beside := calls("f#a", `{"ms":10}`, "g#b", "{}")
	beside.Entries = append([]generated.Entry{text("One moment.")}, beside.Entries...)
	for name, replies := range map[string][]emulator.Reply{
		"answer":    {say("Hello.")},
		"empty":     {say("")},
		"one call":  {calls("f#a", `{"ms":10}`), say("done")},
		"many":      {calls("f#a", `{"ms":10}`, "f#b", `{"ms":5}`), calls("g#c", "{}"), say("done")},
		"text":      {beside, say("done")},
		"bad":       {calls("f#a", `{"ms":"x"}`), calls("f#b", `{`), say("done")},
		"unknown":   {calls("ghost#a", "{}"), say("done")},
		"endless":   {calls("f#a", `{"ms":1}`)},
		"failing":   {calls("h#a", "{}")},
		"server":    {calls("f#a", `{"ms":1}`), {Err: &emulator.Error{Status: 400, Message: "no"}}},
		"execution": {{Entries: []generated.Entry{generated.NewEntry(generated.ToolExecutionEntry{Name: "web_search", Arguments: `{"query":"x"}`})}, Text: "found"}},
	} {
		type outcome struct {
			bodies  []string
			entries []string
			err     string
			usage   string
		}
		outcomes := map[bool]outcome{}
		for _, streamed := range []bool{false, true} {
			inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(replies...)}}, func(env *environment) {
				r := env.runner(runner.Config{Limits: runner.Limits{Turns: 4}, Tools: []*runner.Tool{
					sleeper(env, "f", nil), tool(env, "g", nothing), tool(env, "h", func(context.Context, struct{}) (string, error) { return "", errors.New("x") }),
				}})
				var o outcome
				var result *runner.Result
				var err error
				if streamed {
					run := r.StartStream(env.Context(), userRequest("?"))
					err, result = last(run), run.Result()
				} else if result, err = r.Start(env.Context(), userRequest("?")); err != nil {
					result = runner.ResultOf(err)
				}
				if err != nil {
					o.err = fmt.Sprintf("%T", err)
				}
				for _, body := range env.requests() {
					sent := decoded(env, body)
					delete(sent, "stream")
					text, _ := json.Marshal(sent)
					o.bodies = append(o.bodies, string(text))
				}
				for _, entry := range result.Entries() {
					switch e := entry.Value().(type) {
					case generated.MessageOutputEntry:
						o.entries = append(o.entries, "message "+e.Content.Text())
					case generated.FunctionCallEntry:
						o.entries = append(o.entries, "call "+e.Name+" "+string(e.Arguments))
					case generated.FunctionResultEntry:
						o.entries = append(o.entries, "result "+e.ToolCallID+" "+e.Result)
					case generated.ToolExecutionEntry:
						o.entries = append(o.entries, "execution "+e.Name)
					}
				}
				usage, _ := json.Marshal(result.Usage)
				o.usage = fmt.Sprintf("%s %d %d %d", usage, result.Calls, result.FailedCalls, len(result.Turns))
				outcomes[streamed] = o
			})
		}
		if plain, streamed := fmt.Sprintf("%+v", outcomes[false]), fmt.Sprintf("%+v", outcomes[true]); plain != streamed || len(outcomes[false].bodies) == 0 {
			t.Errorf("%s:\n plain    %s\n streamed %s", name, plain, streamed)
		}
	}
}

// events returns a handler that streams events of the API.
func events(list ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range list {
			var event struct {
				Type string `json:"type"`
			}
			_ = json.Unmarshal([]byte(data), &event)
			_, _ = io.WriteString(w, "event: "+event.Type+"\ndata: "+data+"\n\n")
		}
	}
}

// Arguments may arrive in parts, and the parts of several calls may alternate. Only the first part
// has the name.
func TestCallsInPieces(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	answers := []func(http.ResponseWriter){
		events(`{"type":"conversation.response.started","conversation_id":"conv_1","created_at":"2026-01-01T00:00:00Z"}`,
			`{"type":"function.call.delta","id":"fc_1","output_index":0,"name":"f","tool_call_id":"a","arguments":"{\"m"}`,
			`{"type":"function.call.delta","id":"fc_2","output_index":1,"name":"g","tool_call_id":"b","arguments":""}`,
			`{"type":"function.call.delta","id":"fc_1","output_index":0,"arguments":"s\":"}`,
			`{"type":"function.call.delta","id":"fc_2","output_index":1,"arguments":"{}"}`,
			`{"type":"conversation.response.unheard_of","n":1}`,
			`{"type":"function.call.delta","id":"fc_1","output_index":0,"arguments":"5}"}`,
			`{"type":"conversation.response.done","created_at":"2026-01-01T00:00:01Z","usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}}`),
		events(`{"type":"conversation.response.started","conversation_id":"conv_1"}`,
			`{"type":"message.output.delta","id":"m_1","content":"done"}`, `{"type":"conversation.response.done"}`),
	}
	intercept := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { answers[n.Add(1)-1](w) }
	inSynctest(t, settings{emulator: emulator.Config{Intercept: intercept}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil), tool(env, "g", nothing)}})
		run := r.StartStream(env.Context(), userRequest("?"))
		unknown := 0
		for event, err := range run.Events() {
			if err != nil {
				env.Fatal(err)
			}
			if e, ok := event.Value.(generated.UnknownStreamEvent); ok && e.Type == "conversation.response.unheard_of" {
				unknown++
			}
		}
		result := run.Result()
		byID, ids := results(env, env.requests()[1])
		if !slices.Equal(ids, []string{"a", "b"}) || byID["a"] != "f" || byID["b"] != "ok" || unknown != 1 || result.OutputText() != "done" {
			env.Errorf("results %q, %d unknown events, %q", byID, unknown, result.OutputText())
		}
		if result.Usage.TotalTokens != 9 || result.UnknownUsage != 1 {
			env.Errorf("usage %+v, %d unknown", result.Usage, result.UnknownUsage)
		}
	})
}

// A broken stream ends the run. Events already yielded remain, and no function runs on a partial
// response.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	intercept := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		events(`{"type":"conversation.response.started","conversation_id":"conv_1"}`,
			`{"type":"function.call.delta","id":"fc_1","name":"f","tool_call_id":"a","arguments":"{}"}`)(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	inSynctest(t, settings{emulator: emulator.Config{Intercept: intercept}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { env.Error("f was called"); return "", nil })}})
		run := r.StartStream(env.Context(), userRequest("?"))
		got, err := kinds(env, run)
		var failed *runner.RunError
		if !errors.As(err, &failed) || !errors.As(err, new(*ratelimited.StreamError)) || !slices.Equal(got, []string{"1 TurnStarted", "1 API"}) || run.Result().UnknownUsage != 1 {
			env.Errorf("%v, events are %q", err, got)
		}
	})
}

// Exiting the loop at any event ends the run.
func TestExitingTheLoop(t *testing.T) {
	t.Parallel()
	isTool := func(value any) bool { _, ok := value.(runner.ToolStarted); return ok }
	for name, c := range map[string]struct {
		leave  func(value any) bool
		status runner.Status
	}{
		"before the request": {func(v any) bool { _, ok := v.(runner.TurnStarted); return ok }, ""},
		"in the stream":      {func(v any) bool { _, ok := v.(generated.StreamEventVariant); return ok }, ""},
		"after the response": {func(v any) bool { _, ok := v.(runner.TurnEnded); return ok }, runner.StatusNotStarted},
		"before a function":  {isTool, runner.StatusNotStarted},
		"after a function":   {func(v any) bool { _, ok := v.(runner.ToolFinished); return ok }, runner.StatusDone},
	} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"ms":10}`, "f#b", `{"ms":5000}`)), TokenDelay: time.Millisecond}}, func(env *environment) {
			run := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil)}}).StartStream(env.Context(), userRequest("?"))
			for event, err := range run.Events() {
				if err != nil {
					env.Errorf("%s: %v", name, err)
				}
				if c.leave(event.Value) {
					break
				}
			}
			result := run.Result()
			if c.status == "" && len(result.Turns) != 0 || c.status != "" && result.Turns[0].Calls[0].Status != c.status {
				env.Errorf("%s: %+v", name, result)
			}
			if len(env.requests()) > 1 || time.Since(env.began) > time.Second {
				env.Errorf("%s: %d requests, after %v", name, len(env.requests()), time.Since(env.began))
			}
		})
	}
}

// The client's observer receives each run, call and function once, correctly nested and without
// content. Its panics do not end the run.
func TestObserver(t *testing.T) {
	t.Parallel()
	type key struct{}
	var log []string
	observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		outer, _ := ctx.Value(key{}).(string)
		name := outer + "/" + operation
		if call, ok := runner.CallFrom(ctx); ok {
			name += " " + call.Name + " " + call.ID
		}
		log = append(log, name)
		if operation == "Runner.Tool" && strings.Contains(name, "panics") {
			panic("observer")
		}
		return context.WithValue(ctx, key{}, name), func(event ratelimited.CallEvent) {
			if e, ok := event.(ratelimited.Ended); ok {
				log = append(log, fmt.Sprintf("end %s: %v, %d, %v", name, e.Err, e.Attempts, e.Duration))
			}
		}
	}
	model := replySequence(calls("good#a", `{"ms":10}`), calls("bad#b", "{}"), calls("panics#c", "{}"), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}, client: ratelimited.Config{Observer: observer}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{
			tool(env, "good", func(ctx context.Context, _ struct {
				MS int `json:"ms"`
			}) (string, error) {
				if ctx.Value(key{}) != "/Runner.Start/Runner.Tool good a" {
					env.Errorf("the function's context has %v", ctx.Value(key{}))
				}
				return "secret result", nil
			}),
			tool(env, "bad", func(context.Context, struct{}) (string, error) { return "", errors.New("secret error") }), tool(env, "panics", nothing),
		}})
		if _, err := r.Start(env.Context(), userRequest("secret question")); err != nil {
			env.Fatal(err)
		}
	})
	want := []string{
		"/Runner.Start", "/Runner.Start/Conversations.Start", "end /Runner.Start/Conversations.Start: <nil>, 1, 0s",
		"/Runner.Start/Runner.Tool good a", "end /Runner.Start/Runner.Tool good a: <nil>, 1, 0s",
		"/Runner.Start/Conversations.Append", "end /Runner.Start/Conversations.Append: <nil>, 1, 0s",
		"/Runner.Start/Runner.Tool bad b", `end /Runner.Start/Runner.Tool bad b: runner: function "bad" failed in stage execution, 1, 0s`,
		"/Runner.Start/Conversations.Append", "end /Runner.Start/Conversations.Append: <nil>, 1, 0s",
		"/Runner.Start/Runner.Tool panics c",
		"/Runner.Start/Conversations.Append", "end /Runner.Start/Conversations.Append: <nil>, 1, 0s",
		"end /Runner.Start: <nil>, 4, 0s",
	}
	if !slices.Equal(log, want) {
		t.Errorf("the observer received\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
}
