package ratelimited_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// defaultResponseEstimate is the number of tokens that the client estimates for a response to a
// request without max_tokens. The client uses it until it has seen three responses, if the
// limit of tokens is at least four times as large.
const defaultResponseEstimate = 4096

// secretKey is the key of every client in the tests. The tests fail if it appears anywhere but
// in the Authorization field.
const secretKey = "sk-THE-SECRET-KEY"

// runWithHandler runs a test in virtual time. Its client sends HTTP requests to handler over
// in-memory connections. The test fails if a request does not match the OpenAPI document, or if
// it leaves a permit held.
func runWithHandler(t *testing.T, config ratelimited.Config, handler http.HandlerFunc, test func(t *testing.T, client *ratelimited.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(checked(t, handler))
		defer server.Close()
		config.APIKey = secretKey
		config.BaseURL = server.URL()
		config.HTTPClient = server.Client()
		client := newClient(t, config)
		test(t, client)
		synctest.Wait()
		wantNoPermits(t, client)
	})
}

// checked wraps a handler and validates its requests against the OpenAPI document.
func checked(t *testing.T, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client disconnected
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		withoutPrefix := r.Clone(r.Context())
		if i := strings.Index(r.URL.Path, "/v1/"); i > 0 { // the base URL has a path
			withoutPrefix.URL.Path, withoutPrefix.URL.RawPath = r.URL.Path[i:], ""
		}
		_, violations := contract.Default().CheckRequest(withoutPrefix, body)
		for _, v := range violations {
			t.Error(v)
		}
		handler(w, r)
	}
}

func newClient(t *testing.T, config ratelimited.Config) *ratelimited.Client {
	t.Helper()
	client, err := ratelimited.New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return client
}

func wantNoPermits(t *testing.T, client *ratelimited.Client) {
	t.Helper()
	for model, s := range client.Snapshot() {
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			t.Errorf("limiter %q: %d permits with %d tokens in flight and %d calls waiting, want 0", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
	}
}

// snapshot returns the state of the default limiter.
func snapshot(client *ratelimited.Client) limiter.Snapshot { return client.Snapshot()[""] }

// responseJSON returns a complete response of the API.
func responseJSON(text string, totalTokens int) string {
	return fmt.Sprintf(`{"object":"conversation.response","conversation_id":"conv_1","outputs":[{"object":"entry",`+
		`"type":"message.output","created_at":"2026-01-02T03:04:05Z","completed_at":"2026-01-02T03:04:06Z","id":"msg_1",`+
		`"model":"m","role":"assistant","content":%q}],"usage":{"prompt_tokens":%d,"completion_tokens":0,"total_tokens":%d}}`,
		text, totalTokens, totalTokens)
}

// writeJSON writes a response with JSON content.
func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // in some tests, the client has disconnected
}

// handlersInOrder handles the n-th request with the n-th handler, and all further requests with
// the last handler.
func handlersInOrder(handlers ...http.HandlerFunc) http.HandlerFunc {
	next := make(chan http.HandlerFunc, len(handlers))
	for _, h := range handlers {
		next <- h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case h := <-next:
			h(w, r)
		default:
			handlers[len(handlers)-1](w, r)
		}
	}
}

// ok is a handler that responds with a message and a usage of 30 tokens.
func ok(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, responseJSON("fine", 30)) }

// status returns a handler that responds with a status code, a body, and header fields. The
// header fields alternate between names and values.
func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		writeJSON(w, code, body)
	}
}

// rateLimitBody is the body of a 429 response of the API.
const rateLimitBody = `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`

// start makes a call whose prompt counts as 8 tokens.
func start(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) (*generated.ConversationResponse, error) {
	return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...)
}

// elapsed returns the duration of f.
func elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// countingServer is a server with a client that counts its connections.
type countingServer struct {
	*memnet.Server
	client *http.Client
}

func newCountingServer(handler http.HandlerFunc, dials *int) countingServer {
	server := memnet.Start(handler)
	client := server.Client()
	transport := client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		*dials++
		return dial(ctx, network, address)
	}
	return countingServer{server, client}
}
