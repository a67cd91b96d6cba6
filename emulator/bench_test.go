package emulator_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// BenchmarkServe measures requests per second over 64 loopback connections, and the heap in
// use at the end. The client and the server share the processors. The "full" cases list a
// store with the maximum number of entries.
func BenchmarkServe(b *testing.B) {
	for _, test := range []struct {
		name, method, path, body string
		full                     bool
	}{
		{name: "start", method: http.MethodPost, path: "/v1/conversations", body: plainHello},
		{name: "stream", method: http.MethodPost, path: "/v1/conversations", body: streamHello},
		{name: "list", method: http.MethodGet, path: "/v1/agents"},
		{name: "full/conversations", method: http.MethodGet, path: "/v1/conversations", full: true},
		{name: "full/conversations-last", method: http.MethodGet, path: "/v1/conversations?page=99", full: true},
		{name: "full/agents", method: http.MethodGet, path: "/v1/agents", full: true},
		{name: "full/agents-last", method: http.MethodGet, path: "/v1/agents?page=499", full: true},
		{name: "full/agents-none", method: http.MethodGet, path: "/v1/agents?name=nobody", full: true},
	} {
		b.Run(test.name, func(b *testing.B) {
			server, err := emulator.Start(emulator.Config{RequestsPerSecond: 1e9, TokensPerMinute: 1 << 40, Control: true})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = server.Close() }()
			if test.full {
				fillStore(b, server.Emulator)
			}
			b.ResetTimer()
			serve(b, server, test.method, test.path, test.body)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			b.StopTimer()
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "MB-heap")
		})
	}
}

// serve sends b.N requests.
func serve(b *testing.B, server *emulator.Server, method, path, body string) {
	b.Helper()
	const connections = 64
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if status := send(b, transport, method, server.URL()+path, body); status != http.StatusOK {
					b.Errorf("status is %d", status)
				}
			}
		})
	}
	group.Wait()
}

func fillStore(b *testing.B, e *emulator.Emulator) {
	b.Helper()
	for i := range emulator.MaxAgents {
		direct(b.Context(), e, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"agent %d"}`, i))
	}
	for range emulator.MaxConversations {
		direct(b.Context(), e, http.MethodPost, "/v1/conversations", plainHello)
	}
}

func send(b *testing.B, transport http.RoundTripper, method, url, body string) int {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return 0
	}
	request.Header.Set("Authorization", "Bearer key")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		b.Error(err)
	}
	return response.StatusCode
}
