package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A turnRequest is the request of one turn: a copy of one of the caller's three kinds.
type turnRequest struct {
	start   *generated.StartConversationRequest
	append  *generated.AppendConversationRequest
	restart *generated.RestartConversationRequest
	id      string // the conversation, for Append and Restart
}

// name returns the name of the operation.
func (q *turnRequest) name() string {
	switch {
	case q.start != nil:
		return "Start"
	case q.append != nil:
		return "Append"
	}
	return "Restart"
}

// fields holds the fields that all kinds of requests have.
type fields struct {
	inputs  *generated.ConversationInputs
	args    *generated.CompletionArgs
	store   *bool
	handoff generated.HandoffExecution
}

func (q *turnRequest) fields() fields {
	switch {
	case q.start != nil:
		return fields{&q.start.Inputs, &q.start.CompletionArgs, q.start.Store, q.start.HandoffExecution}
	case q.append != nil:
		return fields{&q.append.Inputs, &q.append.CompletionArgs, q.append.Store, q.append.HandoffExecution}
	}
	return fields{&q.restart.Inputs, &q.restart.CompletionArgs, q.restart.Store, q.restart.HandoffExecution}
}

func (q *turnRequest) isStored() bool { return q.fields().store == nil || *q.fields().store }

// clone returns a shallow copy of the request.
func (q *turnRequest) clone() *turnRequest {
	c := *q
	switch {
	case q.start != nil:
		start := *q.start
		c.start = &start
	case q.append != nil:
		extend := *q.append
		c.append = &extend
	default:
		restart := *q.restart
		c.restart = &restart
	}
	return &c
}

// send sends the request and returns the complete response.
func (q *turnRequest) send(ctx context.Context, c *ratelimited.Conversations, options []ratelimited.CallOption) (*generated.ConversationResponse, error) {
	switch {
	case q.start != nil:
		return c.Start(ctx, *q.start, options...)
	case q.append != nil:
		return c.Append(ctx, q.id, *q.append, options...)
	}
	return c.Restart(ctx, q.id, *q.restart, options...)
}

// open sends the request and returns the response as a stream.
func (q *turnRequest) open(ctx context.Context, c *ratelimited.Conversations, options []ratelimited.CallOption) (*ratelimited.Stream, error) {
	switch {
	case q.start != nil:
		return c.StartStream(ctx, *q.start, options...)
	case q.append != nil:
		return c.AppendStream(ctx, q.id, *q.append, options...)
	}
	return c.RestartStream(ctx, q.id, *q.restart, options...)
}

// withTools adds the runner's tools to a request that starts a conversation with a model.
func (q *turnRequest) withTools(tools map[string]*Tool, definitions []generated.Tool) error {
	if q.start == nil || q.start.AgentID != "" {
		return nil
	}
	for i, tool := range q.start.Tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if ok && tools[f.Function.Name] != nil {
			at := slices.IndexFunc(definitions, func(t generated.Tool) bool {
				return t.Value().(generated.FunctionTool).Function.Name == f.Function.Name
			})
			return &ratelimited.RequestError{
				Operation: "Runner.Start", Field: fmt.Sprintf("tools[%d].function.name", i), Value: f.Function.Name,
				Rule: fmt.Sprintf("must be unique: Config.Tools[%d] of the runner has the same name", at),
			}
		}
	}
	q.start.Tools = slices.Concat(q.start.Tools, definitions)
	return nil
}

// checkConfirmations rejects connector tools that need confirmations if the API does not keep the
// conversation: only Append can send confirmations.
func (q *turnRequest) checkConfirmations() error {
	if q.start == nil || q.isStored() {
		return nil
	}
	for i, tool := range q.start.Tools {
		var has struct {
			Configuration struct {
				Names []string `json:"requires_confirmation"`
			} `json:"tool_configuration"`
		}
		text, err := json.Marshal(tool)
		if err == nil && json.Unmarshal(text, &has) == nil && len(has.Configuration.Names) > 0 {
			return &ratelimited.RequestError{
				Operation: "Runner.Start", Field: fmt.Sprintf("tools[%d].tool_configuration.requires_confirmation", i), Value: has.Configuration.Names,
				Rule: "must not be set if store is false: confirmations need a stored conversation",
			}
		}
	}
	return nil
}

