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

func withChunks(chunks ...generated.ContentChunkVariant) generated.StartConversationRequest {
	list := make([]generated.ContentChunk, len(chunks))
	for i, c := range chunks {
		list[i] = generated.NewContentChunk(c)
	}
	return generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.UserChunks(list...))}
}

// words is a text of about so many tokens.
func words(n int) string { return strings.Repeat(" hello", n) }

// What documents cost is learned as their price, and text stays what it is: neither is
// refused, whatever came before.
func TestDocumentsDoNotPriceText(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"}, generated.TextChunk{Text: "Summarize."})
	var o observer
	handler := func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, replyOf("c", 6010, 10)) }
	inBubble(t, config, o.watch(handler), func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		call := func(request generated.StartConversationRequest) int {
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			return o.byName[""]
		}
		for range 12 {
			call(document)
		}
		if held := call(document); held < 5500 || held > 6100 {
			t.Errorf("a document is estimated at %d tokens, want about 6,010", held)
		}
		if held := call(generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(30_000))}); held < 29_000 || held > 31_000 {
			t.Errorf("a text is estimated at %d tokens, want about 30,000", held)
		}
	})
}

// What was learned never makes a call too large for the bucket: it is sent, and teaches.
func TestLearningAloneRefusesNothing(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	costs := make(chan int, 100)
	handler := func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, replyOf("c", <-costs, 10)) }
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"})
	for name, request := range map[string]generated.StartConversationRequest{
		"ratio": {Model: "m", Inputs: ratelimited.Text(words(30_000))}, "price": document, "many parts": withChunks(manyImages(150)...),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
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
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(101_000))})
		if !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("a counted text of 101,000 tokens: %v", err)
		}
	})
}

func manyImages(n int) []generated.ContentChunkVariant {
	list := make([]generated.ContentChunkVariant, n)
	for i := range list {
		list[i] = generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/a.png"}}
	}
	return list
}

// Files in chunks of a type that the client does not know are parts, not text.
func TestUnknownFilesAreNotText(t *testing.T) {
	audio := base64.StdEncoding.EncodeToString(make([]byte, 9<<18)) // 3 MiB
	raw := `{"type":"input_audio","input_audio":"` + audio + `"}`
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	var watched *ratelimited.Client
	held := 0
	transport := tripper(func(*http.Request) (*http.Response, error) { // the document does not know the type either
		held = snapshot(watched).HeldTokens
		return canned(200, "application/json", reply("fine", 30)), nil
	})
	overTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		watched = client
		request := withChunks(generated.UnknownContentChunk{Type: "input_audio", Raw: []byte(raw)})
		if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if held < 1024+unknownReply || held > 1024+unknownReply+100 {
			t.Errorf("estimated at %d tokens", held)
		}
	})
}

// The model reads the schema that its response has to fit.
func TestSchemaIsCounted(t *testing.T) {
	var o observer
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	inBubble(t, config, o.watch(ok), func(t *testing.T, client *ratelimited.Client) {
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
		if held := o.byName[""]; held < 5000+unknownReply || held > 5100+unknownReply {
			t.Errorf("estimated at %d tokens", held)
		}
	})
}
