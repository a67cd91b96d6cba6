package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// maxResends is how often a run resends a request that did not arrive.
const maxResends = 3

// fetch returns the response to the request that is due. If the service may have executed an
// earlier attempt, fetch reads the conversation's history before it resends the request. So it
// never appends the inputs twice.
func (l *loop) fetch(number int) (*generated.ConversationResponse, error) {
	var failure error
	for resends := 0; ; resends++ {
		if l.ctx.Err() != nil {
			return nil, contextError(l.ctx)
		}
		if _, ok := l.inputPosition(); ok && l.isLost {
			response, err := l.lookUp()
			if err != nil && failure != nil {
				err = fmt.Errorf("%w: %w", failure, err)
			}
			if response != nil || err != nil {
				return response, err
			}
		}
		if failure != nil {
			if errors.Is(failure, context.DeadlineExceeded) { // another attempt would probably take as long
				l.isLost = true
				return nil, failure
			}
			l.result.UnknownUsage++
			if !l.restarted {
				l.notify(number, TurnRestarted{ConversationID: l.result.ConversationID})
			}
		}
		response, err := l.sendOnce(number)
		if err == nil {
			return response, nil
		}
		l.isLost = l.request.isStored() && errors.Is(err, ratelimited.ErrUnconfirmed)
		_, canLookUp := l.inputPosition()
		var reported *ratelimited.StreamError
		l.hasFailed = l.isLost && errors.As(err, &reported) && reported.Code != 0
		if !l.isLost || !canLookUp || l.hasFailed && !l.runner.config.RestartLost || l.ctx.Err() != nil || resends == maxResends {
			return nil, err
		}
		failure = err
	}
}

// sendOnce sends one request and returns the complete response; for a stream, after its last event.
func (l *loop) sendOnce(number int) (*generated.ConversationResponse, error) {
	conversations, options := l.runner.client.Beta.Conversations, l.runner.config.Options
	if _, ok := l.inputPosition(); ok {
		options = append(slices.Clip(options), ratelimited.AtMostOnce())
	}
	if l.emit == nil {
		return l.request.send(l.ctx, conversations, options)
	}
	stream, err := l.request.open(l.ctx, conversations, options)
	if err != nil {
		return nil, err
	}
	for event, err := range stream.Events() {
		if err != nil {
			return nil, err
		}
		if started, ok := event.(generated.ResponseStartedEvent); ok && l.request.isStored() {
			l.inConversation(started.ConversationID)
			if l.restarted {
				l.notify(number, TurnRestarted{ConversationID: started.ConversationID})
			}
		}
		if l.notify(number, event); l.consumerStopped {
			return nil, fmt.Errorf("%w: %w", ratelimited.ErrUnconfirmed, contextError(l.ctx)) // exiting the loop closes the stream
		}
	}
	return stream.Response(), nil
}

// A position is the position in a conversation where the inputs of the request are, if the service
// executed it.
type position struct {
	conversationID string
	entryID        string // the entry before the inputs; "" at the beginning
	resultOf       string // the tool_call_id of the first input, if the entry before is unknown
}

// inputPosition returns the position of the inputs of the request in the history. It reports false if the
// service does not keep the conversation, or if the conversation's ID or earlier entries are
// unknown.
func (l *loop) inputPosition() (position, bool) {
	q, id := l.request, l.result.ConversationID
	switch {
	case !q.isStored():
	case q.start != nil:
		return position{conversationID: id}, id != ""
	case q.restart != nil:
		return position{conversationID: id, entryID: q.restart.FromEntryID}, id != "" && id != q.id
	case len(l.result.Turns) > 0:
		outputs := l.latest().Response.Outputs
		if len(outputs) == 0 {
			break
		}
		entry := idOf(outputs[len(outputs)-1])
		return position{conversationID: q.id, entryID: entry}, entry != ""
	default: // the caller's Append
		if inputs := q.append.Inputs.Entries(); len(inputs) > 0 {
			result, ok := inputs[0].Value().(generated.FunctionResultEntry)
			return position{conversationID: q.id, resultOf: result.ToolCallID}, ok
		}
	}
	return position{}, false
}

// pauses are the waits before the history is read again. The service may still be writing the
// response.
var pauses = []time.Duration{time.Second, 2 * time.Second}

