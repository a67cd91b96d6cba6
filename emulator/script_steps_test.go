package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

const stepRules = `
strict: true
rules:
  - match: ^book
    reply: One moment.
    calls: [{name: book, arguments: {city: Paris}}, {name: web_search, pending: true, id: bbbbbbbbb}]
    then:
      - {thought: It is booked., reply: Done., usage: {prompt: 20, completion: 5}}
      - error: {status: 503, message: busy}
  - {function: book, result: full, reply: Another day.}
  - {match: ^look, runs: [{name: web_search, arguments: {q: it}, info: {found: 1}}], reply: Found it.}
  - {match: ^help, agent: front, handoff: expert}
  - {match: ^help, agent: expert, reply: I can help.}
  - {match: ^turn, turn: 2, reply: the second}
  - {match: ^once, times: 1, reply: once}
`

// TestScriptSteps runs a rule with further steps: text with a call and a pending call, a
// result, an error, and the end of the steps.
func TestScriptSteps(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, stepRules)})
	request := textRequest("book it")
	request.Tools = startRequests()["search"].Tools
	c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
	path := "/v1/conversations/" + c.ConversationID
	if got, want := stableParts(t, c.Outputs), `[[{"text":"One moment.","type":"text"}],["book","{\"city\":\"Paris\"}"],["web_search","{}"]]`; got != want {
		t.Fatalf("outputs are %s, want %s", got, want)
	}
	more := allow("bbbbbbbbb")
	more.Inputs = generated.NewEntryInputs([]generated.Entry{
		generated.NewEntry(generated.FunctionResultEntry{ToolCallID: c.FunctionCalls()[0].ToolCallID, Result: "full"}),
	})
	next := read[generated.ConversationResponse](a.post(path, more))
	if next.Usage.TotalTokens != 25 || next.OutputText() != "Done." || !strings.Contains(encoded(t, next.Outputs), `"thinking":[{"text":"It is booked."`) {
		t.Errorf("then: %s", encoded(t, next))
	}
	a.post(path, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("anything")}).want(503)
	refused := a.post(path, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("anything")}).want(400)
	if !strings.Contains(refused.body, `no rule or step matches \"anything\" (model mistral-small-latest, turn 3); all steps of rule 1 (replies \"One moment.\", calls book, calls web_search) have been used in this conversation; the nearest is rule 1 (replies \"One moment.\", calls book, calls web_search): match \"^book\" does not match`) {
		t.Errorf("after the last step: %s", refused.body)
	}
	c = a.start("book again") // Another conversation starts from the first step.
	if len(c.FunctionCalls()) != 2 {
		t.Errorf("outputs are %s", encoded(t, c.Outputs))
	}
}

func TestScriptConditions(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, stepRules)})
	if c := a.start("look"); c.OutputText() != "Found it." || c.Usage.Connectors["web_search"] != 1 {
		t.Errorf("a tool run: %s", encoded(t, c))
	}
	a.post("/v1/conversations", textRequest("turn")).want(400) // The rule is for turn 2.
	c := a.start("look")
	more := a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("turn")})
	if got := textOf(read[generated.ConversationResponse](more).Outputs); got != "the second" {
		t.Errorf("text of turn 2 is %q", got)
	}
	a.start("once")
	if refused := a.post("/v1/conversations", textRequest("once")).want(400); !strings.Contains(refused.body, "it has been used 1 of 1 times") {
		t.Errorf("after the rule's only use: %s", refused.body)
	}
	expert := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "expert"}))
	front := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "front", Handoffs: []string{expert.ID}}))
	for by, want := range map[generated.HandoffExecution]int{generated.HandoffExecutionServer: 2, generated.HandoffExecutionClient: 1} {
		c := read[generated.ConversationResponse](a.post("/v1/conversations", generated.StartConversationRequest{
			AgentID: front.ID, Inputs: generated.NewTextInputs("help"), HandoffExecution: by,
		}))
		handoff, _ := c.Outputs[0].Value().(generated.AgentHandoffEntry)
		if handoff.NextAgentID != expert.ID || len(c.Outputs) != want {
			t.Fatalf("%s: outputs are %s", by, encoded(t, c.Outputs))
		}
		if by == generated.HandoffExecutionClient { // An empty append continues after the handoff.
			c = read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, `{"inputs":[]}`))
		}
		if c.OutputText() != "I can help." {
			t.Errorf("%s: %q", by, c.OutputText())
		}
	}
}

