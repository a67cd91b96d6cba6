package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

func nothing(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }

// wantConfigError checks a ConfigError and the words in its text.
func wantConfigError(t *testing.T, err error, tool, field string, words ...string) {
	t.Helper()
	var config *runner.ConfigError
	if !errors.As(err, &config) || config.Tool != tool || config.Field != field {
		t.Errorf("%v (%+v), want tool %q and field %q", err, config, tool, field)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v, want %q in it", err, word)
		}
	}
}

func TestNamesOfTools(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"get weather", "", strings.Repeat("a", 65), "é", "a.b", "a\n"} {
		_, err := runner.NewTool(name, "Does.", nothing)
		wantConfigError(t, err, name, "name", "1 to 64 letters")
		_, err = runner.RawTool(generated.Function{Name: name, Description: "Does."}, nil)
		wantConfigError(t, err, name, "name")
	}
	for _, name := range []string{"a-b_C9", strings.Repeat("a", 64)} {
		if made, err := runner.NewTool(name, "Does.", nothing); err != nil || made.Name() != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"web_search", "code_interpreter"} {
		_, err := runner.NewTool(name, "Does.", nothing)
		wantConfigError(t, err, name, "name", "built-in tool of the service")
	}
}

type tree struct {
	Kids []tree `json:"kids"`
}