// lookUp reads the history to find out whether a request was executed whose response was lost. It
// returns the response if the history has it. Otherwise it returns nil, and a request has to be
// sent: the same one if it did not arrive, or one that restarts the conversation if the history has
// only a part of the response.
func (l *loop) lookUp() (*generated.ConversationResponse, error) {
	at, _ := l.inputPosition()
	inputs := entriesOf(*l.request.fields().inputs)
	var entries []generated.Entry
	for i := 0; ; i++ {
		var err error
		if entries, err = l.entriesAfter(at); err != nil {
			return nil, err
		}
		if i == len(pauses) || l.hasFailed || len(entries) > len(inputs) && isComplete(entries[len(inputs):]) {
			break
		}
		select {
		case <-time.After(pauses[i]):
		case <-l.ctx.Done():
			return nil, contextError(l.ctx)
		}
	}
	if len(entries) == 0 {
		l.isLost = false
		return nil, nil
	}
	if len(entries) < len(inputs) || !haveResults(entries[:len(inputs)], inputs) {
		return nil, fmt.Errorf("%w: the history has other entries at the position of the inputs", ErrResponseLost)
	}
	if outputs := entries[len(inputs):]; isComplete(outputs) && !l.hasFailed {
		return &generated.ConversationResponse{Object: "conversation.response", ConversationID: at.conversationID, Outputs: outputs}, nil
	}
	if !l.runner.config.RestartLost {
		return nil, fmt.Errorf("%w: the history has the inputs but no complete response", ErrResponseLost)
	}
	from := at.entryID
	if len(inputs) > 0 {
		from = idOf(entries[len(inputs)-1])
	}
	l.request = l.request.restartFrom(l.first, at.conversationID, from)
	l.isLost, l.hasFailed, l.restarted = false, false, true
	return nil, nil
}

// entriesAfter returns the entries of a conversation from the inputs on.
func (l *loop) entriesAfter(at position) ([]generated.Entry, error) {
	history, err := l.runner.client.Beta.Conversations.GetHistory(l.ctx, at.conversationID, l.runner.config.Options...)
	if err != nil {
		return nil, fmt.Errorf("runner: cannot read the history: %w", err)
	}
	switch {
	case at.resultOf != "":
		calls, first := 0, -1
		for i, entry := range history.Entries {
			switch e := entry.Value().(type) {
			case generated.FunctionCallEntry:
				if e.ToolCallID == at.resultOf {
					calls++
				}
			case generated.FunctionResultEntry:
				if e.ToolCallID == at.resultOf && first < 0 {
					first = i
				}
			}
		}
		switch {
		case calls > 1: // the result may belong to an earlier call
			return nil, fmt.Errorf("%w: the history has %d calls with the ID %q", ErrResponseLost, calls, cut(at.resultOf, maxShown))
		case first < 0:
			return nil, nil
		}
		return history.Entries[first:], nil
	case at.entryID == "":
		return history.Entries, nil
	}
	i := slices.IndexFunc(history.Entries, func(e generated.Entry) bool { return idOf(e) == at.entryID })
	if i < 0 {
		return nil, fmt.Errorf("%w: the history does not contain entry %q", ErrResponseLost, cut(at.entryID, maxShown))
	}
	return history.Entries[i+1:], nil
}

// haveResults reports whether entries contain the function results of inputs, at the same
// positions.
func haveResults(entries, inputs []generated.Entry) bool {
	for i, input := range inputs {
		want, ok := input.Value().(generated.FunctionResultEntry)
		if !ok {
			continue
		}
		got, ok := entries[i].Value().(generated.FunctionResultEntry)
		if !ok || got.ToolCallID != want.ToolCallID {
			return false
		}
	}
	return true
}

// isComplete reports whether entries of a history are a complete response. An entry that was cut off
// has no completion time. Function calls never have one; they are complete if their arguments are.
func isComplete(outputs []generated.Entry) bool {
	for _, output := range outputs {
		isComplete := true
		switch e := output.Value().(type) {
		case generated.MessageOutputEntry:
			isComplete = !e.CompletedAt.IsZero()
		case generated.ToolExecutionEntry:
			isComplete = !e.CompletedAt.IsZero()
		case generated.AgentHandoffEntry:
			isComplete = !e.CompletedAt.IsZero()
		case generated.FunctionCallEntry:
			_, err := schema.Parse([]byte(e.Arguments))
			isComplete = err == nil
		}
		if !isComplete {
			return false
		}
	}
	return len(outputs) > 0
}
