package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A counter counts the calls of a tool that returns its city.
type counter struct {
	atomic.Int64
	last atomic.Value
}

func (c *counter) tool(t testing.TB, name string, options ...runner.ToolOption) *runner.Tool {
	t.Helper()
	return tool(t, name, func(_ context.Context, in location) (string, error) {
		c.Add(1)
		c.last.Store(in.City)
		return name + " " + in.City, nil
	}, options...)
}

// written encodes a state and decodes it, as another process would.
func written(t testing.TB, state *runner.State) *runner.State {
	t.Helper()
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	read := new(runner.State)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	again, err := json.Marshal(read)
	if err != nil || string(again) != string(text) {
		t.Errorf("%v, a state is encoded as\n%s\nand then as\n%s", err, text, again)
	}
	return read
}

func wantPending(t testing.TB, err error, want ...string) *runner.PendingError {
	t.Helper()
	var pending *runner.PendingError
	if !errors.As(err, &pending) {
		t.Fatalf("%v, want the pending entries %q", err, want)
	}
	var got []string
	if open := pending.State.Pending(); fmt.Sprint(open) != fmt.Sprint(pending.Pending) {
		t.Errorf("the state has the pending entries %v, the error %v", open, pending.Pending)
	}
	for _, p := range pending.Pending {
		got = append(got, fmt.Sprintf("%s %s", p.ID, p.Reason))
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") || pending.State == nil || runner.StateOf(err) != pending.State || pending.Result == nil {
		t.Fatalf("pending entries %q, want %q", got, want)
	}
	return pending
}

// A call that needs approval waits for it. The other calls run once.
func TestApproval(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer runner.Answer
		result string
		booked int64
	}{
		"allowed":                {runner.Allow("b"), "book Rome", 1},
		"denied":                 {runner.Deny("b", "too dear"), "too dear", 0},
		"denied without text":    {runner.Deny("b", ""), "The call was denied.", 0},
		"other arguments":        {runner.AllowWith("b", json.RawMessage(`{"city":"Oslo"}`)), "book Oslo", 1},
		"answered by the caller": {runner.Reply("b", "I have been there."), "I have been there.", 0},
	} {
		for _, streamed := range []bool{false, true} {
			model := replySequence(calls("lookup#a", `{"city":"Rome"}`, "book#b", `{"city":"Rome"}`), say("done"))
			inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
				var lookups, bookings counter
				config := runner.Config{Tools: []*runner.Tool{lookups.tool(env, "lookup"), bookings.tool(env, "book", runner.NeedsApproval(nil))}}
				_, err := env.runner(config).Start(env.Context(), userRequest("?"))
				pending := wantPending(env, err, "b approval")
				if call := pending.Pending[0].Entry.Value().(generated.FunctionCallEntry); call.Arguments != `{"city":"Rome"}` || len(env.requests()) != 1 || lookups.Load() != 1 || bookings.Load() != 0 {
					env.Fatalf("%s: %v after %d requests, %d lookups and %d bookings", name, call, len(env.requests()), lookups.Load(), bookings.Load())
				}
				state := written(env, pending.State)
				var result *runner.Result
				if fresh := env.runner(config); streamed {
					run := fresh.ResumeStream(env.Context(), state, c.answer)
					err, result = last(run), run.Result()
				} else {
					result, err = fresh.Resume(env.Context(), state, c.answer)
				}
				if err != nil || result.OutputText() != "done" || len(result.Turns) != 2 || lookups.Load() != 1 || bookings.Load() != c.booked {
					env.Fatalf("%s: %+v, %v, %d lookups, %d bookings", name, result, err, lookups.Load(), bookings.Load())
				}
				byID, ids := results(env, env.requests()[1])
				if fmt.Sprint(ids) != "[a b]" || byID["a"] != "lookup Rome" || byID["b"] != c.result {
					env.Errorf("%s: results %q of %q", name, byID, ids)
				}
				if sum := result.Turns[0].Response.Usage.TotalTokens + result.Turns[1].Response.Usage.TotalTokens; result.Usage.TotalTokens != sum || result.Calls != 1+int(c.booked) {
					env.Errorf("%s: usage %d of %d, %d calls", name, result.Usage.TotalTokens, sum, result.Calls)
				}
				env.wantResults(result.ConversationID)
			})
		}
	}
}

