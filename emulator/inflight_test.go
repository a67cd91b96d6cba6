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

// inUse returns how many bytes of the heap are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // What the first one has found is freed by the second at the latest.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUnreadStreams has 2,000 clients begin a stream and read nothing of it. They cost no
// more than is stated, and the emulator closes each of them after a minute.
func TestUnreadStreams(t *testing.T) { //nolint:paralleltest // It measures what the process has in use.
	const streams = 2_000
	const each = 128 << 10 // the emulator's 64 KiB, and the client's and the connection's
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
			t.Errorf("%d streams are in flight, want %d", n, streams)
		}
		used := inUse() - before
		t.Logf("%d unread streams: %d MiB, %d KiB each", streams, used>>20, used/streams>>10)
		if used > streams*each {
			t.Errorf("%d unread streams take %d MiB, want at most %d", streams, used>>20, streams*each>>20)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := e.Stats().InFlight; n != 0 {
			t.Errorf("%d streams are in flight after a minute", n)
		}
		for _, response := range responses {
			_ = response.Body.Close()
		}
	})
}

// TestSlowReader has a client that reads a little every 50 s: its stream goes on.
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
			t.Errorf("stream ended after %d bytes: %v", all.Len(), err)
		}
	})
}

// TestLongReplies has replies that take longer than any bound on time.
func TestLongReplies(t *testing.T) {
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