// NewScript makes a script of Go values: steps in order, and a rule for a function result.
func TestNewScript(t *testing.T) {
	t.Parallel()
	script := emulator.NewScript(
		emulator.Calls(emulator.Call{Name: "f", Arguments: map[string]int{"n": 1}}, emulator.Call{Name: "g", Arguments: "raw", ID: "ggggggggg"}),
		emulator.Say("hello"),
		emulator.Rule{Function: "f", Result: regexp.MustCompile("bad"), Step: emulator.Step{Err: errors.New("broken")}},
		emulator.Say("never"),
	)
	a := start(t, emulator.Config{Model: script.Reply})
	c := a.start("x")
	if got := stableParts(t, c.Outputs); got != `[["f","{\"n\":1}"],["g","raw"]]` {
		t.Errorf("outputs are %s", got)
	}
	results := func(result string) generated.AppendConversationRequest {
		var entries []generated.Entry
		for _, call := range c.FunctionCalls() {
			entries = append(entries, generated.NewEntry(generated.FunctionResultEntry{ToolCallID: call.ToolCallID, Result: result}))
		}
		return generated.AppendConversationRequest{Inputs: generated.NewEntryInputs(entries)}
	}
	a.post("/v1/conversations/"+c.ConversationID, results("bad")).want(500)
	if got := textOf(read[generated.ConversationResponse](a.post("/v1/conversations/"+c.ConversationID, results("good"))).Outputs); got != "hello" {
		t.Errorf("text is %q", got)
	}
	if err := script.Check(); err == nil || err.Error() != `script: step 3 (replies "never") was never used` {
		t.Errorf("Check returns %v", err)
	}
	a.start("y")
	a.post("/v1/conversations", textRequest("z")).want(400)
	if err := script.Check(); err == nil || !strings.Contains(err.Error(), `no rule or step matches "z" (model mistral-small-latest, turn 1); all steps (3) have been used; the nearest is rule 1 (fails: broken): no result of f was added`) {
		t.Errorf("Check returns %v", err)
	}
}

// NewScript panics if a step or a rule is invalid.
func TestNewScriptPanics(t *testing.T) {
	t.Parallel()
	call := emulator.Call{Name: "f", ID: "aaaaaaaaa"}
	for want, turn := range map[string]emulator.Turn{
		`turn 2: call "f": arguments: must be an object or a string, got 7`:   emulator.Calls(emulator.Call{Name: "f", Arguments: 7}),
		`turn 2: call "": must have a name`:                                   emulator.Calls(emulator.Call{}),
		`turn 2: call "f": id: must be used once, got "aaaaaaaaa" twice`:      emulator.Calls(call, call),
		`turn 2: must be a Step or a Rule, got nil`:                           nil,
		`turn 2: times must be 0 or more, got -1`:                             emulator.Rule{Times: -1, Step: emulator.Say("a")},
		`turn 2: delay and pace: must be 0 or more, got -1s and 0s`:           emulator.Step{Delay: -time.Second},
		`turn 2: error: status: must be from 400 to 599, got 0`:               emulator.Rule{Step: emulator.Step{Err: &emulator.Error{}}},
		`turn 2: usage: must be 0 or more tokens, got {Prompt:-1 Completion:`: emulator.Rule{Then: []emulator.Step{{Usage: &emulator.Usage{Prompt: -1}}}},
		`turn 2: run "": must have a name`:                                    emulator.Step{Runs: []emulator.Run{{}}},
	} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "emulator: script: "+want) {
					t.Errorf("NewScript panicked with %v, want %s", err, want)
				}
			}()
			emulator.NewScript(emulator.Say("a"), turn)
		}()
	}
}

// Pace is the time between two deltas. It applies without streaming, too.
func TestScriptPace(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"model":"m","inputs":"x"}`, `{"model":"m","inputs":"x","stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			step := emulator.Step{
				Runs: []emulator.Run{}, Usage: &emulator.Usage{Prompt: 1}, // other packages can name these types
				Reply: "one two three", Delay: time.Minute, Pace: time.Second,
			}
			e := emulator.New(emulator.Config{Model: emulator.NewScript(step).Reply, TokenDelay: time.Hour})
			began := time.Now()
			direct(context.Background(), e, http.MethodPost, "/v1/conversations", body)
			if took := time.Since(began); took != time.Minute+2*time.Second {
				t.Errorf("%s took %s", body, took)
			}
		})
	}
}

