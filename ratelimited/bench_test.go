package ratelimited_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// stubTransport responds to every request with the same response, without a network.
type stubTransport struct{ header http.Header }

// stubResponse is the body of the responses of a stubTransport.
const stubResponse = `{"object":"conversation.response","conversation_id":"conv_0199a1b2c3d4","outputs":[{"object":"entry",` +
	`"type":"message.output","created_at":"2026-01-02T03:04:05.678901Z","completed_at":"2026-01-02T03:04:06.789012Z",` +
	`"id":"msg_0199a1b2c3d5","agent_id":null,"model":"mistral-small-latest","role":"assistant",` +
	`"content":"Hello! How can I help you today?"}],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21,` +
	`"connector_tokens":null,"connectors":null},"guardrails":null}`

func (s stubTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: 200, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: s.header,
		Body: io.NopCloser(bytes.NewReader([]byte(stubResponse))), ContentLength: int64(len(stubResponse)), Request: req,
	}, nil
}

// stubClient is an HTTP client whose responses have the header fields of the API.
var stubClient = &http.Client{Transport: stubTransport{http.Header{
	"Content-Type":                              {"application/json"},
	"Mistral-Correlation-Id":                    {"0199a1b2"},
	"X-Ratelimit-Limit-Tokens-Minute":           {"500000"},
	"X-Ratelimit-Remaining-Tokens-Minute":       {"499979"},
	"X-Ratelimit-Limit-Web-Search-Minute":       {"30"},
	"X-Ratelimit-Remaining-Web-Search-Minute":   {"30"},
	"X-Ratelimit-Limit-Code-Interpreter-Minute": {"30"},
}}}

// bareRequest and bareResponse are the types that a program without an SDK would declare.
type (
	bareRequest struct {
		Inputs string `json:"inputs"`
		Model  string `json:"model"`
	}
	bareResponse struct {
		ConversationID string `json:"conversation_id"`
		Outputs        []struct {
			Type      string `json:"type"`
			CreatedAt string `json:"created_at"`
			ID        string `json:"id"`
			Model     string `json:"model"`
			Role      string `json:"role"`
			Content   string `json:"content"`
		} `json:"outputs"`
		Usage struct {
			PromptTokens     int `json:"prompt_tokens"`
			CompletionTokens int `json:"completion_tokens"`
			TotalTokens      int `json:"total_tokens"`
		} `json:"usage"`
	}
)

// benchPrompt is the short prompt.
const benchPrompt = "Hello! Please answer in one short sentence."

// longPrompt is 100 KB long.
var longPrompt = strings.Repeat("The quick brown fox jumps over the lazy dog, and \"nobody\" knows why.\n", 100_000/71)

// bareCall makes a call with net/http and encoding/json only.
func bareCall(ctx context.Context, prompt string) (string, error) {
	body, err := json.Marshal(bareRequest{Inputs: prompt, Model: "mistral-small-latest"})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.mistral.ai/v1/conversations", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer key")
	resp, err := stubClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var response bareResponse
	if err := json.Unmarshal(data, &response); err != nil {
		return "", err
	}
	return response.Outputs[0].Content, nil
}

// authorizingDoer adds the Authorization field, which the generated client does not set.
type authorizingDoer struct{ generated.Doer }

func (d authorizingDoer) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Authorization", "Bearer key")
	return d.Doer.Do(req)
}

// generatedCall makes a call with the generated client.
func generatedCall(ctx context.Context, api *generated.Client, prompt string) (string, error) {
	resp, err := api.StartConversation(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: generated.NewTextInputs(prompt),
	})
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var response generated.ConversationResponse
	if err := response.UnmarshalJSON(data); err != nil {
		return "", err
	}
	return response.OutputText(), nil
}

// BenchmarkCall measures one complete call with a short prompt and a stub transport. It measures
// a call by hand, one with the generated client, and one with the rate-limited client. The metric
// x-bare is the ratio to the call by hand.
func BenchmarkCall(b *testing.B) { benchmarkCall(b, benchPrompt) }

// BenchmarkLongPrompt is BenchmarkCall with a prompt of 100 KB. Each call has the same prompt.
func BenchmarkLongPrompt(b *testing.B) { benchmarkCall(b, longPrompt) }

