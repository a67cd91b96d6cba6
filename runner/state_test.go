package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A run that reached a limit has a state. With higher limits, Resume executes the calls that were
// not executed.
func TestResumeAfterALimit(t *testing.T) {
	t.Parallel()
	big := calls("f#a", `{"city":"A"}`, "f#b", `{"city":"B"}`)
	big.Usage = &generated.ConversationUsageInfo{PromptTokens: 90, CompletionTokens: 10, TotalTokens: 100}
	for name, limits := range map[string]runner.Limits{"turns": {Turns: 1}, "calls": {ToolCalls: 1}, "tokens": {Tokens: 100}} {
		for _, store := range []*bool{nil, ratelimited.Ptr(false)} {
			inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(big, say("done"))}}, func(env *environment) {
				var count counter
				tools := []*runner.Tool{count.tool(env, "f")}
				request := userRequest("?")
				request.Store = store
				_, err := env.runner(runner.Config{Limits: limits, Tools: tools}).Start(env.Context(), request)
				var limit *runner.LimitError
				if !errors.As(err, &limit) || limit.State == nil || count.Load() != 0 {
					env.Fatalf("%s: %v", name, err)
				}
				if _, err := env.runner(runner.Config{Limits: limits, Tools: tools}).Resume(env.Context(), limit.State); !errors.Is(err, runner.ErrLimit) || count.Load() != 0 {
					env.Errorf("%s: with the same limits: %v", name, err)
				}
				result, err := env.runner(runner.Config{Tools: tools}).Resume(env.Context(), written(env, limit.State))
				if err != nil || result.OutputText() != "done" || count.Load() != 2 || result.Calls != 2 || len(env.requests()) != 2 {
					env.Errorf("%s: %v, %d calls", name, err, count.Load())
				}
				if byID, _ := results(env, env.requests()[1]); byID["b"] != "f B" {
					env.Errorf("%s: results are %q", name, byID)
				}
			})
		}
	}
}

// After a cancellation, Resume executes the calls that had not begun. Calls that had begun are
// pending, or executed again if they are idempotent.
func TestResumeAfterACancel(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("a", `{"ms":100}`, "b#b", `{"ms":9000}`, "again", `{"ms":9000}`, "c", `{"ms":0}`), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		var n [4]atomic.Int64
		r := env.runner(runner.Config{Limits: runner.Limits{Parallel: 2}, Tools: []*runner.Tool{
			sleeper(env, "a", func() { n[0].Add(1) }), sleeper(env, "b", func() { n[1].Add(1) }),
			sleeper(env, "again", func() { n[2].Add(1) }, runner.Idempotent()), sleeper(env, "c", func() { n[3].Add(1) }),
		}})
		ctx, cancel := context.WithCancel(env.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := r.Start(ctx, userRequest("?"))
		if got := strings.Join(statuses(runner.ResultOf(err).Turns[0]), ", "); got != "a: done, b: interrupted, again: interrupted, c: not started" {
			env.Fatalf("%v: calls are %s", err, got)
		}
		_, err = r.Resume(env.Context(), written(env, runner.StateOf(err)))
		pending := wantPending(env, err, "b interrupted")
		if n[0].Load() != 1 || n[1].Load() != 1 || n[2].Load() != 2 || n[3].Load() != 1 || len(env.requests()) != 1 {
			env.Errorf("calls: %v", &n)
		}
		result, err := r.Resume(env.Context(), written(env, pending.State), runner.Reply("b", "it was done"))
		if err != nil || result.OutputText() != "done" || n[1].Load() != 1 {
			env.Errorf("%v", err)
		}
		if byID, _ := results(env, env.requests()[1]); byID["b"] != "it was done" || len(byID) != 4 {
			env.Errorf("results are %q", byID)
		}
	})
}

