package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// decoded returns the decoded body of a request.
func decoded(t testing.TB, body string) map[string]any {
	t.Helper()
	var request map[string]any
	if err := json.Unmarshal([]byte(body), &request); err != nil {
		t.Fatal(err)
	}
	return request
}

// A run that continues a conversation sends no tools, and sends its completion arguments with every
// turn.
func TestAppend(t *testing.T) {
	t.Parallel()
	model := replySequence(say("Hello."), calls("f#a", "{}"), calls("f#b", "{}"), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
		first, err := r.Start(env.Context(), userRequest("Hello!"))
		if err != nil {
			env.Fatal(err)
		}
		temperature := 0.5
		request := generated.AppendConversationRequest{
			Inputs:           ratelimited.Text("And?"),
			CompletionArgs:   generated.CompletionArgs{Temperature: &temperature, ToolChoice: generated.ToolChoiceEnumRequired},
			HandoffExecution: generated.HandoffExecutionServer,
		}
		result, err := r.Append(env.Context(), first.ConversationID, request)
		if err != nil || result.OutputText() != "done" || result.ConversationID != first.ConversationID || len(result.Turns) != 3 {
			env.Fatalf("%+v, %v", result, err)
		}
		if request.CompletionArgs.ToolChoice != generated.ToolChoiceEnumRequired {
			env.Error("the run changed the caller's request")
		}
		for i, body := range env.requests()[1:] {
			sent := decoded(env, body)
			choice := []string{"required", "auto", "auto"}[i]
			args, _ := sent["completion_args"].(map[string]any)
			if sent["tools"] != nil || args["temperature"] != 0.5 || args["tool_choice"] != choice || sent["handoff_execution"] != "server" {
				env.Errorf("request %d is %s", i, body)
			}
		}
		env.wantResults(result.ConversationID)
	})
}

// The API remembers the arguments of Start. The run sends them again only to change the tool
// choice.
func TestArgumentsOfStart(t *testing.T) {
	t.Parallel()
	for choice, later := range map[generated.ToolChoiceEnum]any{"": nil, generated.ToolChoiceEnumAuto: nil, generated.ToolChoiceEnumAny: "auto", generated.ToolChoiceEnumRequired: "auto"} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"), calls("f", "{}"), say("done"))}}, func(env *environment) {
			seed := 7
			request := userRequest("?")
			request.CompletionArgs = generated.CompletionArgs{RandomSeed: &seed, ToolChoice: choice}
			request.Store = ratelimited.Ptr(true)
			if _, err := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}}).Start(env.Context(), request); err != nil {
				env.Fatal(err)
			}
			for i, body := range env.requests()[1:] {
				sent := decoded(env, body)
				args, _ := sent["completion_args"].(map[string]any)
				if args["tool_choice"] != later || later != nil && args["random_seed"] != 7.0 || sent["store"] != true {
					env.Errorf("choice %q: request %d is %s", choice, i, body)
				}
			}
		})
	}
}

// A run that the API does not store sends all entries again.
func TestStoreFalse(t *testing.T) {
	t.Parallel()
	reply := calls("f#a", "{}", "f#b", "{}")
	reply.Entries = append([]generated.Entry{text("One moment.")}, reply.Entries...)
	for _, streamed := range []bool{false, true} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply, say("done"))}}, func(env *environment) { testStoreFalse(env, streamed) })
	}
}

func testStoreFalse(env *environment, streamed bool) {
	env.Helper()
	request := userRequest("Both, please.")
	request.Store, request.Instructions = ratelimited.Ptr(false), "Be brief."
	r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
	var result *runner.Result
	var err error
	if run := r.StartStream(env.Context(), request); streamed {
		err, result = last(run), run.Result()
	} else {
		result, err = r.Start(env.Context(), request)
	}
	if err != nil || result.OutputText() != "done" || result.ConversationID != "" {
		env.Fatalf("%+v, %v", result, err)
	}
	first, second := decoded(env, env.requests()[0]), decoded(env, env.requests()[1])
	var types []string
	for _, entry := range second["inputs"].([]any) {
		types = append(types, entry.(map[string]any)["type"].(string))
	}
	if want := []string{"message.input", "message.output", "function.call", "function.call", "function.result", "function.result"}; !slices.Equal(types, want) {
		env.Errorf("the inputs are %q, want %q", types, want)
	}
	delete(first, "inputs")
	delete(second, "inputs")
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		env.Errorf("the requests are\n%s\n%s", a, b)
	}
}

// A tool that needs confirmations needs a stored conversation.
func TestStoreFalseWithConfirmations(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{}, func(env *environment) {
		request := userRequest("?")
		request.Store = ratelimited.Ptr(false)
		request.Tools = []generated.Tool{generated.NewTool(generated.WebSearchTool{ToolConfiguration: generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}})}
		_, err := env.runner(runner.Config{}).Start(env.Context(), request)
		var invalid *ratelimited.RequestError
		if !errors.As(err, &invalid) || invalid.Field != "tools[0].tool_configuration.requires_confirmation" || len(env.requests()) != 0 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
	})
}

