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

// maxResends is how often a run sends a request again that has not arrived.
const maxResends = 3

// fetch returns the response to the request that is due. Where the service may have carried out
// an earlier attempt, the conversation's history says what became of that, before the request
// is sent again: its inputs are never appended twice.
func (l *loop) fetch(number int) (*generated.ConversationResponse, error) {
	var failure error
	for resends := 0; ; resends++ {
		if l.ctx.Err() != nil {
			return nil, contextError(l.ctx)
		}
		if _, ok := l.anchor(); ok && l.isLost {
			response, err := l.lookUp()
			if err != nil && failure != nil {
				err = fmt.Errorf("%w: %w", failure, err)
			}
			if response != nil || err != nil {
				return response, err
			}
		}
		if failure != nil {
			if errors.Is(failure, context.DeadlineExceeded) { // it would take as long again
				l.isLost = true
				return nil, failure
			}
			l.result.UnknownUsage++
			if !l.restarted {
				l.tell(number, TurnRestarted{ConversationID: l.result.ConversationID})
			}
		}
		response, err := l.respond(number)
		if err == nil {
			return response, nil
		}
		l.isLost = l.query.isStored() && errors.Is(err, ratelimited.ErrUnconfirmed)
		_, canLookUp := l.anchor()
		var reported *ratelimited.StreamError
		l.hasFailed = l.isLost && errors.As(err, &reported) && reported.Code != 0
		if !l.isLost || !canLookUp || l.hasFailed && !l.runner.config.RestartLost || l.ctx.Err() != nil || resends == maxResends {
			return nil, err
		}
		failure = err
	}
}

// respond makes one request, and returns the whole response, of a stream after its last event.
func (l *loop) respond(number int) (*generated.ConversationResponse, error) {
	conversations, options := l.runner.client.Beta.Conversations, l.runner.config.Options
	if _, ok := l.anchor(); ok {
		options = append(slices.Clip(options), ratelimited.AtMostOnce())
	}
	if l.emit == nil {
		return l.query.send(l.ctx, conversations, options)
	}
	stream, err := l.query.open(l.ctx, conversations, options)
	if err != nil {
		return nil, err
	}
	for event, err := range stream.Events() {
		if err != nil {
			return nil, err
		}
		if started, ok := event.(generated.ResponseStartedEvent); ok && l.query.isStored() {
			l.inConversation(started.ConversationID)
			if l.restarted {
				l.tell(number, TurnRestarted{ConversationID: started.ConversationID})
			}
		}
		if l.tell(number, event); l.left {
			return nil, fmt.Errorf("%w: %w", ratelimited.ErrUnconfirmed, contextError(l.ctx)) // leaving the loop closes the stream
		}
	}
	return stream.Response(), nil
}

// An anchor is a place in a conversation: where the inputs of the request that is due are, if it
// was carried out.
type anchor struct {
	conversationID string
	entryID        string // the entry before; "" for the beginning
	resultOf       string // the tool_call_id of the first of the inputs, where no entry before is known
}

// anchor returns where the history says what became of the request that is due. It has no
// such place for a conversation that the service does not keep, or whose id or earlier entries
// are unknown.
func (l *loop) anchor() (anchor, bool) {
	q, id := l.query, l.result.ConversationID
	switch {
	case !q.isStored():
	case q.start != nil:
		return anchor{conversationID: id}, id != ""
	case q.restart != nil:
		return anchor{conversationID: id, entryID: q.restart.FromEntryID}, id != "" && id != q.id
	case len(l.result.Turns) > 0:
		outputs := l.latest().Response.Outputs
		if len(outputs) == 0 {
			break
		}
		entry := idOf(outputs[len(outputs)-1])
		return anchor{conversationID: q.id, entryID: entry}, entry != ""
	default: // an append of the caller's
		if inputs := q.extend.Inputs.Entries(); len(inputs) > 0 {
			result, ok := inputs[0].Value().(generated.FunctionResultEntry)
			return anchor{conversationID: q.id, resultOf: result.ToolCallID}, ok
		}
	}
	return anchor{}, false
}

// pauses are those before the history is read again, in which the service may come to an end.
var pauses = []time.Duration{time.Second, 2 * time.Second}

// lookUp reads the history to find out what became of a request whose response was lost. It
// returns the response if that is there, and nil if the request is to be sent: again, if it has
// not arrived, or another one that asks anew, if a part of the response is missing.
func (l *loop) lookUp() (*generated.ConversationResponse, error) {
	at, _ := l.anchor()
	inputs := entriesOf(*l.query.fields().inputs)
	var entries []generated.Entry
	for i := 0; ; i++ {
		var err error
		if entries, err = l.entriesAfter(at); err != nil {
			return nil, err
		}
		if i == len(pauses) || l.hasFailed || len(entries) > len(inputs) && isWhole(entries[len(inputs):]) {
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
		return nil, fmt.Errorf("%w: the history has other entries in place of the inputs", ErrResponseLost)
	}
	if outputs := entries[len(inputs):]; isWhole(outputs) && !l.hasFailed {
		return &generated.ConversationResponse{Object: "conversation.response", ConversationID: at.conversationID, Outputs: outputs}, nil
	}
	if !l.runner.config.RestartLost {
		return nil, fmt.Errorf("%w: the history has the inputs and no whole response", ErrResponseLost)
	}
	from := at.entryID
	if len(inputs) > 0 {
		from = idOf(entries[len(inputs)-1])
	}
	l.query = l.query.anew(l.first, at.conversationID, from)
	l.isLost, l.hasFailed, l.restarted = false, false, true
	return nil, nil
}

// entriesAfter returns what a conversation has after an anchor.
func (l *loop) entriesAfter(at anchor) ([]generated.Entry, error) {
	history, err := l.runner.client.Beta.Conversations.GetHistory(l.ctx, at.conversationID, l.runner.config.Options...)
	if err != nil {
		return nil, fmt.Errorf("runner: the history could not be read: %w", err)
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
		case calls > 1: // a result may be of an earlier one
			return nil, fmt.Errorf("%w: the history has %d calls of the id %q", ErrResponseLost, calls, cut(at.resultOf, maxShown))
		case first < 0:
			return nil, nil
		}
		return history.Entries[first:], nil
	case at.entryID == "":
		return history.Entries, nil
	}
	i := slices.IndexFunc(history.Entries, func(e generated.Entry) bool { return idOf(e) == at.entryID })
	if i < 0 {
		return nil, fmt.Errorf("%w: the history does not have entry %q", ErrResponseLost, cut(at.entryID, maxShown))
	}
	return history.Entries[i+1:], nil
}

// haveResults reports whether entries have the results of functions that inputs have.
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

// isWhole reports whether entries of a history are a whole response. One that was broken off
// has no time of completion, and calls never have one: their arguments are whole.
func isWhole(outputs []generated.Entry) bool {
	for _, output := range outputs {
		isWhole := true
		switch e := output.Value().(type) {
		case generated.MessageOutputEntry:
			isWhole = !e.CompletedAt.IsZero()
		case generated.ToolExecutionEntry:
			isWhole = !e.CompletedAt.IsZero()
		case generated.AgentHandoffEntry:
			isWhole = !e.CompletedAt.IsZero()
		case generated.FunctionCallEntry:
			_, err := schema.Parse([]byte(e.Arguments))
			isWhole = err == nil
		}
		if !isWhole {
			return false
		}
	}
	return len(outputs) > 0
}
