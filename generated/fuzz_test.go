package generated_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Valid responses and events, and the types to decode the responses into.
var (
	validEntries = `[{"object":"entry","type":"message.input","created_at":"2026-01-02T03:04:05.678901Z","completed_at":"2026-01-02T03:04:06Z","id":"msg_1","role":"user",` +
		`"content":[{"type":"text","text":"Look: \u00e4"},{"type":"image_url","image_url":{"url":"data:x","detail":"low"}},{"type":"document_url","document_url":"u","document_name":"n"}],"prefix":true},` +
		`{"type":"message.output","id":"msg_2","agent_id":"ag_1","model":"m","role":"assistant","content":[{"type":"thinking","closed":true,"signature":"s","thinking":[{"type":"text","text":"Hm"},` +
		`{"type":"reference","reference_ids":[1,"b"]}]},{"type":"tool_reference","tool":"web_search","title":"T","url":"u","favicon":"f","description":"d","source":"brave"},` +
		`{"type":"tool_file","tool":"image_generation","file_id":"f","file_name":"n","file_type":"png"}]},{"type":"message.output","id":"msg_3","content":"Done."},` +
		`{"type":"function.call","id":"fc_1","tool_call_id":"abcdefghi","name":"f","arguments":"{\"a\":1}","confirmation_status":"pending"},` +
		`{"type":"function.result","id":"fr_1","tool_call_id":"abcdefghi","result":"22"},` +
		`{"type":"tool.execution","id":"t_1","function":"web_search","name":"web_search","arguments":"{}","info":{"result":[{"type":"text","text":"r"}],"n":9007199254740993}},` +
		`{"type":"agent.handoff","id":"h_1","previous_agent_id":"a","previous_agent_name":"A","next_agent_id":"b","next_agent_name":"B"}]`
	validTools = `[{"type":"function","function":{"name":"f","description":"d","strict":true,"parameters":{"type":"object","properties":{"b":{},"a":{}}}}},` +
		`{"type":"web_search","tool_configuration":{"include":["a"],"exclude":["b"],"requires_confirmation":["c"]}},{"type":"document_library","library_ids":["l"]},` +
		`{"type":"connector","connector_id":"crm","authorization":{"type":"api-key","value":"v"}}]`
	validSettings = `"instructions":"Be brief.","tools":` + validTools + `,"completion_args":{"stop":["a","b"],"presence_penalty":0.5,"temperature":0.25,"max_tokens":100,"random_seed":7,` +
		`"prediction":{"type":"content","content":"x"},"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"},"strict":true}},` +
		`"tool_choice":"auto","reasoning_effort":"high"},"guardrails":[{"block_on_error":true,"moderation_llm_v1":{"custom_category_thresholds":{"sexual":0.1},"action":"block"}}],"metadata":{"z":1,"a":9007199254740993}`
	validAgent = `{"object":"agent","id":"ag_1","owner_id":"o","name":"n","model":"m","description":"d","version":2,"versions":[1,2],"created_at":"2026-01-02T03:04:05Z",` +
		`"updated_at":"2026-01-02T03:04:05Z","deployment_chat":true,"source":"api","handoffs":["ag_2"],"version_message":"v",` + validSettings + `}`
	validUsage = `{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"connector_tokens":4,"num_cached_tokens":5,"connectors":{"web_search":1}}`

	validDocuments = []struct {
		text   string
		target func() any // a pointer to a pointer, or to a list
	}{
		{`{"object":"conversation.response","conversation_id":"c","outputs":` + validEntries + `,"usage":` + validUsage + `,"guardrails":[{"x":1}]}`, pointerTo[generated.ConversationResponse]},
		{`{"object":"conversation.history","conversation_id":"c","entries":` + validEntries + `}`, pointerTo[generated.ConversationHistory]},
		{`{"object":"conversation.messages","conversation_id":"c","messages":` + validEntries + `}`, pointerTo[generated.ConversationMessages]},
		{`{"object":"conversation","id":"c","name":"n","model":"m","agent_id":"ag_1","agent_version":"3","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z",` + validSettings + `}`, pointerTo[generated.Conversation]},
		{validAgent, pointerTo[generated.Agent]},
		{`{"object":"list","data":[` + validAgent + `,` + validAgent + `],"next_page_token":"t"}`, pointerTo[generated.AgentListPage]},
		{`[` + validAgent + `,` + validAgent + `]`, func() any { return new([]generated.Agent) }},
		{`{"alias":"a","version":2,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`, pointerTo[generated.AgentAliasResponse]},
	}
	validEvents = []string{
		`{"type":"conversation.response.started","created_at":"2026-01-02T03:04:05Z","conversation_id":"c"}`,
		`{"type":"message.output.delta","created_at":"2026-01-02T03:04:05Z","output_index":1,"id":"m","content_index":2,"model":"m","agent_id":"a","role":"assistant","content":{"type":"thinking","thinking":[{"type":"text","text":"x"}]}}`,
		`{"type":"function.call.delta","id":"f","name":"n","tool_call_id":"t","arguments":"{}","confirmation_status":"pending","output_index":1}`,
		`{"type":"tool.execution.started","id":"t","name":"n","function":"f","arguments":"x","model":"m"}`,
		`{"type":"tool.execution.delta","id":"t","name":"n","arguments":"x"}`,
		`{"type":"tool.execution.done","id":"t","name":"n","info":{"a":1}}`,
		`{"type":"agent.handoff.started","id":"h","previous_agent_id":"a","previous_agent_name":"A"}`,
		`{"type":"agent.handoff.done","id":"h","next_agent_id":"a","next_agent_name":"A"}`,
		`{"type":"conversation.response.done","usage":` + validUsage + `}`,
		`{"type":"conversation.response.error","code":1300,"message":"m"}`,
	}
)