// A failed start does not create a conversation. The next start with the same message
// continues with the next step.
func TestScriptContinuesAfterAFailedStart(t *testing.T) {
	t.Parallel()
	const rules = `
strict: true
rules:
  - {match: ^busy, error: {status: 503}, then: [{error: {status: 500}}, {reply: hello}, {reply: again}]}
  - {match: ^half, reply: So, error: {status: 503}, then: [{reply: hello}]}
  - {match: ^help, agent: front, handoff: expert, then: [{error: {status: 503}}, {reply: hello}]}
`
	a := start(t, emulator.Config{Model: scripted(t, rules)})
	for range 2 { // The second conversation uses the same steps as the first.
		a.post("/v1/conversations", textRequest("busy")).want(503)
		a.post("/v1/conversations", textRequest("busy, but otherwise")).want(503) // Another message has its own steps.
		a.post("/v1/conversations", textRequest("busy")).want(500)
		c := a.start("busy")
		more := a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("busy")})
		if next := textOf(read[generated.ConversationResponse](more).Outputs); c.OutputText() != "hello" || next != "again" {
			t.Errorf("%q, %q", c.OutputText(), next)
		}
		a.post("/v1/conversations", textRequest("busy, but otherwise")).want(500)
		a.start("busy, but otherwise")
	}
	request := textRequest("half")
	request.Stream = true
	list := events(t, a.post("/v1/conversations", request).want(http.StatusOK).body)
	var started generated.ResponseStartedEvent
	if err := json.Unmarshal(list[0].data, &started); err != nil {
		t.Fatal(err)
	}
	more := a.post("/v1/conversations/"+started.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("on")})
	if got := textOf(read[generated.ConversationResponse](more).Outputs); got != "hello" { // The failed stream has created a conversation.
		t.Errorf("text after a failed stream is %q, want hello", got)
	}
	a.post("/v1/conversations", textRequest("half")).want(503) // This start creates another conversation.

	expert := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "expert"}))
	front := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "front", Handoffs: []string{expert.ID}}))
	help := generated.StartConversationRequest{AgentID: front.ID, Inputs: generated.NewTextInputs("help")}
	a.post("/v1/conversations", help).want(503)
	if c := read[generated.ConversationResponse](a.post("/v1/conversations", help)); c.OutputText() != "hello" {
		t.Errorf("after a handoff: %s", encoded(t, c))
	}
}

// The target of a scripted handoff must be one of the current agent's handoffs.
func TestScriptHandoffNeedsAnAllowedTarget(t *testing.T) {
	t.Parallel()
	script := emulator.NewScript(
		emulator.Step{Handoff: "exprt"}, emulator.Step{Handoff: "ag_none"}, emulator.Step{Handoff: "front"}, emulator.Step{Handoff: "expert"}, emulator.Step{Handoff: "expert"},
		emulator.Say("hello"),
	)
	a := start(t, emulator.Config{Model: script.Reply})
	expert := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "expert"}))
	front := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "front", Handoffs: []string{expert.ID}}))
	for _, want := range []string{
		`script: step 1 (hands off to exprt): the agent \"front\" cannot hand off to it: must be one of [\"expert\"]`,
		"step 2 (hands off to ag_none)", "step 3 (hands off to front)",
	} {
		request := generated.StartConversationRequest{AgentID: front.ID, Inputs: generated.NewTextInputs("help")}
		if got := a.post("/v1/conversations", request).want(400); !strings.Contains(got.body, want) {
			t.Errorf("%s, want %s", got.body, want)
		}
	}
	if got := a.post("/v1/conversations", textRequest("no agent")).want(400); !strings.Contains(got.body, `the agent \"\" cannot hand off to it: must be one of []`) {
		t.Errorf("without an agent: %s", got.body)
	}
	if c := read[generated.ConversationResponse](a.post("/v1/conversations", generated.StartConversationRequest{AgentID: front.ID, Inputs: generated.NewTextInputs("x")})); c.OutputText() != "hello" {
		t.Errorf("with an agent: %s", encoded(t, c))
	}
	if err := script.Check(); err == nil || !strings.Contains(err.Error(), "hands off to exprt") {
		t.Errorf("Check returns %v", err)
	}
}
