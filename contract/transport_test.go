package contract_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// roundTripper adapts a function to http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorder collects the reported violations.
type recorder struct {
	mu   sync.Mutex
	list []contract.Violation
}

func (r *recorder) report(v contract.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, v)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return text(r.list)
}

// respond returns a transport that always returns this response.
func respond(status int, contentType string, body io.ReadCloser, length int64) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		header := http.Header{}
		if contentType != "" {
			header.Set("Content-Type", contentType)
		}
		return &http.Response{StatusCode: status, Header: header, Body: body, ContentLength: length, Request: r}, nil
	}
}

func textBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func send(t *testing.T, base http.RoundTripper, method, path, body string) (*http.Response, *recorder) {
	t.Helper()
	rec := &recorder{}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://example.org"+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&contract.Transport{Base: base, Report: rec.report}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Request != r {
		t.Error("Response.Request is not the caller's request")
	}
	return resp, rec
}

func TestTransportDoesNotChangeTraffic(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.ContentLength != int64(len(body)) || r.Header.Get("X-Mine") != "1" || r.URL.EscapedPath() != "/v1/conversations/a%2Fb" {
			t.Errorf("%d %v %s", r.ContentLength, r.Header, r.URL)
		}
		if string(body) != `{ "inputs" : "hi" }` {
			t.Errorf("body %s", body)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, reply)
	}))
	defer server.Close()

	client := contract.Client(t, server.Client().Transport)
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/conversations/a%2Fb", strings.NewReader(`{ "inputs" : "hi" }`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Mine", "1")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != reply || resp.ContentLength != int64(len(reply)) {
		t.Errorf("%v %d %s", err, resp.ContentLength, got)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
}

func TestTransportReportsBothWays(t *testing.T) {
	t.Parallel()
	resp, rec := send(t, respond(200, "application/json", textBody(`{}`), 2), "POST", "/v1/agents", `{"model":"m"}`)
	if want := "CreateAgent: body /name: required: property is missing"; rec.text() != want {
		t.Errorf("before reading the body:\n%s\nwant %s", rec.text(), want)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rec.text(), "CreateAgent: response /id: required: property is missing") {
		t.Errorf("after reading the body:\n%s", rec.text())
	}
	reported := rec.text()
	if err := resp.Body.Close(); err != nil || rec.text() != reported {
		t.Errorf("Close returned %v, and the violations are now:\n%s", err, rec.text())
	}
}

func TestTransportChecksTheHeadBeforeTheBody(t *testing.T) {
	t.Parallel()
	_, rec := send(t, respond(418, "", http.NoBody, 0), "GET", "/v1/agents", "")
	if want := "ListAgents: response status: status: must be 200 or 422, got 418"; rec.text() != want {
		t.Error(rec.text())
	}
	_, rec = send(t, respond(429, "", http.NoBody, 0), "GET", "/v1/agents", "")
	if rec.text() != "" {
		t.Error(rec.text())
	}
	_, rec = send(t, respond(200, "text/plain", textBody("x"), 1), "GET", "/v1/agents", "")
	if want := `ListAgents: header Content-Type: mediaType: must be application/json, got "text/plain"`; rec.text() != want {
		t.Error(rec.text())
	}
	_, rec = send(t, respond(200, "text/plain", nil, 0), "GET", "/v1/elsewhere", "")
	if want := `path /v1/elsewhere: route: must be a path in the document, got "GET /v1/elsewhere"`; rec.text() != want {
		t.Error(rec.text())
	}
}

// The transport checks a body if the client has read all of it, even without io.EOF. It
// does not check an incomplete body.
func TestPartlyReadBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		length int64
		body   string
		want   string
	}{
		{-1, "{}", `ListAgents: response: type: must be array, got {}`},
		{2, "{}", `ListAgents: response: type: must be array, got {}`},
		{2, "[{", `ListAgents: response: json: must be one JSON value (unexpected end of JSON input), got "[{"`},
	} {
		resp, rec := send(t, respond(200, "application/json", textBody(tt.body), tt.length), "GET", "/v1/agents", "")
		if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		if rec.text() != "" {
			t.Errorf("violations before Close: %s", rec.text())
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if rec.text() != tt.want {
			t.Errorf("%s of length %d: %s", tt.body, tt.length, rec.text())
		}
	}
	resp, rec := send(t, respond(200, "application/json", textBody("[{}]"), -1), "GET", "/v1/agents", "")
	if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || rec.text() != "" {
		t.Errorf("%v %s", err, rec.text())
	}
}

func TestTransportErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	closed := false
	post := func(body io.Reader) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://example.org/v1/agents", body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	rec := &recorder{}
	fails := &contract.Transport{Report: rec.report, Base: roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken })}
	if _, err := fails.RoundTrip(post(nil)); !errors.Is(err, broken) {
		t.Errorf("base: %v", err)
	}
	unreadable := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader("{"), errorReader{broken}), closerFunc(func() error { closed = true; return nil })}
	if _, err := fails.RoundTrip(post(unreadable)); !errors.Is(err, broken) || !closed {
		t.Errorf("body: %v, closed %v", err, closed)
	}
	closed = false
	if _, err := (&contract.Transport{}).RoundTrip(post(unreadable)); err == nil || !closed {
		t.Errorf("without Report: %v, closed %v", err, closed)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// net/http's transport decompresses a response unless the caller sets Accept-Encoding.
// In that case, Transport cannot check the body and reports a violation.
func TestTransportReportsCompressedBody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "["+agent+"]")
		_ = z.Close()
	}))
	defer server.Close()
	rec := &recorder{}
	client := &http.Client{Transport: &contract.Transport{Base: server.Client().Transport, Report: rec.report}}
	for _, explicit := range []bool{false, true} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/agents", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if explicit {
			r.Header.Set("Accept-Encoding", "gzip")
			want = `ListAgents: header Content-Encoding: encoding: cannot check an encoded body: must not be set, got "gzip"`
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if rec.text() != want {
			t.Errorf("with an explicit Accept-Encoding %v: %s", explicit, rec.text())
		}
	}
}

func TestTransportConcurrently(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, found := contract.Default().CheckRequest(r, mustRead(t, r.Body))
		if op == nil || found != nil {
			t.Errorf("%s", text(found))
			return
		}
		for _, x := range exchanges {
			if x.operation == op.ID && x.response != "" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, x.response)
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	client := contract.Client(t, server.Client().Transport)
	var wg sync.WaitGroup
	for range 4 {
		for _, x := range exchanges {
			wg.Go(func() {
				r, err := http.NewRequestWithContext(context.Background(), x.method, server.URL+x.path, strings.NewReader(x.request))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				if resp.StatusCode != x.status {
					t.Errorf("%s: %d", x.operation, resp.StatusCode)
				}
				if x.response != "" && !json.Valid(mustRead(t, resp.Body)) {
					t.Errorf("%s: response is not JSON", x.operation)
				}
				_ = resp.Body.Close()
			})
		}
	}
	wg.Wait()
}

func mustRead(t *testing.T, r io.Reader) []byte {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Error(err)
	}
	return b.Bytes()
}
