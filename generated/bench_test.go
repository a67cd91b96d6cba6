package generated_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// plainHistory is a conversation's history as a program without an SDK would declare it.
type plainHistory struct {
	ConversationID string `json:"conversation_id"`
	Object         string `json:"object"`
	Entries        []struct {
		Object      string `json:"object"`
		Type        string `json:"type"`
		CreatedAt   string `json:"created_at"`
		CompletedAt string `json:"completed_at"`
		ID          string `json:"id"`
		AgentID     string `json:"agent_id"`
		Model       string `json:"model"`
		Role        string `json:"role"`
		Content     string `json:"content"`
		Prefix      bool   `json:"prefix"`
	} `json:"entries"`
}

// history returns the JSON text of a conversation's history.
func history(entries int) []byte {
	var b strings.Builder
	b.WriteString(`{"object":"conversation.history","conversation_id":"conv_0199a1b2c3d4","entries":[`)
	for i := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		text := strings.Repeat("A sentence of a conversation, with a typical length. ", 4)
		if i%2 == 0 {
			fmt.Fprintf(&b, `{"object":"entry","type":"message.input","created_at":"2026-01-02T03:04:05.678901Z","completed_at":null,"id":"msg_%d","role":"user","content":%q,"prefix":false}`, i, text)
		} else {
			fmt.Fprintf(&b, `{"object":"entry","type":"message.output","created_at":"2026-01-02T03:04:05.678901Z","completed_at":"2026-01-02T03:04:06.789012Z","id":"msg_%d","agent_id":null,"model":"mistral-small-latest","role":"assistant","content":%q}`, i, text)
		}
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// BenchmarkHistory decodes a history of 20 entries into plain structs with encoding/json and
// into the types of this package. The metric x-plain is the time relative to plain structs.
func BenchmarkHistory(b *testing.B) {
	data := history(20)
	var plain float64
	for _, decoder := range []struct {
		name   string
		decode func() (int, error)
	}{
		{"plain", func() (int, error) {
			var h plainHistory
			err := json.Unmarshal(data, &h)
			return len(h.Entries), err
		}},
		{"generated", func() (int, error) {
			var h *generated.ConversationHistory
			err := generated.DecodeResponse(data, &h)
			return len(h.Entries), err
		}},
	} {
		b.Run(decoder.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if n, err := decoder.decode(); err != nil || n != 20 {
					b.Fatal(n, err)
				}
			}
			perCall := float64(b.Elapsed()) / float64(b.N)
			if plain == 0 {
				plain = perCall
			}
			b.ReportMetric(perCall/plain, "x-plain")
		})
	}
}

// BenchmarkWorstCases decodes a megabyte of the inputs that take longest. The metric x-any is the
// time relative to encoding/json with a target of type any.
func BenchmarkWorstCases(b *testing.B) {
	const size = 1 << 20
	for name, text := range map[string]string{
		"escaped names":      `{` + strings.Repeat(`"\n":0,`, size/7) + strings.Repeat(`"conversation_id":0,`, 100) + `"outputs":[],"usage":{}}`,
		"untyped entry":      `{"conversation_id":"c","usage":{},"outputs":[{` + strings.Repeat(`"\n":0,`, size/7) + `"x":0}]}`,
		"late mismatch":      `{"conversation_id":"c","usage":{},"guardrails":[` + strings.Repeat(`0,`, size/2) + `0],"outputs":[` + strings.Repeat(`0,`, 100) + `0]}`,
		"nested, typed last": `{"conversation_id":"c","usage":{},"outputs":[` + nested(`{"content":[`, `],"type":"message.output"}`, `{"thinking":[`, `],"type":"thinking"}`)(size) + `]}`,
	} {
		b.Run(name, func(b *testing.B) {
			var plain time.Duration
			for b.Loop() {
				var response *generated.ConversationResponse
				if err := generated.DecodeResponse([]byte(text), &response); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				start := time.Now()
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					b.Fatal(err)
				}
				plain += time.Since(start)
				b.StartTimer()
			}
			b.SetBytes(int64(len(text)))
			b.ReportMetric(float64(b.Elapsed())/float64(plain), "x-any")
		})
	}
}
