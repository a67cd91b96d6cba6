package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

type item struct {
	Name  string  `json:"name" minLength:"1" maxLength:"20"`
	Price float64 `json:"price" minimum:"0"`
}

type invoice struct {
	Reasoning string `json:"reasoning" jsonschema:"how you know"`
	Number    string `json:"number" pattern:"^[A-Z]-[0-9]+$"`
	Items     []item `json:"items" minItems:"1"`
	Note      string `json:"note,omitempty"`
}

const goodInvoice = `{"reasoning":"it says so","number":"A-7","items":[{"name":"pen","price":1.5}]}`

func decode[T any](answer string, options ...runner.FormatOption) (T, error) {
	return runner.DecodeAs[T](&generated.ConversationResponse{Outputs: []generated.Entry{text(answer)}}, options...)
}

func TestFormat(t *testing.T) {
	t.Parallel()
	format, err := runner.Format[invoice](runner.Describe("an invoice"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(format)
	const want = `{"json_schema":{"description":"an invoice","name":"invoice","schema":{"type":"object","properties":{"reasoning":{"type":"string","description":"how you know"},` +
		`"number":{"type":"string","pattern":"^[A-Z]-[0-9]+$"},"items":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":20},` +
		`"price":{"type":"number","minimum":0}},"required":["name","price"],"additionalProperties":false},"minItems":1},"note":{"type":"string"}},` +
		`"required":["reasoning","number","items"],"additionalProperties":false},"strict":true},"type":"json_schema"}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	value, err := decode[invoice](goodInvoice)
	if err != nil || !reflect.DeepEqual(value, invoice{"it says so", "A-7", []item{{"pen", 1.5}}, ""}) {
		t.Errorf("%+v, %v", value, err)
	}
}

type page[T any] struct {
	Items []T `json:"items"`
}

func TestNamesOfFormats(t *testing.T) {
	t.Parallel()
	type AVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNameAVeryLongName struct{ A int }
	name := func(format generated.ResponseFormat, err error) string {
		if err != nil {
			t.Error(err)
		}
		return format.JSONSchema.Name
	}
	for got, want := range map[string]string{
		name(runner.Format[page[item]]()):                  "page_item",
		name(runner.Format[*page[[]page[item]]]()):         "page_page_item",
		name(runner.Format[struct{ A int }]()):             "answer",
		name(runner.Format[[]string](runner.Describe(""))): "answer",
		name(runner.Format[time.Time]()):                   "Time",
		name(runner.Format[AVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNameAVeryLongName]()): "AVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNameAVeryLongNam",
	} {
		if got != want {
			t.Errorf("name %q, want %q", got, want)
		}
	}
}

// A value that is not an object is requested as a property of an object and returned unwrapped.
func TestWrappedFormats(t *testing.T) {
	t.Parallel()
	wantWrapped[[]string](t, `["a"]`, []string{"a"}, true)
	wantWrapped(t, `3.0`, 3, true)
	wantWrapped(t, `{"a":1}`, map[string]int{"a": 1}, false)
	wantWrapped(t, `"2026-01-31T12:00:00Z"`, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), true)
	wantWrapped(t, `{"name":"pen","price":1}`, &item{"pen", 1}, true)
	wantWrapped[*item](t, `null`, nil, true)
}

func wantWrapped[T any](t *testing.T, text string, want T, strict bool) {
	t.Helper()
	format, err := runner.Format[T]()
	if err != nil {
		t.Error(err)
		return
	}
	wire, _ := json.Marshal(format)
	if !strings.Contains(string(wire), `"schema":{"type":"object","properties":{"value":`) || format.JSONSchema.Strict != strict {
		t.Errorf("%T: the format is %s", want, wire)
	}
	got, err := decode[T](`{"value":` + text + `}`)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestOptionalFields(t *testing.T) {
	t.Parallel()
	type optional struct {
		A int  `json:"a,omitempty"`
		B *int `json:"b"`
	}
	if got, err := decode[optional](`{"b":null}`); err != nil || got != (optional{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := decode[optional](`{"a":null,"b":1}`); err == nil {
		t.Error("null is accepted as a number")
	}
	format, err := runner.Format[optional](runner.AllRequired())
	if wire, _ := json.Marshal(format); err != nil || !strings.Contains(string(wire), `"required":["a","b"]`) {
		t.Errorf("%s, %v", wire, err)
	}
	if got, err := decode[optional](`{"a":null,"b":null}`, runner.AllRequired()); err != nil || got != (optional{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOpenFormats(t *testing.T) {
	t.Parallel()
	type open struct {
		Sub struct {
			Extra map[string]any `json:"extra"`
		} `json:"sub"`
	}
	_, err := runner.Format[open]()
	wantConfigError(t, err, "", "open.Sub.Extra", "Loose", "SchemaOf")
	if format, err := runner.Format[open](runner.Loose()); err != nil || format.JSONSchema.Strict {
		t.Errorf("%v, %v", format, err)
	}
	_, err = runner.Format[tree]()
	wantConfigError(t, err, "", "tree.Kids", "tree → Kids → tree")
	_, err = runner.Format[item](runner.Repairs(4))
	wantConfigError(t, err, "", "Repairs", "0 to 3")
	_, err = runner.Format[item](nil)
	wantConfigError(t, err, "", "options[0]")
}

type checked struct {
	From int `json:"from"`
	To   int `json:"to"`
}

func (c *checked) Validate() error {
	if c.From > c.To {
		return runner.Explain("from must not be after to", errors.New("secret"))
	}
	if c.From < 0 {
		return errors.New("secret")
	}
	return nil
}

func TestInvalidAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		kind    runner.OutputKind
		finding string
	}{
		"":                                    {runner.OutputEmpty, ""},
		"I cannot do that.":                   {runner.OutputNotJSON, ""},
		`Here: {"from":1,"to":2}`:             {runner.OutputNotJSON, ""},
		"Here:\n```json\n{\"from\":1}\n```":   {runner.OutputNotJSON, ""},
		`{"from":1,"to":2} {"from":1}`:        {runner.OutputInvalid, "follows"},
		`{"from":1,"to":2}.`:                  {runner.OutputInvalid, "follows"},
		`{"from":nope}`:                       {runner.OutputNotJSON, ""},
		`{"from":1,"t`:                        {runner.OutputTruncated, ""},
		"```json\n{\"from\":1,":               {runner.OutputTruncated, ""},
		`{"from":1}`:                          {runner.OutputInvalid, "/to: is required, but missing"},
		`{"from":1,"to":2,"x":3}`:             {runner.OutputInvalid, "/x: is not a known property; the known properties are: from, to"},
		`{"From":1,"to":2}`:                   {runner.OutputInvalid, "/from: is required, but missing"},
		`{"from":9223372036854775808,"to":1}`: {runner.OutputInvalid, "/from: must be at most 9223372036854775807"},
		`[1]`:                                 {runner.OutputInvalid, "must be of type object, got an array of 1 items"},
		`{"from":2,"to":1}`:                   {runner.OutputInvalid, "from must not be after to"},
		`{"from":-2,"to":1}`:                  {runner.OutputInvalid, "is not accepted"},
	} {
		_, err := decode[checked](answer)
		var failure *runner.OutputError
		if !errors.As(err, &failure) || failure.Kind != want.kind || failure.Text != answer || failure.Attempts != 1 {
			t.Errorf("%q: %+v, want %s", answer, failure, want.kind)
			continue
		}
		if want.finding != "" && !strings.Contains(fmt.Sprint(failure.Findings[0].Pointer, ": ", failure.Findings[0].Rule), want.finding) {
			t.Errorf("%q: findings %v, want %s", answer, failure.Findings, want.finding)
		}
		if strings.Contains(err.Error(), "from") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error is %v", answer, err)
		}
	}
	for _, answer := range []string{`{"from":1,"to":2}`, " \n{\"from\":1,\"to\":2}\n", "```json\n{\"from\":1,\"to\":2}\n```", "```\n{\"from\":1.0,\"to\":2}\n```\n"} {
		if got, err := decode[checked](answer); err != nil || got != (checked{1, 2}) {
			t.Errorf("%q: %v, %v", answer, got, err)
		}
	}
	if _, err := runner.DecodeAs[checked](nil); err == nil {
		t.Error("a nil response is accepted")
	}
}

// The answer is only the last message: its texts joined, without thinking content.
func TestAnswerOfChunks(t *testing.T) {
	t.Parallel()
	chunk := generated.NewContentChunk
	response := &generated.ConversationResponse{Outputs: []generated.Entry{
		text("Let me see."),
		generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(
			chunk(generated.TextChunk{Text: `{"from":`}),
			chunk(generated.ThinkChunk{Thinking: []generated.ContentChunk{chunk(generated.TextChunk{Text: "hm"})}}),
			chunk(generated.TextChunk{Text: `1,"to":2}`}),
			chunk(generated.ToolReferenceChunk{Tool: "web_search", Title: "x"}),
		)}),
	}}
	if got, err := runner.DecodeAs[checked](response); err != nil || got != (checked{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestStartAs(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say(goodInvoice))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
		request := userRequest("?")
		request.CompletionArgs.MaxTokens = ratelimited.Ptr(500)
		value, result, err := runner.StartAs[invoice](env.Context(), r, request)
		if err != nil || value.Number != "A-7" || len(result.Turns) != 2 || result.OutputText() != goodInvoice {
			env.Fatalf("%+v, %+v, %v", value, result, err)
		}
		args := decoded(env, env.requests()[0])["completion_args"].(map[string]any)
		if args["max_tokens"] != 500.0 || args["response_format"].(map[string]any)["type"] != "json_schema" || request.CompletionArgs.ResponseFormat.Type != "" {
			env.Errorf("the request is %s", env.requests()[0])
		}
		request.CompletionArgs.ResponseFormat.Type = generated.ResponseFormatsJSONObject
		if _, _, err := runner.StartAs[invoice](env.Context(), r, request); !errors.Is(err, ratelimited.ErrInvalid) || len(env.requests()) != 2 {
			env.Errorf("%v", err)
		}
	})
}

// A run that continues a conversation sends the format with every turn.
func TestAppendAs(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say("Hello."), calls("f#a", "{}"), say(`{"value":[1,2]}`))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}})
		first, err := r.Start(env.Context(), userRequest("?"))
		if err != nil {
			env.Fatal(err)
		}
		value, _, err := runner.AppendAs[[]int](env.Context(), r, first.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("And?")})
		if err != nil || !slices.Equal(value, []int{1, 2}) {
			env.Errorf("%v, %v", value, err)
		}
		for _, body := range env.requests()[1:] {
			if !strings.Contains(body, `"response_format":{"json_schema":{"name":"answer"`) {
				env.Errorf("the request is %s", body)
			}
		}
	})
}

