package engine

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Settle charges and stores outputs. It returns a failure if the conversation has changed
// and no longer allows them.
type Settle func(outputs []generated.Entry, usage generated.ConversationUsageInfo) *wire.Failure

// Stream sends a result as events. It calls settle once: before the last event, which
// reports the usage, or when send fails. In the latter case it settles only the outputs that
// were sent.
func (e *Engine) Stream(ctx context.Context, conversationID string, r Result, send func(event any) error, settle Settle) {
	err := send(generated.ResponseStartedEvent{ConversationID: conversationID})
	var sent []generated.Entry
	first := true
	for i := 0; i < len(r.Outputs) && err == nil; i++ {
		created := wire.Now()
		var part func() generated.EntryVariant
		for s := range steps(r.Outputs[i], i) {
			if s.delta && !first {
				err = wire.Sleep(ctx, r.delay(s))
			}
			first = first && !s.delta
			if err == nil && s.event != nil {
				err = send(s.event)
			}
			if err != nil {
				break
			}
			part = s.sent
		}
		if part != nil {
			sent = append(sent, state.Completed(generated.NewEntry(part()), created, err == nil))
		}
	}
	if err != nil {
		_ = settle(sent, usageOf(r.prompt, sent)) // The client has disconnected.
		return
	}
	if refused := settle(sent, r.Usage); refused != nil {
		_ = send(generated.ResponseErrorEvent{Code: refused.Status, Message: refused.Message()}) // The stream ends even if send fails.
		return
	}
	if r.Err != nil {
		event := generated.ResponseErrorEvent{Code: http.StatusInternalServerError, Message: r.Err.Error()}
		if modelErr := (*model.Error)(nil); errors.As(r.Err, &modelErr) {
			event.Code, event.Message = modelErr.Status, modelErr.Message
		}
		_ = send(event) // The stream ends even if send fails.
		return
	}
	_ = send(generated.ResponseDoneEvent{Usage: r.Usage})
}

// Generate waits, before a plain response, as long as a stream of the result takes.
func (r Result) Generate(ctx context.Context) error {
	var d time.Duration
	first := true
	for i, output := range r.Outputs {
		for s := range steps(output, i) {
			if s.delta && !first {
				d += r.delay(s)
			}
			first = first && !s.delta
		}
	}
	return wire.Sleep(ctx, d)
}

// delay returns the time before a delta. The first delta is sent without delay.
func (r Result) delay(s step) time.Duration {
	if r.rate == 0 {
		return r.Pace
	}
	tokens := 1
	switch event := s.event.(type) {
	case generated.MessageOutputEvent:
		tokens = countContent(event.Content)
	case generated.FunctionCallEvent:
		tokens = wire.CountTokens(event.Arguments)
	}
	return time.Duration(float64(tokens) / r.rate * float64(time.Second))
}

// step is one event of an output.
type step struct {
	event any  // nil for an entry without an event type
	delta bool // whether TokenDelay applies to the event
	// sent returns the part of the output that has been sent, this event included. It is nil
	// if no part has been sent.
	sent func() generated.EntryVariant
}

// steps yields the events of an output with its index in the response.
func steps(output generated.Entry, index int) iter.Seq[step] {
	switch v := output.Value().(type) {
	case generated.MessageOutputEntry:
		return messageSteps(v, index)
	case generated.FunctionCallEntry:
		return callSteps(v, index)
	case generated.ToolExecutionEntry:
		return toolSteps(v, index)
	case generated.AgentHandoffEntry:
		return handoffSteps(v, index)
	default:
		return func(yield func(step) bool) { yield(step{sent: output.Value}) }
	}
}

