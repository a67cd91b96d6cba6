package emulator

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// inFlight counts the requests that are being served and the memory that they hold.
type inFlight struct {
	maxRequests, maxBytes int

	mu              sync.Mutex
	requests, bytes int
}

func newInFlight() *inFlight { return &inFlight{maxRequests: MaxInFlight, maxBytes: MaxInFlightBytes} }

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
	memory, inString, escaped := len(text), false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '{' || c == '['):
			memory += value
		}
	}
	return memory
}

// keptMemory is that of a request whose contents are kept: ids and times are added.
func keptMemory(text []byte) int {
	const added = 2 << 10
	return added + memoryOf(text)
}