// If an answer is not a value of the type, the model is asked again, without tools, with the
// findings.
func TestRepair(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say(`{"from":"x"}`), say(`{"from":1,"to":2}`))}}, func(env *environment) {
			request := userRequest("?")
			request.Store = &stored
			request.CompletionArgs.ToolChoice = generated.ToolChoiceEnumRequired
			value, result, err := runner.StartAs[checked](env.Context(), env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing)}}), request)
			if err != nil || value != (checked{1, 2}) || len(result.Turns) != 2 || result.Usage.TotalTokens != result.Turns[0].Response.Usage.TotalTokens+result.Turns[1].Response.Usage.TotalTokens {
				env.Fatalf("%v, %+v, %v", value, result, err)
			}
			sent := decoded(env, env.requests()[1])
			args := sent["completion_args"].(map[string]any)
			if args["tool_choice"] != "none" || args["response_format"] == nil {
				env.Errorf("the arguments are %v", args)
			}
			inputs := sent["inputs"].([]any)
			message := inputs[len(inputs)-1].(map[string]any)
			want := "The answer does not have the requested format:\n- /to: is required, but missing\n- /from: must be of type integer, got \"x\"\nAnswer again with the complete JSON value and nothing else."
			if message["content"] != want || message["role"] != "user" {
				env.Errorf("the last input is %v", message)
			}
		})
	}
}