func pointerTo[T any]() any { return new(*T) }

// FuzzMismatch changes the JSON type of one value in a valid response or event. Decoding must
// succeed, decode all other values as before and report the skipped value.
func FuzzMismatch(f *testing.F) {
	for document := range len(validDocuments) + len(validEvents) {
		for place := range 12 {
			f.Add(document, place*17, place, "x")
		}
	}
	f.Fuzz(func(t *testing.T, document, place, kind int, text string) {
		text = strings.ToValidUTF8(text, "?")
		document = mod(document, len(validDocuments)+len(validEvents))
		var valid string
		var decode func(text string) (fields any, mismatches []generated.Mismatch)
		if document < len(validDocuments) {
			d := validDocuments[document]
			valid, decode = d.text, func(text string) (any, []generated.Mismatch) {
				target := d.target()
				if err := generated.DecodeResponse([]byte(text), target); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				return parsed(generated.Fields(target)), mismatchesOf(target)
			}
		} else {
			valid, decode = validEvents[document-len(validDocuments)], func(text string) (any, []generated.Mismatch) {
				event, err := generated.DecodeStreamEvent("", []byte(text))
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				wrapped := generated.NewStreamEvent(event)
				known, _ := event.(sourced)
				if known == nil {
					return parsed(generated.Fields(&wrapped)), nil
				}
				return parsed(generated.Fields(&wrapped)), known.Mismatches()
			}
		}
		root := parsed(valid)
		places := placesIn(root, nil)
		at := places[mod(place, len(places))]
		changed := otherType(at.value, kind, text)
		mutated := encoded(replaced(root, at.path, changed))
		before, _ := decode(valid)
		after, mismatches := decode(mutated)

		compared := at.path
		if last := at.path[len(at.path)-1]; last == "type" { // the variant may change
			compared = at.path[:len(at.path)-1]
		}
		if got, want := encoded(pruned(replaced(after, compared, nil))), encoded(pruned(replaced(before, compared, nil))); len(compared) > 0 && got != want {
			t.Errorf("%s at %v of\n%s: decoded as\n%s, want\n%s", encoded(changed), at.path, valid, got, want)
		}
		pointer := "/" + strings.Join(at.path, "/")
		reported := slices.ContainsFunc(mismatches, func(m generated.Mismatch) bool { return m.Pointer == pointer && m.Text == encoded(changed) })
		if value, ok := lookup(after, at.path); !reported && changed != nil && (!ok || encoded(value) != encoded(changed)) && !acceptsBoth(at.path, at.value, changed) {
			t.Errorf("%s at %s of\n%s: decoded as %s, want it reported in %v", encoded(changed), pointer, valid, encoded(value), mismatches)
		}
		for _, m := range mismatches {
			if value, ok := lookup(parsed(mutated), strings.Split(strings.TrimPrefix(m.Pointer, "/"), "/")); m.Pointer != "" && (!ok || encoded(value) != encoded(parsed(m.Text))) {
				t.Errorf("%s: mismatch %v is not a value of it", mutated, m)
			}
		}
	})
}

// mod returns n modulo m, at least 0.
func mod(n, m int) int { return (n%m + m) % m }

// mismatchesOf returns the mismatches of a decoded response, or of all items of a list.
func mismatchesOf(target any) []generated.Mismatch {
	v := reflect.ValueOf(target).Elem()
	if v.Kind() == reflect.Pointer {
		return v.Interface().(sourced).Mismatches()
	}
	var all []generated.Mismatch
	for i := range v.Len() {
		for _, m := range v.Index(i).Interface().(sourced).Mismatches() {
			m.Pointer = fmt.Sprintf("/%d%s", i, m.Pointer)
			all = append(all, m)
		}
	}
	return all
}

// acceptsBoth reports whether the field at path accepts both values. It may encode the second
// one in another form, or omit it because it is empty.
func acceptsBoth(path []string, before, after any) bool {
	name := path[len(path)-1]
	switch after.(type) {
	case json.Number:
		return name == "agent_version" || slices.Contains(path, "reference_ids")
	case string:
		return after == "" || name == "type" || name == "stop" || name == "image_url" || name == "agent_version" || slices.Contains(path, "reference_ids")
	case map[string]any, []any:
		empty := len(encoded(after)) == 2
		return name == "content" || name == "arguments" || empty
	case bool:
		return after == false && before == true
	}
	return false
}

