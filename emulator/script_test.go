package emulator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

const rules = `
rules:
  - {match: "(?i)capital", model: other, reply: "Of what?"}
  - {match: "(?i)capital of france", reply: Paris}
  - {match: weather, call: {name: get_weather, arguments: {city: Paris, days: 3}}}
  - {match: weather, result: rain, reply: Take an umbrella.}
  - {match: both, reply: I look it up., call: {name: look_up}}
  - {match: raw, call: {name: f, arguments: "not JSON"}}
  - {match: ^slow, delay: 2s}
  - {match: ^late, delay: 1m, reply: At last.}
  - {match: ^busy, error: {status: 503, body: busy, header: {Content-Type: text/plain, Retry-After: "7"}}}
  - {match: ^half, reply: So far, error: {status: 500, message: and no further}}
`

func scripted(t *testing.T, text string) func(context.Context, emulator.Prompt) emulator.Reply {
	t.Helper()
	script, err := emulator.ParseScript([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return script
}

func TestScriptReplies(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, rules)})
	for _, test := range []struct{ model, text, want string }{
		{model, "What is the Capital of France?", "Paris"},
		{"other", "What is the capital of France?", "Of what?"},
		{model, "What is the capital of Spain?", `You said "What is the capital of Spain?", and this is the emulator's answer to that.`},
		{model, "What is 2+2?", "4"},
	} {
		request := textRequest(test.text)
		request.Model = test.model
		if got := textOf(read[generated.ConversationResponse](a.post("/v1/conversations", request)).Outputs); got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.model, test.text, got, test.want)
		}
	}
}

func TestScriptCalls(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, rules)})
	c := a.start("How is the weather?")
	call, ok := c.Outputs[0].Value().(generated.FunctionCallEntry)
	if !ok || call.Name != "get_weather" || call.Arguments != `{"city":"Paris","days":3}` {
		t.Fatalf("output is %+v", c.Outputs[0].Value())
	}
	for result, want := range map[string]string{
		"heavy rain": "Take an umbrella.", "sun": "The result of get_weather is: sun",
	} {
		answer := read[generated.ConversationResponse](a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
			Inputs: generated.NewEntryInputs([]generated.Entry{
				generated.NewEntry(generated.FunctionResultEntry{ToolCallID: call.ToolCallID, Result: result}),
			}),
			Store: ptr(false),
		}))
		if got := textOf(answer.Outputs); got != want {
			t.Errorf("%s: %q, want %q", result, got, want)
		}
	}
	for text, want := range map[string]string{
		"both": `[[{"text":"I look it up.","type":"text"}],["look_up","{}"]]`, "raw": `[["f","not JSON"]]`,
	} {
		if got := stableParts(t, a.start(text).Outputs); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestScriptErrors(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, rules)})
	for range 2 { // The second response must equal the first.
		got := a.post("/v1/conversations", textRequest("busy?")).want(http.StatusServiceUnavailable)
		if got.body != "busy" || got.header.Get("Content-Type") != "text/plain" || got.header.Get("Retry-After") != "7" {
			t.Errorf("response is %v %s", got.header, got.body)
		}
	}
	request := textRequest("half")
	request.Stream = true
	list := events(t, a.post("/v1/conversations", request).want(http.StatusOK).body)
	if last := list[len(list)-1]; textOf(joinDeltas(t, list)) != "So far" || !strings.Contains(string(last.data), "and no further") {
		t.Errorf("last event is %s", last.data)
	}
}

