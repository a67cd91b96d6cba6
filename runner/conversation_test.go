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

// decoded is a request's body.
func decoded(t testing.TB, body string) map[string]any {
	t.Helper()
	var request map[string]any
	if err := json.Unmarshal([]byte(body), &request); err != nil {
		t.Fatal(err)
	}
	return request
}

// A run that continues a conversation sends no tools, and its arguments with every turn.
func TestAppend(t *testing.T) {
	t.Parallel()
	model := inTurn(say("Hello."), calls("f#a", "{}"), calls("f#b", "{}"), say("done"))
	in(t, settings{emulator: emulator.Config{Model: model}}, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing)}})
		first, err := r.Start(w.Context(), ask("Hello!"))
		if err != nil {
			w.Fatal(err)
		}
		temperature := 0.5
		request := generated.AppendConversationRequest{
			Inputs:           ratelimited.Text("And?"),
			CompletionArgs:   generated.CompletionArgs{Temperature: &temperature, ToolChoice: generated.ToolChoiceEnumRequired},
			HandoffExecution: generated.HandoffExecutionServer,
		}
		result, err := r.Append(w.Context(), first.ConversationID, request)
		if err != nil || result.OutputText() != "done" || result.ConversationID != first.ConversationID || len(result.Turns) != 3 {
			w.Fatalf("%+v, %v", result, err)
		}
		if request.CompletionArgs.ToolChoice != generated.ToolChoiceEnumRequired {
			w.Error("the caller's request has changed")
		}
		for i, body := range w.requests()[1:] {
			sent := decoded(w, body)
			choice := []string{"required", "auto", "auto"}[i]
			args, _ := sent["completion_args"].(map[string]any)
			if sent["tools"] != nil || args["temperature"] != 0.5 || args["tool_choice"] != choice || sent["handoff_execution"] != "server" {
				w.Errorf("request %d is %s", i, body)
			}
		}
		w.wantResults(result.ConversationID)
	})
}

// The arguments of Start are remembered, and sent again only to change the choice of tools.
func TestArgumentsOfStart(t *testing.T) {
	t.Parallel()
	for choice, later := range map[generated.ToolChoiceEnum]any{"": nil, generated.ToolChoiceEnumAuto: nil, generated.ToolChoiceEnumAny: "auto", generated.ToolChoiceEnumRequired: "auto"} {
		in(t, settings{emulator: emulator.Config{Model: inTurn(calls("f", "{}"), calls("f", "{}"), say("done"))}}, func(w *world) {
			seed := 7
			request := ask("?")
			request.CompletionArgs = generated.CompletionArgs{RandomSeed: &seed, ToolChoice: choice}
			request.Store = ratelimited.Ptr(true)
			if _, err := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing)}}).Start(w.Context(), request); err != nil {
				w.Fatal(err)
			}
			for i, body := range w.requests()[1:] {
				sent := decoded(w, body)
				args, _ := sent["completion_args"].(map[string]any)
				if args["tool_choice"] != later || later != nil && args["random_seed"] != 7.0 || sent["store"] != true {
					w.Errorf("choice %q: request %d is %s", choice, i, body)
				}
			}
		})
	}
}

// A run that the API keeps nothing of sends everything again.
func TestStoreFalse(t *testing.T) {
	t.Parallel()
	reply := calls("f#a", "{}", "f#b", "{}")
	reply.Entries = append([]generated.Entry{text("One moment.")}, reply.Entries...)
	for _, streamed := range []bool{false, true} {
		in(t, settings{emulator: emulator.Config{Model: inTurn(reply, say("done"))}}, func(w *world) { testStoreFalse(w, streamed) })
	}
}

