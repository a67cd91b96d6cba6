package emulator

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
)

// inFlight counts the requests in flight and the memory that they use.
type inFlight struct {
	maxRequests, maxBytes int
	checks                chan struct{} // a semaphore that bounds concurrent validations

	mu              sync.Mutex
	requests, bytes int
}

func newInFlight() *inFlight {
	const maxChecks = 4
	return &inFlight{
		maxRequests: MaxInFlight, maxBytes: MaxInFlightBytes, checks: make(chan struct{}, min(maxChecks, runtime.GOMAXPROCS(0))),
	}
}

// check runs the validation of a request against the document. It bounds how many run at
// once, because validating a large invalid request needs much memory. It returns false if
// the client disconnects while it waits.
func (s *share) check(ctx context.Context, run func()) bool {
	select {
	case s.of.checks <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-s.of.checks }()
	run()
	return true
}

// share is the part of inFlight that one request uses. Only the goroutine that serves the
// request uses it.
type share struct {
	of    *inFlight
	bytes int
}

// enter adds a request. It returns nil if too many requests are in flight.
func (f *inFlight) enter() *share {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests >= f.maxRequests {
		return nil
	}
	f.requests++
	return &share{of: f}
}

// leave removes the request and releases its bytes.
func (s *share) leave() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.requests--
	s.of.bytes -= s.bytes
}

// hold reserves bytes until leave. It returns false if they exceed the bound.
func (s *share) hold(bytes int) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.bytes+bytes > s.of.maxBytes {
		return false
	}
	s.of.bytes += bytes
	s.bytes += bytes
	return true
}

var errBusyRead = errors.New("too many bytes are in flight")

// heldBody is the content of a request. It reserves the bytes that are read.
type heldBody struct {
	io.ReadCloser
	share *share
}

func (b heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.share.hold(n) {
		return 0, errBusyRead
	}
	return n, err
}
