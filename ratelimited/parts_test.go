package ratelimited_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// withChunks returns a request with one message of the given chunks.
func withChunks(chunks ...generated.ContentChunkVariant) generated.StartConversationRequest {
	list := make([]generated.ContentChunk, len(chunks))
	for i, c := range chunks {
		list[i] = generated.NewContentChunk(c)
	}
	return generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.UserChunks(list...))}
}

// words returns a text of about n tokens.
func words(n int) string { return strings.Repeat(" hello", n) }

// The client learns the tokens of documents separately from the tokens of text. So documents do not change
// the estimates for text.
func TestDocumentsDoNotChangeTextEstimates(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"}, generated.TextChunk{Text: "Summarize."})
	var o heldTokens
	handler := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, responseWithUsage("c", 6010, 10)) }
	runWithHandler(t, config, o.record(handler), func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		call := func(request generated.StartConversationRequest) int {
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			return o.byLimiter[""]
		}
		for range 12 {
			call(document)
		}
		if held := call(document); held < 5500 || held > 6100 {
			t.Errorf("the estimate for a document is %d tokens, want about 6,010", held)
		}
		if held := call(generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(30_000))}); held < 29_000 || held > 31_000 {
			t.Errorf("the estimate for a text is %d tokens, want about 30,000", held)
		}
	})
}

// A learned estimate never makes a call too large for the bucket. The client sends the call and learns from it.
func TestLearnedEstimatesDoNotRejectCalls(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	costs := make(chan int, 100)
	handler := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, responseWithUsage("c", <-costs, 10)) }
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"})
	for name, request := range map[string]generated.StartConversationRequest{
		"ratio": {Model: "m", Inputs: ratelimited.Text(words(30_000))}, "price": document, "many parts": withChunks(manyImages(150)...),
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
				for i := range 40 {
					cost := 90_000
					if i >= 20 {
						cost = 1000
					}
					costs <- cost
					if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
						t.Fatalf("call %d: %v", i, err)
					}
				}
			})
		})
	}
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(101_000))})
		if !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("a text of 101,000 counted tokens returns %v, want ErrInvalid", err)
		}
	})
}

// manyImages returns n image chunks.
func manyImages(n int) []generated.ContentChunkVariant {
	list := make([]generated.ContentChunkVariant, n)
	for i := range list {
		list[i] = generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/a.png"}}
	}
	return list
}

// The client estimates a chunk of an unknown type as a file. It does not count the chunk's data as text.
func TestUnknownChunksAreNotCountedAsText(t *testing.T) {
	audio := base64.StdEncoding.EncodeToString(make([]byte, 9<<18)) // 3 MiB
	raw := `{"type":"input_audio","input_audio":"` + audio + `"}`
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	var observed *ratelimited.Client
	held := 0
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) { // not a handler: the OpenAPI document does not define the type
		held = snapshot(observed).HeldTokens
		return newResponse(200, "application/json", responseJSON("fine", 30)), nil
	})
	runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		observed = client
		request := withChunks(generated.UnknownContentChunk{Type: "input_audio", Raw: []byte(raw)})
		if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if held < 1024+defaultResponseEstimate || held > 1024+defaultResponseEstimate+100 {
			t.Errorf("the estimate is %d tokens, want about %d", held, 1024+defaultResponseEstimate)
		}
	})
}

// The client counts the tokens of a JSON Schema in the response format.
func TestSchemaIsCounted(t *testing.T) {
	var o heldTokens
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	runWithHandler(t, config, o.record(ok), func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		request := generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text("Hello!"),
			CompletionArgs: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
				Type:       generated.ResponseFormatsJSONSchema,
				JSONSchema: generated.JSONSchema{Name: "answer", Schema: map[string]any{"type": "object", "description": words(5000)}},
			}},
		}
		if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if held := o.byLimiter[""]; held < 5000+defaultResponseEstimate || held > 5100+defaultResponseEstimate {
			t.Errorf("the estimate is %d tokens, want about %d", held, 5000+defaultResponseEstimate)
		}
	})
}
