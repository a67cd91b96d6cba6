package generated

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// An UnexpectedError reports JSON that is not the response of the operation: an error
// object, say, or an object that has nothing of the response.
type UnexpectedError struct {
	Want string // the type that was expected, such as "a Conversation"
	Have string // what came instead
}

// Error returns what was expected and what came.
func (e *UnexpectedError) Error() string { return fmt.Sprintf("not %s: %s", e.Want, e.Have) }

// DecodeResponse decodes the content of a response with a success status. Target is a
// pointer to a list of a type of this package, or to a pointer to one, which it sets; nil
// for an operation without response content.
//
// A value that is not of the type that the document declares does not make it fail: the
// value is left out, and Mismatches of the response returns it. DecodeResponse fails if
// data is not JSON, and with an [*UnexpectedError] if it is not that response at all: an
// error object, {}, or an object for a list. It does not keep data.
func DecodeResponse(data []byte, target any) error {
	d, err := parse(data)
	if err != nil {
		return err
	}
	defer d.release()
	if target == nil {
		return noContent(d.root())
	}
	dst := reflect.ValueOf(target).Elem()
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	p := planOf(dst.Type())
	if err := p.expects(d.root()); err != nil {
		return err
	}
	p.readAny(d.root(), dst)
	if dst.Kind() == reflect.Slice && dst.IsNil() { // it has nowhere to report that it is left out
		return &UnexpectedError{Want: "a list of " + p.typ.Elem().Name() + "s", Have: "its items are empty"}
	}
	return nil
}

// expects reports whether a value is a response of the plan's type.
func (p *plan) expects(v value) error {
	if p.typ.Kind() == reflect.Slice {
		if v.kind() != '[' {
			return &UnexpectedError{Want: "a list of " + p.typ.Elem().Name() + "s", Have: have(v)}
		}
		return nil
	}
	unexpected := func(have string) error {
		return &UnexpectedError{Want: "a response of type " + p.typ.Name(), Have: have}
	}
	if v.kind() != '{' {
		return unexpected(have(v))
	}
	present := 0
	for name := range v.members() {
		if f := p.byName[name]; f != nil && f.required {
			present++
		}
	}
	switch {
	case isErrorObject(v), present < p.required && hasMember(v, "error", "detail"), present == 0 && hasMember(v, "message"):
		return unexpected("it is an error")
	case v.count() == 0:
		return unexpected("it is empty")
	}
	return nil
}

// noContent accepts what an operation without response content may return: anything but
// an error or an empty object.
func noContent(v value) error {
	if v.kind() == '{' && (v.count() == 0 || isErrorObject(v) || hasMember(v, "error", "detail")) {
		return &UnexpectedError{Want: "an empty response", Have: have(v)}
	}
	return nil
}

func have(v value) string {
	switch v.kind() {
	case '{':
		if isErrorObject(v) || hasMember(v, "error", "detail") {
			return "it is an error"
		}
		return "it is an object"
	case '[':
		return "it is a list"
	}
	return "it is " + cut(v.text(), 40)
}

// isErrorObject reports whether an object says that it is an error.
func isErrorObject(v value) bool {
	object, ok := v.member("object")
	if !ok {
		return false
	}
	name, _ := object.string()
	return strings.EqualFold(name, "error")
}

// hasMember reports whether an object has a member of one of the names that is not null.
func hasMember(v value, names ...string) bool {
	for name, member := range v.members() {
		if slices.Contains(names, name) && !member.isNull() {
			return true
		}
	}
	return false
}

// OutputText returns the text of the model's messages, joined. It is empty for a nil
// response, and for one that only calls functions.
func (v *ConversationResponse) OutputText() string {
	if v == nil {
		return ""
	}
	var text strings.Builder
	for _, output := range v.Outputs {
		if message, ok := output.Value().(MessageOutputEntry); ok {
			text.WriteString(message.Content.Text())
		}
	}
	return text.String()
}

// FunctionCalls returns the calls that the caller is to carry out and to answer with
// function results; nil for a nil response.
func (v *ConversationResponse) FunctionCalls() []FunctionCallEntry {
	if v == nil {
		return nil
	}
	var calls []FunctionCallEntry
	for _, output := range v.Outputs {
		if call, ok := output.Value().(FunctionCallEntry); ok {
			calls = append(calls, call)
		}
	}
	return calls
}

// DecodeStreamEvent decodes the data of a server-sent event as the variant that its
// "type" names or, without a type, the name of the event. It fails only if data is
// not JSON; an event of an unknown type is an [UnknownStreamEvent]. It does not keep data.
func DecodeStreamEvent(event string, data []byte) (StreamEventVariant, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	defer d.release()
	return streamEventUnion.read(d.root(), event), nil
}
