package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
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

func TestRun(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("weather#a", `{"city":"Paris"}`), say("It is <fine>."))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		seen := make(chan runner.Call, 1)
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "weather", func(ctx context.Context, in location) (weather, error) {
			call, _ := runner.CallFrom(ctx)
			seen <- call
			return weather{in.City, "<&>", 21}, nil
		})}})
		result, err := r.Start(env.Context(), userRequest("Weather in Paris?"))
		if err != nil {
			env.Fatal(err)
		}
		if got := result.OutputText(); got != "It is <fine>." || len(result.Turns) != 2 || result.Calls != 1 || result.FailedCalls != 0 || len(result.Unsent) != 0 {
			env.Errorf("%q after %d turns, %d calls", got, len(result.Turns), result.Calls)
		}
		if call := <-seen; call != (runner.Call{Name: "weather", ID: "a", Turn: 1, ConversationID: result.ConversationID}) {
			env.Errorf("the function's call is %+v", call)
		}
		requests := env.requests()
		const definition = `"tools":[{"function":{"description":"Does weather.","name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string","description":"name of the city"}},"required":["city"],"additionalProperties":false},"strict":true},"type":"function"}]`
		if len(requests) != 2 || !strings.Contains(requests[0], definition) || strings.Contains(requests[1], "tools") {
			env.Errorf("requests are\n%s", strings.Join(requests, "\n"))
		}
		if !strings.Contains(requests[1], `"result":"{\"city\":\"Paris\",\"sky\":\"<&>\",\"high\":21}","tool_call_id":"a"`) {
			env.Errorf("the second request is %s", requests[1])
		}
		env.wantResults(result.ConversationID)
	})
}

// The arguments of a call are one JSON object, in any encoding.
func TestFormsOfArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ arguments, want string }{
		{`{"city":"Paris"}`, "Paris"},
		{" {\"city\" : \"Paris\"}\n", "Paris"},
		{`{`, "- must be a complete JSON value, but the text ends inside it"},
		{`[]`, "- must be a JSON object"},
		{`42`, "- must be a JSON object"},
		{`"{}"`, "- must be a JSON object"},
		{`{} {}`, "- must be one JSON value, but other text follows it"},
		{`{"city":NaN}`, "- must be valid JSON, but is invalid"},
		{`{"location":"Paris"}`, "- /city: is required, but missing\n- /location: is not a known property; the known properties are: city"},
		{`{"City":"Paris"}`, "- /city: is required, but missing"},
		{`{"city":7}`, "- /city: must be of type string, got 7"},
		{``, "- /city: is required, but missing"},
		{`null`, "- /city: is required, but missing"},
	} {
		model := replySequence(calls("place#a", c.arguments), say("done"))
		inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
			called := 0
			r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "place", func(_ context.Context, in location) (string, error) { called++; return in.City, nil })}})
			if _, err := r.Start(env.Context(), userRequest("?")); err != nil {
				env.Fatal(err)
			}
			byID, _ := results(env, env.requests()[1])
			received := byID["a"]
			if isBad := strings.HasPrefix(c.want, "-"); called == 1 == isBad || isBad && !strings.HasPrefix(received, "The arguments are not valid:\n"+c.want) || !isBad && received != c.want {
				env.Errorf("%s: called %d times, the model received %q, want %q", c.arguments, called, received, c.want)
			}
			for _, word := range []string{"json:", "struct", "runner", "schema", "Go "} {
				if strings.Contains(received, word) {
					env.Errorf("%s: the model received %q", c.arguments, received)
				}
			}
		})
	}
}

// A function receives exact arguments. A function without parameters accepts every form of empty
// arguments.
func TestExactArguments(t *testing.T) {
	t.Parallel()
	type exact struct {
		N    int64   `json:"n"`
		Deep []int   `json:"deep"`
		F    float64 `json:"f"`
	}
	model := replySequence(calls("exact#a", `{"n":9007199254740993,"deep":[3.0,3e0],"f":0.5}`, "raw#b", `{"b":1.0,"a":"<"}`, "none#c", "", "none#d", "null", "none#e", " {} "), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		var got exact
		var none atomic.Int64
		raw, err := runner.RawTool(generated.Function{Name: "raw", Description: "Takes anything."}, func(_ context.Context, arguments json.RawMessage) (string, error) {
			return string(arguments), nil
		})
		if err != nil {
			env.Fatal(err)
		}
		r := env.runner(runner.Config{Tools: []*runner.Tool{
			raw,
			tool(env, "exact", func(_ context.Context, in *exact) (struct{}, error) { got = *in; return struct{}{}, nil }),
			tool(env, "none", func(context.Context, struct{}) (string, error) { none.Add(1); return "", nil }),
		}})
		if _, err := r.Start(env.Context(), userRequest("?")); err != nil {
			env.Fatal(err)
		}
		if got.N != 9007199254740993 || !slices.Equal(got.Deep, []int{3, 3}) || none.Load() != 3 {
			env.Errorf("got %+v, %d calls without arguments", got, none.Load())
		}
		byID, ids := results(env, env.requests()[1])
		if byID["a"] != "ok" || byID["b"] != `{"b":1.0,"a":"<"}` || byID["c"] != "" || !slices.Equal(ids, []string{"a", "b", "c", "d", "e"}) {
			env.Errorf("results are %q of %q", byID, ids)
		}
	})
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { return nil, errors.New("secret of MarshalJSON") }