// messageSteps yields the words of texts, and other content as whole chunks.
func messageSteps(m generated.MessageOutputEntry, index int) iter.Seq[step] {
	delta := func(at int, content generated.MessageContent, sent func() generated.MessageContent) step {
		return step{generated.MessageOutputEvent{
			ID: m.ID, Model: m.Model, AgentID: m.AgentID, Role: generated.MessageRoleAssistant, Content: content,
			OutputIndex: index, ContentIndex: at,
		}, true, func() generated.EntryVariant {
			m.Content = sent()
			return m
		}}
	}
	return func(yield func(step) bool) {
		if text, ok := m.Content.PlainText(); ok {
			for part, sent := range growing(text) {
				if !yield(delta(0, generated.NewTextContent(part), func() generated.MessageContent { return generated.NewTextContent(sent) })) {
					return
				}
			}
			return
		}
		chunks := m.Content.Chunks()
		for i, chunk := range chunks {
			with := func(last generated.ContentChunk) func() generated.MessageContent {
				return func() generated.MessageContent {
					return generated.NewChunkContent(append(chunks[:i:i], last)...)
				}
			}
			text, ok := chunk.Value().(generated.TextChunk)
			if !ok {
				if !yield(delta(i, generated.NewDeltaContent(chunk), with(chunk))) {
					return
				}
				continue
			}
			for part, sent := range growing(text.Text) {
				if !yield(delta(i, generated.NewTextContent(part), with(generated.NewContentChunk(generated.TextChunk{Text: sent})))) {
					return
				}
			}
		}
	}
}

// growing yields the words of a text, each with the text up to and including the word. It
// yields an empty text as one word.
func growing(text string) iter.Seq2[string, string] {
	return func(yield func(part, sent string) bool) {
		if text == "" {
			yield("", "")
			return
		}
		end := 0
		for word := range wire.Words(text) {
			end += len(word)
			if !yield(word, text[:end]) {
				return
			}
		}
	}
}

// callSteps yields a call: an empty first delta, and then its arguments.
func callSteps(call generated.FunctionCallEntry, index int) iter.Seq[step] {
	return func(yield func(step) bool) {
		delta := func(part, sent string) bool {
			return yield(step{generated.FunctionCallEvent{
				ID: call.ID, Model: call.Model, AgentID: call.AgentID, Name: call.Name,
				ToolCallID: call.ToolCallID, Arguments: part, ConfirmationStatus: call.ConfirmationStatus, OutputIndex: index,
			}, true, func() generated.EntryVariant {
				call.Arguments = generated.FunctionCallEntryArguments(sent)
				return call
			}})
		}
		arguments := string(call.Arguments)
		if !delta("", "") || arguments == "" {
			return
		}
		for part, sent := range growing(arguments) {
			if !delta(part, sent) {
				return
			}
		}
	}
}

func toolSteps(run generated.ToolExecutionEntry, index int) iter.Seq[step] {
	return func(yield func(step) bool) {
		begun := func() generated.EntryVariant {
			run.Info = nil
			return run
		}
		_ = yield(step{generated.ToolExecutionStartedEvent{
			ID: run.ID, Model: run.Model, AgentID: run.AgentID, Name: run.Name, Function: run.Function, OutputIndex: index,
		}, false, begun}) && (run.Arguments == "" || yield(step{generated.ToolExecutionDeltaEvent{
			ID: run.ID, Name: run.Name, Function: run.Function, Arguments: run.Arguments, OutputIndex: index,
		}, true, begun})) && yield(step{generated.ToolExecutionDoneEvent{
			ID: run.ID, Name: run.Name, Function: run.Function, Info: run.Info, OutputIndex: index,
		}, false, func() generated.EntryVariant { return run }})
	}
}

func handoffSteps(h generated.AgentHandoffEntry, index int) iter.Seq[step] {
	return func(yield func(step) bool) {
		_ = yield(step{generated.AgentHandoffStartedEvent{
			ID: h.ID, PreviousAgentID: h.PreviousAgentID, PreviousAgentName: h.PreviousAgentName, OutputIndex: index,
		}, false, nil}) && yield(step{generated.AgentHandoffDoneEvent{
			ID: h.ID, NextAgentID: h.NextAgentID, NextAgentName: h.NextAgentName, OutputIndex: index,
		}, false, func() generated.EntryVariant { return h }})
	}
}
