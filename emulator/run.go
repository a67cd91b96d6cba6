package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// run is one call of a model: what it is given and where its result goes.
type run struct {
	id       string // of the conversation
	settings settings
	history  []generated.Entry
	inputs   []generated.Entry
	byClient bool // handoffs are the caller's to carry out

	confirmations []generated.ToolCallConfirmation
	// start, when set, is called when it is known that there are outputs, and makes the
	// conversation; keep, when set, is called when the call ends, with what it added and
	// how many bytes of that are outputs.
	start func()
	keep  func(added []generated.Entry, bytes int)
}

func (c run) open() {
	if c.start != nil {
		c.start()
	}
}

// full refuses a call whose conversation is long enough, or would have so many bytes.
func (c run) full(bytes int) *failure {
	switch {
	case len(c.history)+len(c.inputs) >= MaxEntries:
		return errTooLong
	case bytes > MaxKeptBytes:
		return errTooMuch
	}
	return nil
}

// StartConversation starts a conversation with a model or an agent.
func (e api) StartConversation(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	var request generated.StartConversationRequest
	if !e.decode(x, &request) {
		return
	}
	x.stream = request.Stream
	if (request.Model == "") == (request.AgentID == "") {
		valueError("either model or agent_id must be set, and not both", "body").write(e.Emulator, x)
		return
	}
	now := timestamp()
	c := &conversation{
		bytes: keptMemory(x.body),
		view: generated.Conversation{
			Object: "conversation", ID: newID(conversationID), CreatedAt: now, UpdatedAt: now,
			Name: request.Name, Description: request.Description, Metadata: request.Metadata,
			Model: request.Model, AgentID: request.AgentID, AgentVersion: request.AgentVersion,
		},
		own: settings{
			author: author{model: request.Model, agent: request.AgentID}, instructions: request.Instructions,
			tools: request.Tools, args: request.CompletionArgs, guardrails: request.Guardrails,
		},
	}
	if request.AgentID == "" {
		// A conversation with an agent has these of its agent, and shows none.
		c.view.AgentVersion = ""
		c.view.Instructions, c.view.Tools = request.Instructions, request.Tools
		c.view.CompletionArgs, c.view.Guardrails = request.CompletionArgs, request.Guardrails
	}
	e.begin(r, c, run{byClient: request.HandoffExecution == generated.HandoffExecutionClient}, request.Inputs, request.Store)
}

// AppendConversation runs a conversation on.
func (e api) AppendConversation(_ http.ResponseWriter, r *http.Request, id string) {
	x := exchangeOf(r)
	var request generated.AppendConversationRequest
	if !e.decode(x, &request) {
		return
	}
	x.stream = request.Stream
	c, entries, ok := e.conversation(id)
	if !ok {
		errNoConversation.write(e.Emulator, x)
		return
	}
	base, refused := e.settings(&c, entries)
	if refused != nil {
		refused.write(e.Emulator, x)
		return
	}
	if entries, refused = confirm(entries, request.ToolConfirmations); refused != nil {
		refused.write(e.Emulator, x)
		return
	}
	call := run{
		id: id, settings: base.over(settings{args: request.CompletionArgs}), history: entries,
		inputs: inputEntries(request.Inputs, base.author), byClient: request.HandoffExecution == generated.HandoffExecutionClient,
		confirmations: request.ToolConfirmations,
	}
	if refused := call.full(c.bytes + len(x.body)); refused != nil {
		refused.write(e.Emulator, x)
		return
	}
	if request.Store == nil || *request.Store {
		call.keep = func(added []generated.Entry, bytes int) {
			e.extend(id, request.ToolConfirmations, added, keptMemory(x.body)+bytes)
		}
	}
	e.execute(r, call)
}

// RestartConversation starts a new conversation with the entries of another, up to
// one of them and including it.
func (e api) RestartConversation(_ http.ResponseWriter, r *http.Request, id string) {
	x := exchangeOf(r)
	var request generated.RestartConversationRequest
	if !e.decode(x, &request) {
		return
	}
	x.stream = request.Stream
	old, entries, ok := e.conversation(id)
	if !ok {
		errNoConversation.write(e.Emulator, x)
		return
	}
	last := slices.IndexFunc(entries, func(entry generated.Entry) bool {
		return request.FromEntryID != "" && idOf(entry) == request.FromEntryID
	})
	if last < 0 {
		errNoEntry.write(e.Emulator, x)
		return
	}
	now := timestamp()
	c := &conversation{view: old.view, own: old.own, bytes: old.bytes + keptMemory(x.body)}
	c.view.ID, c.view.CreatedAt, c.view.UpdatedAt = newID(conversationID), now, now
	if request.Metadata != nil {
		c.view.Metadata = request.Metadata
	}
	if request.Guardrails != nil {
		c.own.guardrails = request.Guardrails
		if c.view.AgentID == "" {
			c.view.Guardrails = request.Guardrails
		}
	}
	if c.view.AgentID != "" && request.AgentVersion != "" {
		c.view.AgentVersion = request.AgentVersion
	}
	call := run{
		history: slices.Clip(entries[:last+1]), settings: settings{args: request.CompletionArgs},
		byClient: request.HandoffExecution == generated.HandoffExecutionClient,
	}
	e.begin(r, c, call, request.Inputs, request.Store)
}

