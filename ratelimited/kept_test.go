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

// The client does not store IDs, models, and agents whose names exceed the maximum length.
func TestLongNamesAreNotStored(t *testing.T) {
	number := 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		number++
		long := fmt.Sprintf("%04d", number) + strings.Repeat("x", 1<<18)
		writeJSON(w, 200, strings.ReplaceAll(`{"id":"LONG","agent_id":"LONG","model":"LONG","conversation_id":"LONG","outputs":[{"type":"message.output","content":"x","agent_id":"LONG","model":"LONG"}],"usage":{"total_tokens":30}}`, "LONG", long))
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
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
			t.Errorf("%d bytes are kept after 90 responses, want at most 8 MiB", kept)
		}
		// The client treats a model with a long name as unknown.
		model := strings.Repeat("m", 1000)
		if _, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("x")}); err != nil {
			t.Error(err)
		}
	})
}

// heapBytes returns the size of the live heap in bytes.
func heapBytes() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// If the caller leaves a long stream, the client counts the tokens of a part of the text and estimates
// the rest.
func TestLeavingALongStream(t *testing.T) {
	sentence := "The quick brown fox jumps over the lazy dog, and nobody knows why. "
	long := strings.Repeat(sentence, 1<<20/len(sentence))
	delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`, long))
	runWithHandler(t, large, streaming(started+delta+hello), func(t *testing.T, client *ratelimited.Client) {
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
			t.Errorf("%v tokens settled, want about %v", got, want)
		}
	})
}

// A body whose Read returns neither bytes nor an error ends the call with [io.ErrNoProgress].
func TestBodyWithoutProgress(t *testing.T) {
	for name, test := range map[string]struct {
		status          int
		mediaType, head string
		stream          bool
	}{
		"success":    {200, "application/json", `{"conversation_id":`, false},
		"stream":     {200, "text/event-stream", "", true},
		"mid-stream": {200, "text/event-stream", started + hello, true},
		"error":      {500, "application/json", `{"message":`, false},
	} {
		t.Run(name, func(t *testing.T) {
			transport := func(*http.Request) (*http.Response, error) {
				r := newResponse(test.status, test.mediaType, "")
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader(test.head), stuckReader{}))
				return r, nil
			}
			runWithTransport(t, fast, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
				err := callOrStream(t.Context(), client, "Hello!", test.stream)
				if err == nil || test.status == 200 && !errors.Is(err, io.ErrNoProgress) {
					t.Errorf("error is %v, want io.ErrNoProgress", err)
				}
			})
		})
	}
}

// stuckReader is a reader that returns neither bytes nor an error.
type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }
