package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A scenario is a script of function calls and the interruptions of its run.
type scenario struct {
	turns    [][]string // the calls of each turn: names of functions
	isStored bool
	stops    []stop
}

// A stop is an interruption that ends a part of a run.
type stop struct {
	how      string
	n        int  // the number of events or ms before the stop, or a limit
	streamed bool // whether the part is streamed
}

func scenarios() *rapid.Generator[scenario] {
	return rapid.Custom(func(r *rapid.T) scenario {
		p := scenario{isStored: rapid.IntRange(0, 3).Draw(r, "stored") > 0}
		names := []string{"once", "once", "again", "gated", "alone", "own", "bad", "unknown"}
		if p.isStored {
			names = append(names, "server")
		}
		for range rapid.IntRange(1, 3).Draw(r, "turns") {
			p.turns = append(p.turns, rapid.SliceOfN(rapid.SampledFrom(names), 1, 4).Draw(r, "calls"))
		}
		p.stops = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) stop {
			return stop{
				how:      rapid.SampledFrom([]string{"cancel", "crash", "crash", "turns", "calls", "stop", "lost", "closed", "forbidden"}).Draw(r, "how"),
				n:        rapid.IntRange(0, 40).Draw(r, "n"),
				streamed: rapid.Bool().Draw(r, "streamed"),
			}
		}), 1, 4).Draw(r, "stops")
		return p
	})
}

// reply is the model. Its n-th reply has the calls of the n-th turn, with IDs that contain the
// turn.
func (p scenario) reply(_ context.Context, prompt emulator.Prompt) emulator.Reply {
	answered := -1
	for _, entry := range slices.Concat(prompt.History, prompt.Inputs) {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok {
			_, _ = fmt.Sscanf(call.ToolCallID, "t%d", &answered)
		}
	}
	turn := answered + 1
	if turn >= len(p.turns) {
		return say("All is done.")
	}
	var reply emulator.Reply
	for i, name := range p.turns[turn] {
		call := generated.FunctionCallEntry{Name: name, ToolCallID: fmt.Sprintf("t%dc%d", turn, i), Arguments: generated.FunctionCallEntryArguments(fmt.Sprintf(`{"ms":%d}`, 3*i+1))}
		switch name {
		case "bad":
			call.Name, call.Arguments = "once", `{"ms":"soon"}`
		case "server":
			call.ConfirmationStatus = generated.ConfirmationStatusPending
		}
		reply.Entries = append(reply.Entries, generated.NewEntry(call))
	}
	return reply
}

// effects counts the executions of functions, by tool_call_id.
type effects struct {
	mu    sync.Mutex
	begun map[string]int
}

