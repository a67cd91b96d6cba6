package emulator

import (
	"context"
	"errors"
	"io"
	"net/http"
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

// maxValues is the most values in the content of a request: reporting what is wrong with
// all of them takes kilobytes for each.
const maxValues = 1 << 16

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

var (
	errBusy     = detail(http.StatusServiceUnavailable, "The emulator is serving as many requests, or as many bytes of them, as it can")
	errBusyRead = errors.New("too many bytes are in flight")
)

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

// memoryOf returns about how much memory JSON takes when it is decoded: its bytes, and
// those of the Go value that each element and each member becomes.
func memoryOf(text []byte) int {
	const value = 80
	return len(text) + value*valuesIn(text)
}

// valuesIn returns about how many values there are in JSON.
func valuesIn(text []byte) int {
	values, inString, escaped := 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	return values
}

// keptMemory is that of a request whose contents are kept: ids and times are added.
func keptMemory(text []byte) int {
	const added = 2 << 10
	return added + memoryOf(text)
}
