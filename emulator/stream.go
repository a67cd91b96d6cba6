package emulator

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// stream sends the outputs of a call as events, one by one.
type stream struct {
	e   *Emulator
	x   *exchange
	ctx context.Context

	index  int  // of the output
	deltas bool // whether there was one
}

// errGone ends a stream whose client has gone.
var errGone = errors.New("client has gone")

// errCut ends a stream whose connection a fault has cut.
var errCut = errors.New("connection is cut")

// play sends a reply. The call is settled with what was sent, which is less than the
// outputs when the client leaves; the last event reports the usage.
func (s *stream) play(call run, t turn) {
	header := s.x.out.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	if s.x.law != nil {
		s.e.violations(s.x.law.CheckResponse(http.StatusOK, header, nil))
	}
	call.open()
	err := errCut
	if s.x.begin(http.StatusOK) {
		err = s.send(generated.ResponseStartedEvent{ConversationID: call.id, CreatedAt: timestamp()})
	}
	var sent []generated.Entry
	for i := 0; i < len(t.outputs) && err == nil; i++ {
		s.index = i
		var output generated.Entry
		output, err = s.output(t.outputs[i])
		if !output.IsZero() {
			sent = append(sent, output)
		}
	}
	if err != nil {
		s.e.settle(s.x, call, t, sent, usageOf(t.prompt, sent))
		return
	}
	s.e.settle(s.x, call, t, sent, t.usage)
	if t.err != nil {
		_ = s.send(errorEvent(t.err)) // It is the last event either way.
		return
	}
	_ = s.send(wireDone{doneFields: doneFields{CreatedAt: timestamp()}, Usage: wireUsage(t.usage)})
}

func errorEvent(err error) generated.ResponseErrorEvent {
	event := generated.ResponseErrorEvent{CreatedAt: timestamp(), Code: http.StatusInternalServerError, Message: err.Error()}
	var own *Error
	if errors.As(err, &own) {
		event.Code, event.Message = own.Status, own.Message
	}
	return event
}

// output sends one output and returns what of it was sent; nothing where not even a
// first event was.
func (s *stream) output(entry generated.Entry) (generated.Entry, error) {
	now := timestamp()
	switch v := entry.Value().(type) {
	case generated.MessageOutputEntry:
		v.CreatedAt = now
		content, err := s.message(v)
		if content.IsZero() {
			return generated.Entry{}, err
		}
		v.Content, v.CompletedAt = content, completed(err)
		return generated.NewEntry(v), err
	case generated.FunctionCallEntry:
		v.CreatedAt = now
		arguments, started, err := s.functionCall(v)
		if !started {
			return generated.Entry{}, err
		}
		v.Arguments, v.CompletedAt = generated.FunctionCallEntryArguments(arguments), completed(err)
		return generated.NewEntry(v), err
	case generated.ToolExecutionEntry:
		v.CreatedAt = now
		started, err := s.toolExecution(v)
		if !started {
			return generated.Entry{}, err
		}
		if v.CompletedAt = completed(err); err != nil {
			v.Info = nil
		}
		return generated.NewEntry(v), err
	case generated.AgentHandoffEntry:
		v.CreatedAt, v.CompletedAt = now, now
		if err := s.handoff(v); err != nil {
			return generated.Entry{}, err
		}
		return generated.NewEntry(v), nil
	default:
		return entry, nil // No event can say it.
	}
}

// completed is the time of completion of an output that ended so.
func completed(err error) generated.Timestamp {
	if err != nil {
		return generated.Timestamp{}
	}
	return timestamp()
}

// message sends a text word by word, and other content chunk by chunk.
func (s *stream) message(m generated.MessageOutputEntry) (generated.MessageContent, error) {
	if text, ok := m.Content.PlainText(); ok {
		sent, err := s.text(m, 0, text)
		if sent == "" && err != nil {
			return generated.MessageContent{}, err
		}
		return generated.NewTextContent(sent), err
	}
	var sent []generated.ContentChunk
	for i, chunk := range m.Content.Chunks() {
		chunk, err := s.chunk(m, i, chunk)
		if !chunk.IsZero() {
			sent = append(sent, chunk)
		}
		if err != nil && sent == nil {
			return generated.MessageContent{}, err
		}
		if err != nil {
			return generated.NewChunkContent(sent...), err
		}
	}
	return generated.NewChunkContent(sent...), nil
}

