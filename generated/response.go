package generated

import (
	"fmt"
	"reflect"
	"strings"
)

// An UnexpectedError reports JSON that is not the response of the operation, such as an
// error object or an empty object.
type UnexpectedError struct {
	Want string // the expected response, such as "a Conversation" or "a list of Agents"
	Have string // what came instead, such as "it is an error"
}

// Error returns what was expected and what came.
func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("the response is not %s: %s", e.Want, e.Have)
}

// DecodeResponse decodes the content of a response with a success status. Target is a
// *[]T or a **T, where T is a type of this package. It is nil for an operation without
// response content.
//
// DecodeResponse skips a value whose type is not the declared one; the response's Mismatches
// method returns it. It returns an error if data is not JSON, and an [*UnexpectedError] if
// data is not the expected response: an error object, {}, or an object instead of a list.
// It does not retain data.
func DecodeResponse(data []byte, target any) error {
	d, err := parse(data)
	if err != nil {
		return err
	}
	defer d.release()
	if target == nil {
		return noContent(d.root())
	}
	dst, err := pointedTo(target)
	if err != nil {
		return err
	}
	typ := dst.Type()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	p := planOf(typ)
	if err := p.expects(d.root()); err != nil {
		return err
	}
	decoded := reflect.New(typ)
	p.readAny(d.root(), decoded.Elem())
	switch {
	case dst.Kind() == reflect.Pointer:
		dst.Set(decoded)
	case typ.Kind() == reflect.Slice && decoded.Elem().IsNil(): // a list cannot report a mismatch
		return &UnexpectedError{Want: "a list of " + typ.Elem().Name() + "s", Have: "its items take too much memory"}
	default:
		dst.Set(decoded.Elem())
	}
	return nil
}

// expects returns an error unless v is a response of the plan's type.
func (p *plan) expects(v value) error {
	if p.typ.Kind() == reflect.Slice {
		if v.kind() != '[' {
			return &UnexpectedError{Want: "a list of " + p.typ.Elem().Name() + "s", Have: have(v)}
		}
		return nil
	}
	unexpected := func(have string) error {
		return &UnexpectedError{Want: article(p.typ.Name()), Have: have}
	}
	if v.kind() != '{' {
		return unexpected(have(v))
	}
	members := membersOf(v, p)
	switch {
	case members.isError || members.present < p.required && members.hasError || members.present == 0 && members.hasMessage:
		return unexpected("it is an error")
	case v.count() == 0:
		return unexpected("it is empty")
	}
	return nil
}

// A census is what the members of an object say of it.
type census struct {
	present    int  // required members of the expected type
	isError    bool // "object" is "error"
	hasError   bool // "error" or "detail" is there and not null
	hasMessage bool // "message" is there and not null
}

func membersOf(v value, p *plan) (c census) {
	for name, member := range v.members() {
		if p != nil {
			if f := p.byName[name]; f != nil && f.required {
				c.present++
			}
		}
		switch name {
		case "object":
			object, _ := member.string()
			c.isError = strings.EqualFold(object, "error")
		case "error", "detail":
			c.hasError = c.hasError || !member.isNull()
		case "message":
			c.hasMessage = !member.isNull()
		}
	}
	return c
}

// noContent returns an error if v is an error or an empty object. It accepts any other
// content of an operation without response content.
func noContent(v value) error {
	if v.kind() != '{' {
		return nil
	}
	if members := membersOf(v, nil); v.count() > 0 && !members.isError && !members.hasError {
		return nil
	}
	return &UnexpectedError{Want: "an empty response", Have: have(v)}
}

// article returns a type's name with its indefinite article.
func article(name string) string {
	if strings.ContainsRune("AEIOU", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

func have(v value) string {
	switch v.kind() {
	case '{':
		if members := membersOf(v, nil); members.isError || members.hasError {
			return "it is an error"
		}
		return "it is an object"
	case '[':
		return "it is a list"
	}
	return "it is " + cut(v.text(), 40)
}

// OutputText returns the concatenated text of the model's messages. It is empty for a nil
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

// FunctionCalls returns the function call entries, including calls that await confirmation;
// nil for a nil response.
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

// DecodeStreamEvent decodes the data of a server-sent event as the variant that "type" in
// data names or, without it, that the event name names. An event of an unknown type is an
// [UnknownStreamEvent]. The error reports data that is not JSON. DecodeStreamEvent does not
// retain data.
func DecodeStreamEvent(event string, data []byte) (StreamEventVariant, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	defer d.release()
	return streamEventUnion.read(d.root(), event), nil
}
