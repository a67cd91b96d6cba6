package generated_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// roundTrip decodes text into a T and encodes it again.
func roundTrip[T any](t *testing.T, text string) (value T, encoded string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("encode %#v: %v", value, err)
	}
	return value, string(out)
}

func TestUnionsPreserveDecodedJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]generated.EntryVariant{
		`{"type":"message.output","content":"hi","new_field":[1]}`: generated.MessageOutputEntry{Type: "message.output", Content: generated.NewTextContent("hi")},
		`{ "content" : "a \"type\": \"b\"", "type" : "message.output" }`: generated.MessageOutputEntry{
			Type: "message.output", Content: generated.NewTextContent(`a "type": "b"`)},
		`{"info":{"type":"x"},"type":"tool.execution","name":"n"}`: generated.ToolExecutionEntry{
			Type: "tool.execution", Name: "n", Info: generated.JSONText(`{"type":"x"}`)},
		`{"type":"future.type","a":1}`: generated.UnknownEntry{Type: "future.type", Raw: json.RawMessage(`{"type":"future.type","a":1}`)},
		`{"a":"type","b":1}`:           generated.UnknownEntry{Raw: json.RawMessage(`{"a":"type","b":1}`)},
		`{"type":7}`:                   generated.UnknownEntry{Raw: json.RawMessage(`{"type":7}`)},
		`["type"]`:                     generated.UnknownEntry{Raw: json.RawMessage(`["type"]`)},
		`"type"`:                       generated.UnknownEntry{Raw: json.RawMessage(`"type"`)},
		`{"type":"t\u0079pe\\"}`:       generated.UnknownEntry{Type: `type\`, Raw: json.RawMessage(`{"type":"t\u0079pe\\"}`)},
	} {
		entry, encoded := roundTrip[generated.Entry](t, text)
		if !reflect.DeepEqual(entry.Value(), want) {
			t.Errorf("%s is decoded as %#v, want %#v", text, entry.Value(), want)
		}
		if compact := strings.NewReplacer(`{ `, `{`, ` : `, `:`, `, "type`, `,"type`, ` }`, `}`).Replace(text); encoded != compact {
			t.Errorf("%s is encoded as %s, want %s", text, encoded, compact)
		}
	}
}

func TestNewUnions(t *testing.T) {
	t.Parallel()
	entry := generated.NewEntry(&generated.MessageInputEntry{Type: "wrong type", Role: generated.MessageRoleUser, Content: generated.NewTextContent("hi")})
	out, err := json.Marshal([]any{
		entry, generated.NewEntry(nil), generated.NewTool(generated.WebSearchTool{}),
		generated.NewContentChunk(generated.UnknownContentChunk{Raw: json.RawMessage(`{"type":"x"}`)}),
		generated.NewContentChunk(generated.UnknownContentChunk{}),
	})
	const want = `[{"content":"hi","role":"user","type":"message.input"},null,{"type":"web_search"},{"type":"x"},null]`
	if err != nil || string(out) != want {
		t.Errorf("encoded as %s (%v), want %s", out, err, want)
	}
	if entry.Raw() != nil || entry.IsZero() || !(generated.Entry{}).IsZero() {
		t.Errorf("Raw is %s and IsZero is %v, want none and false; IsZero of the zero Entry is %v, want true", entry.Raw(), entry.IsZero(), generated.Entry{}.IsZero())
	}
}

func TestScalarUnions(t *testing.T) {
	t.Parallel()
	check := func(text string, value any, encoded string) {
		if encoded != text {
			t.Errorf("%s is decoded as %#v and encoded as %s", text, value, encoded)
		}
	}
	for _, text := range []string{`"hi"`, `[]`, `[{"type":"message.input","role":"user","content":"x"}]`, `null`} {
		v, encoded := roundTrip[generated.ConversationInputs](t, text)
		check(text, v, encoded)
	}
	for text, want := range map[string]string{
		`"hi"`: "hi", `[]`: "", `null`: "", `{"type":"text","text":"one"}`: "one",
		`[{"type":"text","text":"a"},{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true},{"type":"text","text":"b"}]`: "ab",
	} {
		v, encoded := roundTrip[generated.MessageContent](t, text)
		check(text, v, encoded)
		if v.Text() != want {
			t.Errorf("text of %s is %q, want %q", text, v.Text(), want)
		}
	}
	for _, text := range []string{`3`, `-1`, `"prod"`, `"03"`, `""`} {
		v, encoded := roundTrip[generated.StringOrInteger](t, text)
		check(text, v, encoded)
	}
	if v, _ := roundTrip[generated.CompletionArgsStop](t, `"END"`); !reflect.DeepEqual(v, generated.CompletionArgsStop{"END"}) {
		t.Errorf("a single stop sequence is decoded as %v, want a list with it", v)
	}
	for text, want := range map[string]generated.FunctionCallEntryArguments{`"{\"a\":1}"`: `{"a":1}`, `{"a":1}`: `{"a":1}`, `""`: "{}", `null`: "", `[1]`: `[1]`} {
		if v, _ := roundTrip[generated.FunctionCallEntryArguments](t, text); v != want {
			t.Errorf("arguments %s are %q, want %q", text, v, want)
		}
	}
	if v, _ := roundTrip[generated.ImageURLChunk](t, `{"type":"image_url","image_url":"data:x"}`); v.ImageURL.URL != "data:x" {
		t.Errorf("an image that is a bare URL is decoded as %+v", v)
	}
	if v, _ := roundTrip[generated.ImageURLChunk](t, `{"type":"image_url","image_url":{"url":"u","detail":"low"}}`); v.ImageURL.Detail != "low" {
		t.Errorf("an image with details is decoded as %+v", v)
	}
	for _, value := range []interface{ IsZero() bool }{new(generated.ConversationInputs), new(generated.MessageContent), new(generated.Timestamp)} {
		if err := json.Unmarshal([]byte(`true`), value); err != nil || !value.IsZero() {
			t.Errorf("%T decodes a boolean as %v, error %v, want unset", value, value, err)
		}
	}
}

// Unlike encoding/json, a direct caller of UnmarshalJSON may pass data that is not JSON.
func TestUnmarshalJSONRejectsInvalidJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []json.Unmarshaler{
		new(generated.ConversationInputs), new(generated.MessageContent), new(generated.CompletionArgsStop),
		new(generated.FunctionCallEntryArguments), new(generated.StringOrInteger), new(generated.ImageURL),
		new(generated.Timestamp), new(generated.Agent), new(generated.Entry),
	} {
		for _, data := range []string{"", `"`, "x"} {
			if err := v.UnmarshalJSON([]byte(data)); err == nil {
				t.Errorf("%T decodes %q without an error", v, data)
			}
		}
	}
}