func TestRepairsThatFail(t *testing.T) {
	t.Parallel()
	secret := `{"from":"the answer's text"}`
	for name, c := range map[string]struct {
		replies  []emulator.Reply
		options  []runner.FormatOption
		limits   runner.Limits
		kind     runner.OutputKind
		attempts int
		text     string
	}{
		"twice":         {[]emulator.Reply{say("{}"), say(secret)}, nil, runner.Limits{}, runner.OutputInvalid, 2, secret},
		"prose":         {[]emulator.Reply{say("Sorry, no.")}, nil, runner.Limits{}, runner.OutputNotJSON, 2, "Sorry, no."},
		"empty":         {[]emulator.Reply{say("")}, nil, runner.Limits{}, runner.OutputEmpty, 1, ""},
		"no repairs":    {[]emulator.Reply{say(secret)}, []runner.FormatOption{runner.Repairs(0)}, runner.Limits{}, runner.OutputInvalid, 1, secret},
		"three repairs": {[]emulator.Reply{say(secret)}, []runner.FormatOption{runner.Repairs(3)}, runner.Limits{}, runner.OutputInvalid, 4, secret},
		"no turns":      {[]emulator.Reply{say(secret)}, nil, runner.Limits{Turns: 1}, runner.OutputInvalid, 1, secret},
		"no tokens":     {[]emulator.Reply{say(secret)}, nil, runner.Limits{Tokens: 1}, runner.OutputInvalid, 1, secret},
		"truncated":     {[]emulator.Reply{say(`{"from":1,`)}, nil, runner.Limits{}, runner.OutputTruncated, 1, `{"from":1,`},
	} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(c.replies...)}}, func(env *environment) {
			_, _, err := runner.StartAs[checked](env.Context(), env.runner(runner.Config{Limits: c.limits}), userRequest("?"), c.options...)
			var failure *runner.OutputError
			if !errors.As(err, &failure) || failure.Kind != c.kind || failure.Attempts != c.attempts || failure.Text != c.text || len(env.requests()) != c.attempts || len(failure.Result.Turns) != c.attempts {
				env.Errorf("%s: %+v after %d requests", name, failure, len(env.requests()))
			}
			if strings.Contains(err.Error(), "the answer's") {
				env.Errorf("%s: %v", name, err)
			}
		})
	}
}