func TestInvalidTools(t *testing.T) {
	t.Parallel()
	_, err := runner.NewTool("f", " \n", nothing)
	wantConfigError(t, err, "f", "description", "blank")
	_, err = runner.NewTool[struct{}, string]("f", "Does.", nil)
	wantConfigError(t, err, "f", "f", "RawTool")
	_, err = runner.NewTool("f", "Does.", func(context.Context, json.RawMessage) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In", "RawTool")
	_, err = runner.NewTool("f", "Does.", func(context.Context, []string) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In", "struct")
	_, err = runner.NewTool("f", "Does.", func(context.Context, time.Time) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In", "struct")
	_, err = runner.NewTool("f", "Does.", func(context.Context, struct{ Filter struct{ Done chan int } }) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In.Filter.Done", "chan int")
	_, err = runner.NewTool("f", "Does.", func(context.Context, tree) (string, error) { return "", nil })
	wantConfigError(t, err, "f", "In.Kids", "tree → Kids → tree")
	_, err = runner.NewTool("f", "Does.", nothing, nil)
	wantConfigError(t, err, "f", "options[0]")
	_, err = runner.NewTool("f", "Does.", nothing, runner.WithTimeout(5))
	wantConfigError(t, err, "f", "WithTimeout", "1ms")
	_, err = runner.NewTool("f", "Does.", nothing, runner.SchemaOf[tree](`{`))
	wantConfigError(t, err, "f", "SchemaOf[runner_test.tree]")
	for _, parameters := range []generated.JSON{`{`, `[]`, `true`, `{"type":"strnig"}`, `{"type":"array"}`, `{"type":["string","null"]}`, make(chan int)} {
		_, err = runner.RawTool(generated.Function{Name: "f", Description: "Does.", Parameters: parameters}, nil)
		wantConfigError(t, err, "f", "Parameters", "JSON Schema")
	}
	made, err := runner.NewTool("f", "Does.", func(context.Context, struct{ Root *tree }) (string, error) { return "", nil },
		runner.SchemaOf[tree](`{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made.Definition())
	if want := `"items":{"$ref":"#/properties/Root/anyOf/0"}`; err != nil || !bytes.Contains(text, []byte(want)) {
		t.Errorf("the definition is %s, %v, want %s in it", text, err, want)
	}
}

func TestInvalidConfigs(t *testing.T) {
	t.Parallel()
	client, err := ratelimited.New(ratelimited.Config{APIKey: secretKey})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	one, two := tool(t, "one", nothing), tool(t, "one", nothing)
	for _, c := range []struct {
		config      runner.Config
		tool, field string
		words       []string
	}{
		{runner.Config{Tools: []*runner.Tool{one, tool(t, "b", nothing), two}}, "one", "Tools[2].name", []string{"Tools[0]"}},
		{runner.Config{Tools: []*runner.Tool{nil}}, "", "Tools[0]", nil},
		{runner.Config{Tools: []*runner.Tool{{}}}, "", "Tools[0]", nil},
		{runner.Config{Limits: runner.Limits{Turns: -1}}, "", "Limits.Turns", []string{"-1"}},
		{runner.Config{Limits: runner.Limits{Time: 5}}, "", "Limits.Time", []string{"1ms"}},
		{runner.Config{Grace: -1}, "", "Grace", nil},
	} {
		_, err := runner.New(client, c.config)
		wantConfigError(t, err, c.tool, c.field, c.words...)
	}
	_, err = runner.New(nil, runner.Config{})
	wantConfigError(t, err, "", "client")
}

// A tool of the request must not have the name of a runner's tool.
func TestToolsOfTheRequest(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "a", nothing), tool(env, "b", nothing)}})
		request := userRequest("?")
		request.Tools = []generated.Tool{generated.NewTool(generated.WebSearchTool{}), tool(env, "b", nothing).Definition()}
		_, err := r.Start(env.Context(), request)
		var invalid *ratelimited.RequestError
		if !errors.As(err, &invalid) || invalid.Field != "tools[1].function.name" || !strings.Contains(err.Error(), "Config.Tools[1]") || len(env.requests()) != 0 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
		request.Tools = request.Tools[:1:1]
		if _, err := r.Start(env.Context(), request); err != nil || len(request.Tools) != 1 {
			env.Errorf("%v, the request has %d tools", err, len(request.Tools))
		}
		if body := env.requests()[0]; !strings.Contains(body, `"tools":[{"type":"web_search"},{"function":{"description":"Does a."`) {
			env.Errorf("the request is %s", body)
		}
	})
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	type closed struct {
		City string `json:"city"`
	}
	type open struct {
		Any map[string]any `json:"any"`
	}
	made := []*runner.Tool{
		tool(t, "closed", func(context.Context, closed) (string, error) { return "", nil }),
		tool(t, "open", func(context.Context, open) (string, error) { return "", nil }),
		tool(t, "loose", func(context.Context, closed) (string, error) { return "", nil }, runner.Loose()),
	}
	var texts []string
	for _, definition := range made {
		text, err := json.Marshal(definition.Definition())
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if !strings.Contains(texts[0], `"strict":true`) || strings.Contains(texts[1], "strict") || strings.Contains(texts[2], "strict") {
		t.Errorf("definitions are %s", texts)
	}
	parameters := map[string]any{"type": "object", "properties": map[string]any{"z": map[string]any{}, "a": map[string]any{}}}
	raw, err := runner.RawTool(generated.Function{Name: "raw", Description: "Does.", Parameters: parameters}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(raw.Definition())
	parameters["type"] = "array"
	if after, _ := json.Marshal(raw.Definition()); !bytes.Equal(before, after) {
		t.Errorf("the definition changed to %s", after)
	}
}

// Two tools that share a type do not share its descriptions.
func TestSharedTypes(t *testing.T) {
	t.Parallel()
	type shared struct {
		City string `json:"city"`
	}
	first := func() string {
		made := tool(t, "a", func(context.Context, struct {
			At shared `json:"at" jsonschema:"where it is"`
		}) (string, error) {
			return "", nil
		})
		text, _ := json.Marshal(made.Definition())
		return string(text)
	}
	before := first()
	second, _ := json.Marshal(tool(t, "b", func(context.Context, struct {
		At   shared `json:"at" jsonschema:"where it was"`
		Else shared `json:"else"`
	}) (string, error) {
		return "", nil
	}).Definition())
	if strings.Contains(string(second), "where it is") || strings.Count(string(second), "where it was") != 1 || first() != before {
		t.Errorf("definitions are %s, %s and %s", before, second, first())
	}
}

// Each schema is made once, from any number of goroutines.
func TestManyRunsOfOneRunner(t *testing.T) {
	t.Parallel()
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.History) == 0 {
			return calls("f", `{"n":1}`)
		}
		return say(`{"value":[1,2]}`)
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(_ context.Context, in struct {
			N int `json:"n"`
		}) (int, error) {
			return in.N, nil
		})}})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if list, _, err := runner.StartAs[[]int](env.Context(), r, userRequest("?")); err != nil || len(list) != 2 {
					env.Errorf("%v, %v", list, err)
				}
			})
		}
		wg.Wait()
	})
}
