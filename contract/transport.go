package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Transport checks what passes through it and alters nothing: requests before they
// go out, the heads of responses as they come, bodies when they have been read to
// their end, and events of a stream one by one as they are read, none held back.
type Transport struct {
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// Contract is what to check against; nil means [Default].
	Contract *Contract
	// Report is called with each violation, from any goroutine that sends a request
	// or reads a body. It must not be nil.
	Report func(Violation)
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip sends a request. Violations go to Report and never make it fail.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.Report == nil {
		closeBody(r)
		return nil, errors.New("contract: Transport.Report is nil")
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
		t.watch(op, resp)
	}
	return resp, nil
}

// CloseIdleConnections makes http.Client.CloseIdleConnections reach the base.
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

// watch checks the head of a response and wraps its body to check that too.
func (t *Transport) watch(op *Operation, resp *http.Response) {
	todo, found := op.checkHead(resp.StatusCode, resp.Header)
	t.report(found)
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" {
		t.Report(Violation{
			Operation: op.ID, In: "header", Pointer: "Content-Encoding", Rule: "encoding",
			Message: "want a body that can be read", Value: short(encoding),
		})
		return
	}
	switch {
	case todo.body != nil:
		resp.Body = &body{ReadCloser: resp.Body, length: resp.ContentLength, check: func(data []byte) {
			t.report(todo.body(data))
		}}
	case todo.events:
		resp.Body = t.stream(op, resp.Body)
	}
}

// body collects what is read of a body and checks it once: at its end, or when it
// is closed and all of it has been read though nobody asked for the end.
type body struct {
	io.ReadCloser
	length int64 // -1: not known
	check  func([]byte)

	mu      sync.Mutex // Close may come while Read is under way
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

// finish runs the check unless it has been run. The caller holds the lock.
func (b *body) finish() {
	if !b.checked {
		b.checked = true
		b.check(b.data)
	}
}

// stream returns a body that checks events as they are read.
func (t *Transport) stream(op *Operation, source io.ReadCloser) io.ReadCloser {
	s := &stream{ReadCloser: source}
	s.frames.event = func(name string, data []byte) {
		for _, v := range op.contract.CheckEvent(name, data) {
			v.Operation = op.ID
			t.Report(v)
		}
	}
	s.cut = func() {
		t.Report(Violation{
			Operation: op.ID, In: "event", Rule: "frame",
			Message: "want a blank line after the last event", Value: short(string(s.frames.line)),
		})
	}
	return s
}

type stream struct {
	io.ReadCloser
	frames frames
	cut    func()
	once   sync.Once
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.frames.write(p[:n])
	// A connection that breaks ends with another error, and is nobody's violation.
	if errors.Is(err, io.EOF) && s.frames.pending() {
		s.once.Do(s.cut)
	}
	return n, err
}

// copyBody reads a request's body and returns it with a request that still has it. A
// RoundTripper may not change the request it is given, and must close its body.
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
		_ = r.Body.Close() // As net/http's own transport does: it has been read, or never will be.
	}
}
