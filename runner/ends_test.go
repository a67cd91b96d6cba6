package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A function that aborts is the cause of the end of the run, even if the context has ended.
func TestAbortAfterTheContextHasEnded(t *testing.T) {
	t.Parallel()
	cause := errors.New("the disk is full")
	for name, limits := range map[string]runner.Limits{"cancelled": {}, "out of time": {Time: time.Second}} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"))}}, func(env *environment) {
			r := env.runner(runner.Config{Limits: limits, Tools: []*runner.Tool{tool(env, "f", func(ctx context.Context, _ struct{}) (string, error) {
				<-ctx.Done()
				return "", runner.Abort(cause)
			})}})
			ctx, cancel := context.WithCancel(env.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := r.Start(ctx, userRequest("?"))
			var failed *runner.RunError
			if !errors.As(err, &failed) || !errors.Is(err, cause) || !errors.Is(err, ctx.Err()) && limits.Time == 0 {
				env.Errorf("%s: %v", name, err)
			}
			if got := strings.Join(statuses(failed.Result.Turns[0]), ", "); got != "f: failed" {
				env.Errorf("%s: calls are %s", name, got)
			}
		})
	}
}

// A panic with any value does not end the run.
func TestPanicWithAbort(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) {
			panic(runner.Abort(errors.New("x")))
		})}})
		result, err := r.Start(env.Context(), userRequest("?"))
		if err != nil || result.Turns[0].Calls[0].Failure.Stage != runner.StagePanic {
			env.Errorf("%+v, %v", result, err)
		}
	})
}

// A run inside a function has its own time limit, and so has the function.
func TestRunsWithinFunctions(t *testing.T) {
	t.Parallel()
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		switch {
		case strings.HasPrefix(p.Text(), "inner"):
			return calls("slow", `{"ms":60000}`)
		case len(p.History) == 0:
			return calls("ask", "{}")
		}
		return say("done")
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		inner := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "slow", nil)}})
		var innerErr error
		outer := func(limits runner.Limits, options ...runner.ToolOption) error {
			_, err := env.runner(runner.Config{Limits: limits, Tools: []*runner.Tool{tool(env, "ask", func(ctx context.Context, _ struct{}) (string, error) {
				_, innerErr = inner.Start(ctx, userRequest("inner"))
				return "", innerErr
			}, options...)}}).Start(env.Context(), userRequest("outer"))
			return err
		}
		var limit *runner.LimitError
		if err := outer(runner.Limits{Time: time.Second}); !errors.As(err, &limit) || limit.Limit != runner.LimitTime {
			env.Errorf("the outer run ends with %v", err)
		}
		if errors.Is(innerErr, runner.ErrLimit) || !errors.As(innerErr, new(*runner.RunError)) {
			env.Errorf("the inner run reports the time limit of the outer run: %v", innerErr)
		}
		// The timeout of the outer function does not count as a timeout of the inner function.
		if err := outer(runner.Limits{}, runner.WithTimeout(time.Second)); err != nil {
			env.Error(err)
		}
		if status := runner.ResultOf(innerErr).Turns[0].Calls[0].Status; status != runner.StatusInterrupted {
			env.Errorf("the inner call is %s", status)
		}
	})
}

// A request is not sent if its inputs alone would exceed the remaining tokens.
func TestTokensOfTheNextRequest(t *testing.T) {
	t.Parallel()
	reply := calls("f", "{}")
	reply.Usage = &generated.ConversationUsageInfo{PromptTokens: 50, CompletionTokens: 10, TotalTokens: 60}
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.History) == 0 {
			return reply
		}
		return emulator.Reply{Text: "done", Usage: &generated.ConversationUsageInfo{TotalTokens: 10}}
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		for size, want := range map[int]int64{100: 0, 400: 160} {
			before := len(env.requests())
			r := env.runner(runner.Config{Limits: runner.Limits{Tokens: 150}, Tools: []*runner.Tool{
				tool(env, "f", func(context.Context, struct{}) (string, error) { return strings.Repeat("x", size), nil }),
			}})
			_, err := r.Start(env.Context(), userRequest("?"))
			if want == 0 {
				if err != nil {
					env.Errorf("%d bytes: %v", size, err)
				}
				continue
			}
			var limit *runner.LimitError
			if !errors.As(err, &limit) || limit.Limit != runner.LimitTokens || limit.Used != want || len(limit.Result.Unsent) != 1 || len(env.requests()) != before+1 {
				env.Errorf("%d bytes: %v after %d requests", size, err, len(env.requests())-before)
			}
		}
		before := len(env.requests())
		r := env.runner(runner.Config{Limits: runner.Limits{Tokens: 150}})
		if _, err := r.Start(env.Context(), userRequest(strings.Repeat("x", 604))); !errors.Is(err, runner.ErrLimit) || len(env.requests()) != before {
			env.Errorf("%v after %d requests", err, len(env.requests())-before)
		}
	})
}

