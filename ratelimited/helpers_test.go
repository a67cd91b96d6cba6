package ratelimited_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// TestMain fails if a test leaves a goroutine running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaultResponseEstimate is the number of tokens that the client estimates for a response to a
// request without max_tokens. The client uses it until it has seen three responses, if the
// limit of tokens is at least four times as large.
const defaultResponseEstimate = 4096

// secretKey is the key of every client in the tests. The tests fail if it appears anywhere but
// in the Authorization field.
const secretKey = "sk-THE-SECRET-KEY"

// fast is a configuration with limits that never delay a call.
var fast = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 1e8}

// small is a configuration with a small token bucket that hardly refills during a test.
var small = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 2000}

// large is a configuration whose tokens five streams with estimates of 100,000 use up.
var large = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 500_000, BareBuckets: true}

// scarce is a configuration in which a request that is not returned delays the next request by
// a quarter of an hour.
var scarce = ratelimited.Config{
	RequestsPerSecond: 0.001, TokensPerMinute: 2000,
	BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Timeout: time.Millisecond,
}

// newClient returns a new client. New must succeed.
func newClient(t *testing.T, config ratelimited.Config) *ratelimited.Client {
	t.Helper()
	client, err := ratelimited.New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return client
}

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

// runWithTransport runs a test in virtual time with a client that uses transport. The test fails if
// it leaves a permit held.
func runWithTransport(t *testing.T, config ratelimited.Config, transport http.RoundTripper, test func(t *testing.T, client *ratelimited.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config.APIKey, config.HTTPClient = secretKey, &http.Client{Transport: transport}
		client := newClient(t, config)
		defer client.Close()
		test(t, client)
		synctest.Wait()
		wantNoPermits(t, client)
	})
}

// runWithEmulator runs a test in virtual time against an emulator and validates all traffic. It returns
// the emulator's statistics.
func runWithEmulator(t *testing.T, config ratelimited.Config, server emulator.Config, test func(t *testing.T, client *ratelimited.Client)) (stats emulator.ModelStats) {
	t.Helper()
	server.OnViolation = func(err error) { t.Errorf("the emulator sends %v", err) }
	// The emulator is created within the synctest bubble, so that it uses the bubble's clock.
	e := sync.OnceValue(func() *emulator.Emulator { return emulator.New(server) })
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { e().ServeHTTP(w, r) }, test)
	return e().Stats().Models["m"]
}

// runWithLatency runs a test in virtual time against an emulator with a network latency of 20 ms. Without
// the latency, the client would not send the first request after a pause alone.
func runWithLatency(t *testing.T, config ratelimited.Config, server emulator.Config, test func(*testing.T, *ratelimited.Client, *emulator.Emulator)) {
	t.Helper()
	server.OnViolation = func(err error) { t.Errorf("the emulator sends %v", err) }
	var e *emulator.Emulator
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Millisecond); e.ServeHTTP(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		e = emulator.New(server) // created within the synctest bubble, to use its clock
		test(t, client, e)
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

// start makes a call whose prompt counts as 8 tokens.
func start(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) (*generated.ConversationResponse, error) {
	return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...)
}

// openStream starts a stream whose prompt counts as 8 tokens.
func openStream(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) (*ratelimited.Stream, error) {
	return client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...)
}

// callOrStream makes a call, with or without streaming, and reads its response.
func callOrStream(ctx context.Context, client *ratelimited.Client, text string, stream bool) error {
	request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(text)}
	if !stream {
		_, err := client.Beta.Conversations.Start(ctx, request)
		return err
	}
	events, err := client.Beta.Conversations.StartStream(ctx, request)
	if err != nil {
		return err
	}
	_, err = collect(events)
	return err
}

// timedResult is the time at which a call ended, and its error.
type timedResult struct {
	at  time.Duration
	err error
}

