package contract

import (
	"net/http"
	"sync"
)

// TB is the part of testing.TB that [Client] needs. Programs that import this package
// therefore do not link package testing.
type TB interface {
	// Helper is [testing.T.Helper].
	Helper()
	// Errorf is [testing.T.Errorf].
	Errorf(format string, args ...any)
}

// Client returns an HTTP client that checks its traffic against [Default]. Each
// violation fails the test. If base is nil, the client uses http.DefaultTransport. The
// client is safe for concurrent use.
func Client(tb TB, base http.RoundTripper) *http.Client {
	return &http.Client{Transport: &Transport{Base: base, Report: Reporter(tb)}}
}

// Reporter returns a function for [Transport.Report] that fails the test on each
// violation. After the test ends, the function does nothing: testing.T panics on late
// errors, for example from a goroutine that still reads a stream.
func Reporter(tb TB) func(Violation) {
	var mu sync.Mutex
	ended := false
	if t, ok := tb.(interface{ Cleanup(func()) }); ok {
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			ended = true
		})
	}
	return func(v Violation) {
		tb.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			tb.Errorf("contract: %v", v)
		}
	}
}