// The result contains the conversation as soon as a stream has reported its ID.
func TestConversationOfABrokenStream(t *testing.T) {
	t.Parallel()
	intercept := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		events(`{"type":"conversation.response.started","conversation_id":"conv_1"}`, `{"type":"message.output.delta","id":"m_1","content":"Hel"}`)(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, store := range []*bool{nil, ratelimited.Ptr(false)} {
		inSynctest(t, settings{emulator: emulator.Config{Intercept: intercept}}, func(env *environment) {
			request, want := userRequest("?"), "conv_1"
			if request.Store = store; store != nil {
				want = ""
			}
			run := env.runner(runner.Config{}).StartStream(env.Context(), request)
			err := last(run)
			if got := runner.ResultOf(err).ConversationID; got != want || run.Result().ConversationID != want {
				env.Errorf("%v: the conversation is %q, want %q", err, got, want)
			}
		})
	}
}

// More than 16 handoffs end a run, even if an answer follows them.
func TestManyHandoffsAndAnAnswer(t *testing.T) {
	t.Parallel()
	for n, isOver := range map[int]bool{16: false, 17: true} {
		reply := emulator.Reply{}
		for i := range n {
			reply.Entries = append(reply.Entries, generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: fmt.Sprint("ag_", i)}))
		}
		reply.Entries = append(reply.Entries, text("done"))
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply)}}, func(env *environment) {
			agent := env.agent(generated.CreateAgentRequest{Name: "A"})
			_, err := env.runner(runner.Config{}).Start(env.Context(), generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?")})
			var limit *runner.LimitError
			if errors.As(err, &limit) != isOver || isOver && (limit.Limit != runner.LimitHandoffs || limit.Used != 17 || limit.Max != 16) {
				env.Errorf("%d handoffs: %v", n, err)
			}
		})
	}
}

// The usage of a response that was not read to its end is unknown.
func TestUsageOfAnUnfinishedStream(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("one two three"))}}, func(env *environment) {
		run := env.runner(runner.Config{}).StartStream(env.Context(), userRequest("?"))
		for event, err := range run.Events() {
			if err != nil {
				env.Error(err)
			}
			if _, ok := event.Value.(generated.MessageOutputEvent); ok {
				break
			}
		}
		if run.Result().UnknownUsage != 1 {
			env.Errorf("%+v", run.Result())
		}
	})
}

// The observer receives the end of each run, even if code of the caller panics.
func TestObserverOfARunThatPanics(t *testing.T) {
	t.Parallel()
	var ends atomic.Int64
	observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			if e, ok := event.(ratelimited.Ended); ok && operation == "Runner.Start" && e.Err != nil {
				ends.Add(1)
			}
		}
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f", "{}"))}, client: ratelimited.Config{Observer: observer}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}, Stop: func(runner.Turn) bool { panic("stop") }})
		func() {
			defer func() {
				if recover() == nil {
					env.Error("the panic of Stop was not propagated")
				}
			}()
			_, _ = r.Start(env.Context(), userRequest("?"))
		}()
		if ends.Load() != 1 {
			env.Errorf("the observer received %d ends", ends.Load())
		}
	})
}

type unstable struct {
	N int `json:"n"`
}

func (u unstable) Validate() error {
	if u.N == 1 {
		panic("one")
	}
	return nil
}

// If a method of a type panics, the answer is rejected, and the response stays available.
func TestPanicsOfTypes(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say(`{"n":1}`), say(`{"n":2}`))}}, func(env *environment) {
		value, result, err := runner.StartAs[unstable](env.Context(), env.runner(runner.Config{}), userRequest("?"))
		if err != nil || value.N != 2 || len(result.Turns) != 2 {
			env.Errorf("%+v, %v", value, err)
		}
	})
	_, err := runner.NewTool("f", "Does.", nothing, runner.SchemaOf[tree](badJSON{}))
	wantConfigError(t, err, "f", "SchemaOf[runner_test.tree]", "panic: no JSON")
	_, err = runner.RawTool(generated.Function{Name: "f", Description: "Does.", Parameters: badJSON{}}, nil)
	wantConfigError(t, err, "f", "Parameters", "panic: no JSON")
	_, err = runner.NewTool("f", "Does.", func(context.Context, struct{ In badSchema }) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In.In", "badSchema", "panic: no schema")
	_, err = runner.Format[badSchema]()
	wantConfigError(t, err, "", "badSchema", "panic: no schema")
	made, err := runner.NewTool("f", "Does.", func(context.Context, struct{ Root *tree }) (string, error) { return "", nil }, runner.SchemaOf[*tree](`{"type":"object"}`))
	if text, _ := json.Marshal(made.Definition()); err != nil || !strings.Contains(string(text), `"anyOf":[{"type":"object"},{"type":"null"}]`) {
		t.Errorf("%s, %v", text, err)
	}
}

type (
	badJSON   struct{}
	badSchema struct{}
)

func (badJSON) MarshalJSON() ([]byte, error) { panic("no JSON") }
func (badSchema) JSONSchema() any            { panic("no schema") }
