package emulator

import (
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/engine"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// run is a call that runs a model, with the state to store.
type run struct {
	engine.Call
	conversation state.Conversation // the state before the call
	store        bool
	bytes        int // the size of the request; 0 if conversation includes it
}

// StartConversation starts a conversation with a model or an agent.
func (e api) StartConversation(_ http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	var request generated.StartConversationRequest
	if refused := decode(r, &request); refused != nil {
		e.fail(c, refused)
		return
	}
	c.record.setOperation(c.operation.ID, request.Stream)
	if (request.Model == "") == (request.AgentID == "") {
		e.fail(c, wire.ValueError("either model or agent_id must be set, and not both", "body"))
		return
	}
	var model *string
	if request.Model != "" {
		model = &request.Model
	}
	if refused := e.checkRequest(model, request.Tools, request.CompletionArgs); refused != nil {
		e.fail(c, refused)
		return
	}
	run := run{conversation: state.NewConversation(request, wire.KeptMemory(c.body)), store: request.Store == nil || *request.Store}
	run.First = true
	e.execute(c, run, request.Inputs, generated.CompletionArgs{}, request.HandoffExecution)
}

// AppendConversation appends entries to a conversation.
func (e api) AppendConversation(_ http.ResponseWriter, r *http.Request, id string) {
	c := callOf(r)
	var request generated.AppendConversationRequest
	refused := decode(r, &request)
	if refused != nil {
		e.fail(c, refused)
		return
	}
	c.record.setOperation(c.operation.ID, request.Stream)
	run := run{store: request.Store == nil || *request.Store, bytes: wire.KeptMemory(c.body)}
	run.Confirmations = request.ToolConfirmations
	if run.conversation, refused = e.store.Conversation(id); refused != nil {
		e.fail(c, refused)
		return
	}
	e.execute(c, run, request.Inputs, request.CompletionArgs, request.HandoffExecution)
}

// RestartConversation starts a new conversation with the entries of another one, up to and
// including the requested entry.
func (e api) RestartConversation(_ http.ResponseWriter, r *http.Request, id string) {
	c := callOf(r)
	var request generated.RestartConversationRequest
	refused := decode(r, &request)
	if refused != nil {
		e.fail(c, refused)
		return
	}
	c.record.setOperation(c.operation.ID, request.Stream)
	old, refused := e.store.Conversation(id)
	run := run{store: request.Store == nil || *request.Store}
	run.First = true
	if refused == nil {
		run.conversation, refused = old.Restarted(request, wire.KeptMemory(c.body))
	}
	if refused != nil {
		e.fail(c, refused)
		return
	}
	e.execute(c, run, request.Inputs, request.CompletionArgs, request.HandoffExecution)
}

// decode decodes the content of a request that conforms to the document. Free-form values
// keep the digits of their numbers and the order of their properties.
func decode(r *http.Request, into any) *wire.Failure {
	unread, err := generated.Unmarshal(wire.WithoutDuplicates(callOf(r).body), into)
	switch {
	case err != nil:
		return wire.Unprocessable(err)
	case len(unread) > 0:
		return wire.Unreadable(unread[0])
	}
	return nil
}

// prepare adds the settings and the entries to a run.
func (e *Emulator) prepare(run *run, in generated.ConversationInputs, args generated.CompletionArgs) (refused *wire.Failure) {
	if refused = e.checkRequest(nil, nil, args); refused != nil {
		return refused
	}
	inputs := state.Inputs(in)
	base, refused := e.store.Settings(run.conversation, inputs)
	if refused != nil {
		return refused
	}
	run.Inputs = base.StampAll(inputs)
	if run.History, refused = run.conversation.Admit(run.Addition, run.bytes); refused != nil {
		return refused
	}
	run.Turn = run.conversation.Turns + 1
	run.ConversationID, run.Settings = run.conversation.View.ID, base.Over(state.Settings{Args: args})
	return nil
}

// execute prepares and admits a call, runs it and responds.
func (e *Emulator) execute(c *call, run run, in generated.ConversationInputs, args generated.CompletionArgs, by generated.HandoffExecution) {
	ctx := c.r.Context()
	run.ClientHandoffs = by == generated.HandoffExecutionClient
	if refused := e.prepare(&run, in, args); refused != nil {
		e.fail(c, refused)
		return
	}
	if !e.admit(c, run.Settings.Model, run.Settings.Tools) || e.wait(c) != nil {
		return
	}
	verdict, blocked := engine.Moderate(run.Settings.Guardrails, run.Inputs)
	if blocked {
		e.fail(c, wire.GuardrailBlock(verdict))
		return
	}
	result := e.engine.Run(ctx, run.Call)
	if ctx.Err() != nil {
		return
	}
	if result.Err != nil && (!c.record.stream || len(result.Outputs) == 0) {
		e.fail(c, engine.Failure(result.Err))
		return
	}
	bytes := wire.Memory(wire.Encode(result.Outputs))
	if !c.reservation.reserve(bytes) {
		e.fail(c, errBusy)
		return
	}
	create := func() { // called only if the call has outputs
		if run.First && run.store {
			e.store.AddConversation(run.conversation)
		}
	}
	settle := func(outputs []generated.Entry, usage generated.ConversationUsageInfo) (refused *wire.Failure) {
		e.quota.Charge(c.record.Model, usage.TotalTokens, usage.Connectors)
		e.log.charge(c.record, usage.TotalTokens)
		if run.store {
			refused = e.store.Extend(run.ConversationID, run.Addition, outputs, run.bytes+bytes)
		}
		return refused
	}
	if c.record.stream {
		create()
		e.stream(c, run.ConversationID, result, settle)
		return
	}
	if result.Generate(ctx) != nil {
		return
	}
	create()
	if refused := settle(result.Outputs, result.Usage); refused != nil {
		e.fail(c, refused)
		return
	}
	e.limitHeaders(c)
	e.respond(c, wire.Response(generated.ConversationResponse{
		Object: "conversation.response", ConversationID: run.ConversationID, Guardrails: verdict,
		Outputs: result.Outputs, Usage: result.Usage,
	}), nil)
}

// stream responds with events and settles the call with the entries that were sent. The
// last event reports the usage.
func (e *Emulator) stream(c *call, conversationID string, result engine.Result, settle engine.Settle) {
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	if c.spec != nil {
		e.violations(c.spec.CheckResponse(http.StatusOK, header, nil))
	}
	if c.fault.Is(fault.LostReply) { // The call counts as if the whole stream had been sent.
		if result.Generate(c.r.Context()) != nil {
			return
		}
		settle(result.Outputs, result.Usage)
		c.begin(http.StatusOK)
		return
	}
	open := c.begin(http.StatusOK)
	e.engine.Stream(c.r.Context(), conversationID, result, func(event any) error {
		if !open {
			return http.ErrAbortHandler // A fault has closed the connection.
		}
		return e.sendEvent(c, event)
	}, settle)
}
