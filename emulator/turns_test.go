package emulator_test

import (
	"context"
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

const turns = `
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

// A reply with text, two calls and a pending one, and what follows in the conversation.
func TestScriptTurns(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, turns)})
	request := textRequest("book it")
	request.Tools = requests()["search"].Tools
	c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
	path := "/v1/conversations/" + c.ConversationID
	if got, want := essence(t, c.Outputs), `[[{"text":"One moment.","type":"text"}],["book","{\"city\":\"Paris\"}"],["web_search","{}"]]`; got != want {
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
	if !strings.Contains(refused.body, `nothing fits \"anything\" (model mistral-small-latest, turn 3); the nearest is rule 1 (says \"One moment.\", calls book, calls web_search): match \"^book\" does not match`) {
		t.Errorf("at the end of the sequence: %s", refused.body)
	}
	c = a.start("book again") // From the beginning, in another conversation.
	if len(c.FunctionCalls()) != 2 {
		t.Errorf("outputs are %s", encoded(t, c.Outputs))
	}
}

func TestScriptConditions(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: scripted(t, turns)})
	if c := a.start("look"); c.OutputText() != "Found it." || c.Usage.Connectors["web_search"] != 1 {
		t.Errorf("a tool: %s", encoded(t, c))
	}
	a.post("/v1/conversations", textRequest("turn")).want(400) // It is the first.
	c := a.start("look")
	more := a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("turn")})
	if got := textOf(read[generated.ConversationResponse](more).Outputs); got != "the second" {
		t.Errorf("the second turn: %q", got)
	}
	a.start("once")
	if refused := a.post("/v1/conversations", textRequest("once")).want(400); !strings.Contains(refused.body, "it has been used 1 times") {
		t.Errorf("used up: %s", refused.body)
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
		if by == generated.HandoffExecutionClient { // It goes on with an empty list.
			c = read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, `{"inputs":[]}`))
		}
		if c.OutputText() != "I can help." {
			t.Errorf("%s: %q", by, c.OutputText())
		}
	}
}

// Steps as Go values, in order, beside a rule by the result of a function.
func TestScriptInGo(t *testing.T) {
	t.Parallel()
	script := emulator.NewScript(
		emulator.Calls(emulator.Call{Name: "f", Arguments: map[string]int{"n": 1}}, emulator.Call{Name: "g", Arguments: "raw", ID: "ggggggggg"}),
		emulator.Say("hello"),
		emulator.Rule{Function: "f", Result: regexp.MustCompile("bad"), Step: emulator.Step{Err: errors.New("broken")}},
		emulator.Say("never"),
	)
	a := start(t, emulator.Config{Model: script.Reply})
	c := a.start("x")
	if got := essence(t, c.Outputs); got != `[["f","{\"n\":1}"],["g","raw"]]` {
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
	if err := script.Check(); err == nil || err.Error() != `script: step 3 (says "never") was never used` {
		t.Errorf("Check returns %v", err)
	}
	a.start("y")
	a.post("/v1/conversations", textRequest("z")).want(400)
	if err := script.Check(); err == nil || !strings.Contains(err.Error(), `nothing fits "z" (model mistral-small-latest, turn 1); the nearest is rule 1 (fails: broken): no result of f was added`) {
		t.Errorf("Check returns %v", err)
	}
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(error).Error(), `turn 2: call "f": arguments: must be an object or a text, got 7`) {
			t.Errorf("it panics with %v", r)
		}
	}()
	emulator.NewScript(emulator.Say("a"), emulator.Calls(emulator.Call{Name: "f", Arguments: 7}))
}

// Pace is the time between two deltas, of a plain reply too.
func TestScriptPace(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"model":"m","inputs":"x"}`, `{"model":"m","inputs":"x","stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			step := emulator.Step{Reply: "one two three", Delay: time.Minute, Pace: time.Second}
			e := emulator.New(emulator.Config{Model: emulator.NewScript(step).Reply, TokenDelay: time.Hour})
			began := time.Now()
			direct(context.Background(), e, http.MethodPost, "/v1/conversations", body)
			if took := time.Since(began); took != time.Minute+2*time.Second {
				t.Errorf("%s took %s", body, took)
			}
		})
	}
}