// callAsync makes a call in a goroutine. The time of its result is the time since begin.
func callAsync(begin time.Time, call func() error) *ratelimited.Future[timedResult] {
	return ratelimited.Async(func() (timedResult, error) {
		err := call()
		return timedResult{time.Since(begin), err}, nil
	})
}

// wantResult checks that a call ended at the given time, with an error that matches all kinds. Without kinds,
// the call must succeed.
func wantResult(t *testing.T, what string, f *ratelimited.Future[timedResult], at time.Duration, kinds ...error) {
	t.Helper()
	e, err := f.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.at != at || len(kinds) == 0 && e.err != nil {
		t.Errorf("%s: ended at %v with %v, want at %v", what, e.at, e.err, at)
	}
	for _, kind := range kinds {
		if !errors.Is(e.err, kind) {
			t.Errorf("%s: error %v, want %v", what, e.err, kind)
		}
	}
	if errors.Is(e.err, context.Canceled) {
		t.Errorf("%s: error %v matches context.Canceled, but its context was not cancelled", what, e.err)
	}
}

// snapshot returns the state of the default limiter.
func snapshot(client *ratelimited.Client) limiter.Snapshot { return client.Snapshot()[""] }

// wantNoPermits checks that the client holds no permits, and that no calls wait.
func wantNoPermits(t *testing.T, client *ratelimited.Client) {
	t.Helper()
	for model, s := range client.Snapshot() {
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			t.Errorf("limiter %q: %d permits with %d tokens in flight and %d calls waiting, want 0", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
	}
}

// wantTokens checks the available tokens of the default limiter.
func wantTokens(t *testing.T, client *ratelimited.Client, want float64) {
	t.Helper()
	if got := snapshot(client).AvailableTokens; got < want-0.5 || got > want+0.5 {
		t.Errorf("the bucket holds %.1f tokens, want %.0f", got, want)
	}
}

// elapsed returns the duration of f.
func elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// responseJSON returns a complete response of the API.
func responseJSON(text string, totalTokens int) string {
	return fmt.Sprintf(`{"object":"conversation.response","conversation_id":"conv_1","outputs":[{"object":"entry",`+
		`"type":"message.output","created_at":"2026-01-02T03:04:05Z","completed_at":"2026-01-02T03:04:06Z","id":"msg_1",`+
		`"model":"m","role":"assistant","content":%q}],"usage":{"prompt_tokens":%d,"completion_tokens":0,"total_tokens":%d}}`,
		text, totalTokens, totalTokens)
}

// rateLimitBody is the body of a 429 response of the API.
const rateLimitBody = `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`

// writeJSON writes a response with JSON content.
func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // in some tests, the client has disconnected
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

// reset is a handler that closes the connection without a response.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// noResponse is a handler that does not respond.
func noResponse(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the server detects a closed connection only after it has read the body
	<-r.Context().Done()
}

// delayed returns a handler that calls another handler after a delay.
func delayed(d time.Duration, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			handler(w, r)
		case <-r.Context().Done():
		}
	}
}

// handlersInOrder returns a handler that handles the n-th request with the n-th handler, and all
// further requests with the last handler.
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

// roundTripperFunc is a transport made of a function. It does not call the hooks of [httptrace.ClientTrace],
// so the client cannot tell whether it has sent a request.
type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newResponse returns a response with the given status code and content.
func newResponse(code int, mediaType, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {mediaType}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// response503 is a transport function that responds with a 503.
func response503(*http.Request) (*http.Response, error) {
	return newResponse(503, "text/plain", "busy"), nil
}

// roundTrippersInOrder returns a function that handles the n-th request with the n-th function, and all further
// requests with the last function.
func roundTrippersInOrder(functions ...roundTripperFunc) roundTripperFunc {
	next := 0
	return func(req *http.Request) (*http.Response, error) {
		next++
		return functions[min(next, len(functions))-1](req)
	}
}

// countingServer is a server with a client that counts its connections.
type countingServer struct {
	*memnet.Server
	client *http.Client
}

// newCountingServer starts a server. Each connection of its client increments dials.
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
