package ratelimited_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// Ids, models and agents of responses are remembered up to the length that they may have.
func TestLongNamesAreNotRemembered(t *testing.T) {
	number := 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		number++
		long := fmt.Sprintf("%04d", number) + strings.Repeat("x", 1<<18)
		answer(w, 200, strings.ReplaceAll(`{"id":"LONG","agent_id":"LONG","model":"LONG","conversation_id":"LONG","outputs":[{"type":"message.output","content":"x","agent_id":"LONG","model":"LONG"}],"usage":{"total_tokens":30}}`, "LONG", long))
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		call := func() {
			_, err1 := start(t.Context(), client)
			_, err2 := client.Beta.Conversations.Get(t.Context(), "conv_1")
			_, err3 := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
		}
		call()
		before := heapBytes()
		for range 30 {
			call()
		}
		if kept := heapBytes() - before; kept > 8<<20 {
			t.Errorf("%d bytes are kept of 90 responses", kept)
		}
		// A model with a name that long is one that is not known.
		model := strings.Repeat("m", 1000)
		if _, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("x")}); err != nil {
			t.Error(err)
		}
	})
}

func heapBytes() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Of a long stream that is left, a part is counted and the rest estimated.
func TestLeavingALongStream(t *testing.T) {
	sentence := "The quick brown fox jumps over the lazy dog, and nobody knows why. "
	long := strings.Repeat(sentence, 1<<20/len(sentence))
	delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`, long))
	inBubble(t, large, streaming(started+delta+hello), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		events := 0
		for _, err := range stream.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if events++; events == 2 {
				break
			}
		}
		counter, err := tokens.NewCounter("")
		if err != nil {
			t.Fatal(err)
		}
		want := float64(counter.Text(long))
		if got := float64(snapshot(client).TokensSettled); got < 0.98*want || got > 1.02*want {
			t.Errorf("%v tokens are settled, want about %v", got, want)
		}
	})
}

// A body that returns neither bytes nor an error does not keep a call busy for ever.
func TestBodyWithoutProgress(t *testing.T) {
	for name, test := range map[string]struct {
		status          int
		mediaType, head string
		stream          bool
	}{
		"plain":      {200, "application/json", `{"conversation_id":`, false},
		"stream":     {200, "text/event-stream", "", true},
		"mid-stream": {200, "text/event-stream", started + hello, true},
		"error":      {500, "application/json", `{"message":`, false},
	} {
		t.Run(name, func(t *testing.T) {
			transport := func(*http.Request) (*http.Response, error) {
				r := canned(test.status, test.mediaType, "")
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader(test.head), stuck{}))
				return r, nil
			}
			overTransport(t, fast, tripper(transport), func(t *testing.T, client *ratelimited.Client) {
				err := callOrStream(t.Context(), client, "Hello!", test.stream)
				if err == nil || test.status == 200 && !errors.Is(err, io.ErrNoProgress) {
					t.Errorf("error is %v, want io.ErrNoProgress", err)
				}
			})
		})
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }
