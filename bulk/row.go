package bulk

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nearest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A digest identifies a text: the first half of its SHA-256.
type digest [16]byte

func sumOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:len(digest{})])
}

// parseRow parses a row of a JSONL file.
func parseRow(text []byte) (row Row) {
	var fields struct {
		CustomID json.RawMessage `json:"custom_id"`
		ID       json.RawMessage `json:"id"`
		Body     json.RawMessage `json:"body"`
		Prompt   *string         `json:"prompt"`
	}
	var mismatch *json.UnmarshalTypeError
	switch err := json.Unmarshal(text, &fields); {
	case errors.As(err, &mismatch) && mismatch.Field != "": // only the prompt has a fixed type
	case mismatch != nil:
		return Row{Err: fmt.Errorf("the line is not a row: must be a JSON object, got a JSON %s", mismatch.Value)}
	case err != nil:
		return Row{Err: fmt.Errorf("the line is not a row: %w", err)}
	}
	if fields.CustomID == nil {
		fields.CustomID = fields.ID
	}
	hasBody := len(fields.Body) > 0 && string(fields.Body) != "null"
	switch row.ID, row.Err = parseID(fields.CustomID); {
	case row.Err != nil:
	case mismatch != nil:
		row.Err = fmt.Errorf("prompt must be a string, got a JSON %s", mismatch.Value)
	case hasBody && fields.Prompt != nil:
		row.Err = errors.New("the row has a body and a prompt: must have only one of them")
	case hasBody:
		row.Request, row.Err = parseBody(fields.Body)
	case fields.Prompt == nil:
		row.Err = errors.New("the row has neither a body nor a prompt: must have one of them")
	default:
		row.Request.Inputs = ratelimited.Text(*fields.Prompt)
	}
	return row
}

// parseID returns the text of an ID, which is a string or a number.
func parseID(id json.RawMessage) (text string, err error) {
	var number json.Number
	switch {
	case len(id) == 0 || string(id) == "null":
		return "", errors.New("custom_id is missing: must be a string or a number")
	case id[0] != '"' && json.Unmarshal(id, &number) == nil:
		return number.String(), nil
	case json.Unmarshal(id, &text) != nil:
		return "", fmt.Errorf("custom_id is %s: must be a string or a number", shortened(id))
	case text == "":
		return "", errors.New(`custom_id is "": must not be empty`)
	}
	return text, nil
}

// parseBody parses a request. It rejects a body that would not be sent unchanged.
func parseBody(body []byte) (request generated.StartConversationRequest, err error) {
	mismatches, err := generated.Unmarshal(body, &request)
	switch {
	case err != nil:
		return request, fmt.Errorf("body: %w", err)
	case body[0] != '{':
		return request, fmt.Errorf("body is %s: must be an object", shortened(body))
	case len(mismatches) > 0:
		return request, fmt.Errorf("body: %v", mismatches[0])
	}
	encoded, err := request.MarshalJSON()
	if err != nil {
		return request, fmt.Errorf("body: %w", err)
	}
	var given, sent any
	if err := errors.Join(json.Unmarshal(body, &given), json.Unmarshal(encoded, &sent)); err != nil {
		return request, fmt.Errorf("body: %w", err)
	}
	if pointer := droppedProperty(given, sent, ""); pointer != "" {
		return request, fmt.Errorf("body: unknown property %s%s", pointer, hint(pointer))
	}
	return request, nil
}

// droppedProperty returns the JSON pointer of a property that the encoded request does not have, or "". It
// ignores properties with empty values.
func droppedProperty(given, sent any, pointer string) string {
	switch given := given.(type) {
	case map[string]any:
		sent, _ := sent.(map[string]any)
		for name, value := range given {
			at := pointer + "/" + name
			if found := droppedProperty(value, sent[name], at); found != "" {
				return found
			}
			if _, ok := sent[name]; !ok && !isEmpty(value) {
				return at
			}
		}
	case []any:
		sent, _ := sent.([]any)
		for i, value := range given {
			if i < len(sent) {
				if found := droppedProperty(value, sent[i], fmt.Sprintf("%s/%d", pointer, i)); found != "" {
					return found
				}
			}
		}
	}
	return ""
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return value == nil || reflect.ValueOf(value).IsZero()
}

var (
	requestNames = namesOf(reflect.TypeFor[generated.StartConversationRequest]())
	argsNames    = namesOf(reflect.TypeFor[generated.CompletionArgs]())
)

// namesOf returns the JSON names of a struct's fields.
func namesOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// hint returns a suggestion for an unknown property of a body.
func hint(pointer string) string {
	name := pointer[strings.LastIndex(pointer, "/")+1:]
	switch {
	case pointer == "/messages":
		return " (a property of chat completions: use inputs)"
	case pointer == "/"+name && slices.Contains(argsNames, name):
		return ` (did you mean "completion_args/` + name + `"?)`
	case pointer == "/"+name:
		return nearest.Hint(name, requestNames)
	case pointer == "/completion_args/"+name:
		return nearest.Hint(name, argsNames)
	}
	return ""
}

// shortened returns the beginning of a JSON value, for an error.
func shortened(value []byte) string {
	const maxBytes = 40
	if len(value) <= maxBytes {
		return string(value)
	}
	return string(bytes.ToValidUTF8(value[:maxBytes], nil)) + "…"
}

// setDefaults sets the unset fields of a request. A request that names a model or an agent gets
// neither of them.
func setDefaults(request, defaults *generated.StartConversationRequest) {
	hasModel, model, agent, version := request.Model != "" || request.AgentID != "", request.Model, request.AgentID, request.AgentVersion
	fill(reflect.ValueOf(request).Elem(), reflect.ValueOf(defaults).Elem())
	fill(reflect.ValueOf(&request.CompletionArgs).Elem(), reflect.ValueOf(&defaults.CompletionArgs).Elem())
	if request.Stream = false; hasModel {
		request.Model, request.AgentID, request.AgentVersion = model, agent, version
	}
}

// fill sets the zero fields of a struct.
func fill(into, from reflect.Value) {
	for i := range into.NumField() {
		if field := into.Field(i); field.IsZero() && !from.Field(i).IsZero() {
			field.Set(from.Field(i))
		}
	}
}
