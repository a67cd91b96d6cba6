package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// sleeper returns a tool that takes as long as its argument says.
func sleeper(t testing.TB, name string, before func(), options ...runner.ToolOption) *runner.Tool {
	return tool(t, name, func(ctx context.Context, in struct {
		MS int `json:"ms"`
	}) (string, error) {
		if before != nil {
			before()
		}
		select {
		case <-time.After(time.Duration(in.MS) * time.Millisecond):
			return name, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}, options...)
}

// The calls of one response run concurrently, and one request sends their results in order.
func TestParallelCalls(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("a#1", `{"ms":300}`, "b#2", `{"ms":100}`, "c#3", `{"ms":200}`), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "a", nil), sleeper(env, "b", nil), sleeper(env, "c", nil)}})
		var err error
		if took := elapsed(func() { _, err = r.Start(env.Context(), userRequest("?")) }); err != nil || took != 300*time.Millisecond {
			env.Errorf("took %v, %v, want 300 ms", took, err)
		}
		byID, ids := results(env, env.requests()[1])
		if want := []string{"1", "2", "3"}; !reflect.DeepEqual(ids, want) || byID["1"] != "a" || byID["3"] != "c" {
			env.Errorf("results %q of %q, want %q", byID, ids, want)
		}
	})
}

func TestParallelIsBounded(t *testing.T) {
	t.Parallel()
	var names []string
	for range 5 {
		names = append(names, "free", `{"ms":100}`)
	}
	names = append(names, "alone", `{"ms":100}`, "free", `{"ms":100}`, "free", `{"ms":100}`)
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls(names...), say("done"))}}, func(env *environment) {
		var running, most atomic.Int64
		var together atomic.Bool
		count := func(isAlone bool) func() {
			return func() {
				n := running.Add(1)
				for m := most.Load(); n > m; m = most.Load() {
					most.CompareAndSwap(m, n)
				}
				if isAlone && n > 1 {
					together.Store(true)
				}
				time.AfterFunc(99*time.Millisecond, func() {
					if isAlone && running.Load() > 1 {
						together.Store(true)
					}
					running.Add(-1)
				})
			}
		}
		r := env.runner(runner.Config{Limits: runner.Limits{Parallel: 2}, Tools: []*runner.Tool{
			sleeper(env, "free", count(false)), sleeper(env, "alone", count(true), runner.Sequential()),
		}})
		took := elapsed(func() {
			if _, err := r.Start(env.Context(), userRequest("?")); err != nil {
				env.Fatal(err)
			}
		})
		if most.Load() != 2 || together.Load() || took != 500*time.Millisecond {
			env.Errorf("at most %d concurrently, sequential together with others %v, took %v", most.Load(), together.Load(), took)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	usage := func(reply emulator.Reply, total int) emulator.Reply {
		reply.Usage = &generated.ConversationUsageInfo{PromptTokens: total - 10, CompletionTokens: 10, TotalTokens: total}
		return reply
	}
	for name, c := range map[string]struct {
		model    []emulator.Reply
		limits   runner.Limits
		limit    runner.Limit
		max      int64
		used     int64
		requests int
		called   int64
	}{
		"turns":         {[]emulator.Reply{calls("f", "{}")}, runner.Limits{Turns: 5}, runner.LimitTurns, 5, 5, 5, 4},
		"default turns": {[]emulator.Reply{calls("f", "{}")}, runner.Limits{}, runner.LimitTurns, 20, 20, 20, 19},
		"calls":         {[]emulator.Reply{calls("f", "{}", "f", "{}")}, runner.Limits{ToolCalls: 3}, runner.LimitToolCalls, 3, 2, 2, 2},
		"tokens":        {[]emulator.Reply{usage(calls("f", "{}"), 60)}, runner.Limits{Tokens: 100}, runner.LimitTokens, 100, 120, 2, 1},
	} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(c.model...)}}, func(env *environment) {
			var called atomic.Int64
			r := env.runner(runner.Config{Limits: c.limits, Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { called.Add(1); return "", nil })}})
			result, err := r.Start(env.Context(), userRequest("?"))
			var limit *runner.LimitError
			if !errors.As(err, &limit) || !errors.Is(err, runner.ErrLimit) || result != nil {
				env.Fatalf("%s: %v, %v", name, result, err)
			}
			if limit.Limit != c.limit || limit.Max != c.max || limit.Used != c.used || called.Load() != c.called || len(env.requests()) != c.requests {
				env.Errorf("%s: %v after %d requests and %d calls", name, limit, len(env.requests()), called.Load())
			}
			if last := limit.Result.Response(); len(last.FunctionCalls()) == 0 || len(limit.Result.Turns) != c.requests || runner.ResultOf(err) != limit.Result {
				env.Errorf("%s: the result has %d turns", name, len(limit.Result.Turns))
			}
			for _, o := range limit.Result.Turns[c.requests-1].Calls {
				if o.Status != runner.StatusNotStarted {
					env.Errorf("%s: a call of the last response is %s", name, o.Status)
				}
			}
		})
	}
}