// If max_tokens is set, the completion tokens decide whether an answer is truncated.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for maxTokens, want := range map[int]runner.OutputKind{10: runner.OutputTruncated, 100: runner.OutputNotJSON} {
		reply := say(`{"from":1,`)
		reply.Usage = &generated.ConversationUsageInfo{PromptTokens: 1, CompletionTokens: 10, TotalTokens: 11}
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply)}}, func(env *environment) {
			request := userRequest("?")
			request.CompletionArgs.MaxTokens = &maxTokens
			_, _, err := runner.StartAs[checked](env.Context(), env.runner(runner.Config{}), request, runner.Repairs(0))
			var failure *runner.OutputError
			if !errors.As(err, &failure) || failure.Kind != want {
				env.Errorf("max_tokens %d: %v, want %s", maxTokens, err, want)
			}
		})
	}
	// If max_tokens cut off a call, none of the calls is executed.
	reply := calls("f#a", "{}", "f#b", `{"x`)
	reply.Usage = &generated.ConversationUsageInfo{PromptTokens: 1, CompletionTokens: 10, TotalTokens: 11}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(reply)}}, func(env *environment) {
		request := userRequest("?")
		request.CompletionArgs.MaxTokens = ratelimited.Ptr(10)
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { env.Error("f was called"); return "", nil })}})
		_, err := r.Start(env.Context(), request)
		var failure *runner.OutputError
		if !errors.As(err, &failure) || failure.Kind != runner.OutputTruncated || len(env.requests()) != 1 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
	})
}

// The rejection of a guardrail is an error of the client.
func TestGuardrail(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(emulator.Reply{Err: &emulator.Error{Status: 403, Message: "blocked"}})}}, func(env *environment) {
		_, _, err := runner.StartAs[checked](env.Context(), env.runner(runner.Config{}), userRequest("?"))
		if !errors.Is(err, ratelimited.ErrForbidden) || errors.As(err, new(*runner.OutputError)) || len(env.requests()) != 1 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
	})
}

// A streamed answer is decoded when it is complete.
func TestStreamedAnswer(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(say(goodInvoice))}}, func(env *environment) {
		format, err := runner.Format[invoice]()
		if err != nil {
			env.Fatal(err)
		}
		request := userRequest("?")
		request.CompletionArgs.ResponseFormat = format
		run := env.runner(runner.Config{}).StartStream(env.Context(), request)
		var all string
		for delta, err := range run.TextDeltas() {
			if err != nil {
				env.Fatal(err)
			}
			all += delta
		}
		value, err := runner.DecodeAs[invoice](run.Result().Response())
		if err != nil || value.Number != "A-7" || all != goodInvoice {
			env.Errorf("%+v, %v, %q", value, err, all)
		}
	})
}

// The emulator's default model generates an answer that matches the schema of a type.
func TestAnswerOfDefaultModel(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{}, func(env *environment) {
		type all struct {
			Items map[string]item `json:"items"`
			When  time.Time       `json:"when"`
			Page  *page[int8]     `json:"page"`
		}
		value, _, err := runner.StartAs[all](env.Context(), env.runner(runner.Config{}), userRequest("Fill it."), runner.Loose())
		if err != nil || value.When.IsZero() {
			env.Errorf("%+v, %v", value, err)
		}
		_ = maps.Clone(value.Items)
	})
}
