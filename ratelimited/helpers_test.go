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

// secretKey is the key of every client in the tests. It must appear in nothing
// that a test can see but the Authorization field.
// unknownReply is how many tokens a reply without max_tokens counts as until three were seen, under
// a limit of four times that or more.
const unknownReply = 4096

const secretKey = "sk-THE-SECRET-KEY"

// inBubble runs a test in virtual time, with a client that talks real HTTP to
// handler over connections in memory. It fails when a request breaks the API's document,
// and when a permit is left over.
func inBubble(t *testing.T, config ratelimited.Config, handler http.HandlerFunc, test func(t *testing.T, client *ratelimited.Client)) {
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

// checked checks the requests that come to a handler against the API's document.
func checked(t *testing.T, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		meant := r.Clone(r.Context())
		if i := strings.Index(r.URL.Path, "/v1/"); i > 0 { // the base URL has a path
			meant.URL.Path, meant.URL.RawPath = r.URL.Path[i:], ""
		}
		_, violations := contract.Default().CheckRequest(meant, body)
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
			t.Errorf("limiter %q: %d permits with %d tokens in flight and %d waiting, want none", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
	}
}

// snapshot is the state of the default limiter.
func snapshot(client *ratelimited.Client) limiter.Snapshot { return client.Snapshot()[""] }

// reply is a whole response of the API.
func reply(text string, totalTokens int) string {
	return fmt.Sprintf(`{"object":"conversation.response","conversation_id":"conv_1","outputs":[{"object":"entry",`+
		`"type":"message.output","created_at":"2026-01-02T03:04:05Z","completed_at":"2026-01-02T03:04:06Z","id":"msg_1",`+
		`"model":"m","role":"assistant","content":%q}],"usage":{"prompt_tokens":%d,"completion_tokens":0,"total_tokens":%d}}`,
		text, totalTokens, totalTokens)
}

// answer writes a JSON reply.
func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that left is part of some tests
}

// inTurn answers the n-th request with the n-th handler, and all further ones
// with the last.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
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

func ok(w http.ResponseWriter, _ *http.Request) { answer(w, 200, reply("fine", 30)) }

// status answers with a status, an error body of the API and header fields "name: value".
func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		answer(w, code, body)
	}
}

const tooMany = `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`

func start(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) (*generated.ConversationResponse, error) {
	return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...)
}

// elapsed returns how long f takes.
func elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// countingServer is a server that counts the connections made to it.
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
