package emulator_test

import (
	"context"
	"fmt"
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

// TestRecordsAreCut has requests of which everything is too long to record.
func TestRecordsAreCut(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{Control: true, Model: func(context.Context, emulator.Prompt) emulator.Reply { return emulator.Reply{Text: "ok"} }})
	long := strings.Repeat("x", 100_000)
	direct(t.Context(), e, http.MethodPost, "/v1/"+long+"?"+long, "")
	direct(t.Context(), e, long, "/v1/agents", "")
	direct(t.Context(), e, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":%q,"inputs":"x"}`, long))
	for _, r := range e.Requests() {
		for _, text := range []string{r.Method, r.Path, r.Query, r.Model} {
			if len(text) > emulator.MaxRecordedText {
				t.Errorf("%d bytes of a text are recorded: %.20s", len(text), text)
			}
		}
		if len(r.Body) > emulator.MaxRecordedBody {
			t.Errorf("%d bytes of a body are recorded", len(r.Body))
		}
	}
	for model := range e.Stats().Models {
		if len(model) > emulator.MaxRecordedText {
			t.Errorf("%d bytes of a model's name are kept", len(model))
		}
	}
}