// begin runs a new conversation, which is kept when the call ends. The call has what
// of its settings is for this once.
func (e api) begin(r *http.Request, c *conversation, call run, in generated.ConversationInputs, keep *bool) {
	base, refused := e.settings(c, call.history)
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	call.id, call.settings = c.view.ID, base.over(call.settings)
	call.inputs = inputEntries(in, base.author)
	if refused := call.full(c.bytes); refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	if keep == nil || *keep {
		c.entries = call.history
		call.start = func() { e.keepConversation(c) }
		call.keep = func(added []generated.Entry, bytes int) { e.extend(c.view.ID, nil, added, bytes) }
	}
	e.execute(r, call)
}

// decode reads a body that fits the document. Free-form values keep their digits and the
// order of their properties. Where a name is there twice in an object, in a function's
// schema say, the last counts, and is all that is kept: then the order is that of the names.
func (e api) decode(x *exchange, into any) bool {
	body := x.body
	if repeatsNames(body) {
		body = rewrite(body, func(value any) any { return value })
	}
	unread, err := generated.Unmarshal(body, into)
	switch {
	case err != nil:
		unprocessable(err).write(e.Emulator, x)
	case len(unread) > 0:
		unreadable(unread[0]).write(e.Emulator, x)
	default:
		return true
	}
	return false
}

// repeatsNames reports whether an object in a JSON text has two members of one name.
func repeatsNames(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var names []map[string]bool // of the objects around; nil for an array
	isName := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'):
			names, isName = append(names, map[string]bool{}), true
			continue
		case json.Delim('['):
			names, isName = append(names, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			names = names[:len(names)-1]
		default:
			if isName {
				name, _ := token.(string) // it is one
				if names[len(names)-1][name] {
					return true
				}
				names[len(names)-1][name], isName = true, false
				continue
			}
		}
		isName = len(names) > 0 && names[len(names)-1] != nil // after a value
	}
}

// settings returns what a conversation with these entries runs with now: its own on top
// of its agent's, or those of the agent that it was handed to.
func (e *Emulator) settings(c *conversation, entries []generated.Entry) (settings, *failure) {
	if c.view.AgentID == "" {
		return c.own, nil
	}
	if agent, ok := e.heir(entries); ok {
		return agentSettings(agent), nil
	}
	version, refused := e.agentVersion(c.view.AgentID, string(c.view.AgentVersion))
	if refused != nil {
		return settings{}, refused
	}
	return agentSettings(version).over(c.own), nil
}

// execute admits a call, runs it and replies.
func (e *Emulator) execute(r *http.Request, call run) {
	x, ctx := exchangeOf(r), r.Context()
	if !e.admit(x, call.settings.model, call.settings.tools) {
		return
	}
	if sleep(ctx, e.cfg.Latency) != nil {
		return
	}
	verdict, blocked := moderate(call.settings.guardrails, call.inputs)
	if blocked {
		guardrailBlock(verdict).write(e, x)
		return
	}
	t := e.take(ctx, call)
	if ctx.Err() != nil {
		return
	}
	if t.err != nil && (!x.stream || len(t.outputs) == 0) {
		failed(t.err).write(e, x)
		return
	}
	t.bytes = memoryOf(encode(t.outputs))
	if !x.held.hold(t.bytes) {
		errBusy.write(e, x)
		return
	}
	if x.stream {
		s := stream{e: e, x: x, ctx: ctx}
		s.play(call, t)
		return
	}
	if e.generate(ctx, t.outputs) != nil {
		return
	}
	call.open()
	e.settle(x, call, t, t.outputs, t.usage)
	e.limitHeaders(x)
	e.ok(x, wireResponse{
		responseFields: responseFields{
			Object: "conversation.response", ConversationID: call.id, Guardrails: verdict,
		},
		Outputs: t.outputs,
		Usage:   wireUsage(t.usage),
	})
}

// settle charges for what of its outputs a call has sent, and keeps that.
func (e *Emulator) settle(x *exchange, call run, t turn, outputs []generated.Entry, usage generated.ConversationUsageInfo) {
	x.tokens = usage.TotalTokens
	e.gate.charge(x.model, time.Now(), x.tokens)
	e.gate.chargeTools(usage.Connectors, time.Now())
	e.journal.charge(x.model, x.tokens)
	if call.keep != nil {
		call.keep(slices.Concat(call.inputs, outputs), t.bytes)
	}
}

// outputs returns the entries of a reply, a text being the last.
func (r Reply) outputs() []generated.Entry {
	outputs := slices.Clone(r.Entries)
	if r.Text != "" || len(outputs) == 0 && r.Err == nil {
		outputs = append(outputs, generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewTextContent(r.Text)}))
	}
	return outputs
}

func failed(err error) *failure {
	var own *Error
	if !errors.As(err, &own) {
		return apiError(http.StatusInternalServerError, err.Error(), "internal_server_error", "3000")
	}
	f := apiError(own.Status, own.Message, "invalid_request_error", "3000")
	f.header = own.Header
	if own.Body != "" {
		f.body = own.Body
	}
	return f
}

// wireResponse and wireUsage write what is required or what the service always sends,
// zero or not.
type wireResponse struct {
	responseFields
	Outputs []generated.Entry `json:"outputs"`
	Usage   wireUsage         `json:"usage"`
}

type (
	responseFields generated.ConversationResponse
	usageFields    generated.ConversationUsageInfo
	wireUsage      generated.ConversationUsageInfo
)

// MarshalJSON writes the three counts also where they are 0.
func (u wireUsage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		usageFields
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	}{usageFields(u), u.PromptTokens, u.CompletionTokens, u.TotalTokens})
}