// A place is a value inside a JSON value.
type place struct {
	path  []string
	value any
}

// placesIn returns the places of all values inside a value at path.
func placesIn(value any, path []string) []place {
	var found []place
	add := func(name string, inner any) {
		inside := append(slices.Clone(path), name)
		found = append(append(found, place{inside, inner}), placesIn(inner, inside)...)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			add(name, v[name])
		}
	case []any:
		for i, inner := range v {
			add(strconv.Itoa(i), inner)
		}
	}
	return found
}

// otherType returns a value of a different JSON type.
func otherType(value any, kind int, text string) any {
	choices := []any{nil, true, false, json.Number("7"), json.Number("7.5"), json.Number("-1e400"), text, "", map[string]any{}, map[string]any{"a": text}, []any{}, []any{json.Number("1"), text}}
	choices = slices.DeleteFunc(choices, func(choice any) bool { return reflect.TypeOf(choice) == reflect.TypeOf(value) })
	return choices[mod(kind, len(choices))]
}

// replaced returns a copy of a value with the value at path replaced. A value without the path is
// unchanged.
func replaced(value any, path []string, with any) any {
	if len(path) == 0 {
		return with
	}
	switch v := value.(type) {
	case map[string]any:
		c := maps.Clone(v)
		if inner, ok := v[path[0]]; ok || len(path) == 1 {
			c[path[0]] = replaced(inner, path[1:], with)
		}
		return c
	case []any:
		c := slices.Clone(v)
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(c) {
			c[i] = replaced(c[i], path[1:], with)
		}
		return c
	}
	return value
}

// pruned returns a copy of a value without null members and without members that are empty
// objects, which are not encoded.
func pruned(value any) any {
	switch v := value.(type) {
	case map[string]any:
		c := map[string]any{}
		for name, inner := range v {
			inner = pruned(inner)
			if object, ok := inner.(map[string]any); inner != nil && (!ok || len(object) > 0) {
				c[name] = inner
			}
		}
		return c
	case []any:
		c := slices.Clone(v)
		for i, inner := range c {
			c[i] = pruned(inner)
		}
		return c
	}
	return value
}

// lookup returns the value at path.
func lookup(value any, path []string) (any, bool) {
	if len(path) == 0 {
		return value, true
	}
	switch v := value.(type) {
	case map[string]any:
		inner, ok := v[path[0]]
		if !ok {
			return nil, false
		}
		return lookup(inner, path[1:])
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(v) {
			return lookup(v[i], path[1:])
		}
	}
	return nil, false
}

// parsed returns the value of valid JSON. Numbers are of type json.Number.
func parsed(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return value
}

// encoded returns the JSON encoding of a value.
func encoded(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// FuzzUnmarshal compares the decoder with encoding/json on any text. Both must reject the same
// inputs and decode the same string.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{"text":"x","type":"text"}`, `{"text":"\ud83d\ude00\ud800\u0000\/"}`, "{\"text\":\"\xff\xc3\x28\"}", `{"text":"a","text":"b"}`, `{"te\u0078t":"x"}`, `{`, `[`, `"`, `{"text"}`,
		`{"text":"\\"}`, `{"text":"\\\""}`, `{"text":"a\\","type":"b"}`, ` [ {"text" : null } , 1.5e+3,true,false,null, "" ] `, "\t{\n\"text\"\r:\"x\"}", `{"text":"x",}`, `01`, `1.`, `nul`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		type plain struct {
			Text string
		}
		var chunk generated.TextChunk
		var want plain
		original := bytes.Clone(data)
		_, err := generated.Unmarshal(data, &chunk)
		if (err == nil) != json.Valid(data) {
			t.Fatalf("%q: error is %v, want one only for invalid JSON", data, err)
		}
		if !bytes.Equal(original, data) {
			t.Fatalf("Unmarshal changed its input %q", original)
		}
		clear(data) // the decoder must not retain data
		if bytes.Contains(bytes.ToLower(original), []byte("text")) && bytes.Contains(original, []byte("TEXT")) {
			return // encoding/json ignores the case of names
		}
		var object map[string]json.RawMessage
		if err != nil || json.Unmarshal(original, &object) != nil {
			return
		}
		_ = json.Unmarshal(object["text"], &want.Text) // the value may have another type
		if chunk.Text != want.Text {
			t.Errorf("%q is decoded as %q, want %q", original, chunk.Text, want.Text)
		}
		var union generated.ContentChunk
		if err := json.Unmarshal(original, &union); err != nil {
			t.Errorf("%q: %v", original, err)
		}
		_ = union.String()
		reencoded, err := json.Marshal(chunk)
		if err != nil {
			t.Fatal(err)
		}
		var redecoded generated.TextChunk
		if err := json.Unmarshal(reencoded, &redecoded); err != nil || redecoded.Text != chunk.Text {
			t.Errorf("%q is encoded as %s and decoded as %q: %v", chunk.Text, reencoded, redecoded.Text, err)
		}
	})
}