// For a failed call the model receives a fixed text, and the run continues.
func TestFailures(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.3: password=hunter2")
	for name, c := range map[string]struct {
		function func(ctx context.Context, _ struct{}) (any, error)
		want     string
		stage    runner.Stage
	}{
		"error": {func(context.Context, struct{}) (any, error) { return nil, secret }, "The function failed.", runner.StageExecution},
		"explained": {func(context.Context, struct{}) (any, error) {
			return nil, runner.Explain("No such city; try a larger one.", secret)
		}, "No such city; try a larger one.", runner.StageExecution},
		"wrapped": {func(context.Context, struct{}) (any, error) {
			return nil, fmt.Errorf("x: %w", runner.Explain("Try again.", nil))
		}, "Try again.", runner.StageExecution},
		"panic":       {func(context.Context, struct{}) (any, error) { panic(secret) }, "The function failed.", runner.StagePanic},
		"nil":         {func(context.Context, struct{}) (any, error) { var p *int; return *p, nil }, "The function failed.", runner.StagePanic},
		"Goexit":      {func(context.Context, struct{}) (any, error) { runtime.Goexit(); return nil, nil }, "The function failed.", runner.StagePanic},
		"NaN":         {func(context.Context, struct{}) (any, error) { return math.NaN(), nil }, "The function failed.", runner.StageOutput},
		"channel":     {func(context.Context, struct{}) (any, error) { return make(chan int), nil }, "The function failed.", runner.StageOutput},
		"MarshalJSON": {func(context.Context, struct{}) (any, error) { return failing{}, nil }, "The function failed.", runner.StageOutput},
		"too large":   {func(context.Context, struct{}) (any, error) { return strings.Repeat("x", 2<<20), nil }, "The function failed.", runner.StageOutput},
		"heeds": {func(ctx context.Context, _ struct{}) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
			"The function took too long and was stopped.", runner.StageTimeout},
	} {
		model := replySequence(calls("f#a", "{}", "fine#b", "{}"), say("done"))
		var ended []error
		observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
			call, _ := runner.CallFrom(ctx)
			return ctx, func(event ratelimited.CallEvent) {
				if e, ok := event.(ratelimited.Ended); ok && operation == "Runner.Tool" && call.Name == "f" {
					ended = append(ended, e.Err)
				}
			}
		}
		inSynctest(t, settings{emulator: emulator.Config{Model: model}, client: ratelimited.Config{Observer: observer}}, func(env *environment) {
			r := env.runner(runner.Config{Tools: []*runner.Tool{
				tool(env, "f", c.function, runner.WithTimeout(50*time.Millisecond)),
				tool(env, "fine", func(context.Context, struct{}) (*int, error) { return nil, nil }),
			}})
			result, err := r.Start(env.Context(), userRequest("?"))
			if err != nil || result.Calls != 2 || result.FailedCalls != 1 {
				env.Fatalf("%s: %+v, %v", name, result, err)
			}
			byID, _ := results(env, env.requests()[1])
			if byID["a"] != c.want || byID["b"] != "null" {
				env.Errorf("%s: the model received %q", name, byID)
			}
			failure := result.Turns[0].Calls[0].Failure
			if failure.Stage != c.stage || failure.ID != "a" || failure.Turn != 1 || strings.Contains(failure.Error(), "hunter2") {
				env.Errorf("%s: %v", name, failure)
			}
			if name == "error" && !errors.Is(failure, secret) {
				env.Errorf("the failure does not wrap the function's error: %v", failure.Err)
			}
			if strings.Contains(strings.Join(env.requests(), ""), "hunter2") {
				env.Errorf("%s: the function's error is in a request", name)
			}
			if len(ended) != 1 || ended[0] == nil || strings.Contains(fmt.Sprintf("%v", ended[0]), "secret") {
				env.Errorf("%s: the observer received %v", name, ended)
			}
		})
	}
}

