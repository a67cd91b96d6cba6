package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// transcript returns the handoffs and messages among the entries, such as
// "front -> maths; maths: 42".
func (o office) transcript(entries []generated.Entry) string {
	var parts []string
	for _, entry := range entries {
		switch v := entry.Value().(type) {
		case generated.MessageOutputEntry:
			parts = append(parts, o.names[v.AgentID]+": "+v.Content.Text())
		case generated.AgentHandoffEntry:
			parts = append(parts, v.PreviousAgentName+" -> "+v.NextAgentName)
			if o.names[v.PreviousAgentID] != v.PreviousAgentName || o.names[v.NextAgentID] != v.NextAgentName {
				o.t.Errorf("handoff has inconsistent ids and names: %+v", v)
			}
		default:
			o.t.Errorf("output is %T", v)
		}
	}
	return strings.Join(parts, "; ")
}

// office is a set of agents: a front desk that hands off to two experts, which hand off to
// the front desk.
type office struct {
	*api
	ids, names map[string]string
}

func newOffice(t *testing.T) office {
	t.Helper()
	o := office{start(t, emulator.Config{}), map[string]string{}, map[string]string{}}
	create := func(name, description string, handoffs ...string) {
		agent := read[generated.Agent](o.post("/v1/agents", generated.CreateAgentRequest{
			Model: model, Name: name, Description: description, Handoffs: handoffs,
		}))
		o.ids[name], o.names[agent.ID] = agent.ID, name
	}
	create("maths", "answers questions about numbers")
	create("poet", "writes a verse")
	create("front", "knows who knows numbers and verses", o.ids["maths"], o.ids["poet"])
	for _, expert := range []string{"maths", "poet"} {
		read[generated.Agent](o.do(http.MethodPatch, "/v1/agents/"+o.ids[expert], encoded(t, map[string]any{"handoffs": []string{o.ids["front"]}})))
	}
	return o
}

func (o office) ask(text string, execution generated.HandoffExecution) generated.StartConversationRequest {
	return generated.StartConversationRequest{AgentID: o.ids["front"], Inputs: generated.NewTextInputs(text), HandoffExecution: execution}
}

func TestHandoffByServer(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := read[generated.ConversationResponse](o.post("/v1/conversations", o.ask("What about the numbers 6 x 7?", "")))
	if got, want := o.transcript(c.Outputs), "front -> maths; maths: 42"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
	// The usage includes the prompts of both agents.
	if alone := o.start("What about the numbers 6 x 7?"); c.Usage.PromptTokens < 2*alone.Usage.PromptTokens {
		t.Errorf("prompt has %d tokens, want at least twice %d", c.Usage.PromptTokens, alone.Usage.PromptTokens)
	}
	// The expert handles the next request. It hands off to the front desk, which hands off to
	// the poet.
	next := read[generated.ConversationResponse](o.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewTextInputs("Double it"),
	}))
	if got, want := o.transcript(next.Outputs), "maths: 84"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
	last := read[generated.ConversationResponse](o.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewTextInputs("Say verses"),
	}))
	if got, want := o.transcript(last.Outputs), "maths -> front; front -> poet; poet: verses"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
	// A conversation that restarts before the first handoff is at the front desk again.
	history := read[generated.ConversationHistory](o.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", "")).Entries
	first, _ := history[0].Value().(generated.MessageInputEntry)
	again := read[generated.ConversationResponse](o.post("/v1/conversations/"+c.ConversationID+"/restart", generated.RestartConversationRequest{
		FromEntryID: first.ID, Inputs: generated.NewTextInputs("Say hello"),
	}))
	if got, want := o.transcript(again.Outputs), "front: hello"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
}

func TestHandoffByClient(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := read[generated.ConversationResponse](o.post("/v1/conversations", o.ask("What about the numbers 6 x 7?", generated.HandoffExecutionClient)))
	if got, want := o.transcript(c.Outputs), "front -> maths"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
	next := read[generated.ConversationResponse](o.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewEntryInputs([]generated.Entry{}), HandoffExecution: generated.HandoffExecutionClient,
	}))
	if got, want := o.transcript(next.Outputs), "maths: 42"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
}

func TestHandoffStreams(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	request := o.ask("Say verses", "")
	request.Stream = true
	var got []string
	for _, e := range events(t, o.post("/v1/conversations", request).want(http.StatusOK).body) {
		switch v := e.Value().(type) {
		case generated.AgentHandoffStartedEvent:
			got = append(got, v.PreviousAgentName)
		case generated.AgentHandoffDoneEvent:
			got = append(got, v.NextAgentName)
		case generated.MessageOutputEvent:
			got = append(got, o.names[v.AgentID])
		}
	}
	if list := strings.Join(got, " "); list != "front poet poet" {
		t.Errorf("agents of the events are %q, want front poet poet", list)
	}
}

// If the target of a handoff is deleted, the current agent answers.
func TestHandoffToDeletedAgent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(http.MethodDelete, "/v1/agents/"+o.ids["maths"], "").want(http.StatusNoContent)
	c := read[generated.ConversationResponse](o.post("/v1/conversations", o.ask("What about the numbers 6 x 7?", "")))
	if got, want := o.transcript(c.Outputs), "front: 42"; got != want {
		t.Errorf("outputs are %q, want %q", got, want)
	}
}

