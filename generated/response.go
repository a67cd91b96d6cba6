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
	Have string // a clause about the received JSON, such as "it is an error"
}

// Error describes the expected response and the received JSON.
func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("the response is not %s: %s", e.Want, e.Have)
}

// DecodeResponse decodes the content of a response with a success status. The target is a
// *[]T or a **T, where T is a type of this package. For an operation without response content,
// the target is nil.
//
// DecodeResponse skips values whose type is not the declared one; the response's Mismatches
// method returns them. It returns an error if data is not JSON. It returns an
// [*UnexpectedError] if data is an error object, {} or an object instead of a list. It does not
// retain data.
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
		return &UnexpectedError{Want: "a list of " + typ.Elem().Name() + "s", Have: "its items need too much memory"}
	default:
		dst.Set(decoded.Elem())
	}
	return nil
}

// expects returns an [*UnexpectedError] unless v is a response of the plan's type.
func (p *plan) expects(v value) error {
	if p.typ.Kind() == reflect.Slice {
		if v.kind() != '[' {
			return &UnexpectedError{Want: "a list of " + p.typ.Elem().Name() + "s", Have: describe(v)}
		}
		return nil
	}
	unexpected := func(description string) error {
		return &UnexpectedError{Want: withArticle(p.typ.Name()), Have: description}
	}
	if v.kind() != '{' {
		return unexpected(describe(v))
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

// A memberSummary classifies an object by its members.
type memberSummary struct {
	present    int  // required members of the expected type
	isError    bool // "object" is "error"
	hasError   bool // "error" or "detail" is present and not null
	hasMessage bool // "message" is present and not null
}

// membersOf summarizes the members of an object. Without a plan, present is 0.
func membersOf(v value, p *plan) (c memberSummary) {
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

// noContent checks the response of an operation without response content. It returns an
// [*UnexpectedError] if v is an error object or an empty object, and accepts any other value.
func noContent(v value) error {
	if v.kind() != '{' {
		return nil
	}
	if members := membersOf(v, nil); v.count() > 0 && !members.isError && !members.hasError {
		return nil
	}
	return &UnexpectedError{Want: "an empty response", Have: describe(v)}
}

// withArticle returns a type's name with its indefinite article.
func withArticle(name string) string {
	if strings.ContainsRune("AEIOU", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// describe returns a clause about the received value, for an [UnexpectedError].
func describe(v value) string {
	switch v.kind() {
	case '{':
		if members := membersOf(v, nil); members.isError || members.hasError {
			return "it is an error"
		}
		return "it is an object"
	case '[':
		return "it is a list"
	}
	return "it is " + truncate(v.text(), 40)
}

// OutputText returns the concatenated text of the model's messages. It returns "" for a nil
// response and for a response without messages.
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

// DecodeStreamEvent decodes the data of a server-sent event. The "type" in data selects the
// variant; without it, the event name does. An event of an unknown type is an
// [UnknownStreamEvent]. DecodeStreamEvent returns an error if data is not JSON. It does not
// retain data.
func DecodeStreamEvent(event string, data []byte) (StreamEventVariant, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	defer d.release()
	return streamEventUnion.read(d.root(), event), nil
}
