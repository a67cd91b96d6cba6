package emulatortest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The bounds of the log of a failed test.
const (
	maxExchanges = 50
	maxContent   = 4 << 10 // bytes per request or response body
)

// recorder records the latest exchanges, with the first bytes of each body.
type recorder struct {
	base http.RoundTripper
	key  string

	mu        sync.Mutex
	count     int
	exchanges []*exchange

	open sync.Map // the response bodies that are not closed
}

// exchange is a request with its response or error.
type exchange struct {
	mu                sync.Mutex
	method, path      string
	request, response bytes.Buffer
	outcome           string // the status or the error; empty while the request is in flight
}

// capture is a body that records its first bytes.
type capture struct {
	io.ReadCloser
	exchange *exchange
	into     *bytes.Buffer
	recorder *recorder
}

// Read reads from the body and records the bytes.
func (c capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.exchange.mu.Lock()
	defer c.exchange.mu.Unlock()
	c.into.Write(p[:min(n, maxContent-c.into.Len())])
	return n, err
}

// Close closes the body and removes it from the recorder's open bodies.
func (c capture) Close() error {
	c.recorder.open.Delete(c.into)
	return c.ReadCloser.Close()
}

// closeBodies closes the response bodies that the test did not close. Otherwise their
// connections would outlive the test.
func (r *recorder) closeBodies() {
	r.open.Range(func(_, body any) bool {
		_ = body.(io.Closer).Close()
		return true
	})
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	x := &exchange{method: request.Method, path: request.URL.RequestURI()}
	r.mu.Lock()
	r.count++
	r.exchanges = append(r.exchanges[max(0, len(r.exchanges)-maxExchanges+1):], x)
	r.mu.Unlock()
	if request.Body != nil {
		request = request.Clone(request.Context())
		request.Body = capture{request.Body, x, &x.request, r}
	}
	response, err := r.base.RoundTrip(request)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.outcome = err.Error()
		return nil, err
	}
	x.outcome = response.Status
	response.Body = capture{response.Body, x, &x.response, r}
	r.open.Store(&x.response, response.Body)
	return response, nil
}

// String returns the exchanges and redacts the API key.
func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, the last %d of them:\n", r.count, len(r.exchanges))
	for _, x := range r.exchanges {
		x.mu.Lock()
		fmt.Fprintf(&b, "→ %s %s %s\n← %s %s\n", x.method, x.path, &x.request, x.outcome, strings.TrimSpace(x.response.String()))
		x.mu.Unlock()
	}
	if r.key == "" {
		return b.String()
	}
	return strings.ReplaceAll(b.String(), r.key, "[key]")
}

// Request is the set of request types that [Requests] can return.
type Request interface {
	generated.StartConversationRequest | generated.AppendConversationRequest | generated.RestartConversationRequest |
		generated.CreateAgentRequest | generated.UpdateAgentRequest
}

// Requests returns the requests of one type, in order of arrival. It includes requests that
// the server rejected. The server records at most [emulator.MaxRecordedBody] bytes of a
// request; Requests fails the test if a request is longer.
func Requests[T Request](t interface {
	Helper()
	Errorf(format string, args ...any)
}, server *emulator.Server,
) []T {
	t.Helper()
	operation := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", *new(T)), "generated."), "Request")
	var list []T
	for _, recorded := range server.Requests() {
		if strings.TrimSuffix(recorded.Operation, "Stream") != operation {
			continue
		}
		var request T
		if _, err := generated.Unmarshal([]byte(recorded.Body), &request); err != nil {
			t.Errorf("emulatortest: cannot decode request %s: it may be longer than %d bytes: %v", recorded.RequestID, emulator.MaxRecordedBody, err)
			continue
		}
		list = append(list, request)
	}
	return list
}