func testStoreFalse(w *world, streamed bool) {
	w.Helper()
	request := ask("Both, please.")
	request.Store, request.Instructions = ratelimited.Ptr(false), "Be brief."
	r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing)}})
	var result *runner.Result
	var err error
	if run := r.StartStream(w.Context(), request); streamed {
		err, result = last(run), run.Result()
	} else {
		result, err = r.Start(w.Context(), request)
	}
	if err != nil || result.OutputText() != "done" || result.ConversationID != "" {
		w.Fatalf("%+v, %v", result, err)
	}
	first, second := decoded(w, w.requests()[0]), decoded(w, w.requests()[1])
	var types []string
	for _, entry := range second["inputs"].([]any) {
		types = append(types, entry.(map[string]any)["type"].(string))
	}
	if want := []string{"message.input", "message.output", "function.call", "function.call", "function.result", "function.result"}; !slices.Equal(types, want) {
		w.Errorf("the inputs are %q, want %q", types, want)
	}
	delete(first, "inputs")
	delete(second, "inputs")
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		w.Errorf("the requests are\n%s\n%s", a, b)
	}
}

// A tool that needs confirmations needs a stored conversation.
func TestStoreFalseWithConfirmations(t *testing.T) {
	t.Parallel()
	in(t, settings{}, func(w *world) {
		request := ask("?")
		request.Store = ratelimited.Ptr(false)
		request.Tools = []generated.Tool{generated.NewTool(generated.WebSearchTool{ToolConfiguration: generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}})}
		_, err := w.runner(runner.Config{}).Start(w.Context(), request)
		var invalid *ratelimited.RequestError
		if !errors.As(err, &invalid) || invalid.Field != "tools[0].tool_configuration.requires_confirmation" || len(w.requests()) != 0 {
			w.Errorf("%v after %d requests", err, len(w.requests()))
		}
	})
}

// Of a stored conversation to which an append is not to be kept, the append is made again.
func TestAppendStoreFalse(t *testing.T) {
	t.Parallel()
	in(t, settings{emulator: emulator.Config{Model: inTurn(say("Hello."), calls("f#a", "{}"), say("done"))}}, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing)}})
		first, err := r.Start(w.Context(), ask("Hello!"))
		if err != nil {
			w.Fatal(err)
		}
		result, err := r.Append(w.Context(), first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("And?"), Store: ratelimited.Ptr(false)})
		if err != nil || result.ConversationID != first.ConversationID {
			w.Fatalf("%+v, %v", result, err)
		}
		if sent := decoded(w, w.requests()[2]); len(sent["inputs"].([]any)) != 3 || sent["store"] != false {
			w.Errorf("the last request is %s", w.requests()[2])
		}
		history, err := w.client.Beta.Conversations.GetHistory(w.Context(), first.ConversationID)
		if err != nil || len(history.Entries) != 2 {
			w.Errorf("the history has %d entries, %v", len(history.Entries), err)
		}
	})
}

// Inputs of all types arrive, in order.
func TestTypedInputs(t *testing.T) {
	t.Parallel()
	in(t, settings{emulator: emulator.Config{Model: inTurn(calls("own#a", "{}"), say("done"))}}, func(w *world) {
		own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller."}, nil)
		if err != nil {
			w.Fatal(err)
		}
		r := w.runner(runner.Config{Tools: []*runner.Tool{own}})
		_, err = r.Start(w.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.User("a"), ratelimited.Assistant("b"), ratelimited.User("c"))})
		var pending *runner.PendingError
		if !errors.As(err, &pending) || len(pending.Pending) != 1 || pending.Pending[0].Reason != runner.PendingCall || pending.Result.Turns[0].Calls[0].Status != runner.StatusPending {
			w.Fatalf("%v", err)
		}
		result, err := r.Append(w.Context(), pending.Result.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Entries(ratelimited.FunctionResult("a", "42"))})
		if err != nil || result.OutputText() != "done" {
			w.Fatalf("%v, %v", result, err)
		}
		if byID, _ := results(w, w.requests()[1]); byID["a"] != "42" || strings.Count(w.requests()[0], "message.input") != 3 {
			w.Errorf("requests are %s", w.requests())
		}
	})
}

