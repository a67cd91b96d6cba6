package generated_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// decode reads text into a new T and writes it out again.
func decode[T any](t *testing.T, text string) (value T, again string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("decoding %s: %v", text, err)
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("encoding %#v: %v", value, err)
	}
	return value, string(out)
}

func TestUnionsKeepWhatTheyWereDecodedFrom(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]generated.EntryVariant{
		`{"type":"message.output","content":"hi","new_field":[1]}`: generated.MessageOutputEntry{Type: "message.output", Content: generated.NewTextContent("hi")},
		`{ "content" : "a \"type\": \"b\"", "type" : "message.output" }`: generated.MessageOutputEntry{
			Type: "message.output", Content: generated.NewTextContent(`a "type": "b"`)},
		`{"info":{"type":"x"},"type":"tool.execution","name":"n"}`: generated.ToolExecutionEntry{
			Type: "tool.execution", Name: "n", Info: generated.JSONText(`{"type":"x"}`)},
		`{"type":"from.tomorrow","a":1}`: generated.UnknownEntry{Type: "from.tomorrow", Raw: json.RawMessage(`{"type":"from.tomorrow","a":1}`)},
		`{"a":"type","b":1}`:             generated.UnknownEntry{Raw: json.RawMessage(`{"a":"type","b":1}`)},
		`{"type":7}`:                     generated.UnknownEntry{Raw: json.RawMessage(`{"type":7}`)},
		`["type"]`:                       generated.UnknownEntry{Raw: json.RawMessage(`["type"]`)},
		`"type"`:                         generated.UnknownEntry{Raw: json.RawMessage(`"type"`)},
		`{"type":"t\u0079pe\\"}`:         generated.UnknownEntry{Type: `type\`, Raw: json.RawMessage(`{"type":"t\u0079pe\\"}`)},
	} {
		entry, again := decode[generated.Entry](t, text)
		if !reflect.DeepEqual(entry.Value(), want) {
			t.Errorf("%s is decoded as %#v, want %#v", text, entry.Value(), want)
		}
		if compact := strings.NewReplacer(`{ `, `{`, ` : `, `:`, `, "type`, `,"type`, ` }`, `}`).Replace(text); again != compact {
			t.Errorf("%s is encoded again as %s", text, again)
		}
	}
}

func TestUnionsAreMade(t *testing.T) {
	t.Parallel()
	entry := generated.NewEntry(&generated.MessageInputEntry{Type: "something else", Role: generated.MessageRoleUser, Content: generated.NewTextContent("hi")})
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
		t.Error("Raw or IsZero is wrong")
	}
}

func TestScalarUnions(t *testing.T) {
	t.Parallel()
	roundTrip := func(text string, value any, again string) {
		if again != text {
			t.Errorf("%s is encoded again as %s (%#v)", text, again, value)
		}
	}
	for _, text := range []string{`"hi"`, `[]`, `[{"type":"message.input","role":"user","content":"x"}]`, `null`} {
		v, again := decode[generated.ConversationInputs](t, text)
		roundTrip(text, v, again)
	}
	for text, want := range map[string]string{
		`"hi"`: "hi", `[]`: "", `null`: "", `{"type":"text","text":"one"}`: "one",
		`[{"type":"text","text":"a"},{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true},{"type":"text","text":"b"}]`: "ab",
	} {
		v, again := decode[generated.MessageContent](t, text)
		roundTrip(text, v, again)
		if v.Text() != want {
			t.Errorf("text of %s is %q, want %q", text, v.Text(), want)
		}
	}
	for _, text := range []string{`3`, `-1`, `"prod"`, `"03"`, `""`} {
		v, again := decode[generated.StringOrInteger](t, text)
		roundTrip(text, v, again)
	}
	if v, _ := decode[generated.CompletionArgsStop](t, `"END"`); !reflect.DeepEqual(v, generated.CompletionArgsStop{"END"}) {
		t.Errorf("a single stop is %v", v)
	}
	for text, want := range map[string]generated.FunctionCallEntryArguments{`"{\"a\":1}"`: `{"a":1}`, `{"a":1}`: `{"a":1}`, `""`: "{}", `null`: "", `[1]`: `[1]`} {
		if v, _ := decode[generated.FunctionCallEntryArguments](t, text); v != want {
			t.Errorf("arguments %s are %q, want %q", text, v, want)
		}
	}
	if v, _ := decode[generated.ImageURLChunk](t, `{"type":"image_url","image_url":"data:x"}`); v.ImageURL.URL != "data:x" {
		t.Errorf("an image given by its URL alone is %+v", v)
	}
	if v, _ := decode[generated.ImageURLChunk](t, `{"type":"image_url","image_url":{"url":"u","detail":"low"}}`); v.ImageURL.Detail != "low" {
		t.Errorf("an image with details is %+v", v)
	}
	for _, value := range []interface{ IsZero() bool }{new(generated.ConversationInputs), new(generated.MessageContent), new(generated.Timestamp)} {
		if err := json.Unmarshal([]byte(`true`), value); err != nil || !value.IsZero() {
			t.Errorf("%T of a boolean is %v: %v", value, value, err)
		}
	}
}

// Called by hand, with data that is not JSON, the decoders report it instead of panicking.
func TestUnmarshalNothing(t *testing.T) {
	t.Parallel()
	for _, v := range []json.Unmarshaler{
		new(generated.ConversationInputs), new(generated.MessageContent), new(generated.CompletionArgsStop),
		new(generated.FunctionCallEntryArguments), new(generated.StringOrInteger), new(generated.ImageURL),
		new(generated.Timestamp), new(generated.Agent), new(generated.Entry),
	} {
		for _, data := range []string{"", `"`, "x"} {
			if err := v.UnmarshalJSON([]byte(data)); err == nil {
				t.Errorf("%T reads %q without an error", v, data)
			}
		}
	}
}
