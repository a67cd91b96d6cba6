package emulator_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The latencies vary around their mean, and a seed always gives the same latencies.
func TestLatencySpread(t *testing.T) {
	t.Parallel()
	measure := func(seed uint64) (list []time.Duration) {
		synctest.Test(t, func(*testing.T) {
			e := emulator.New(emulator.Config{Latency: time.Second, LatencySpread: 300 * time.Millisecond, Seed: seed})
			for range 500 {
				began := time.Now()
				direct(context.Background(), e, http.MethodGet, "/v1/agents", "")
				list = append(list, time.Since(began))
			}
		})
		return list
	}
	first, again, other := measure(1), measure(1), measure(2)
	sum, lowest, highest := time.Duration(0), first[0], first[0]
	for i, d := range first {
		sum, lowest, highest = sum+d, min(lowest, d), max(highest, d)
		if d != again[i] {
			t.Fatalf("call %d takes %s and %s", i, d, again[i])
		}
	}
	if mean := sum / 500; mean < 970*time.Millisecond || mean > 1030*time.Millisecond || lowest < 700*time.Millisecond || highest > 1300*time.Millisecond || highest-lowest < 500*time.Millisecond {
		t.Errorf("latencies are from %s to %s with mean %s, want 0.7–1.3 s with mean 1 s", lowest, highest, mean)
	}
	if first[0] == other[0] && first[1] == other[1] {
		t.Error("the seed has no effect")
	}
}

// TokensPerSecond delays all deltas after the first, without streaming, too.
func TestTokensPerSecond(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"model":"m","inputs":"Say a extraordinary b"}`, `{"model":"m","inputs":"Say a extraordinary b","stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{TokensPerSecond: 2})
			began := time.Now()
			direct(context.Background(), e, http.MethodPost, "/v1/conversations", body)
			if took := time.Since(began); took != 2500*time.Millisecond { // 4 tokens and 1, at 2 a second
				t.Errorf("%s: took %s, want 2.5 s", body, took)
			}
		})
	}
}

func TestTokenDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{Latency: time.Second, TokenDelay: 100 * time.Millisecond})
		began := time.Now()
		w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Count to 5","stream":true}`)
		if got, want := time.Since(began), 1400*time.Millisecond; got != want {
			t.Errorf("stream of 5 deltas took %s, want %s", got, want)
		}
		if list := events(t, w.Body.String()); len(list) != 7 {
			t.Errorf("got %d events, want 7", len(list))
		}
	})
}

// A response takes as long without streaming as with it.
func TestTokenDelayWithoutStreaming(t *testing.T) {
	t.Parallel()
	message := func(content generated.MessageContent) generated.Entry {
		return generated.NewEntry(generated.MessageOutputEntry{Content: content})
	}
	text := func(text string) generated.Entry { return message(generated.NewTextContent(text)) }
	call := generated.NewEntry(generated.FunctionCallEntry{Name: "f", Arguments: `{"a": 1, "b": 2}`})
	tool := generated.NewEntry(generated.ToolExecutionEntry{Name: "web_search", Arguments: `{"q": "it all"}`})
	for _, test := range []struct {
		name    string
		outputs []generated.Entry
		deltas  int
	}{
		{"text", []generated.Entry{text("a few words, five")}, 4},
		{"no text", []generated.Entry{text("")}, 1},
		{"chunks", []generated.Entry{message(generated.NewChunkContent(
			generated.NewContentChunk(generated.TextChunk{Text: "two words"}),
			generated.NewContentChunk(generated.ImageURLChunk{}),
			generated.NewContentChunk(generated.TextChunk{}),
		))}, 4},
		{"call", []generated.Entry{call}, 1 + 4},
		{"tool", []generated.Entry{tool}, 1},
		{"tool without arguments", []generated.Entry{generated.NewEntry(generated.ToolExecutionEntry{Name: "web_search"})}, 0},
		{"several", []generated.Entry{tool, text("two words"), call, text("one")}, 1 + 2 + 5 + 1},
	} {
		for _, body := range []string{`{"model":"m","inputs":"x"}`, `{"model":"m","inputs":"x","stream":true}`} {
			synctest.Test(t, func(t *testing.T) {
				e := emulator.New(emulator.Config{TokenDelay: time.Second, Model: func(context.Context, emulator.Prompt) emulator.Reply {
					return emulator.Reply{Entries: test.outputs}
				}})
				began := time.Now()
				direct(t.Context(), e, http.MethodPost, "/v1/conversations", body)
				if got, want := time.Since(began), time.Duration(max(0, test.deltas-1))*time.Second; got != want {
					t.Errorf("%s, %s: took %s, want %s", test.name, body, got, want)
				}
			})
		}
	}
}