// The predicate receives only calls with valid arguments. A panic counts as true.
func TestApprovalByPredicate(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("book#a", `{"city":"Rome"}`, "book#b", `{"city":"boom"}`, "book#c", `{"town":"Rome"}`, "book#d", `{"city":"Bern"}`), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		var bookings counter
		var received []string
		r := env.runner(runner.Config{Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(func(ctx context.Context, arguments json.RawMessage) bool {
			call, _ := runner.CallFrom(ctx)
			received = append(received, call.ID+string(arguments))
			if strings.Contains(string(arguments), "boom") {
				panic("boom")
			}
			return strings.Contains(string(arguments), "Rome")
		}))}})
		_, err := r.Start(env.Context(), userRequest("?"))
		pending := wantPending(env, err, "a approval", "b approval")
		if got := strings.Join(statuses(pending.Result.Turns[0]), ", "); got != "book: pending, book: pending, book: failed, book: done" || bookings.Load() != 1 {
			env.Errorf("calls are %s", got)
		}
		if got := strings.Join(received, " "); got != `a{"city":"Rome"} b{"city":"boom"} d{"city":"Bern"}` {
			env.Errorf("the predicate received %s", got)
		}
	})
}

// Answers that do not match are errors. No function runs and no request is sent.
func TestAnswersThatDoNotMatch(t *testing.T) {
	t.Parallel()
	reply := calls("book#a", `{"city":"Rome"}`, "own#b", "{}")
	reply.Entries = append(reply.Entries, generated.NewEntry(generated.FunctionCallEntry{
		Name: "web_search", ToolCallID: "s", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
	}))
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply, say("done"))}}, func(env *environment) {
		own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller."}, nil)
		if err != nil {
			env.Fatal(err)
		}
		var bookings counter
		r := env.runner(runner.Config{Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(nil)), own}})
		_, err = r.Start(env.Context(), userRequest("?"))
		pending := wantPending(env, err, "a approval", "b call", "s confirmation")
		if call, _ := pending.Pending[2].Entry.Value().(generated.FunctionCallEntry); call.Name != "web_search" {
			env.Errorf("%+v", pending.Pending[2])
		}
		for _, c := range []struct {
			answers []runner.Answer
			id      string
			word    string
		}{
			{[]runner.Answer{runner.Allow("a"), runner.Allow("x")}, "x", "must be the ID of a pending entry"},
			{[]runner.Answer{runner.Allow("a"), runner.Deny("a", "")}, "a", "once"},
			{[]runner.Answer{runner.Allow("a"), runner.Follow("a")}, "a", "Follow"},
			{[]runner.Answer{runner.Allow("a"), runner.Allow("b")}, "b", "Allow"},
			{[]runner.Answer{runner.AllowWith("b", json.RawMessage(`{}`))}, "b", "AllowWith"},
			{[]runner.Answer{runner.AllowWith("s", json.RawMessage(`{}`)), runner.Allow("a")}, "s", "AllowWith"},
			{[]runner.Answer{runner.Reply("s", "found")}, "s", "Reply"},
			{[]runner.Answer{runner.Reply("b", strings.Repeat("x", 2<<20))}, "b", "1048576"},
			{[]runner.Answer{runner.AllowWith("a", json.RawMessage(`{"city":"Rome","seats":2}`))}, "a", "/seats: is not a known property"},
			{[]runner.Answer{runner.AllowWith("a", json.RawMessage(`{`))}, "a", "the text ends inside it"},
			{[]runner.Answer{{}}, "", "must be the ID of a pending entry"},
		} {
			_, err := r.Resume(env.Context(), pending.State, c.answers...)
			var invalid *runner.AnswerError
			var failed *runner.RunError
			if !errors.As(err, &invalid) || invalid.ID != c.id || !strings.Contains(err.Error(), c.word) || !errors.As(err, &failed) || failed.Stage != runner.StageApproval || failed.State == nil {
				env.Errorf("%v, want an error about %q with %q", err, c.id, c.word)
			}
			if bookings.Load() != 0 || len(env.requests()) != 1 {
				env.Fatalf("%d bookings, %d requests", bookings.Load(), len(env.requests()))
			}
		}
		// Answered calls are executed, but nothing is sent until all entries are answered.
		_, err = r.Resume(env.Context(), pending.State, runner.Allow("a"))
		pending = wantPending(env, err, "b call", "s confirmation")
		_, err = r.Resume(env.Context(), written(env, pending.State), runner.Deny("s", "no"))
		pending = wantPending(env, err, "b call")
		if bookings.Load() != 1 || len(env.requests()) != 1 {
			env.Fatalf("%d bookings, %d requests", bookings.Load(), len(env.requests()))
		}
		result, err := r.Resume(env.Context(), written(env, pending.State), runner.Reply("b", "42"))
		if err != nil || result.OutputText() != "done" || bookings.Load() != 1 {
			env.Fatalf("%v, %d bookings", err, bookings.Load())
		}
		if sent := env.requests()[1]; !strings.Contains(sent, `"tool_confirmations":[{"confirmation":"deny","tool_call_id":"s"}]`) {
			env.Errorf("the request is %s", sent)
		}
		if byID, ids := results(env, env.requests()[1]); fmt.Sprint(ids) != "[a b]" || byID["b"] != "42" {
			env.Errorf("results are %q", byID)
		}
		if _, err := r.Resume(env.Context(), nil); !errors.As(err, new(*runner.StateError)) {
			env.Errorf("without a state: %v", err)
		}
	})
}