// benchmarkCall measures the three variants of a call with the given prompt.
func benchmarkCall(b *testing.B, prompt string) {
	ctx := context.Background()
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "a-key-for-benchmarks", HTTPClient: stubClient, RequestsPerSecond: 1e6, TokensPerMinute: 1e9,
	})
	if err != nil {
		b.Fatal(err)
	}
	api := &generated.Client{Server: ratelimited.DefaultBaseURL + "/", Client: authorizingDoer{stubClient}}

	// The first call loads the token vocabulary, which later calls reuse.
	if _, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(prompt)}); err != nil {
		b.Fatal(err)
	}

	var bare float64
	for _, variant := range []struct {
		name string
		call func() (string, error)
	}{
		{"bare", func() (string, error) { return bareCall(ctx, prompt) }},
		{"generated", func() (string, error) { return generatedCall(ctx, api, prompt) }},
		{"ratelimited", func() (string, error) {
			response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
				Model: "mistral-small-latest", Inputs: ratelimited.Text(prompt),
			})
			return response.OutputText(), err
		}},
	} {
		b.Run(variant.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if text, err := variant.call(); err != nil || len(text) != 32 {
					b.Fatal(strconv.Quote(text), err)
				}
			}
			perCall := float64(b.Elapsed()) / float64(b.N)
			if bare == 0 {
				bare = perCall
			}
			b.ReportMetric(perCall/bare, "x-bare")
		})
	}
}

// BenchmarkHostileStream measures streams with many content chunks and with many outputs. The
// time for each event must not grow with their number. The metric x-of-few is the ratio to the
// time for each event of a short stream.
func BenchmarkHostileStream(b *testing.B) {
	for name, event := range map[string]string{
		"chunks":  `{"type":"message.output.delta","id":"m","content_index":%d,"content":"x"}`,
		"outputs": `{"type":"message.output.delta","id":"m%d","content":"x"}`,
	} {
		perEvent := map[int]float64{}
		for _, n := range []int{2_000, 32_000} {
			var body strings.Builder
			body.WriteString(started)
			for i := range n {
				body.WriteString(frame("message.output.delta", fmt.Sprintf(event, i)))
			}
			body.WriteString(done)
			client, err := ratelimited.New(ratelimited.Config{
				APIKey: secretKey, RequestsPerSecond: 1e6, TokensPerMinute: 1e12, BareBuckets: true,
				HTTPClient: &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
					return newResponse(200, "text/event-stream", body.String()), nil
				})},
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					stream, err := openStream(b.Context(), client)
					if err != nil {
						b.Fatal(err)
					}
					for _, err := range stream.Events() {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
				perEvent[n] = float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(n)
				b.ReportMetric(perEvent[n]/perEvent[2_000], "x-of-few")
			})
		}
	}
}

// BenchmarkLeaveStream measures how long it takes to leave a stream after text of the given size has
// been read. The metric x-short is the ratio to a stream of 1 KB. Run it with -benchtime 3x, because
// reading takes longer than leaving.
func BenchmarkLeaveStream(b *testing.B) {
	var short float64
	for _, size := range []int{1 << 10, 7 << 20, 250 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			const deltaBytes = 512
			delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`,
				strings.Repeat("The quick brown fox jumps. ", deltaBytes/27)))
			transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
				resp := newResponse(200, "text/event-stream", "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(started), &repeatedText{text: delta, left: size / len(delta)}, brokenReader{}))
				return resp, nil
			})
			client, err := ratelimited.New(ratelimited.Config{
				APIKey: "a-key-for-benchmarks", HTTPClient: &http.Client{Transport: transport}, RequestsPerSecond: 1e6, TokensPerMinute: 1e12,
			})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				stream, err := openStream(b.Context(), client)
				if err != nil {
					b.Fatal(err)
				}
				events := 0
				for _, err := range stream.Events() {
					if err != nil {
						b.Fatal(err)
					}
					if events++; events == size/len(delta) {
						b.StartTimer()
						break // the stream settles here
					}
				}
			}
			perCall := float64(b.Elapsed()) / float64(b.N)
			if short == 0 {
				short = perCall
			}
			b.ReportMetric(perCall/short, "x-short")
		})
	}
}

// repeatedText is a reader that repeats a text.
type repeatedText struct {
	text string
	left int // the remaining repetitions
	pos  int // in the current repetition
}

func (r *repeatedText) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.pos:])
	if r.pos += n; r.pos == len(r.text) {
		r.pos = 0
		r.left--
	}
	return n, nil
}

// brokenReader is a reader that fails at once.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