// The caller decides about a function that aborted the run.
func TestResumeAfterAnAbort(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("done"))}}, func(env *environment) {
		fail := true
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) {
			if fail {
				return "", runner.Abort(errors.New("hunter2"))
			}
			return "fine", nil
		})}})
		_, err := r.Start(env.Context(), userRequest("?"))
		if text, _ := json.Marshal(runner.StateOf(err)); strings.Contains(string(text), "hunter2") {
			env.Errorf("the state contains the function's error: %s", text)
		}
		_, err = r.Resume(env.Context(), written(env, runner.StateOf(err)))
		pending := wantPending(env, err, "a interrupted")
		fail = false
		if result, err := r.Resume(env.Context(), pending.State, runner.Allow("a")); err != nil || result.OutputText() != "done" {
			env.Errorf("%v", err)
		}
	})
}

// A run that was stopped, or whose request failed permanently, continues with the same request. No
// function runs again.
func TestResumeAfterAFailedRequest(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if failing.Load() {
			http.Error(w, `{"detail":"blocked"}`, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
	for _, at := range []string{"first request", "second request", "stop"} {
		for _, store := range []*bool{nil, ratelimited.Ptr(false)} {
			inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done")), Intercept: intercept}}, func(env *environment) {
				var count counter
				failing.Store(at == "first request")
				request := userRequest("?")
				request.Store, request.Tools = store, []generated.Tool{generated.NewTool(generated.WebSearchTool{})}
				config := runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}}
				stopping := config
				stopping.Stop = func(runner.Turn) bool {
					failing.Store(at == "second request")
					return at == "stop"
				}
				_, err := env.runner(stopping).Start(env.Context(), request)
				var failed *runner.RunError
				if !errors.As(err, &failed) || failed.State == nil || errors.Is(err, runner.ErrStopped) != (at == "stop") {
					env.Fatalf("%s: %v", at, err)
				}
				failing.Store(false)
				result, err := env.runner(config).Resume(env.Context(), written(env, failed.State))
				if err != nil || result.OutputText() != "done" || count.Load() != 1 || len(result.Turns) != 2 {
					env.Fatalf("%s: %v, %d calls", at, err, count.Load())
				}
				sent := env.requests()
				if last := len(sent) - 1; at == "second request" && sent[last] != sent[last-1] || at == "first request" && sent[0] != sent[1] {
					env.Errorf("%s: the requests are\n%s", at, strings.Join(sent, "\n"))
				}
			})
		}
	}
}

// A typed run continues as a typed run, and its attempts continue to count.
func TestResumeAs(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("no"), say(`{"value":3}`), calls("f#a", "{}"), say("no"), say("no"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing, runner.NeedsApproval(nil))}})
		_, _, err := runner.StartAs[int](env.Context(), r, userRequest("?"))
		pending := wantPending(env, err, "a approval")
		if _, _, err := runner.ResumeAs[string](env.Context(), r, pending.State, []runner.Answer{runner.Allow("a")}); !errors.As(err, new(*runner.StateError)) || len(env.requests()) != 1 {
			env.Errorf("as another type: %v", err)
		}
		n, result, err := runner.ResumeAs[int](env.Context(), r, written(env, pending.State), []runner.Answer{runner.Allow("a")})
		if err != nil || n != 3 || len(result.Turns) != 3 {
			env.Errorf("%d, %v", n, err)
		}
		_, _, err = runner.StartAs[int](env.Context(), r, userRequest("?"))
		pending = wantPending(env, err, "a approval")
		var wrong *runner.OutputError
		if _, _, err = runner.ResumeAs[int](env.Context(), r, pending.State, []runner.Answer{runner.Allow("a")}); !errors.As(err, &wrong) || wrong.Attempts != 2 || runner.StateOf(err) != nil {
			env.Errorf("%v", err)
		}
	})
}

// A repair whose request failed still counts as the one repair.
func TestResumeOfARepair(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("no"), say("no again"))}}, func(env *environment) {
		if err := env.emulator.SetFaults(emulator.Fault{Kind: emulator.FaultForbidden, Operation: "AppendConversation", Times: 1}); err != nil {
			env.Fatal(err)
		}
		r := env.runner(runner.Config{})
		_, _, err := runner.StartAs[int](env.Context(), r, userRequest("?"))
		if !errors.Is(err, ratelimited.ErrForbidden) || runner.StateOf(err) == nil {
			env.Fatalf("%v", err)
		}
		var wrong *runner.OutputError
		_, _, err = runner.ResumeAs[int](env.Context(), r, written(env, runner.StateOf(err)), nil)
		if sent := env.requests(); !errors.As(err, &wrong) || wrong.Attempts != 2 || len(sent) != 3 || sent[1] != sent[2] {
			env.Errorf("%v, requests are %s", err, sent)
		}
	})
}