// The caller confirms the service's own calls with a request without inputs, with and without
// streaming.
func TestConfirmations(t *testing.T) {
	t.Parallel()
	search := generated.NewTool(generated.WebSearchTool{ToolConfiguration: generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}})
	for _, streamed := range []bool{false, true} {
		for _, allowed := range []bool{false, true} {
			inSynctest(t, settings{}, func(env *environment) {
				r := env.runner(runner.Config{})
				request := userRequest("Search the web for tides")
				request.Tools = []generated.Tool{search}
				var err error
				if streamed {
					err = last(r.StartStream(env.Context(), request))
				} else {
					_, err = r.Start(env.Context(), request)
				}
				var pending *runner.PendingError
				if !errors.As(err, &pending) || len(pending.Pending) != 1 || pending.Pending[0].Reason != runner.PendingConfirmation {
					env.Fatalf("%v", err)
				}
				id, answer, want := pending.Pending[0].ID, runner.Deny(pending.Pending[0].ID, ""), "deny"
				if allowed {
					answer, want = runner.Allow(id), "allow"
				}
				result, err := r.Resume(env.Context(), written(env, pending.State), answer)
				if err != nil || result.OutputText() == "" {
					env.Fatalf("%v", err)
				}
				if got := env.requests()[1]; got != `{"tool_confirmations":[{"confirmation":"`+want+`","tool_call_id":"`+id+`"}]}` {
					env.Errorf("the request is %s", got)
				}
				if _, ran := result.Turns[1].Response.Outputs[0].Value().(generated.ToolExecutionEntry); ran != allowed {
					env.Errorf("outputs are %v", result.Turns[1].Response.Outputs)
				}
			})
		}
	}
}

// Decide answers during the run, once per response. Unanswered entries end the run.
func TestDecide(t *testing.T) {
	t.Parallel()
	twoBookings := calls("book#a", `{"city":"Rome"}`, "book#b", `{"city":"Oslo"}`)
	run := func(t *testing.T, decide func(context.Context, []runner.Pending) ([]runner.Answer, error), test func(env *environment, bookings *counter, result *runner.Result, err error)) {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(twoBookings, say("done"))}}, func(env *environment) {
			var bookings counter
			r := env.runner(runner.Config{Decide: decide, Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(nil))}})
			result, err := r.Start(env.Context(), userRequest("?"))
			test(env, &bookings, result, err)
		})
	}
	allowAll := func(_ context.Context, pending []runner.Pending) (answers []runner.Answer, err error) {
		for _, p := range pending {
			answers = append(answers, runner.Allow(p.ID))
		}
		return answers, nil
	}
	run(t, allowAll, func(env *environment, bookings *counter, result *runner.Result, err error) {
		if err != nil || result.OutputText() != "done" || bookings.Load() != 2 {
			env.Errorf("%v, %d bookings", err, bookings.Load())
		}
	})
	run(t, func(context.Context, []runner.Pending) ([]runner.Answer, error) {
		return []runner.Answer{runner.Allow("a")}, nil
	}, func(env *environment, bookings *counter, _ *runner.Result, err error) {
		_ = wantPending(env, err, "b approval")
		if bookings.Load() != 1 || bookings.last.Load() != "Rome" {
			env.Errorf("%d bookings", bookings.Load())
		}
	})
	cause := errors.New("nobody is in")
	run(t, func(context.Context, []runner.Pending) ([]runner.Answer, error) { return nil, cause }, func(env *environment, bookings *counter, _ *runner.Result, err error) {
		var failed *runner.RunError
		if !errors.As(err, &failed) || !errors.Is(err, cause) || failed.Stage != runner.StageApproval || failed.State == nil || bookings.Load() != 0 {
			env.Errorf("%v, %d bookings", err, bookings.Load())
		}
		fresh := env.runner(runner.Config{Decide: allowAll, Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(nil))}})
		if result, err := fresh.Resume(env.Context(), written(env, failed.State)); err != nil || result.OutputText() != "done" || bookings.Load() != 2 {
			env.Errorf("%v, %d bookings", err, bookings.Load())
		}
	})
	run(t, func(context.Context, []runner.Pending) ([]runner.Answer, error) {
		return []runner.Answer{runner.Allow("x")}, nil
	}, func(env *environment, bookings *counter, _ *runner.Result, err error) {
		if !errors.As(err, new(*runner.AnswerError)) || bookings.Load() != 0 {
			env.Errorf("%v, %d bookings", err, bookings.Load())
		}
	})
	run(t, func(ctx context.Context, _ []runner.Pending) ([]runner.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(env *environment, _ *counter, _ *runner.Result, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			env.Errorf("%v", err)
		}
	})
}

