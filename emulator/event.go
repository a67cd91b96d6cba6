package emulator

import (
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The generated types leave out what is zero; the service does not. So each event has
// the fields that the service always sends written out beside it: of two fields with
// one name, JSON takes the outer. The fields are those of types without the methods of the
// generated ones, which would encode these alone.
type (
	doneFields           generated.ResponseDoneEvent
	messageFields        generated.MessageOutputEvent
	callFields           generated.FunctionCallEvent
	toolStartedFields    generated.ToolExecutionStartedEvent
	toolDeltaFields      generated.ToolExecutionDeltaEvent
	toolDoneFields       generated.ToolExecutionDoneEvent
	handoffStartedFields generated.AgentHandoffStartedEvent
	handoffDoneFields    generated.AgentHandoffDoneEvent

	wireDone struct {
		doneFields
		Type  generated.StreamEventType `json:"type"`
		Usage wireUsage                 `json:"usage"`
	}
	wireMessage struct {
		messageFields
		Type         generated.StreamEventType `json:"type"`
		OutputIndex  int                       `json:"output_index"`
		ContentIndex int                       `json:"content_index"`
	}
	wireCall struct {
		callFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolStarted struct {
		toolStartedFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolDelta struct {
		toolDeltaFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolDone struct {
		toolDoneFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireHandoffStarted struct {
		handoffStartedFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireHandoffDone struct {
		handoffDoneFields
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
)

// frame returns the name of an event and its data.
func frame(event any) (name generated.StreamEventType, data []byte) {
	switch v := event.(type) {
	case generated.ResponseStartedEvent:
		v.Type = generated.StreamEventTypeConversationResponseStarted
		name, event = v.Type, v
	case generated.ResponseErrorEvent:
		v.Type = generated.StreamEventTypeConversationResponseError
		name, event = v.Type, v
	case wireDone:
		v.Type = generated.StreamEventTypeConversationResponseDone
		name, event = v.Type, v
	case wireMessage:
		v.Type = generated.StreamEventTypeMessageOutputDelta
		name, event = v.Type, v
	case wireCall:
		v.Type = generated.StreamEventTypeFunctionCallDelta
		name, event = v.Type, v
	case wireToolStarted:
		v.Type = generated.StreamEventTypeToolExecutionStarted
		name, event = v.Type, v
	case wireToolDelta:
		v.Type = generated.StreamEventTypeToolExecutionDelta
		name, event = v.Type, v
	case wireToolDone:
		v.Type = generated.StreamEventTypeToolExecutionDone
		name, event = v.Type, v
	case wireHandoffStarted:
		v.Type = generated.StreamEventTypeAgentHandoffStarted
		name, event = v.Type, v
	case wireHandoffDone:
		v.Type = generated.StreamEventTypeAgentHandoffDone
		name, event = v.Type, v
	default:
		panic(fmt.Sprintf("emulator: %T is no event", event)) // send is called in stream.go only.
	}
	return name, encode(event)
}