// chunk sends one chunk and returns what of it was sent.
func (s *stream) chunk(m generated.MessageOutputEntry, index int, chunk generated.ContentChunk) (generated.ContentChunk, error) {
	text, ok := chunk.Value().(generated.TextChunk)
	if !ok {
		if err := s.delta(m, index, generated.NewDeltaContent(chunk)); err != nil {
			return generated.ContentChunk{}, err
		}
		return chunk, nil
	}
	sent, err := s.text(m, index, text.Text)
	if sent == "" && err != nil {
		return generated.ContentChunk{}, err
	}
	return generated.NewContentChunk(generated.TextChunk{Text: sent}), err
}

func (s *stream) text(m generated.MessageOutputEntry, index int, text string) (string, error) {
	if text == "" {
		return "", s.delta(m, index, generated.NewTextContent(""))
	}
	sent := 0 // bytes
	for word := range words(text) {
		if err := s.delta(m, index, generated.NewTextContent(word)); err != nil {
			return text[:sent], err
		}
		sent += len(word)
	}
	return text, nil
}

func (s *stream) delta(m generated.MessageOutputEntry, index int, content generated.MessageContent) error {
	return s.sendDelta(wireMessage{
		messageFields: messageFields{
			CreatedAt: timestamp(), ID: m.ID, Model: m.Model, AgentID: m.AgentID,
			Role: generated.MessageRoleAssistant, Content: content,
		},
		OutputIndex: s.index, ContentIndex: index,
	})
}

// functionCall sends a call, its arguments behind an empty first delta.
func (s *stream) functionCall(call generated.FunctionCallEntry) (sent string, started bool, err error) {
	delta := func(part string) error {
		return s.sendDelta(wireCall{
			callFields: callFields{
				CreatedAt: timestamp(), ID: call.ID, Model: call.Model, AgentID: call.AgentID, Name: call.Name,
				ToolCallID: call.ToolCallID, Arguments: part, ConfirmationStatus: call.ConfirmationStatus,
			},
			OutputIndex: s.index,
		})
	}
	if err := delta(""); err != nil {
		return "", false, err
	}
	arguments := string(call.Arguments)
	for part := range words(arguments) {
		if err := delta(part); err != nil {
			return sent, true, err
		}
		sent = arguments[:len(sent)+len(part)]
	}
	return arguments, true, nil
}

func (s *stream) toolExecution(run generated.ToolExecutionEntry) (started bool, err error) {
	err = s.send(wireToolStarted{
		toolStartedFields: toolStartedFields{
			CreatedAt: timestamp(), ID: run.ID, Model: run.Model, AgentID: run.AgentID, Name: run.Name, Function: run.Function,
		},
		OutputIndex: s.index,
	})
	if err != nil {
		return false, err
	}
	if run.Arguments != "" {
		err = s.sendDelta(wireToolDelta{
			toolDeltaFields: toolDeltaFields{
				CreatedAt: timestamp(), ID: run.ID, Name: run.Name, Function: run.Function, Arguments: run.Arguments,
			},
			OutputIndex: s.index,
		})
		if err != nil {
			return true, err
		}
	}
	return true, s.send(wireToolDone{
		toolDoneFields: toolDoneFields{
			CreatedAt: timestamp(), ID: run.ID, Name: run.Name, Function: run.Function, Info: run.Info,
		},
		OutputIndex: s.index,
	})
}

func (s *stream) handoff(h generated.AgentHandoffEntry) error {
	err := s.send(wireHandoffStarted{
		handoffStartedFields: handoffStartedFields{
			CreatedAt: timestamp(), ID: h.ID, PreviousAgentID: h.PreviousAgentID, PreviousAgentName: h.PreviousAgentName,
		},
		OutputIndex: s.index,
	})
	if err != nil {
		return err
	}
	return s.send(wireHandoffDone{
		handoffDoneFields: handoffDoneFields{
			CreatedAt: timestamp(), ID: h.ID, NextAgentID: h.NextAgentID, NextAgentName: h.NextAgentName,
		},
		OutputIndex: s.index,
	})
}

// sendDelta sends a delta; between two of them TokenDelay passes.
func (s *stream) sendDelta(event any) error {
	if s.deltas {
		if err := sleep(s.ctx, s.e.cfg.TokenDelay); err != nil {
			return errGone
		}
	}
	s.deltas = true
	return s.send(event)
}

// send writes one event and flushes it.
func (s *stream) send(event any) error {
	if s.ctx.Err() != nil {
		return errGone
	}
	name, data := frame(event)
	if s.x.law != nil {
		s.e.violations(contract.Default().CheckEvent(string(name), data))
	}
	text, err := s.x.fault.event(s.ctx, string(name), data)
	if errors.Is(err, errCut) {
		_ = s.x.flush() // The head may be all that there is.
		s.x.cut(true)
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s.x.out, text); err != nil {
		return errGone
	}
	if err := s.x.flush(); err != nil {
		return errGone
	}
	return nil
}