// tools returns the tools of one process. All processes share the effects.
func (e *effects) tools(t testing.TB) []*runner.Tool {
	t.Helper()
	f := func(ctx context.Context, in struct {
		MS int `json:"ms"`
	}) (string, error) {
		call, _ := runner.CallFrom(ctx)
		e.mu.Lock()
		e.begun[call.ID]++
		e.mu.Unlock()
		select {
		case <-time.After(time.Duration(in.MS) * time.Millisecond):
			return resultOf(call.ID), nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	own, err := runner.RawTool(generated.Function{Name: "own", Description: "Answered by the caller."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return []*runner.Tool{
		tool(t, "once", f), tool(t, "again", f, runner.Idempotent()), tool(t, "gated", f, runner.NeedsApproval(nil)), tool(t, "alone", f, runner.Sequential()), own,
	}
}

func resultOf(id string) string { return "result of " + id }

// answers returns the caller's answers. The caller knows the results of interrupted functions.
func answers(pending []runner.Pending) (list []runner.Answer) {
	for _, p := range pending {
		switch p.Reason {
		case runner.PendingApproval, runner.PendingConfirmation:
			list = append(list, runner.Allow(p.ID))
		default:
			list = append(list, runner.Reply(p.ID, resultOf(p.ID)))
		}
	}
	return list
}

// A record is the outcome of a run.
type record struct {
	requests []string
	history  []string
	text     string
	turns    int
	begun    map[string]int
}

// perform executes a scenario to its end.
func runScenario(t *testing.T, p scenario) (done record, failure error) {
	inSynctest(t, settings{emulator: emulator.Config{Model: p.reply, Latency: 2 * time.Millisecond}}, func(env *environment) {
		e := &effects{begun: map[string]int{}}
		var state []byte
		var pending []runner.Pending
		for i := 0; ; i++ {
			var s stop
			if i < len(p.stops) {
				s = p.stops[i]
			}
			var result *runner.Result
			var err error
			result, state, pending, err = p.part(env, e, s, state, answers(pending))
			if err != nil {
				failure = fmt.Errorf("part %d (%+v): %w", i, s, err)
				return
			}
			if result != nil {
				done = record{text: result.OutputText(), turns: len(result.Turns), begun: e.begun}
				done.requests, done.history = env.sent(), historyOf(result)
				return
			}
			if i > len(p.stops)+3*len(p.turns)+3 {
				failure = errors.New("the run does not end")
				return
			}
		}
	})
	return done, failure
}

// part runs until the stop or the end, as a separate process. It returns the result, or the encoded
// state.
func (p scenario) part(env *environment, e *effects, s stop, state []byte, given []runner.Answer) (result *runner.Result, next []byte, pending []runner.Pending, err error) {
	defer synctest.Wait() // wait for all goroutines of the process
	config := runner.Config{Tools: e.tools(env), Grace: time.Second}
	ctx, cancel := context.WithCancel(env.Context())
	defer cancel()
	env.setFaults()
	switch s.how {
	case "cancel":
		time.AfterFunc(time.Duration(s.n)*time.Millisecond/2+time.Microsecond, cancel) // during a request or a function
	case "turns":
		config.Limits.Turns = 1 + s.n%3
	case "calls":
		config.Limits.ToolCalls = 1 + s.n%8
	case "stop":
		config.Stop = func(runner.Turn) bool { return true }
	case "lost":
		env.setFaults(emulator.Fault{Kind: emulator.FaultLostReply, Operation: "AppendConversation", Nth: 1 + s.n%2}, emulator.Fault{Kind: emulator.FaultLostReply, Operation: "AppendConversationStream", Nth: 1 + s.n%2})
	case "closed":
		env.setFaults(emulator.Fault{Kind: emulator.FaultClose, Operation: "POST /v1/conversations*", Nth: 1 + s.n%3})
	case "forbidden":
		env.setFaults(emulator.Fault{Kind: emulator.FaultForbidden, Operation: "POST /v1/conversations*", Nth: 1 + s.n%3})
	}
	r := env.runner(config)
	request := userRequest("Go!")
	request.Store = ratelimited.Ptr(p.isStored)
	start := func() (*runner.Result, error) { return r.Start(ctx, request) }
	stream := func() *runner.Run { return r.StartStream(ctx, request) }
	if state != nil {
		read := new(runner.State)
		if err := json.Unmarshal(state, read); err != nil {
			return nil, nil, nil, err
		}
		start = func() (*runner.Result, error) { return r.Resume(ctx, read, given...) }
		stream = func() *runner.Run { return r.ResumeStream(ctx, read, given...) }
	}
	if s.streamed || s.how == "crash" {
		run, events := stream(), 0
		for event, failed := range run.Events() {
			if err = failed; err != nil {
				break
			}
			_, isOfTheAPI := event.Value.(generated.StreamEventVariant)
			if events++; s.how == "crash" && events > s.n && (!isOfTheAPI || !p.isStored) {
				next, err = json.Marshal(run.State())
				return nil, next, nil, err
			}
		}
		result = run.Result()
	} else {
		result, err = start()
	}
	if err == nil {
		return result, nil, nil, nil
	}
	if runner.StateOf(err) == nil {
		return nil, nil, nil, err
	}
	if open := (*runner.PendingError)(nil); errors.As(err, &open) {
		pending = open.Pending
	}
	next, err = json.Marshal(runner.StateOf(err))
	return nil, next, pending, err
}

// sent returns the requests without repetitions and without the parts that differ between runs.
func (env *environment) sent() (list []string) {
	for _, body := range env.requests() {
		sent := decoded(env, body)
		delete(sent, "stream")
		if tools, ok := sent["tools"]; ok {
			sent["tools"] = crc32.ChecksumIEEE(fmt.Append(nil, tools))
		}
		if entries, ok := sent["inputs"].([]any); ok {
			for _, entry := range entries {
				for _, name := range []string{"id", "created_at", "completed_at", "object", "model"} {
					delete(entry.(map[string]any), name)
				}
			}
		}
		text, _ := json.Marshal(sent)
		if len(list) == 0 || list[len(list)-1] != string(text) {
			list = append(list, string(text))
		}
	}
	return list
}

func historyOf(result *runner.Result) (list []string) {
	for _, entry := range result.Entries() {
		switch e := entry.Value().(type) {
		case generated.FunctionCallEntry:
			list = append(list, "call "+e.ToolCallID+" "+e.Name+" "+string(e.Arguments))
		case generated.FunctionResultEntry:
			list = append(list, "result "+e.ToolCallID+" "+e.Result)
		case generated.MessageOutputEntry:
			list = append(list, "message "+e.Content.Text())
		default:
			list = append(list, fmt.Sprintf("%T", e))
		}
	}
	return list
}

// A run that is stopped anywhere and resumed by another process makes the same requests and has the
// same result as an uninterrupted run. No function runs twice, except idempotent ones.
func TestResumedRunsEqualUninterruptedRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		p := scenarios().Draw(r, "scenario")
		want, err := runScenario(t, scenario{turns: p.turns, isStored: p.isStored})
		if err != nil {
			r.Fatalf("uninterrupted: %v", err)
		}
		got, err := runScenario(t, p)
		if err != nil {
			r.Fatalf("%v", err)
		}
		if got.text != "All is done." || got.turns != want.turns || !slices.Equal(got.history, want.history) {
			r.Errorf("%q after %d turns, want %d: the entries are\n%s\nwant\n%s", got.text, got.turns, want.turns, strings.Join(got.history, "\n"), strings.Join(want.history, "\n"))
		}
		if !slices.Equal(got.requests, want.requests) {
			r.Errorf("the requests are\n%s\nwant\n%s", strings.Join(got.requests, "\n"), strings.Join(want.requests, "\n"))
		}
		for _, id := range slices.Sorted(maps.Keys(got.begun)) {
			var turn, call int
			_, _ = fmt.Sscanf(id, "t%dc%d", &turn, &call)
			if got.begun[id] > 1 && p.turns[turn][call] != "again" {
				r.Errorf("call %s of %s ran %d times", id, p.turns[turn][call], got.begun[id])
			}
		}
	})
}