// The time of a run is a separate limit, even if the client detects in advance that it is too
// short.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", `{"ms":10000}`), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{Limits: runner.Limits{Time: 2 * time.Second}, Tools: []*runner.Tool{sleeper(env, "f", nil)}})
		var err error
		took := elapsed(func() { _, err = r.Start(env.Context(), userRequest("?")) })
		var limit *runner.LimitError
		if !errors.As(err, &limit) || limit.Limit != runner.LimitTime || time.Duration(limit.Max) != 2*time.Second || took != 2*time.Second || errors.Is(err, context.DeadlineExceeded) {
			env.Errorf("after %v: %v", took, err)
		}
		if status := limit.Result.Turns[0].Calls[0].Status; status != runner.StatusInterrupted {
			env.Errorf("the call is %s", status)
		}
	})
	slow := settings{emulator: emulator.Config{Latency: time.Second}, client: ratelimited.Config{RequestsPerSecond: 0.1, TokensPerMinute: 1_000_000, BareBuckets: true}}
	inSynctest(t, slow, func(env *environment) {
		r := env.runner(runner.Config{Limits: runner.Limits{Time: 5 * time.Second}})
		if _, err := r.Start(env.Context(), userRequest("?")); err != nil {
			env.Fatal(err)
		}
		var limit *runner.LimitError
		if _, err := r.Start(env.Context(), userRequest("?")); !errors.As(err, &limit) || limit.Limit != runner.LimitTime {
			env.Errorf("%v, want the time limit", err)
		}
		// A deadline of the caller is not a limit of the run.
		ctx, cancel := context.WithTimeout(env.Context(), time.Second)
		defer cancel()
		if _, err := r.Start(ctx, userRequest("?")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, runner.ErrLimit) {
			env.Errorf("%v, want an exceeded deadline", err)
		}
	})
}

func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"))}}, func(env *environment) {
		cause := errors.New("password=hunter2")
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { return "", cause })}})
		_, err := r.Start(env.Context(), userRequest("?"))
		var failed *runner.ToolError
		if !errors.As(err, &failed) || failed.Name != "f" || failed.Failures != 3 || !errors.Is(err, cause) || len(env.requests()) != 3 || len(failed.Result.Unsent) != 1 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
		if strings.Contains(err.Error(), "hunter2") {
			env.Errorf("the error contains the function's error: %v", err)
		}
	})
	// Two failures followed by a success of the same function are not three failures in a row.
	var replies []emulator.Reply
	for range 9 {
		replies = append(replies, calls("f", `{"ok":false}`), calls("f", `{"ok":false}`), calls("f", `{"ok":true}`), calls("g", `{}`))
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(append(replies, say("done"))...)}}, func(env *environment) {
		r := env.runner(runner.Config{Limits: runner.Limits{Turns: 100}, Tools: []*runner.Tool{
			tool(env, "f", func(_ context.Context, in struct {
				OK bool `json:"ok"`
			}) (string, error) {
				if !in.OK {
					return "", errors.New("no")
				}
				return "", nil
			}),
			tool(env, "g", func(context.Context, struct{}) (string, error) { return "", nil }),
		}})
		if result, err := r.Start(env.Context(), userRequest("?")); err != nil || result.FailedCalls != 18 {
			env.Errorf("%+v, %v", result, err)
		}
	})
	// Calls of unknown functions are counted together.
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("x", "{}"), calls("y", "{}", "z", "{}"), say("done"))}}, func(env *environment) {
		var failed *runner.ToolError
		if _, err := env.runner(runner.Config{}).Start(env.Context(), userRequest("?")); !errors.As(err, &failed) || failed.Name != "" || failed.Last.Stage != runner.StageLookup {
			env.Errorf("%v", err)
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), calls("f#b", "{}"), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{
			Stop:  func(turn runner.Turn) bool { return turn.Number == 2 && turn.Calls[0].Status == runner.StatusDone },
			Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { return "x", nil })},
		})
		_, err := r.Start(env.Context(), userRequest("?"))
		var stopped *runner.RunError
		if !errors.Is(err, runner.ErrStopped) || !errors.As(err, &stopped) || stopped.Turn != 2 || len(env.requests()) != 2 || len(stopped.Result.Unsent) != 1 {
			env.Fatalf("%v after %d requests", err, len(env.requests()))
		}
		// The caller can continue the conversation with the unsent results.
		result, err := r.Append(env.Context(), stopped.Result.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Entries(stopped.Result.Unsent...)})
		if err != nil || result.OutputText() != "done" {
			env.Errorf("%v, %v", result, err)
		}
		env.wantResults(result.ConversationID)
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	first, second := calls("f", "{}"), say("done")
	first.Usage = &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: 2, TotalTokens: 15, ConnectorTokens: 3, NumCachedTokens: 1, Connectors: map[string]int{"web_search": 1}}
	second.Usage = &generated.ConversationUsageInfo{PromptTokens: 20, CompletionTokens: 4, TotalTokens: 27, ConnectorTokens: 3, NumCachedTokens: 10, Connectors: map[string]int{"web_search": 2, "code_interpreter": 1}}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(first, second)}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { return "", errors.New("x") })}})
		result, err := r.Start(env.Context(), userRequest("?"))
		if err != nil {
			env.Fatal(err)
		}
		want := generated.ConversationUsageInfo{
			PromptTokens: 30, CompletionTokens: 6, TotalTokens: 42, ConnectorTokens: 6, NumCachedTokens: 11,
			Connectors: map[string]int{"web_search": 3, "code_interpreter": 1},
		}
		if !reflect.DeepEqual(result.Usage, want) || len(result.Turns) != 2 || result.Calls != 1 || result.FailedCalls != 1 || result.UnknownUsage != 0 {
			text, _ := json.Marshal(result.Usage)
			env.Errorf("usage %s, %+v", text, result)
		}
	})
}
