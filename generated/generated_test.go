package generated_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

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
			Type: "tool.execution", Name: "n", Info: map[string]any{"type": "x"}},
		`{"type":"from.tomorrow","a":1}`: generated.UnknownEntry{Type: "from.tomorrow", Raw: json.RawMessage(`{"type":"from.tomorrow","a":1}`)},
		`{"a":"type","b":1}`:             generated.UnknownEntry{Raw: json.RawMessage(`{"a":"type","b":1}`)},
		`{"type":7}`:                     generated.UnknownEntry{Raw: json.RawMessage(`{"type":7}`)},
		`["type"]`:                       generated.UnknownEntry{Raw: json.RawMessage(`["type"]`)},
		`"type"`:                         generated.UnknownEntry{Raw: json.RawMessage(`"type"`)},
		`{"type":"t\u0079pe\\"}`:         generated.UnknownEntry{Type: `t\u0079pe\\`, Raw: json.RawMessage(`{"type":"t\u0079pe\\"}`)},
	} {
		entry, again := decode[generated.Entry](t, text)
		if !reflect.DeepEqual(entry.Value(), want) {
			t.Errorf("%s is decoded as %#v, want %#v", text, entry.Value(), want)
		}
		if compact := strings.NewReplacer(`{ `, `{`, ` : `, `:`, `, "type`, `,"type`, ` }`, `}`).Replace(text); again != compact {
			t.Errorf("%s is encoded again as %s", text, again)
		}
	}
	var wrong generated.UnknownEntry
	if entry, _ := decode[generated.Entry](t, `{"type":"message.input","role":{}}`); !errorsAs(entry.Value(), &wrong) || wrong.Err == nil || wrong.Type != "message.input" {
		t.Errorf("an entry of another form is %#v", entry.Value())
	}
}

func errorsAs(value generated.EntryVariant, target *generated.UnknownEntry) (ok bool) {
	*target, ok = value.(generated.UnknownEntry)
	return ok
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
	for text, want := range map[string]generated.FunctionCallEntryArguments{`"{\"a\":1}"`: `{"a":1}`, `{"a":1}`: `{"a":1}`, `""`: "", `null`: ""} {
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
	for _, wrong := range []any{new(generated.ConversationInputs), new(generated.MessageContent), new(generated.StringOrInteger), new(generated.Timestamp)} {
		if err := json.Unmarshal([]byte(`true`), wrong); err == nil || !strings.Contains(err.Error(), "have true") {
			t.Errorf("%T takes a boolean: %v", wrong, err)
		}
	}
}

func TestTimestamp(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 500e6, time.UTC)
	for _, text := range []string{`"2026-01-02T12:00:00.5Z"`, `"2026-01-02T13:00:00.5+01:00"`, `"2026-01-02T12:00:00.500"`} {
		if v, _ := decode[generated.Timestamp](t, text); !v.Equal(noon) {
			t.Errorf("%s is %v", text, v)
		}
	}
	if v, _ := decode[generated.Timestamp](t, `null`); !v.IsZero() {
		t.Errorf("null is %v", v)
	}
	if err := json.Unmarshal([]byte(`"noon"`), new(generated.Timestamp)); err == nil {
		t.Error("noon is taken for a time")
	}
}

// FuzzTypeOf compares the short way to a union's type with a decoder's.
func FuzzTypeOf(f *testing.F) {
	for _, seed := range []string{`{"type":"text"}`, `{"a":{"type":"x"},"type" : "text"}`, `{"a":"type","type":"b"}`, `[{"type":"x"}]`, `{"type":[]}`, `{"`, `{"type":"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var chunk generated.ContentChunk
		_ = chunk.UnmarshalJSON(data) // must not panic, whatever it is given
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || strings.Contains(string(data), `\`) || strings.Count(string(data), `"type"`) != 1 {
			return
		}
		var want string
		_ = json.Unmarshal(object["type"], &want) // where it is no string it stays empty
		unknown, ok := chunk.Value().(generated.UnknownContentChunk)
		if ok && unknown.Type != want && strings.ToValidUTF8(unknown.Type, "") == unknown.Type {
			t.Errorf("type of %s is %q, want %q", data, unknown.Type, want)
		}
	})
}

// Called by hand, with what is no JSON, the decoders report it instead of panicking.
func TestUnmarshalNothing(t *testing.T) {
	t.Parallel()
	for _, v := range []json.Unmarshaler{
		new(generated.ConversationInputs), new(generated.MessageContent), new(generated.CompletionArgsStop),
		new(generated.FunctionCallEntryArguments), new(generated.StringOrInteger), new(generated.ImageURL),
		new(generated.Timestamp), new(generated.StreamEventType), new(generated.MessageRole),
	} {
		for _, data := range []string{"", `"`, "x"} {
			if err := v.UnmarshalJSON([]byte(data)); err == nil && data != "x" {
				t.Errorf("%T reads %q without an error", v, data)
			}
		}
	}
}

// Known names are read without memory of their own, and every other name is kept.
func TestUnmarshalNames(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]generated.StreamEventType{
		`"message.output.delta"`: generated.StreamEventTypeMessageOutputDelta,
		`"hologram"`:             "hologram",
		`"a\u0062c"`:             "abc",
		`null`:                   "",
	} {
		var got generated.StreamEventType
		if err := json.Unmarshal([]byte(data), &got); err != nil || got != want {
			t.Errorf("%s is read as %q (%v), want %q", data, got, err, want)
		}
	}
	var role generated.MessageRole
	if err := json.Unmarshal([]byte(`7`), &role); err == nil {
		t.Error("a number is read as a role")
	}
}