// Missing or changed tools are errors, unless AcceptChangedTools is set.
func TestResumeWithOtherTools(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"))}}, func(env *environment) {
		var count counter
		other := tool(env, "f", func(context.Context, struct {
			City string `json:"city"`
		}) (string, error) {
			return "other", nil
		})
		_, err := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f", runner.NeedsApproval(nil)), count.tool(env, "g")}}).Start(env.Context(), userRequest("?"))
		state := runner.StateOf(err)
		for _, tools := range [][]*runner.Tool{{count.tool(env, "f")}, {other, count.tool(env, "g")}} {
			var changed *runner.StateError
			_, err := env.runner(runner.Config{Tools: tools}).Resume(env.Context(), state, runner.Allow("a"))
			if name := map[bool]string{true: "g", false: "f"}[len(tools) == 1]; !errors.As(err, &changed) || changed.Field != "tools" || changed.Value != name || count.Load() != 0 || len(env.requests()) != 1 {
				env.Errorf("%v", err)
			}
		}
		own, err := runner.RawTool(generated.Function{Name: "f", Description: "Answered by the caller."}, nil)
		if err != nil {
			env.Fatal(err)
		}
		_, err = env.runner(runner.Config{AcceptChangedTools: true, Tools: []*runner.Tool{own}}).Resume(env.Context(), state, runner.Allow("a"))
		_ = wantPending(env, err, "a call") // the tool no longer has a function
		result, err := env.runner(runner.Config{AcceptChangedTools: true, Tools: []*runner.Tool{other}}).Resume(env.Context(), state, runner.Allow("a"))
		if byID, _ := results(env, env.requests()[1]); err != nil || result.OutputText() != "done" || byID["a"] != "other" {
			env.Errorf("%v, %q", err, byID)
		}
	})
}

// A state does not contain API keys, header fields or the authorization of connectors.
func TestSecretsInStates(t *testing.T) {
	t.Parallel()
	connector := func(authorization generated.ConnectorAuth) generated.Tool {
		return generated.NewTool(generated.CustomConnector{ConnectorID: "crm", Authorization: authorization})
	}
	secret := generated.NewConnectorAuth(generated.APIKeyAuth{Value: "connector-secret"})
	for _, store := range []*bool{nil, ratelimited.Ptr(false)} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"))}}, func(env *environment) {
			var count counter
			request := userRequest("?")
			request.Store, request.Tools = store, []generated.Tool{generated.NewTool(generated.WebSearchTool{}), connector(secret)}
			r := env.runner(runner.Config{
				Tools:   []*runner.Tool{count.tool(env, "f", runner.NeedsApproval(nil))},
				Options: []ratelimited.CallOption{ratelimited.WithHeader("X-Team", "header-secret")},
			})
			_, err := r.Start(env.Context(), request)
			state := runner.StateOf(err)
			text, _ := json.Marshal(state)
			for _, shown := range []string{string(text), fmt.Sprintf("%+v", state), fmt.Sprintf("%#v", err)} {
				for _, secret := range []string{secretKey, "header-secret", "connector-secret"} {
					if strings.Contains(shown, secret) {
						env.Errorf("%s is in %s", secret, shown)
					}
				}
			}
			state = written(env, state)
			if store != nil {
				var missing *runner.StateError
				if _, err := r.Resume(env.Context(), state, runner.Allow("a")); !errors.As(err, &missing) || missing.Field != "Tools[1].authorization" || count.Load() != 0 {
					env.Errorf("%v", err)
				}
				state.Tools[1] = connector(secret)
			}
			if result, err := r.Resume(env.Context(), state, runner.Allow("a")); err != nil || result.OutputText() != "done" {
				env.Fatalf("%v", err)
			}
			if first, second := decoded(env, env.requests()[0]), decoded(env, env.requests()[1]); store != nil && fmt.Sprint(first["tools"]) != fmt.Sprint(second["tools"]) {
				env.Errorf("the tools are\n%v\n%v", first["tools"], second["tools"])
			}
		})
	}
}

