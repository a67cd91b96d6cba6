package sse

import (
	"bytes"
	"encoding/json"
	"errors"
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

// DecodeError says that the data of a frame is not JSON, or that it cannot be
// told what event it is.
type DecodeError struct {
	// Frame is a copy of the frame as it came.
	Frame Frame
	// Err is what is wrong with it.
	Err error
}

// Error says what is wrong, and how the data begins.
func (e *DecodeError) Error() string {
	const most = 100
	data := e.Frame.Data
	if len(data) > most {
		data = data[:most:most]
	}
	return fmt.Sprintf("sse: event %.100q: %v: data begins %q", e.Frame.Event, e.Err, data)
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode maps a frame to the generated type of its event. The frame's event
// name decides; where it is missing, or the standard's default "message", the
// "type" in the data does. An event of a type that this version does not know, or
// that lacks the form its type promises, is a [generated.UnknownStreamEvent] and no
// error. The result does not refer to the frame's memory. The error is a
// [*DecodeError].
func Decode(frame Frame) (Event, error) {
	name := frame.Event
	if name == "" || name == "message" {
		var object struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(frame.Data, &object); err != nil {
			return nil, &DecodeError{Frame: frame.Clone(), Err: err}
		}
		name = object.Type
	}
	event := generated.DecodeStreamEvent(name, frame.Data)
	unknown, ok := event.(generated.UnknownStreamEvent)
	if !ok {
		return event, nil
	}
	if !json.Valid(frame.Data) {
		if unknown.Err == nil {
			unknown.Err = errors.New("data is not JSON")
		}
		return nil, &DecodeError{Frame: frame.Clone(), Err: unknown.Err}
	}
	unknown.Raw = bytes.Clone(unknown.Raw)
	return unknown, nil
}
