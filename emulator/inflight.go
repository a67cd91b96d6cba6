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
func (r *reservation) check(ctx context.Context, run func()) bool {
	select {
	case r.inFlight.checks <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-r.inFlight.checks }()
	run()
	return true
}

// reservation is the part of inFlight that one request uses. Only the goroutine that serves the
// request uses it.
type reservation struct {
	inFlight *inFlight
	bytes    int
}

// start adds a request. It returns nil if too many requests are in flight.
func (f *inFlight) start() *reservation {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests >= f.maxRequests {
		return nil
	}
	f.requests++
	return &reservation{inFlight: f}
}

// finish removes the request and releases its bytes.
func (r *reservation) finish() {
	r.inFlight.mu.Lock()
	defer r.inFlight.mu.Unlock()
	r.inFlight.requests--
	r.inFlight.bytes -= r.bytes
}

// reserve reserves bytes until finish. It returns false if they exceed the bound.
func (r *reservation) reserve(bytes int) bool {
	r.inFlight.mu.Lock()
	defer r.inFlight.mu.Unlock()
	if r.inFlight.bytes+bytes > r.inFlight.maxBytes {
		return false
	}
	r.inFlight.bytes += bytes
	r.bytes += bytes
	return true
}

var errBusyRead = errors.New("too many bytes are in flight")

// reservingBody is the content of a request. It reserves the bytes that are read.
type reservingBody struct {
	io.ReadCloser
	reservation *reservation
}

func (b reservingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.reservation.reserve(n) {
		return 0, errBusyRead
	}
	return n, err
}