// Calls beside one that the caller has to answer are carried out, and their results kept.
func TestPending(t *testing.T) {
	t.Parallel()
	reply := calls("f#a", "{}", "own#b", `{"n":1}`, "own#c", `{}`)
	in(t, settings{emulator: emulator.Config{Model: inTurn(reply, say("done"))}}, func(w *world) {
		own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller.", Parameters: `{"type":"object","required":["n"]}`}, nil)
		if err != nil {
			w.Fatal(err)
		}
		_, err = w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing), own}}).Start(w.Context(), ask("?"))
		var pending *runner.PendingError
		if !errors.As(err, &pending) || len(pending.Pending) != 1 || len(w.requests()) != 1 {
			w.Fatalf("%v", err)
		}
		if got := strings.Join(statuses(pending.Result.Turns[0]), ", "); got != "f: done, own: pending, own: failed" || len(pending.Result.Unsent) != 2 {
			w.Errorf("calls are %s", got)
		}
	})
	status := generated.NewEntry(generated.FunctionCallEntry{Name: "x", ToolCallID: "a", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending})
	in(t, settings{emulator: emulator.Config{Model: inTurn(emulator.Reply{Entries: []generated.Entry{status}})}}, func(w *world) {
		r := w.runner(runner.Config{})
		for _, err := range []error{second(r.Start(w.Context(), ask("?"))), last(r.StartStream(w.Context(), ask("?")))} {
			var pending *runner.PendingError
			if !errors.As(err, &pending) || pending.Pending[0].Reason != runner.PendingConfirmation {
				w.Errorf("%v", err)
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

// A run can be restarted from before a bad turn.
func TestRestart(t *testing.T) {
	t.Parallel()
	in(t, settings{emulator: emulator.Config{Model: inTurn(say("first"), say("bad"), calls("f", "{}"), say("good"))}}, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing)}})
		first, err := r.Start(w.Context(), ask("?"))
		if err != nil {
			w.Fatal(err)
		}
		if _, err := r.Append(w.Context(), first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("And?")}); err != nil {
			w.Fatal(err)
		}
		from := first.Response().Outputs[0].Value().(generated.MessageOutputEntry).ID
		result, err := r.Restart(w.Context(), first.ConversationID, generated.RestartConversationRequest{FromEntryID: from, Inputs: ratelimited.Text("Again?")})
		if err != nil || result.OutputText() != "good" || result.ConversationID == first.ConversationID || result.ConversationID == "" {
			w.Fatalf("%+v, %v", result, err)
		}
		old, err := w.client.Beta.Conversations.GetHistory(w.Context(), first.ConversationID)
		if err != nil || len(old.Entries) != 4 {
			w.Errorf("the old conversation has %d entries, %v", len(old.Entries), err)
		}
		w.wantResults(result.ConversationID)
	})
}

// Of two runs in one conversation the second is refused.
func TestTwoRunsInOneConversation(t *testing.T) {
	t.Parallel()
	in(t, settings{emulator: emulator.Config{Model: inTurn(say("Hello."), calls("f", "{}"), say("done"))}}, func(w *world) {
		var r *runner.Runner
		var id string
		request := generated.AppendConversationRequest{Inputs: ratelimited.Text("And?")}
		r = w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", func(ctx context.Context, _ struct{}) (string, error) {
			if _, err := r.Append(ctx, id, request); !errors.Is(err, runner.ErrBusy) {
				w.Errorf("the second run ends with %v", err)
			}
			return "", nil
		})}})
		first, err := r.Start(w.Context(), ask("?"))
		if err != nil {
			w.Fatal(err)
		}
		id = first.ConversationID
		for range 2 { // and it is free again
			if _, err := r.Append(w.Context(), id, request); err != nil || len(w.requests()) > 4 {
				w.Errorf("%v after %d requests", err, len(w.requests()))
			}
		}
	})
}
