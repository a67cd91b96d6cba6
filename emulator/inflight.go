package emulator

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
)

// inFlight counts the requests that are being served and the memory that they hold.
type inFlight struct {
	maxRequests, maxBytes int
	checks                chan struct{} // holds one for each request that is being checked

	mu              sync.Mutex
	requests, bytes int
}

func newInFlight() *inFlight {
	const maxChecks = 4
	return &inFlight{
		maxRequests: MaxInFlight, maxBytes: MaxInFlightBytes, checks: make(chan struct{}, min(maxChecks, runtime.GOMAXPROCS(0))),
	}
}

// check runs a check of a request against the document, which for a large one that is
// wrong takes much memory. Therefore few run at one time. It returns false for a client that has
// left before.
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

// share is what one request holds of it. It belongs to the goroutine that serves the
// request.
type share struct {
	of    *inFlight
	bytes int
}

// enter counts a request in; nil is that there are too many.
func (f *inFlight) enter() *share {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests >= f.maxRequests {
		return nil
	}
	f.requests++
	return &share{of: f}
}

func (s *share) leave() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.requests--
	s.of.bytes -= s.bytes
}

// hold takes bytes until the request leaves; false is that there are not as many.
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

// heldBody is the content of a request that holds as many bytes as are read.
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