// A state of another version or a damaged state is a typed error, and nothing is sent.
func TestDamagedStates(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile("testdata/state-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, replacement string) string {
		t.Helper()
		changed := strings.Replace(string(whole), old, replacement, 1)
		if changed == string(whole) {
			t.Fatalf("%q is not in the state", old)
		}
		return changed
	}
	for text, field := range map[string]string{
		`{}`:              "version",
		`[]`:              "version",
		`{"version":"1"}`: "version",
		`{"version":2}`:   "version",
		`{"version":1}`:   "first",
		`{"version":1,"first":{"start":{}},"request":{"append":{}}}`:                      "request",
		`{"version":1,"first":{"start":{},"append":{}},"request":{"append":{}}}`:          "first",
		`{"version":1,"first":{"start":{}},"request":{"start":{}}}`:                       "turns",
		`{"version":1,"first":{"start":{}},"request":{"start":{}},"due":true,"calls":-1}`: "calls, usage",
		`{"version":1,"first":{"start":{}},"request":{"start":{}},"turns":[{}]}`:          "turns[0].response",
		`{"version":1,"first":{"start":{}},"request":{"start":{}},"turns":{}}`:            "state",
		change(`"status": "pending"`, `"status": "running"`):                              "turns[0].calls[1].status",
		change(`"reason": "approval"`, `"reason": "mood"`):                                "turns[0].calls[1].reason",
		change(`"id": "call_book",`, `"id": "call_none",`):                                "turns[0].calls[1].id",
		change(`"calls": [
        {
          "id": "call_lookup",`, `"calls": [{"id":"x","status":"done"}, {"id": "call_lookup",`): "turns[0].calls",
	} {
		var damaged *runner.StateError
		if err := json.Unmarshal([]byte(text), new(runner.State)); !errors.As(err, &damaged) || damaged.Field != field {
			t.Errorf("%.60s: %v, want an error about %s", text, err, field)
		}
	}
	if err := json.Unmarshal([]byte(change(`"version": 1`, `"of_tomorrow": [1], "version": 1`)), new(runner.State)); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

// fixtureRun executes a run that ends with the state of the fixture. Its IDs are always the same.
func fixtureRun(t *testing.T, test func(env *environment, r *runner.Runner, request generated.StartConversationRequest)) {
	t.Helper()
	responses := []string{
		`{"object":"conversation.response","conversation_id":"conv_1","usage":{"prompt_tokens":40,"completion_tokens":20,"total_tokens":60,"connectors":{"web_search":1}},"outputs":[` +
			`{"object":"entry","type":"message.output","id":"msg_1","created_at":"2026-01-01T00:00:00Z","completed_at":"2026-01-01T00:00:01Z","role":"assistant","content":"One moment.","model":"m"},` +
			`{"object":"entry","type":"function.call","id":"fc_1","created_at":"2026-01-01T00:00:00Z","completed_at":null,"tool_call_id":"call_lookup","name":"lookup","arguments":"{\"city\":\"Rome\"}"},` +
			`{"object":"entry","type":"function.call","id":"fc_2","created_at":"2026-01-01T00:00:00Z","completed_at":null,"tool_call_id":"call_book","name":"book","arguments":"{\"city\":\"Rome\"}"},` +
			`{"object":"entry","type":"function.call","id":"fc_3","created_at":"2026-01-01T00:00:00Z","completed_at":null,"tool_call_id":"call_search","name":"web_search","arguments":"{}","confirmation_status":"pending"}]}`,
		`{"object":"conversation.response","conversation_id":"conv_1","usage":{"prompt_tokens":80,"completion_tokens":5,"total_tokens":85},"outputs":[` +
			`{"object":"entry","type":"message.output","id":"msg_2","created_at":"2026-01-01T00:00:00Z","completed_at":"2026-01-01T00:00:01Z","role":"assistant","content":"Booked.","model":"m"}]}`,
	}
	var n atomic.Int64
	intercept := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(responses[min(strings.Count(r.URL.Path, "conv_1"), 1)]))
		n.Add(1)
	}
	inSynctest(t, settings{emulator: emulator.Config{Intercept: intercept}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{
			tool(env, "lookup", func(_ context.Context, in location) (string, error) { return "found " + in.City, nil }),
			tool(env, "book", func(_ context.Context, in location) (string, error) { return "booked " + in.City, nil }, runner.NeedsApproval(nil)),
		}})
		request := userRequest("A trip, please.")
		request.CompletionArgs.ToolChoice = generated.ToolChoiceEnumAny
		request.CompletionArgs.MaxTokens = ratelimited.Ptr(100)
		request.Tools = []generated.Tool{generated.NewTool(generated.WebSearchTool{ToolConfiguration: generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}})}
		test(env, r, request)
	})
}