func TestScriptDelays(t *testing.T) {
	t.Parallel()
	model := scripted(t, rules)
	for text, want := range map[string]struct {
		delay time.Duration
		reply string
	}{"slow: say hi": {2 * time.Second, "slow"}, "late": {time.Minute, "At last."}, "say hi": {0, "hi"}} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{Model: model})
			began := time.Now()
			w := run(t, e, text)
			if took := time.Since(began); took != want.delay || !strings.Contains(w.Body.String(), want.reply) {
				t.Errorf("%s: %s after %s", text, w.Body, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{Model: model})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		direct(ctx, e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"late"}`)
		if took := time.Since(began); took != time.Second || e.Stats().Models["m"].Tokens != 0 {
			t.Errorf("the client disconnected after 1 s, and the call took %s: %+v", took, e.Stats())
		}
	})
}

func TestScriptIsValidated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "script: rules: must have at least one rule",
		"rules: [":                        "script: did not find expected node content (line 1)",
		"[]":                              "script: must be a mapping, got a list (line 1)",
		"rules: {}":                       "script: rules: must be a list, got a mapping (line 1)",
		"rules: []":                       "script: rules: must have at least one rule",
		"rule: []":                        `script: unknown field "rule" (did you mean "rules"?): must be one of strict, rules (line 1)`,
		"rules: [{reply: a}]\n---\nx: y":  "script: must be one document, got more",
		"rules: [a]":                      `script: rule 1: must be a mapping, got "a"`,
		"rules: [{reply: a}, {match: a}]": "script: rule 2: must have a reply, thought, call, calls, runs, handoff, error or delay (line 1)",
		"rules:\n- reply: a\n  macth: b":  `script: rule 1: unknown field "macth" (did you mean "match"?): must be one of match, model, agent, turn, function, result, times, `,
		"rules:\n- reply: a\n reply: b":   "script: did not find expected key (line 3)",
		"rules:\n- reply: a\n\n- reply: \"b\n- reply: c\n":       "script: found unexpected end of stream (line 5)",
		"rules:\n- reply: a\n  reply: b":                         `script: rule 1: field "reply": must be set once, got twice (line 3)`,
		"rules: [{match: (, reply: a}]":                          `script: rule 1: match: must be a regular expression, got "(": error parsing regexp: missing closing )`,
		"rules: [{reply: [a]}]":                                  "script: rule 1: reply: must be a string, got a list",
		"rules: [{reply: ''}]":                                   `script: rule 1: reply: must be a string, got ""`,
		"rules: [{model: {}, reply: a}]":                         "script: rule 1: model: must be a string, got a mapping",
		"rules: [{delay: soon}]":                                 `script: rule 1: delay: must be a time above 0, such as "300ms", got "soon"`,
		"rules: [{delay: -1s}]":                                  `script: rule 1: delay: must be a time above 0, such as "300ms", got "-1s"`,
		"rules: [{call: f}]":                                     `script: rule 1: call: must be a mapping, got "f"`,
		"rules: [{call: {}}]":                                    "script: rule 1: call: must have a name",
		"rules: [{call: {name: f, arguments: [1]}}]":             "script: rule 1: call: arguments: must be an object or a string, got [1]",
		"rules: [{call: {name: f, arguments: 1}}]":               "script: rule 1: call: arguments: must be an object or a string, got 1",
		"rules: [{call: {name: f, arguments: {a: .nan}}}]":       "script: rule 1: call: arguments: cannot be encoded",
		"rules: [{call: {name: f, args: {}}}]":                   `script: rule 1: call: unknown field "args": must be one of name, arguments, pending, id`,
		"rules: [{match: ~, reply: a}]":                          `script: rule 1: match: must be a regular expression, got "~"`,
		"rules: [{calls: [{name: f, id: x}, {name: f, id: x}]}]": `script: rule 1: call "f": id: must be used once, got "x" twice (line 1)`,
		"rules: [{reply: a, then: [{call: {name: f, id: x}, calls: [{name: g, id: x}]}]}]": `script: rule 1: then 1: call "g": id: must be used once, got "x" twice (line 1)`,
		"rules: [{runs: [{name: f, info: {a: .nan}}]}]":                                    `script: rule 1: run 1: info: cannot be encoded`,
		"rules: [{error: {status: 500, header: {A: b, a: c}}}]":                            `script: rule 1: error: header "A": must be set once, got twice (line 1)`,
		"rules: [{error: {message: a}}]":                                                   "script: rule 1: error: must have a status",
		"rules: [{error: {status: 200}}]":                                                  `script: rule 1: error: status: must be from 400 to 599, got 200`,
		"rules: [{error: {status: x}}]":                                                    `script: rule 1: error: status: must be a whole number, got "x"`,
		"rules: [{error: {status: 500, header: 7}}]":                                       `script: rule 1: error: header: must be names and strings, got "7"`,
		"rules: [{error: {status: 500, header: {'a b': '7'}}}]":                            `script: rule 1: error: header: must be the name of a header field, got "a b"`,
	} {
		if _, err := emulator.ParseScript([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %s", text, err, want)
		}
	}
}

// A script keeps dates, booleans and unusual numbers of YAML as the written strings.
func TestScriptKeepsYAMLScalarsAsWritten(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, `
rules:
  - {match: ^0x10, agent: 007, reply: never}
  - {match: ^date, reply: 2024-01-02}
  - {match: ^yes, reply: yes}
  - {match: ^number, reply: 1_000}
  - match: ^call
    call:
      name: f
      id: 000000007
      arguments: {day: 2024-01-02, at: 2024-01-02T10:00:00Z, zip: 01234, hex: 0x10, oct: 0o17, many: 1_000, half: 1_0.5, sign: +1, ok: yes, off: off, 2024-01-02: -7, 1: 1.5e3, on: true, inner: [{y: 2024-01-02}]}
  - {match: ^run, runs: [{name: web_search, info: {day: 2024-01-02, zip: 01234, n: 1}}]}
  - {match: ^error, error: {status: 500, message: 0x10, header: {Retry-After: 0010, X-Day: 2024-01-02, X-Yes: yes}}}
