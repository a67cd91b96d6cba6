package sse

import (
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Event is one of the generated event types, for a type switch:
//
//	switch e := event.(type) {
//	case generated.MessageOutputEvent:
//		fmt.Print(e.Content.Text())
//	case generated.UnknownStreamEvent: // a type this version does not know
//		fmt.Println(e.Type)
//	}
type Event = generated.StreamEventVariant

// DecodeError reports a frame whose data is not JSON.
type DecodeError struct {
	// Frame is a copy of the frame.
	Frame Frame
	// Err is the cause.
	Err error
}

// Error returns the event name, the cause, and the beginning of the data.
func (e *DecodeError) Error() string {
	const maxData = 100
	data := e.Frame.Data
	if len(data) > maxData {
		data = data[:maxData:maxData]
	}
	return fmt.Sprintf("sse: event %.100q: %v: data begins %q", e.Frame.Event, e.Err, data)
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode decodes a frame as the event type that "type" in its data names or, without it, that the event
// name names. It returns an event of an unknown type as a [generated.UnknownStreamEvent]. It skips values
// of a wrong type; the event's Mismatches method returns them. The result does not refer to the frame's
// memory. If the data is not JSON, Decode returns a [*DecodeError].
func Decode(frame Frame) (Event, error) {
	name := frame.Event
	if name == "message" { // the default name of the standard
		name = ""
	}
	event, err := generated.DecodeStreamEvent(name, frame.Data)
	if err != nil {
		return nil, &DecodeError{Frame: frame.Clone(), Err: err}
	}
	return event, nil
}
