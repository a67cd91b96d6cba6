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

// A play is a script, and how its run is disturbed.
type play struct {
	turns    [][]string // the calls of each turn: names of functions
	isStored bool
	stops    []stop
}

// A stop is what ends a part of a run.
type stop struct {
	how      string
	n        int  // at the n-th event or after n ms, or a limit
	streamed bool // the part is
}

func plays() *rapid.Generator[play] {
	return rapid.Custom(func(r *rapid.T) play {
		p := play{isStored: rapid.IntRange(0, 3).Draw(r, "stored") > 0}
		names := []string{"once", "once", "again", "gated", "alone", "own", "bad", "ghost"}
		if p.isStored {
			names = append(names, "server")
		}
		for range rapid.IntRange(1, 3).Draw(r, "turns") {
			p.turns = append(p.turns, rapid.SliceOfN(rapid.SampledFrom(names), 1, 4).Draw(r, "calls"))
		}
		p.stops = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) stop {
			return stop{
				how:      rapid.SampledFrom([]string{"cancel", "crash", "crash", "turns", "calls", "stop", "lost", "closed", "refused"}).Draw(r, "how"),
				n:        rapid.IntRange(0, 40).Draw(r, "n"),
				streamed: rapid.Bool().Draw(r, "streamed"),
			}
		}), 1, 4).Draw(r, "stops")
		return p
	})
}

// reply is the model: its n-th reply has the calls of the n-th turn, whose ids say so.
func (p play) reply(_ context.Context, prompt emulator.Prompt) emulator.Reply {
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

// effects are what the functions have done, by tool_call_id.
type effects struct {
	mu    sync.Mutex
	begun map[string]int
}

// tools are those of one process. All have the effects.
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

// answers are the caller's, who knows what an interrupted function has done.
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

// A record is what a run has done.
type record struct {
	requests []string
	history  []string
	text     string
	turns    int
	begun    map[string]int
}

// perform plays a script to its end.
func perform(t *testing.T, p play) (done record, failure error) {
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
				failure = errors.New("the run does not come to its end")
				return
			}
		}
	})
	return done, failure
}

// part runs until the stop or the end, in a process of its own. It returns the result, or the state as
// it was written.
func (p play) part(env *environment, e *effects, s stop, state []byte, given []runner.Answer) (result *runner.Result, next []byte, pending []runner.Pending, err error) {
	defer synctest.Wait() // nothing of the process is left
	config := runner.Config{Tools: e.tools(env), Grace: time.Second}
	ctx, cancel := context.WithCancel(env.Context())
	defer cancel()
	env.setFaults()
	switch s.how {
	case "cancel":
		time.AfterFunc(time.Duration(s.n)*time.Millisecond/2+time.Microsecond, cancel) // within a request, or a function
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
	case "refused":
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

// sent returns the requests, each once, without what differs from run to run.
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

// A run that is stopped anywhere, and resumed by another process from what was written, makes
// the requests and has the result of one that was not. No function runs twice, except those
// that may.
func TestResumedRunsAreAsUndisturbedOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		p := plays().Draw(r, "play")
		want, err := perform(t, play{turns: p.turns, isStored: p.isStored})
		if err != nil {
			r.Fatalf("undisturbed: %v", err)
		}
		got, err := perform(t, p)
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