// The state of this version equals the fixture. RUNNER_FIXTURE=write writes the fixture.
func TestFixtureOfThisVersion(t *testing.T) {
	t.Parallel()
	fixtureRun(t, func(env *environment, r *runner.Runner, request generated.StartConversationRequest) {
		_, err := r.Start(env.Context(), request)
		pending := wantPending(env, err, "call_book approval", "call_search confirmation")
		text, err := json.MarshalIndent(pending.State, "", "  ")
		if err != nil {
			env.Fatal(err)
		}
		const name = "testdata/state-v1.json"
		if os.Getenv("RUNNER_FIXTURE") == "write" {
			if err := os.WriteFile(name, append(text, '\n'), 0o600); err != nil {
				env.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || string(want) != string(text)+"\n" {
			env.Errorf("%v, the state is\n%s\nwant\n%s", err, text, want)
		}
	})
}

// States of all versions can be resumed, with the same requests as an uninterrupted run.
func TestStatesOfAllVersions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"testdata/state-v1.json"} {
		fixtureRun(t, func(env *environment, r *runner.Runner, _ generated.StartConversationRequest) {
			text, err := os.ReadFile(name)
			if err != nil {
				env.Fatal(err)
			}
			state := new(runner.State)
			if err := json.Unmarshal(text, state); err != nil {
				env.Fatal(err)
			}
			result, err := r.Resume(env.Context(), state, runner.Allow("call_book"), runner.Deny("call_search", ""))
			if err != nil || result.OutputText() != "Booked." || result.Usage.TotalTokens != 145 || result.Usage.Connectors["web_search"] != 1 || result.Calls != 2 || len(result.Turns) != 2 {
				env.Fatalf("%s: %+v, %v", name, result, err)
			}
			const want = `{"completion_args":{"max_tokens":100,"tool_choice":"auto"},"inputs":[` +
				`{"result":"found Rome","tool_call_id":"call_lookup","type":"function.result"},{"result":"booked Rome","tool_call_id":"call_book","type":"function.result"}],` +
				`"tool_confirmations":[{"confirmation":"deny","tool_call_id":"call_search"}]}`
			if got := env.requests()[0]; got != want {
				env.Errorf("%s: the request is\n%s\nwant\n%s", name, got, want)
			}
		})
	}
}

