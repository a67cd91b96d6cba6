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
func (f *flight) errorIn(frame sse.Frame) error {
	event, _ := sse.Decode(frame) // Events reports a decoding error
	if !isError(frame, event) {
		return nil
	}
	return f.client.streamError(frame, 0)
}

// isError reports whether a frame is an error. event is nil if the frame could not be
// decoded. The API sends conversation.response.error. Gateways send an event named error with
// any data, or an error object without a type.
func isError(frame sse.Frame, event sse.Event) bool {
	switch e := event.(type) {
	case nil:
		return frame.Event == errorEvent
	case generated.ResponseErrorEvent:
		return true
	case generated.UnknownStreamEvent:
		if frame.Event == errorEvent || e.Type == errorEvent || e.Type == string(generated.StreamEventTypeConversationResponseError) {
			return true
		}
	}
	if !bytes.Contains(frame.Data, []byte(`"error"`)) && !bytes.Contains(frame.Data, []byte(`"detail"`)) {
		return false
	}
	var object struct {
		Type, Object  string
		Error, Detail json.RawMessage
	}
	_ = json.Unmarshal(frame.Data, &object) // a member with another type is not an error member
	return strings.EqualFold(object.Object, errorEvent) || object.Type == "" && (len(object.Error) > 0 || len(object.Detail) > 0)
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
	c.secret.clean(&e)
	if e.Message == "" {
		e.Message = beginning(c.secret.redact(frame.Data))
	}
	code, _ := strconv.Atoi(e.Code) // 0 for another form of code
	return &StreamError{Code: code, Message: e.Message, Events: events, status: e.meaningInside()}
}
