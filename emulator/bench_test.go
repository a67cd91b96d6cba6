package emulator_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// BenchmarkServe has 64 connections on the loopback interface, client and server
// sharing the processors, and reports requests a second.
func BenchmarkServe(b *testing.B) {
	const connections = 64
	for name, request := range map[string]struct{ method, path, body string }{
		"start":  {http.MethodPost, "/v1/conversations", plainHello},
		"stream": {http.MethodPost, "/v1/conversations", streamHello},
		"list":   {http.MethodGet, "/v1/agents", ""},
	} {
		b.Run(name, func(b *testing.B) {
			server, err := emulator.Start(emulator.Config{RequestsPerSecond: 1e9, TokensPerMinute: 1 << 40, Control: true})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = server.Close() }()
			transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
			defer transport.CloseIdleConnections()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var group sync.WaitGroup
			for range connections {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if status := send(b, transport, request.method, server.URL()+request.path, request.body); status != http.StatusOK {
							b.Errorf("status is %d", status)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
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