// Events report the pending entries.
func TestEventsOfPendingEntries(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("book#a", `{"city":"Rome"}`))}}, func(env *environment) {
		var bookings counter
		run := env.runner(runner.Config{Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(nil))}}).StartStream(env.Context(), userRequest("?"))
		if run.State() != nil {
			env.Error("a run that has not begun has a state")
		}
		var got []string
		for event, err := range run.Events() {
			if err != nil {
				got = append(got, fmt.Sprintf("%T", err))
			} else if p, ok := event.Value.(runner.CallPending); ok {
				got = append(got, fmt.Sprintf("%d %s %s", event.Turn, p.ID, p.Reason))
			}
		}
		if strings.Join(got, ", ") != "1 a approval, *runner.PendingError" {
			env.Errorf("events are %q", got)
		}
		if _, err := env.runner(runner.Config{}).Resume(env.Context(), run.State()); !errors.As(err, new(*runner.StateError)) {
			env.Errorf("%v", err)
		}
	})
}

// The run continues a handoff that the caller executes with an empty append.
func TestFollow(t *testing.T) {
	t.Parallel()
	var maths atomic.Value
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.AgentName == "front" {
			return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: maths.Load().(string), NextAgentName: "maths"})}}
		}
		return say("42")
	}
	for _, store := range []*bool{nil, ratelimited.Ptr(false)} {
		inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
			next := env.agent(generated.CreateAgentRequest{Name: "maths"})
			first := env.agent(generated.CreateAgentRequest{Name: "front", Handoffs: []string{next.ID}})
			maths.Store(next.ID)
			r := env.runner(runner.Config{})
			_, err := r.Start(env.Context(), generated.StartConversationRequest{
				AgentID: first.ID, Inputs: ratelimited.Text("6 by 7?"), HandoffExecution: generated.HandoffExecutionClient, Store: store,
			})
			var pending *runner.PendingError
			if !errors.As(err, &pending) || pending.Pending[0].Reason != runner.PendingHandoff || pending.Pending[0].AgentID != first.ID {
				env.Fatalf("%v", err)
			}
			id := pending.Pending[0].ID
			if _, err := r.Resume(env.Context(), pending.State, runner.Allow(id)); !errors.As(err, new(*runner.AnswerError)) {
				env.Errorf("%v", err)
			}
			result, err := r.Resume(env.Context(), written(env, pending.State), runner.Follow(id))
			if err != nil || result.OutputText() != "42" {
				env.Fatalf("%+v, %v", result, err)
			}
			sent := env.requests()[1]
			if store == nil && sent != `{"handoff_execution":"client","inputs":[]}` || store != nil && decoded(env, sent)["agent_id"] != next.ID {
				env.Errorf("the request is %s", sent)
			}
		})
	}
}

