package ratelimited

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// errorEvent is the event name that gateways and other services use for errors.
const errorEvent = "error"

// errorIn returns the error in a stream's first frame, or nil if the frame is not an error.
func (c *call) errorIn(frame sse.Frame) error {
	event, _ := sse.Decode(frame) // Events reports a decoding error
	if !isError(frame, event) {
		return nil
	}
	return c.client.streamError(frame, 0)
}

// isError reports whether a frame is an error. event is nil if the frame could not be decoded. The API sends
// conversation.response.error. Gateways send an event named error with any data, or an error object
// without a type.
func isError(frame sse.Frame, event sse.Event) bool {
	const ofAPI = string(generated.StreamEventTypeConversationResponseError)
	named := strings.EqualFold(frame.Event, errorEvent)
	switch e := event.(type) {
	case nil:
		return named || frame.Event == ofAPI
	case generated.ResponseErrorEvent:
		return true
	case generated.UnknownStreamEvent:
		return named || e.Type == errorEvent || e.Type == ofAPI || readErrorObject(frame.Data).isUnknown(frame.Event)
	}
	return bytes.Contains(frame.Data, []byte(`"error"`)) && readErrorObject(frame.Data).isInsteadOfEvent()
}

// An errorObject is the set of members that distinguish an error from an event.
type errorObject struct {
	Type           any    `json:"type"`
	Object         string `json:"object"`
	Error          any    `json:"error"`
	Detail         any    `json:"detail"`
	ID             any    `json:"id"`
	ConversationID any    `json:"conversation_id"`
	Usage          any    `json:"usage"`
}

func readErrorObject(data []byte) (o errorObject) {
	_ = json.Unmarshal(data, &o) // an error object does not have members of other types
	return o
}

func (o errorObject) hasError() bool { return o.Error != nil || o.Detail != nil }

// isUnknown reports whether an object of an unknown type, in an event with the given name, is an error. An
// event with an unknown name may legitimately contain an error member.
func (o errorObject) isUnknown(event string) bool {
	isNamed := event != "" && event != "message"
	nested, _ := o.Error.(map[string]any)
	switch {
	case strings.EqualFold(o.Object, errorEvent):
		return true
	case isNamed:
		return false
	case o.Type != nil:
		return nested["message"] != nil
	}
	return o.hasError()
}

// isInsteadOfEvent reports whether an object that was decoded as an event, by the event's name, is an
// error instead: it does not have any member of the event.
func (o errorObject) isInsteadOfEvent() bool {
	return o.Type == nil && o.ID == nil && o.ConversationID == nil && o.Usage == nil && (o.hasError() || strings.EqualFold(o.Object, errorEvent))
}

// streamError returns the error in a frame. events is the number of events delivered before.
func (c *Client) streamError(frame sse.Frame, events int) *StreamError {
	var e APIError
	if !e.readObject(frame.Data, 0) {
		e.Message = scalarText(frame.Data)
	}
	if len(e.Fields) > 0 && e.Message == "" {
		e.Message = e.Fields[0].Location + ": " + e.Fields[0].Message
	}
	c.secret.redactFailure(&e)
	if e.Message == "" {
		e.Message = excerpt(c.secret.redact(frame.Data))
	}
	code, _ := strconv.Atoi(e.Code) // 0 if the code is not a number
	return &StreamError{Code: code, Message: e.Message, Events: events, status: e.meaningInside()}
}
