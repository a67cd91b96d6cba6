package emulator

import (
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The generated types leave out what is zero; the service does not. So each event has
// the fields that the service always sends written out beside it: of two fields with
// one name, JSON takes the outer.
type (
	wireDone struct {
		generated.ResponseDoneEvent
		Type  generated.StreamEventType `json:"type"`
		Usage wireUsage                 `json:"usage"`
	}
	wireMessage struct {
		generated.MessageOutputEvent
		Type         generated.StreamEventType `json:"type"`
		OutputIndex  int                       `json:"output_index"`
		ContentIndex int                       `json:"content_index"`
	}
	wireCall struct {
		generated.FunctionCallEvent
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolStarted struct {
		generated.ToolExecutionStartedEvent
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolDelta struct {
		generated.ToolExecutionDeltaEvent
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireToolDone struct {
		generated.ToolExecutionDoneEvent
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireHandoffStarted struct {
		generated.AgentHandoffStartedEvent
		Type        generated.StreamEventType `json:"type"`
		OutputIndex int                       `json:"output_index"`
	}
	wireHandoffDone struct {
		generated.AgentHandoffDoneEvent
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