`)})
	for text, want := range map[string]string{"date": "2024-01-02", "yes": "yes", "number": "1_000"} {
		if got := textOf(a.start(text).Outputs); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	c := a.start("call")
	call := c.FunctionCalls()[0]
	const want = `{"1":1500,"2024-01-02":-7,"at":"2024-01-02T10:00:00Z","day":"2024-01-02","half":"1_0.5","hex":"0x10","inner":[{"y":"2024-01-02"}],"many":"1_000","oct":"0o17","off":"off","ok":"yes","on":true,"sign":"+1","zip":"01234"}`
	if string(call.Arguments) != want || call.ToolCallID != "000000007" {
		t.Errorf("call %s has %s, want %s", call.ToolCallID, call.Arguments, want)
	}
	if got := encoded(t, a.start("run").Outputs); !strings.Contains(got, `"info":{"day":"2024-01-02","n":1,"zip":"01234"}`) {
		t.Errorf("outputs are %s", got)
	}
	got := a.post("/v1/conversations", textRequest("error")).want(500)
	if h := got.header; h.Get("Retry-After") != "0010" || h.Get("X-Day") != "2024-01-02" || h.Get("X-Yes") != "yes" || !strings.Contains(got.body, `"0x10"`) {
		t.Errorf("error is %v %s", got.header, got.body)
	}
}

func TestScriptMayBeJSON(t *testing.T) {
	t.Parallel()
	model := scripted(t, `{"rules": [{"match": "^a", "reply": "b"}]}`)
	a := start(t, emulator.Config{Model: model})
	if got := textOf(a.start("a").Outputs); got != "b" {
		t.Errorf("text is %q", got)
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add(rules)
	f.Add("rules: [{reply: &x a, match: *x}]")
	f.Add("rules: [{calls: [{name: f, id: x}, {name: f, id: x}], usage: {prompt: 1}, runs: [{name: w, info: {a: 2024-01-02}}]}]")
	f.Add("rules: &r [{call: {name: f, arguments: {1: 2, ~: [*r]}}}]")
	f.Fuzz(func(t *testing.T, text string) {
		model, err := emulator.ParseScript([]byte(text))
		if (model == nil) != (err != nil) {
			t.Errorf("model %t, error %v", model != nil, err)
		}
	})
}