// Each followed handoff counts toward the limit.
func TestEndlessFollowing(t *testing.T) {
	t.Parallel()
	var id atomic.Value
	model := func(context.Context, emulator.Prompt) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: id.Load().(string)})}}
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		agent := env.agent(generated.CreateAgentRequest{Name: "A"})
		id.Store(agent.ID)
		followed := 0
		follow := func(_ context.Context, pending []runner.Pending) ([]runner.Answer, error) {
			followed++
			return []runner.Answer{runner.Follow(pending[0].ID)}, nil
		}
		request := generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?"), HandoffExecution: generated.HandoffExecutionClient}
		config := runner.Config{Decide: follow, Limits: runner.Limits{Turns: 50}}
		_, err := env.runner(config).Start(env.Context(), request)
		var limit *runner.LimitError
		if !errors.As(err, &limit) || limit.Limit != runner.LimitHandoffs || limit.Max != 16 || len(env.requests()) != 17 || followed != 16 {
			env.Errorf("%v after %d requests and %d answers", err, len(env.requests()), followed)
		}
		// The count continues over resumes.
		config.Decide = nil
		_, err = env.runner(config).Start(env.Context(), request)
		for followed = 0; followed < 20 && !errors.As(err, &limit); followed++ {
			pending := runner.StateOf(err).Pending()
			_, err = env.runner(config).Resume(env.Context(), written(env, runner.StateOf(err)), runner.Follow(pending[0].ID))
			limit = nil
		}
		if !errors.As(err, &limit) || limit.Limit != runner.LimitHandoffs || followed != 16 {
			env.Errorf("%v after %d resumes", err, followed)
		}
	})
}

// An answer is valid for one response. The same ID in the next response is pending again.
func TestSameIDsInTwoTurns(t *testing.T) {
	t.Parallel()
	pending := emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
		Name: "web_search", ToolCallID: "s", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
	})}}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(pending, pending, say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{})
		_, err := r.Start(env.Context(), userRequest("?"))
		_, err = r.Resume(env.Context(), wantPending(env, err, "s confirmation").State, runner.Allow("s"))
		state := wantPending(env, err, "s confirmation").State
		if result, err := r.Resume(env.Context(), state, runner.Deny("s", "")); err != nil || result.OutputText() != "done" || !strings.Contains(env.requests()[2], `"deny"`) {
			env.Errorf("%v, requests are %s", err, env.requests())
		}
	})
}

// A conversation that is not stored does not support confirmations. The error of the service ends
// the run.
func TestConfirmationWithoutStoredConversation(t *testing.T) {
	t.Parallel()
	pending := emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
		Name: "web_search", ToolCallID: "s", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
	})}}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("Hello."), pending, say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{})
		first, err := r.Start(env.Context(), userRequest("Hello!"))
		if err != nil {
			env.Fatal(err)
		}
		_, err = r.Append(env.Context(), first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("Search!"), Store: ratelimited.Ptr(false)})
		_, err = r.Resume(env.Context(), wantPending(env, err, "s confirmation").State, runner.Allow("s"))
		if !errors.Is(err, ratelimited.ErrInvalid) || !strings.Contains(env.requests()[2], `"tool_confirmations":[{"confirmation":"allow","tool_call_id":"s"}]`) {
			env.Errorf("%v, requests are %s", err, env.requests())
		}
	})
}

// If a response has more calls than the limit allows, none of them runs, and no approval is
// requested.
func TestLimitsBeforeApproval(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]runner.Limits{"turns": {Turns: 1}, "calls": {ToolCalls: 1}} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("lookup#a", `{"city":"Rome"}`, "book#b", `{"city":"Rome"}`), say("done"))}}, func(env *environment) {
			var lookups, bookings counter
			config := runner.Config{Limits: limits, Tools: []*runner.Tool{lookups.tool(env, "lookup"), bookings.tool(env, "book", runner.NeedsApproval(nil))}}
			_, err := env.runner(config).Start(env.Context(), userRequest("?"))
			var limit *runner.LimitError
			if !errors.As(err, &limit) || lookups.Load() != 0 {
				env.Fatalf("%s: %v after %d lookups", name, err, lookups.Load())
			}
			config.Limits = runner.Limits{}
			_, err = env.runner(config).Resume(env.Context(), written(env, limit.State))
			state := wantPending(env, err, "b approval").State
			if result, err := env.runner(config).Resume(env.Context(), state, runner.Allow("b")); err != nil || result.OutputText() != "done" || lookups.Load() != 1 || bookings.Load() != 1 {
				env.Errorf("%s: %v", name, err)
			}
		})
	}
	// A single call that waits for approval counts, too.
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("book#b", `{"city":"Rome"}`))}}, func(env *environment) {
		var bookings counter
		r := env.runner(runner.Config{Limits: runner.Limits{Turns: 1}, Tools: []*runner.Tool{bookings.tool(env, "book", runner.NeedsApproval(nil))}})
		if _, err := r.Start(env.Context(), userRequest("?")); !errors.Is(err, runner.ErrLimit) {
			env.Errorf("%v", err)
		}
	})
}