// If the appends to a stored conversation are not stored, each turn sends the first append again
// with all entries.
func TestAppendStoreFalse(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("Hello."), calls("f#a", "{}"), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
		first, err := r.Start(env.Context(), userRequest("Hello!"))
		if err != nil {
			env.Fatal(err)
		}
		result, err := r.Append(env.Context(), first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("And?"), Store: ratelimited.Ptr(false)})
		if err != nil || result.ConversationID != first.ConversationID {
			env.Fatalf("%+v, %v", result, err)
		}
		if sent := decoded(env, env.requests()[2]); len(sent["inputs"].([]any)) != 3 || sent["store"] != false {
			env.Errorf("the last request is %s", env.requests()[2])
		}
		history, err := env.client.Beta.Conversations.GetHistory(env.Context(), first.ConversationID)
		if err != nil || len(history.Entries) != 2 {
			env.Errorf("the history has %d entries, %v", len(history.Entries), err)
		}
	})
}

// Inputs of all types arrive in order.
func TestTypedInputs(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("own#a", "{}"), say("done"))}}, func(env *environment) {
		own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller."}, nil)
		if err != nil {
			env.Fatal(err)
		}
		r := env.runner(runner.Config{Tools: []*runner.Tool{own}})
		_, err = r.Start(env.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.User("a"), ratelimited.Assistant("b"), ratelimited.User("c"))})
		var pending *runner.PendingError
		if !errors.As(err, &pending) || len(pending.Pending) != 1 || pending.Pending[0].Reason != runner.PendingCall || pending.Result.Turns[0].Calls[0].Status != runner.StatusPending {
			env.Fatalf("%v", err)
		}
		result, err := r.Append(env.Context(), pending.Result.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Entries(ratelimited.FunctionResult("a", "42"))})
		if err != nil || result.OutputText() != "done" {
			env.Fatalf("%v, %v", result, err)
		}
		if byID, _ := results(env, env.requests()[1]); byID["a"] != "42" || strings.Count(env.requests()[0], "message.input") != 3 {
			env.Errorf("requests are %s", env.requests())
		}
	})
}

// Calls next to a pending one are executed, and their results are kept.
func TestPending(t *testing.T) {
	t.Parallel()
	reply := calls("f#a", "{}", "own#b", `{"n":1}`, "own#c", `{}`)
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply, say("done"))}}, func(env *environment) {
		own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller.", Parameters: `{"type":"object","required":["n"]}`}, nil)
		if err != nil {
			env.Fatal(err)
		}
		_, err = env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing), own}}).Start(env.Context(), userRequest("?"))
		var pending *runner.PendingError
		if !errors.As(err, &pending) || len(pending.Pending) != 1 || len(env.requests()) != 1 {
			env.Fatalf("%v", err)
		}
		if got := strings.Join(statuses(pending.Result.Turns[0]), ", "); got != "f: done, own: pending, own: failed" || len(pending.Result.Unsent) != 2 {
			env.Errorf("calls are %s", got)
		}
	})
	status := generated.NewEntry(generated.FunctionCallEntry{Name: "x", ToolCallID: "a", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending})
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(emulator.Reply{Entries: []generated.Entry{status}})}}, func(env *environment) {
		r := env.runner(runner.Config{})
		for _, err := range []error{second(r.Start(env.Context(), userRequest("?"))), last(r.StartStream(env.Context(), userRequest("?")))} {
			var pending *runner.PendingError
			if !errors.As(err, &pending) || pending.Pending[0].Reason != runner.PendingConfirmation {
				env.Errorf("%v", err)
			}
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

// last ranges over a run and returns its error.
func last(run *runner.Run) (err error) {
	for _, failure := range run.Events() {
		err = failure
	}
	return err
}

// A conversation can be restarted from before a bad turn.
func TestRestart(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("first"), say("bad"), calls("f", "{}"), say("good"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
		first, err := r.Start(env.Context(), userRequest("?"))
		if err != nil {
			env.Fatal(err)
		}
		if _, err := r.Append(env.Context(), first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("And?")}); err != nil {
			env.Fatal(err)
		}
		from := first.Response().Outputs[0].Value().(generated.MessageOutputEntry).ID
		result, err := r.Restart(env.Context(), first.ConversationID, generated.RestartConversationRequest{FromEntryID: from, Inputs: ratelimited.Text("Again?")})
		if err != nil || result.OutputText() != "good" || result.ConversationID == first.ConversationID || result.ConversationID == "" {
			env.Fatalf("%+v, %v", result, err)
		}
		old, err := env.client.Beta.Conversations.GetHistory(env.Context(), first.ConversationID)
		if err != nil || len(old.Entries) != 4 {
			env.Errorf("the old conversation has %d entries, %v", len(old.Entries), err)
		}
		env.wantResults(result.ConversationID)
	})
}

// The second of two concurrent runs in one conversation is rejected.
func TestTwoRunsInOneConversation(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("Hello."), calls("f", "{}"), say("done"))}}, func(env *environment) {
		var r *runner.Runner
		var id string
		request := generated.AppendConversationRequest{Inputs: ratelimited.Text("And?")}
		r = env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(ctx context.Context, _ struct{}) (string, error) {
			if _, err := r.Append(ctx, id, request); !errors.Is(err, runner.ErrBusy) {
				env.Errorf("the second run ends with %v", err)
			}
			return "", nil
		})}})
		first, err := r.Start(env.Context(), userRequest("?"))
		if err != nil {
			env.Fatal(err)
		}
		id = first.ConversationID
		for range 2 { // afterwards the conversation is not busy
			if _, err := r.Append(env.Context(), id, request); err != nil || len(env.requests()) > 4 {
				env.Errorf("%v after %d requests", err, len(env.requests()))
			}
		}
	})
}