// next returns the request that follows a response, with new inputs. Its completion arguments are
// those of the run's first request. A non-empty choice replaces their tool choice.
//
// The API remembers only the arguments of Start. If it does not keep the conversation, the request
// is the previous one with all later entries added.
func (q *turnRequest) next(first *turnRequest, response *generated.ConversationResponse, inputs []generated.Entry, confirmations []generated.ToolCallConfirmation, choice generated.ToolChoiceEnum) *turnRequest {
	of := first.fields()
	args := first.laterArgs()
	if choice != "" {
		args.ToolChoice = choice
	}
	if !q.isStored() {
		c := q.clone()
		all := slices.Concat(entriesOf(*q.fields().inputs), response.Outputs, inputs)
		*c.fields().inputs, *c.fields().args = generated.NewEntryInputs(all), args
		if c.append != nil {
			c.append.ToolConfirmations = confirmations
		}
		c.followHandoff(response.Outputs)
		return c
	}
	if first.start != nil && args.ToolChoice == of.args.ToolChoice {
		args = generated.CompletionArgs{}
	}
	extend := &generated.AppendConversationRequest{CompletionArgs: args, Store: of.store, HandoffExecution: of.handoff, ToolConfirmations: confirmations}
	if len(inputs) > 0 || len(confirmations) == 0 { // an empty list continues after a handoff
		extend.Inputs = generated.NewEntryInputs(inputs)
	}
	return &turnRequest{id: cmp.Or(response.ConversationID, q.id), append: extend}
}

// laterArgs returns the completion arguments of all requests after the first one.
func (q *turnRequest) laterArgs() generated.CompletionArgs {
	args := *q.fields().args
	if args.ToolChoice == generated.ToolChoiceEnumAny || args.ToolChoice == generated.ToolChoiceEnumRequired {
		args.ToolChoice = generated.ToolChoiceEnumAuto
	}
	return args
}

// restartFrom returns the request that asks again for a lost response, in a new conversation that starts
// after an entry.
func (q *turnRequest) restartFrom(first *turnRequest, conversationID, entryID string) *turnRequest {
	of, args := first.fields(), first.laterArgs()
	if choice := q.fields().args.ToolChoice; choice != "" {
		args.ToolChoice = choice
	}
	return &turnRequest{id: conversationID, restart: &generated.RestartConversationRequest{
		FromEntryID: entryID, CompletionArgs: args, Store: of.store, HandoffExecution: of.handoff,
	}}
}

// idOf returns the ID of an entry, or "".
func idOf(entry generated.Entry) string {
	switch e := entry.Value().(type) {
	case generated.MessageInputEntry:
		return e.ID
	case generated.MessageOutputEntry:
		return e.ID
	case generated.FunctionCallEntry:
		return e.ID
	case generated.FunctionResultEntry:
		return e.ID
	case generated.ToolExecutionEntry:
		return e.ID
	case generated.AgentHandoffEntry:
		return e.ID
	}
	return ""
}

// followHandoff sets the agent that the latest handoff names.
func (q *turnRequest) followHandoff(outputs []generated.Entry) {
	for _, output := range outputs {
		if h, ok := output.Value().(generated.AgentHandoffEntry); ok && q.start != nil && q.start.AgentID != "" && h.NextAgentID != "" {
			q.start.AgentID, q.start.AgentVersion = h.NextAgentID, ""
		}
	}
}

// sizeOf returns the number of bytes of text in inputs.
func sizeOf(inputs generated.ConversationInputs) int {
	bytes := 0
	for _, entry := range entriesOf(inputs) {
		switch e := entry.Value().(type) {
		case generated.MessageInputEntry:
			bytes += len(e.Content.Text())
		case generated.MessageOutputEntry:
			bytes += len(e.Content.Text())
		case generated.FunctionCallEntry:
			bytes += len(e.Arguments)
		case generated.FunctionResultEntry:
			bytes += len(e.Result)
		}
	}
	return bytes
}

// entriesOf returns inputs as entries. A text becomes a user message.
func entriesOf(inputs generated.ConversationInputs) []generated.Entry {
	if text, ok := inputs.Text(); ok {
		return []generated.Entry{ratelimited.User(text)}
	}
	return inputs.Entries()
}
