package emulator

import (
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
	// start, when set, is called when it is known that there are outputs, and makes the
	// conversation; keep, when set, is called when the call ends, with what it added.
	start func()
	keep  func(added []generated.Entry)
}

func (c run) open() {
	if c.start != nil {
		c.start()
	}
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
		view: generated.Conversation{
			Object: "conversation", ID: newID(conversationID), CreatedAt: now, UpdatedAt: now,
			Name: request.Name, Description: request.Description, Metadata: request.Metadata,
			Model: request.Model, AgentID: request.AgentID, AgentVersion: request.AgentVersion,
		},
		own: settings{
			author: author{model: request.Model, agent: request.AgentID}, instructions: request.Instructions,
			tools: request.Tools, args: request.CompletionArgs,
		},
	}
	if request.AgentID == "" {
		// A conversation with an agent has these of its agent, and shows none.
		c.view.AgentVersion = ""
		c.view.Instructions, c.view.Tools = request.Instructions, request.Tools
		c.view.CompletionArgs, c.view.Guardrails = request.CompletionArgs, request.Guardrails
	}
	e.begin(r, c, nil, request.Inputs, generated.CompletionArgs{}, request.Store)
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
	base, refused := e.settings(&c)
	if refused != nil {
		refused.write(e.Emulator, x)
		return
	}
	base = base.over("", nil, request.CompletionArgs)
	call := run{
		id: id, settings: base,
		history: confirm(entries, request.ToolConfirmations),
		inputs:  inputEntries(request.Inputs, base.author),
	}
	if len(call.history)+len(call.inputs) >= MaxEntries {
		errTooLong.write(e.Emulator, x)
		return
	}
	if request.Store == nil || *request.Store {
		call.keep = func(added []generated.Entry) { e.extend(id, request.ToolConfirmations, added) }
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
	c := &conversation{view: old.view, own: old.own}
	c.view.ID, c.view.CreatedAt, c.view.UpdatedAt = newID(conversationID), now, now
	if request.Metadata != nil {
		c.view.Metadata = request.Metadata
	}
	if c.view.AgentID == "" && request.Guardrails != nil {
		c.view.Guardrails = request.Guardrails
	}
	if c.view.AgentID != "" && request.AgentVersion != "" {
		c.view.AgentVersion = request.AgentVersion
	}
	e.begin(r, c, slices.Clip(entries[:last+1]), request.Inputs, request.CompletionArgs, request.Store)
}

// begin runs a new conversation, which is kept when the call ends.
func (e api) begin(r *http.Request, c *conversation, history []generated.Entry, in generated.ConversationInputs, args generated.CompletionArgs, keep *bool) {
	base, refused := e.settings(c)
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	base = base.over("", nil, args)
	call := run{id: c.view.ID, settings: base, history: history, inputs: inputEntries(in, base.author)}
	if len(call.history)+len(call.inputs) >= MaxEntries {
		errTooLong.write(e.Emulator, exchangeOf(r))
		return
	}
	if keep == nil || *keep {
		c.entries = history
		call.start = func() { e.keepConversation(c) }
		call.keep = func(added []generated.Entry) { e.extend(c.view.ID, nil, added) }
	}
	e.execute(r, call)
}

// decode reads a body that fits the document. Of a property that is there twice, in a
// function's schema say, the last counts, and is all that is kept.
func (e api) decode(x *exchange, into any) bool {
	once := rewrite(x.body, func(value any) any { return value })
	if err := json.Unmarshal(once, into); err != nil {
		unprocessable(err).write(e.Emulator, x)
		return false
	}
	return true
}

// settings returns what a conversation runs with now: its own on top of its agent's.
func (e *Emulator) settings(c *conversation) (settings, *failure) {
	if c.view.AgentID == "" {
		return c.own, nil
	}
	version, refused := e.agentVersion(c.view.AgentID, string(c.view.AgentVersion))
	if refused != nil {
		return settings{}, refused
	}
	return agentSettings(version).over(c.own.instructions, c.own.tools, c.own.args), nil
}

// execute admits a call, runs it and replies.
func (e *Emulator) execute(r *http.Request, call run) {
	x, ctx := exchangeOf(r), r.Context()
	if !e.admit(x, call.settings.model) {
		return
	}
	if sleep(ctx, e.cfg.Latency) != nil {
		return
	}
	p := Prompt{
		Model: call.settings.model, Agent: call.settings.agent, Instructions: call.settings.instructions,
		Tools: call.settings.tools, Args: call.settings.args, History: call.history, Inputs: call.inputs,
	}
	reply := e.cfg.Model(ctx, p)
	if ctx.Err() != nil {
		return
	}
	outputs := reply.outputs()
	if reply.Err != nil && (!x.stream || len(outputs) == 0) {
		failed(reply.Err).write(e, x)
		return
	}
	outputs = limitOutputs(outputs, p.Args)
	for i, output := range outputs {
		outputs[i] = call.settings.stamp(output)
	}
	if x.stream {
		s := stream{e: e, x: x, ctx: ctx, author: call.settings.author}
		s.play(call, countPrompt(p), outputs, reply)
		return
	}
	call.open()
	usage := e.settle(x, call, countPrompt(p), outputs, reply.Usage)
	e.tokenHeaders(x)
	e.ok(x, wireResponse{
		ConversationResponse: generated.ConversationResponse{Object: "conversation.response", ConversationID: call.id},
		Outputs:              outputs,
		Usage:                wireUsage(usage),
	})
}

// settle charges for what a call produced and keeps that.
func (e *Emulator) settle(x *exchange, call run, prompt int, outputs []generated.Entry, reported *generated.ConversationUsageInfo) generated.ConversationUsageInfo {
	usage := usageOf(prompt, outputs)
	if reported != nil {
		usage = *reported
	}
	x.tokens = usage.TotalTokens
	e.gate.charge(x.model, time.Now(), x.tokens)
	e.journal.charge(x.model, x.tokens)
	if call.keep != nil {
		call.keep(slices.Concat(call.inputs, outputs))
	}
	return usage
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
	generated.ConversationResponse
	Outputs []generated.Entry `json:"outputs"`
	Usage   wireUsage         `json:"usage"`
}

type wireUsage generated.ConversationUsageInfo

// MarshalJSON writes the three counts also where they are 0.
func (u wireUsage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		generated.ConversationUsageInfo
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	}{generated.ConversationUsageInfo(u), u.PromptTokens, u.CompletionTokens, u.TotalTokens})
}