func TestUnknownFunction(t *testing.T) {
	t.Parallel()
	model := replySequence(calls("a#1", "{}", "ghost#2", "{}"), say("done"))
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		f := func(context.Context, struct{}) (string, error) { return "yes", nil }
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "a", f), tool(env, "b", f)}})
		result, err := r.Start(env.Context(), userRequest("?"))
		if err != nil {
			env.Fatal(err)
		}
		byID, ids := results(env, env.requests()[1])
		if !slices.Equal(ids, []string{"1", "2"}) || byID["1"] != "yes" || byID["2"] != `Unknown function "ghost". The functions are: a, b.` {
			env.Errorf("results are %q", byID)
		}
		if result.Turns[0].Calls[1].Failure.Stage != runner.StageLookup {
			env.Errorf("the failure is %v", result.Turns[0].Calls[1].Failure)
		}
	})
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(runner.Failure) string{
		"Fehler: execution":    func(f runner.Failure) string { return "Fehler: " + string(f.Stage) },
		"The function failed.": func(runner.Failure) string { panic("hook") },
	} {
		model := replySequence(calls("f#a", "{}"), say("done"))
		inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
			r := env.runner(runner.Config{ErrorText: hook, Tools: []*runner.Tool{
				tool(env, "f", func(context.Context, struct{}) (string, error) { return "", errors.New("why") }),
			}})
			if _, err := r.Start(env.Context(), userRequest("?")); err != nil {
				env.Fatal(err)
			}
			if byID, _ := results(env, env.requests()[1]); byID["a"] != name {
				env.Errorf("the model received %q, want %q", byID["a"], name)
			}
		})
	}
}

// Arguments may be an object in the JSON. A call that occurs twice runs once, and two calls with
// different IDs run twice.
func TestCallsOnTheWire(t *testing.T) {
	t.Parallel()
	const (
		head  = `{"object":"conversation.response","conversation_id":"conv_1","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"outputs":[`
		first = `{"type":"function.call","id":"fc_1","name":"place","tool_call_id":"a","arguments":{"city":"Paris"}}`
		again = `{"type":"function.call","id":"fc_2","name":"place","tool_call_id":"b","arguments":{"city":"Paris"}}`
	)
	var n atomic.Int64
	answers := []string{head + first + "," + first + "," + again + "]}", head + `{"type":"message.output","content":"done"}]}`}
	intercept := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answers[n.Add(1)-1])
	}
	inSynctest(t, settings{emulator: emulator.Config{Intercept: intercept}}, func(env *environment) {
		var called atomic.Int64
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "place", func(_ context.Context, in location) (string, error) { called.Add(1); return in.City, nil })}})
		result, err := r.Start(env.Context(), userRequest("?"))
		if err != nil || result.OutputText() != "done" || called.Load() != 2 || result.Calls != 2 {
			env.Fatalf("%v, %v, called %d times", result, err, called.Load())
		}
		if byID, ids := results(env, env.requests()[1]); !slices.Equal(ids, []string{"a", "b"}) || byID["a"] != "Paris" {
			env.Errorf("results %q of %q", byID, ids)
		}
	})
}

// A text next to calls is kept, but is not the answer.
func TestTextNextToCalls(t *testing.T) {
	t.Parallel()
	reply := calls("f#a", "{}", "f#b", "{}")
	reply.Entries = append([]generated.Entry{text("One moment.")}, reply.Entries...)
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply, say("Done."))}}, func(env *environment) {
		var called atomic.Int64
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { called.Add(1); return "", nil })}})
		result, err := r.Start(env.Context(), userRequest("?"))
		if err != nil || result.OutputText() != "Done." || called.Load() != 2 {
			env.Fatalf("%v, %v, called %d times", result, err, called.Load())
		}
		var texts []string
		for _, entry := range result.Entries() {
			if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
				texts = append(texts, m.Content.Text())
			}
		}
		if !slices.Equal(texts, []string{"One moment.", "Done."}) {
			env.Errorf("the entries have the texts %q", texts)
		}
		if _, ids := results(env, env.requests()[1]); !slices.Equal(ids, []string{"a", "b"}) {
			env.Errorf("results of %q", ids)
		}
	})
}

// An empty answer is a valid answer.
func TestEmptyAnswer(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say(""))}}, func(env *environment) {
		result, err := env.runner(runner.Config{}).Start(env.Context(), userRequest("?"))
		if err != nil || result.OutputText() != "" || len(result.Turns) != 1 {
			env.Errorf("%+v, %v", result, err)
		}
	})
}
