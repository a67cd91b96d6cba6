package sse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// FuzzDecoder compares the Decoder with the reference decoder, for any stream, chunks and limit. At
// each Read, all frames that are complete so far must have been dispatched.
func FuzzDecoder(f *testing.F) {
	for i, c := range conformance {
		f.Add([]byte(c.stream), uint64(i), uint16(0))
		f.Add([]byte(c.stream), uint64(i), uint16(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, limit uint16) {
		if len(stream) > 4<<10 {
			return // the checks take quadratic time
		}
		size := int(limit)
		if size == 0 {
			size = sse.DefaultMaxFrameSize
		}
		random := rand.New(rand.NewPCG(seed, 0))
		maxChunk := 1 + random.IntN(64)
		r := &script{}
		for rest := string(stream); rest != ""; {
			n := min(random.IntN(maxChunk+1), len(rest)) // a chunk may be empty
			r.chunks = append(r.chunks, rest[:n])
			rest = rest[n:]
		}
		var got []frame
		r.before = func() {
			want, tooLarge := reference(string(stream[:r.delivered]), size)
			if len(got) != len(want) {
				t.Fatalf("Read is called after %q with %d dispatched frames, want %d", stream[:r.delivered], len(got), len(want))
			}
			if tooLarge {
				t.Fatalf("Read is called after %q, which is too large", stream[:r.delivered])
			}
		}
		d := sse.NewDecoder(r)
		d.MaxFrameSize = size
		var err error
		for f, e := range d.Frames() {
			if err = e; err == nil {
				got = append(got, keep(f))
			}
		}
		want, wantTooLarge := reference(string(stream), size)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		var tooLarge *sse.FrameTooLargeError
		if errors.As(err, &tooLarge) != wantTooLarge || err != nil && tooLarge == nil {
			t.Errorf("error %v, want too large: %t", err, wantTooLarge)
		}
	})
}

// knownEvents maps event names to event types.
var knownEvents = map[string]reflect.Type{
	"agent.handoff.done":            reflect.TypeFor[generated.AgentHandoffDoneEvent](),
	"agent.handoff.started":         reflect.TypeFor[generated.AgentHandoffStartedEvent](),
	"conversation.response.done":    reflect.TypeFor[generated.ResponseDoneEvent](),
	"conversation.response.error":   reflect.TypeFor[generated.ResponseErrorEvent](),
	"conversation.response.started": reflect.TypeFor[generated.ResponseStartedEvent](),
	"function.call.delta":           reflect.TypeFor[generated.FunctionCallEvent](),
	"message.output.delta":          reflect.TypeFor[generated.MessageOutputEvent](),
	"tool.execution.delta":          reflect.TypeFor[generated.ToolExecutionDeltaEvent](),
	"tool.execution.done":           reflect.TypeFor[generated.ToolExecutionDoneEvent](),
	"tool.execution.started":        reflect.TypeFor[generated.ToolExecutionStartedEvent](),
}

// FuzzDecode decodes frames with any name and data. Decode must fail if and only if the data is not
// JSON. An event of a known type must equal the result of encoding/json, and must not change if it is
// encoded and decoded again. An unknown event must keep its name and data. The result must not refer
// to the frame's memory.
func FuzzDecode(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(knownEvents)) {
		for _, data := range []string{
			`{"type":"` + name + `"}`, `{}`, `null`, `{"type":7}`, `{"content":5}`, `{"code":"x"}`, `[]`, `{`,
			`{"type":"` + name + `","created_at":"2026-01-02T03:04:05.6+07:00","output_index":1,"id":"i","x_unheard_of":[1]}`,
		} {
			f.Add(name, []byte(data))
			f.Add("", []byte(data))
		}
	}
	for _, data := range []string{
		`{"type":"message.output.delta","content":"a","content_index":1,"role":"assistant","model":"m","agent_id":null}`,
		`{"type":"message.output.delta","content":{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true}}`,
		`{"type":"message.output.delta","content":{"type":"tool_reference","tool":"web_search","title":"t","url":null,"source":"s"}}`,
		`{"type":"message.output.delta","content":[{"type":"image_url","image_url":"data:x"},{"type":"hologram","a":[{}]}]}`,
		`{"type":"function.call.delta","name":"n","tool_call_id":"t","arguments":"{\"a\":1}","confirmation_status":"pending"}`,
		`{"type":"tool.execution.done","name":"web_search","info":{"result":[{"type":"text"}],"n":1e400}}`,
		`{"type":"conversation.response.done","usage":{"total_tokens":3,"connector_tokens":null,"connectors":{"web_search":1}}}`,
		`{"type":"conversation.response.error","code":3000,"message":"m"}`, `{"type":"hologram","\u0000":1e400}`, `{"TYPE":"message.output.delta"}`,
		`{"type":"message.output.delta","type":"hologram","content":"\ud800"}`, ` {"created_at":"2026-01-02T03:04:05"} `, `17`, `"\xff"`,
	} {
		f.Add("message", []byte(data))
		f.Add("hologram", []byte(data))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		memory := bytes.Clone(data)
		event, err := sse.Decode(sse.Frame{Event: name, Data: memory})
		for i := range memory {
			memory[i] = 'x'
		}
		if err != nil {
			var failure *sse.DecodeError
			if !errors.As(err, &failure) || failure.Err == nil || failure.Frame.Event != name || !bytes.Equal(failure.Frame.Data, data) {
				t.Fatalf("error %T %v for event %q with data %q", err, err, name, data)
			}
			if event != nil || json.Valid(data) {
				t.Errorf("event %q with data %q is JSON, but Decode fails: %v", name, data, err)
			}
			return
		}
		if !json.Valid(data) {
			t.Errorf("event %q with data %q is not JSON, but is decoded as %#v", name, data, event)
		}
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(data, &object) == nil && object != nil
		if name == "message" {
			name = ""
		}
		var given string
		if json.Unmarshal(object["type"], &given) == nil && given != "" {
			name = given
		}
		if unknown, ok := event.(generated.UnknownStreamEvent); ok {
			if unknown.Type != name || !bytes.Equal(unknown.Raw, bytes.TrimSpace(data)) || isObject && knownEvents[name] != nil {
				t.Errorf("event %q with data %q is decoded as an unknown event %q with data %q", name, data, unknown.Type, unknown.Raw)
			}
			return
		}
		if name == "" { // its properties decided its type
			return
		}
		want := knownEvents[name]
		if want == nil || reflect.TypeOf(event) != want {
			t.Fatalf("event %q is decoded as %T, want %v", name, event, want)
		}
		direct := reflect.New(want)
		if err := json.Unmarshal(data, direct.Interface()); err != nil || !reflect.DeepEqual(direct.Elem().Interface(), any(event)) {
			t.Errorf("event %q with data %s is decoded as %#v; encoding/json returns %#v, error %v", name, data, event, direct.Elem(), err)
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatalf("cannot encode %#v: %v", event, err)
		}
		again, err := sse.Decode(sse.Frame{Event: name, Data: text})
		if err != nil {
			t.Fatalf("cannot decode %s, which was encoded from %s: %v", text, data, err)
		}
		if once, err := json.Marshal(again); err != nil || !bytes.Equal(once, text) {
			t.Errorf("%s is encoded as %s, and then as %s: error %v", data, text, once, err)
		}
	})
}