// A state can be taken at each event, for a program that ends there. A call that has begun may have
// had effects.
func TestStateAtEachEvent(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"ms":10}`, "f#b", `{"ms":5}`), say("done"))}}, func(env *environment) {
		run := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil)}}).StartStream(env.Context(), userRequest("?"))
		var got []string
		for event, err := range run.Events() {
			if err != nil {
				env.Fatal(err)
			}
			if _, ok := event.Value.(generated.StreamEventVariant); ok {
				continue
			}
			var state struct {
				Due, Lost bool
				Turns     []struct {
					Calls []struct{ Status runner.Status }
				}
			}
			text, err := json.Marshal(written(env, run.State()))
			if err != nil || json.Unmarshal(text, &state) != nil {
				env.Fatalf("%v: %s", err, text)
			}
			line := strings.TrimPrefix(fmt.Sprintf("%T", event.Value), "runner.")
			if state.Due {
				line += fmt.Sprint(" due, lost ", state.Lost)
			}
			for _, turn := range state.Turns[:min(1, len(state.Turns))] {
				line += fmt.Sprint(" ", turn.Calls)
			}
			got = append(got, line)
		}
		want := []string{
			"TurnStarted due, lost true", "TurnEnded [{not started} {not started}]", "ToolStarted [{interrupted} {not started}]",
			"ToolStarted [{interrupted} {interrupted}]", "ToolFinished [{interrupted} {done}]", "ToolFinished [{done} {done}]",
			"TurnStarted due, lost true [{done} {done}]", "TurnEnded [{done} {done}]", "Finished [{done} {done}]",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			env.Errorf("states are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		result, err := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil)}}).Resume(env.Context(), run.State())
		if err != nil || result.OutputText() != "done" || len(env.requests()) != 2 {
			env.Errorf("resuming a run with an answer: %v, %d requests", err, len(env.requests()))
		}
	})
}

// Resume is rejected if another run is in the conversation of the state.
func TestResumeOfABusyConversation(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"ms":10}`), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", nil)}})
		run := r.StartStream(env.Context(), userRequest("?"))
		for event, err := range run.Events() {
			if err != nil {
				env.Fatal(err)
			}
			if _, ok := event.Value.(runner.ToolStarted); ok {
				if _, err := r.Resume(env.Context(), run.State()); !errors.Is(err, runner.ErrBusy) {
					env.Errorf("%v", err)
				}
			}
		}
	})
}

// Limits continue to count after a resume.
func TestLimitsContinueAfterResume(t *testing.T) {
	t.Parallel()
	two := calls("f", `{"city":"A"}`, "f", `{"city":"B"}`)
	two.Usage = &generated.ConversationUsageInfo{PromptTokens: 40, CompletionTokens: 10, TotalTokens: 50}
	for name, c := range map[string]struct {
		limits runner.Limits
		limit  runner.Limit
		used   int64
	}{
		"turns":  {runner.Limits{Turns: 3}, runner.LimitTurns, 3},
		"calls":  {runner.Limits{ToolCalls: 5}, runner.LimitToolCalls, 4},
		"tokens": {runner.Limits{Tokens: 150}, runner.LimitTokens, 150},
	} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(two)}}, func(env *environment) {
			var count counter
			config := runner.Config{Limits: c.limits, Tools: []*runner.Tool{count.tool(env, "f")}}
			stopping := config
			stopping.Stop = func(runner.Turn) bool { return true }
			_, err := env.runner(stopping).Start(env.Context(), userRequest("?"))
			_, err = env.runner(config).Resume(env.Context(), written(env, runner.StateOf(err)))
			var limit *runner.LimitError
			if !errors.As(err, &limit) || limit.Limit != c.limit || limit.Used != c.used || len(limit.Result.Turns) != 3 || count.Load() != 4 {
				env.Errorf("%s: %v after %d calls", name, err, count.Load())
			}
		})
	}
}

// Consecutive failures continue to count, too.
func TestFailuresContinueAfterResume(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"))}}, func(env *environment) {
		stop := true
		r := env.runner(runner.Config{
			Stop:  func(runner.Turn) bool { return stop },
			Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { return "", errors.New("no") })},
		})
		_, err := r.Start(env.Context(), userRequest("?"))
		stop = false
		_, err = r.Resume(env.Context(), written(env, runner.StateOf(err)))
		var failed *runner.ToolError
		if !errors.As(err, &failed) || failed.Failures != 3 || len(failed.Result.Turns) != 3 || failed.State == nil {
			env.Errorf("%v", err)
		}
	})
}

// The options of the configuration apply to every request of a run.
func TestOptionsOfEveryRequest(t *testing.T) {
	t.Parallel()
	var headers []string
	intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		headers = append(headers, r.Header.Get("X-Team"))
		next.ServeHTTP(w, r)
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", `{"city":"A"}`), say("done")), Intercept: intercept}}, func(env *environment) {
		var count counter
		r := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}, Options: []ratelimited.CallOption{ratelimited.WithHeader("X-Team", "red")}})
		if _, err := r.Start(env.Context(), userRequest("?")); err != nil || strings.Join(headers, " ") != "red red" {
			env.Errorf("%v, headers %q", err, headers)
		}
	})
}
