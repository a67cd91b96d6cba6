package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Transport is an [http.RoundTripper] that checks its traffic and does not change it. It
// checks a request before sending it, and the head of a response on arrival. It checks a
// body at its end, and each event of a stream as the caller reads it. It does not buffer
// events.
type Transport struct {
	// Base sends the requests. The default is http.DefaultTransport.
	Base http.RoundTripper
	// Contract is the contract to check against. The default is [Default].
	Contract *Contract
	// Report is a function that receives each violation. It is required. Transport
	// calls it from the goroutines that send requests and read bodies.
	Report func(Violation)
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip sends a request and reports violations to Report. A violation does not make
// RoundTrip fail.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.Report == nil {
		closeBody(r)
		return nil, errors.New("contract: Transport.Report is required")
	}
	data, sent, err := copyBody(r)
	if err != nil {
		return nil, err
	}
	op, found := t.contract().CheckRequest(r, data)
	t.report(found)
	resp, err := t.base().RoundTrip(sent)
	if err != nil {
		return resp, err
	}
	if resp.Request == sent {
		resp.Request = r
	}
	if op != nil && resp.Body != nil {
		t.checkResponse(op, resp)
	}
	return resp, nil
}

// CloseIdleConnections closes the idle connections of Base.
// [http.Client.CloseIdleConnections] calls it.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) contract() *Contract {
	if t.Contract == nil {
		return Default()
	}
	return t.Contract
}

func (t *Transport) report(list []Violation) {
	for _, v := range list {
		t.Report(v)
	}
}

// checkResponse checks the head of a response and wraps its body, to check it as the
// caller reads it.
func (t *Transport) checkResponse(op *Operation, resp *http.Response) {
	rest, found := op.checkHead(resp.StatusCode, resp.Header)
	t.report(found)
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" {
		t.Report(Violation{
			Operation: op.ID, In: "header", Pointer: "Content-Encoding", Rule: "encoding",
			Message: "cannot check an encoded body: must not be set", Value: short(encoding),
		})
		return
	}
	switch {
	case rest.body != nil:
		resp.Body = &body{ReadCloser: resp.Body, length: resp.ContentLength, check: func(data []byte) {
			t.report(rest.body(data))
		}}
	case rest.events:
		resp.Body = t.stream(op, resp.Body)
	}
}

// body copies the bytes that the caller reads and checks them once. It checks them at
// io.EOF, or on Close if the caller has read everything but not io.EOF.
type body struct {
	io.ReadCloser
	length int64 // the Content-Length; -1 if it is unknown
	check  func([]byte)

	mu      sync.Mutex // guards the fields below; Read and Close may run concurrently
	data    []byte
	checked bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p[:n]...)
	if errors.Is(err, io.EOF) {
		b.finish()
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.checked && (int64(len(b.data)) == b.length || json.Valid(b.data)) {
		b.finish()
	}
	return err
}

// finish runs the check once. The caller must hold b.mu.
func (b *body) finish() {
	if !b.checked {
		b.checked = true
		b.check(b.data)
	}
}

// stream returns a body that checks each event as the caller reads it.
func (t *Transport) stream(op *Operation, source io.ReadCloser) io.ReadCloser {
	s := &stream{ReadCloser: source}
	s.frames.event = func(name string, data []byte) {
		for _, v := range op.contract.CheckEvent(name, data) {
			v.Operation = op.ID
			t.Report(v)
		}
	}
	s.truncated = func() {
		t.Report(Violation{
			Operation: op.ID, In: "event", Rule: "frame",
			Message: "last event must end with a blank line", Value: short(string(s.frames.line)),
		})
	}
	return s
}

type stream struct {
	io.ReadCloser
	frames    frames
	truncated func() // reports that the stream ended inside an event
	once      sync.Once
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.frames.write(p[:n])
	// A broken connection returns another error and is not a violation.
	if errors.Is(err, io.EOF) && s.frames.pending() {
		s.once.Do(s.truncated)
	}
	return n, err
}

// copyBody reads the body of a request. It returns the body and a copy of the request that
// sends it. A RoundTripper must not change its request and must close the body.
func copyBody(r *http.Request) ([]byte, *http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, r, nil
	}
	defer closeBody(r)
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(data))
	return data, sent, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // net/http's transport ignores the error, too.
	}
}
