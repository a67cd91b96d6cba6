package generated_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// memoryCases are responses of a given size. Each consists of repeated copies of one element or of
// nested values.
var memoryCases = map[string]struct {
	text   func(size int) string
	target func() any
	max    float64 // retained bytes per received byte
}{
	"one long text":                    {inResponse(around(`{"type":"message.output","content":"`, `"}`, "word and ")), pointerTo[generated.ConversationResponse], 4},
	"text of escapes":                  {inResponse(around(`{"type":"message.output","content":"`, `"}`, `\n\u00e4`)), pointerTo[generated.ConversationResponse], 4},
	"messages":                         {inResponse(repeat(`{"type":"message.output","content":"A reply with a few plain words.","id":"msg_0199a1b2","role":"assistant"}`)), pointerTo[generated.ConversationResponse], 8},
	"text chunks":                      {inResponse(around(`{"type":"message.output","content":[`, `{"type":"text","text":""}]}`, `{"type":"text","text":"a few words"},`)), pointerTo[generated.ConversationResponse], 50},
	"empty chunks":                     {inResponse(around(`{"type":"message.output","content":[`, `{}]}`, `{},`)), pointerTo[generated.ConversationResponse], 50},
	"numbers for chunks":               {inResponse(around(`{"type":"message.output","content":[`, `0]}`, `0,`)), pointerTo[generated.ConversationResponse], 50},
	"nested thinking":                  {inResponse(nested(`{"type":"message.output","content":[`, `]}`, `{"thinking":[`, `]}`)), pointerTo[generated.ConversationResponse], 50},
	"nested thinking, types last":      {inResponse(nested(`{"content":[`, `],"type":"message.output"}`, `{"thinking":[`, `],"type":"thinking"}`)), pointerTo[generated.ConversationResponse], 50},
	"nested thinking with a long text": {inResponse(longNested), pointerTo[generated.ConversationResponse], 4},
	"empty entries":                    {inResponse(repeat(`{}`)), pointerTo[generated.ConversationResponse], 50},
	"numbers for entries":              {inResponse(repeat(`0`)), pointerTo[generated.ConversationResponse], 50},
	"empty strings":                    {inAgent(around(`"handoffs":[`, `""]`, `"",`)), pointerTo[generated.Agent], 50},
	"references":                       {inResponse(around(`{"type":"message.output","content":[{"type":"reference","reference_ids":[`, `0]}]}`, `0,`)), pointerTo[generated.ConversationResponse], 50},
	"empty guardrails":                 {inAgent(around(`"guardrails":[`, `{}]`, `{},`)), pointerTo[generated.Agent], 50},
	"free-form lists":                  {around(`{"conversation_id":"c","outputs":[],"guardrails":[`, `0]}`, `0,`), pointerTo[generated.ConversationResponse], 50},
	"nested free-form lists":           {nested(`{"id":"a","metadata":`, `}`, `[`, `]`), pointerTo[generated.Agent], 50},
	"empty tools":                      {inAgent(around(`"tools":[`, `{}]`, `{},`)), pointerTo[generated.Agent], 50},
	"connectors":                       {connectors, pointerTo[generated.ConversationResponse], 50},
	"small agents":                     {around(`[`, `{"id":"ag_0199a1b2"}]`, `{"id":"ag_0199a1b2","name":"a name","model":"m"},`), func() any { return new([]generated.Agent) }, 50},
	"mismatches":                       {around(`[`, `{"id":0}]`, `{"id":0,"name":0,"model":0,"source":0,"version":"","versions":0,"description":0,"object":0},`), func() any { return new([]generated.Conversation) }, 50},
	"unknown properties":               {around(`{"id":"a"`, `}`, `,"future_property":[{}]`), pointerTo[generated.Agent], 4},
}

func around(before, after, element string) func(size int) string {
	return func(size int) string { return before + strings.Repeat(element, size/len(element)) + after }
}

func repeat(element string) func(size int) string {
	return func(size int) string {
		return strings.TrimSuffix(strings.Repeat(element+",", size/(len(element)+1)), ",")
	}
}

// nested returns a generator of values that are nested 4,000 deep, repeated up to the given size.
func nested(before, after, open, end string) func(size int) string {
	return func(size int) string {
		const depth = 4000
		stack := strings.Repeat(open, depth) + strings.Repeat(end, depth)
		if open == "[" {
			return before + "[" + strings.TrimSuffix(strings.Repeat(stack+",", size/len(stack)), ",") + "]" + after
		}
		return before + strings.TrimSuffix(strings.Repeat(stack+",", size/len(stack)), ",") + after
	}
}

func longNested(size int) string {
	const depth = 150
	return `{"type":"message.output","content":[` + strings.Repeat(`{"type":"thinking","thinking":[`, depth) +
		`{"type":"text","text":"` + strings.Repeat("word ", size/5) + `"}` + strings.Repeat(`]}`, depth) + `]}`
}

func connectors(size int) string {
	var b strings.Builder
	b.WriteString(`{"conversation_id":"c","outputs":[],"usage":{"connectors":{"":0`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,"%x":0`, i)
	}
	return b.String() + `}}}`
}

func inResponse(entries func(size int) string) func(size int) string {
	return func(size int) string { return `{"conversation_id":"c","outputs":[` + entries(size) + `],"usage":{}}` }
}

func inAgent(member func(size int) string) func(size int) string {
	return func(size int) string { return `{"id":"a",` + member(size) + `}` }
}

// Decoding a list of empty items would need many times the memory of its text. A list of a million
// is rejected or skipped.
func TestListsOfEmptyItems(t *testing.T) {
	t.Parallel()
	var unexpected *generated.UnexpectedError
	for count, ok := range map[int]bool{1000: true, 1_000_000: false} {
		var agents []generated.Agent
		err := generated.DecodeResponse([]byte(`[`+strings.TrimSuffix(strings.Repeat(`{},`, count), ",")+`]`), &agents)
		if ok != (err == nil) || !ok && !errorsAs(err, &unexpected) || ok && len(agents) != count {
			t.Errorf("%d empty items are decoded as %d agents, error %v", count, len(agents), err)
		}
	}
	data := `{"id":"a","guardrails":[` + strings.TrimSuffix(strings.Repeat(`{},`, 1_000_000), ",") + `]}`
	var agent *generated.Agent
	if err := generated.DecodeResponse([]byte(data), &agent); err != nil || agent.ID != "a" || len(agent.Mismatches()) != 1 {
		t.Errorf("an agent with a million empty guardrails: error %v, mismatches %v, want one mismatch", err, agent.Mismatches())
	}
}

// A decoded response retains memory in proportion to its size.
func TestRetainedMemoryIsLinear(t *testing.T) {
	for name, test := range memoryCases {
		t.Run(name, func(t *testing.T) {
			data := []byte(test.text(1 << 20))
			warm := test.target() // fills the caches and pools
			if err := generated.DecodeResponse(data, warm); err != nil {
				t.Fatal(err)
			}
			before := heap()
			target := test.target()
			if err := generated.DecodeResponse(data, target); err != nil {
				t.Fatal(err)
			}
			ratio := float64(heap()-before) / float64(len(data))
			runtime.KeepAlive(data)
			runtime.KeepAlive(target)
			runtime.KeepAlive(warm)
			t.Logf("%5.1f retained bytes per received byte", ratio)
			if ratio > test.max {
				t.Errorf("%.1f retained bytes per received byte, want at most %v", ratio, test.max)
			}
		})
	}
}

// heap returns the size of the live heap in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // empties the pools
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
