package contract

import (
	"net/http"
	"sync"
)

// TB is the part of testing.TB that [Client] needs: what imports this package and is
// no test need not link package testing.
type TB interface {
	// Helper is [testing.T.Helper].
	Helper()
	// Errorf is [testing.T.Errorf].
	Errorf(format string, args ...any)
}

// Client returns an HTTP client whose traffic is checked against [Default], each
// violation an error of the test. A base of nil is http.DefaultTransport. It is safe
// for concurrent use.
func Client(tb TB, base http.RoundTripper) *http.Client {
	return &http.Client{Transport: &Transport{Base: base, Report: Reporter(tb)}}
}

// Reporter returns a [Transport.Report] that makes each violation an error of the
// test. It falls silent when the test is over: a test panics when something is
// reported later, say by a goroutine that still reads a stream.
func Reporter(tb TB) func(Violation) {
	var mu sync.Mutex
	over := false
	if t, ok := tb.(interface{ Cleanup(func()) }); ok {
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			over = true
		})
	}
	return func(v Violation) {
		tb.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !over {
			tb.Errorf("contract: %v", v)
		}
	}
}
