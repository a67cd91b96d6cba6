package emulator_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
)

// inUse returns the number of heap bytes in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // The second collection ensures that the sweep of the first has ended.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUnreadStreams starts 2,000 streams and does not read them. The memory per stream must
// be within the bound, and the emulator closes each stream after a minute.
func TestUnreadStreams(t *testing.T) { //nolint:paralleltest // It measures the memory in use by the process.
	const streams = 2_000
	const each = 128 << 10 // 64 KiB in the emulator, the rest in the client and the connection
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{Control: true})
		server := memnet.Start(e)
		defer server.Close()
		client := server.Client()
		before := inUse()
		responses := make([]*http.Response, streams)
		for i := range responses {
			var err error
			responses[i], err = client.Do(newRequest(t, http.MethodPost, server.URL()+"/v1/conversations", `{"model":"m","inputs":"Count to 10000","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := e.Stats().InFlight; n != streams {
			t.Errorf("InFlight is %d, want %d", n, streams)
		}
		used := inUse() - before
		t.Logf("%d unread streams: %d MiB, %d KiB each", streams, used>>20, used/streams>>10)
		if used > streams*each {
			t.Errorf("%d unread streams use %d MiB, want at most %d", streams, used>>20, streams*each>>20)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := e.Stats().InFlight; n != 0 {
			t.Errorf("InFlight is %d after a minute, want 0", n)
		}
		for _, response := range responses {
			_ = response.Body.Close()
		}
	})
}

// A stream continues if the client reads a little every 50 s.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(emulator.New(emulator.Config{}))
		defer server.Close()
		response, err := server.Client().Do(newRequest(t, http.MethodPost, server.URL()+"/v1/conversations", `{"model":"m","inputs":"Count to 300","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var all strings.Builder
		piece := make([]byte, 8<<10)
		for err == nil {
			time.Sleep(50 * time.Second)
			var n int
			n, err = io.ReadFull(response.Body, piece)
			all.Write(piece[:n])
		}
		if !strings.Contains(all.String(), "conversation.response.done") {
			t.Errorf("stream ended after %d bytes with %v, want all of it", all.Len(), err)
		}
	})
}

// A response may take longer than all timeouts of the server.
func TestLongResponses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(emulator.New(emulator.Config{Latency: time.Hour, TokenDelay: time.Hour}))
		defer server.Close()
		for _, body := range []string{"", plainHello, streamHello} {
			method, path := http.MethodPost, "/v1/conversations"
			if body == "" {
				method = http.MethodGet
			}
			response, err := server.Client().Do(newRequest(t, method, server.URL()+path, body))
			if err != nil {
				t.Fatal(err)
			}
			if data, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("%s %s: %d %s, %v", method, body, response.StatusCode, data, err)
			}
			_ = response.Body.Close()
		}
	})
}