// The emulator limits the number of handoffs of a call.
func TestEndlessHandoffs(t *testing.T) {
	t.Parallel()
	var self string
	a := start(t, emulator.Config{Model: endless(&self)})
	self = read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: model, Name: "loop"})).ID
	c := read[generated.ConversationResponse](a.post("/v1/conversations", generated.StartConversationRequest{AgentID: self, Inputs: generated.NewTextInputs("Go")}))
	if len(c.Outputs) != 17 {
		t.Errorf("got %d handoffs, want 17", len(c.Outputs))
	}
}

func endless(agent *string) func(context.Context, emulator.Prompt) emulator.Reply {
	return func(context.Context, emulator.Prompt) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: *agent, NextAgentName: "loop"})}}
	}
}

// The tool limits apply to the target of a handoff, too. The reported usage is the sum over
// all agents.
func TestHandoffAndToolLimits(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{ToolLimits: map[string]emulator.ToolLimit{"web_search": {PerDay: 1}}})
	search := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{
		Model: model, Name: "news", Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
	}))
	front := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: model, Name: "front", Handoffs: []string{search.ID}}))
	ask := generated.StartConversationRequest{AgentID: front.ID, Inputs: generated.NewTextInputs("What is in the news?")}
	first := read[generated.ConversationResponse](a.post("/v1/conversations", ask))
	if u := first.Usage; u.Connectors["web_search"] != 1 || u.TotalTokens != u.PromptTokens+u.CompletionTokens+u.ConnectorTokens {
		t.Errorf("usage is %+v", u)
	}
	rejected := a.post("/v1/conversations", ask).want(http.StatusTooManyRequests)
	if rejected.body != `{"detail":"web_search rate limit reached."}` {
		t.Errorf("body is %s", rejected.body)
	}
	ask.Stream = true
	if body := a.post("/v1/conversations", ask).want(http.StatusOK).body; !strings.Contains(body, "agent.handoff.done") || !strings.Contains(body, `"code":429`) {
		t.Errorf("stream is %s, want a handoff and an error with code 429", body)
	}
}

func TestUsageOfAHandoff(t *testing.T) {
	t.Parallel()
	var second string
	a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Agent == second {
			return emulator.Reply{Text: "Done", Usage: &generated.ConversationUsageInfo{PromptTokens: 7, CompletionTokens: 1, TotalTokens: 8}}
		}
		return emulator.Reply{
			Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: second, NextAgentName: "second"})},
			Usage:   &generated.ConversationUsageInfo{PromptTokens: 100, CompletionTokens: 10, TotalTokens: 110},
		}
	}})
	create := func(name string) string {
		return read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: model, Name: name})).ID
	}
	second = create("second")
	c := read[generated.ConversationResponse](a.post("/v1/conversations", generated.StartConversationRequest{AgentID: create("first"), Inputs: generated.NewTextInputs("Go")}))
	if want := (generated.ConversationUsageInfo{PromptTokens: 107, CompletionTokens: 11, TotalTokens: 118}); encoded(t, c.Usage) != encoded(t, want) {
		t.Errorf("usage is %+v, want %+v", c.Usage, want)
	}
	if n := a.Stats().Models[model].Tokens; n != 118 {
		t.Errorf("the limits charged %d tokens, want 118", n)
	}
}

// TestReplayedHandoff starts a conversation with the entries of another one that has a
// handoff.
func TestReplayedHandoff(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		return emulator.Reply{Text: "I am " + p.Agent}
	}})
	front := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "front"}))
	expert := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "m", Name: "expert"}))
	body := fmt.Sprintf(`{"agent_id":%q,"inputs":[{"type":"message.input","role":"user","content":"Help"},`+
		`{"type":"agent.handoff","previous_agent_id":%[1]q,"previous_agent_name":"front","next_agent_id":%[2]q,"next_agent_name":"expert"}]}`, front.ID, expert.ID)
	c := read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations", body))
	if got := textOf(c.Outputs); got != "I am "+expert.ID {
		t.Errorf("%q, want the expert %s", got, expert.ID)
	}
	for _, path := range []string{"/v1/conversations", "/v1/conversations/" + c.ConversationID} {
		content := strings.Replace(body, expert.ID, "ag_none", 1)
		if path != "/v1/conversations" {
			_, content, _ = strings.Cut(content, ",")
			content = "{" + content
		}
		if got := a.do(http.MethodPost, path, content).want(404); !strings.Contains(got.body, "Agent not found") {
			t.Errorf("a handoff to an unknown agent: %s", got.body)
		}
	}
	history := read[generated.ConversationHistory](a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", ""))
	handoff, _ := history.Entries[1].Value().(generated.AgentHandoffEntry)
	restarted := read[generated.ConversationResponse](a.post("/v1/conversations/"+c.ConversationID+"/restart",
		generated.RestartConversationRequest{FromEntryID: handoff.ID, Inputs: generated.NewTextInputs("And now?")}))
	if got := textOf(restarted.Outputs); got != "I am "+expert.ID {
		t.Errorf("restarted: %q, want the expert", got)
	}
}
