package emulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

func ok(context.Context, Prompt) Reply { return Reply{Text: "ok"} }

// send has a request served.
func (e *Emulator) send(ctx context.Context, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer key")
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request)
	return w
}

// TestTooMuchInFlight fills the emulator with requests that take an hour, by their number,
// by the bytes of their content and by those of their outputs: more are answered 503
// until these end.
func TestTooMuchInFlight(t *testing.T) {
	t.Parallel()
	const text = `{"model":"m","inputs":"x"}`
	const values = `{"model":"m","inputs":"x","completion_args":{"stop":["","","",""]}}`
	wait := func(ctx context.Context, _ Prompt) Reply {
		return Reply{Err: errors.Join(wire.Sleep(ctx, time.Hour), errBusyRead)}
	} // It has no output.
	for name, test := range map[string]struct {
		method, body    string
		requests, bytes int // that may be in flight
		fits            int
		model           func(context.Context, Prompt) Reply
	}{
		"requests": {http.MethodGet, "", 20, 0, 20, nil},
		"content":  {http.MethodPost, text, 100, 20 * wire.Memory([]byte(text)), 20, wait},
		"values":   {http.MethodPost, values, 100, wire.Memory([]byte(values)) + 7*len(values), 1, wait},
		"outputs":  {http.MethodPost, text, 100, 20_000, 1, func(context.Context, Prompt) Reply { return Reply{Text: strings.Repeat("x", 10_000) + " y"} }},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := New(Config{Latency: time.Hour, TokenDelay: time.Hour, Model: test.model})
			e.inFlight.maxRequests, e.inFlight.maxBytes = test.requests, test.bytes
			const more = 5
			statuses := make(chan int)
			for range test.fits + more {
				go func() { statuses <- e.send(t.Context(), test.method, "/v1/conversations", test.body).Code }()
			}
			counts := map[int]int{}
			for range test.fits + more {
				counts[<-statuses]++
			}
			if counts[http.StatusServiceUnavailable] != more {
				t.Errorf("%s: statuses are %v, want 503 %d times", name, counts, more)
			}
			if status := e.send(t.Context(), test.method, "/v1/conversations", test.body).Code; status == http.StatusServiceUnavailable || e.inFlight.bytes != 0 || e.inFlight.requests != 0 {
				t.Errorf("%s: after these the status is %d, with %d requests and %d bytes in flight", name, status, e.inFlight.requests, e.inFlight.bytes)
			}
		})
	}
}

// TestKeptMemory starts conversations of each kind, and makes versions of an agent, more
// than are kept. What is in use is within what the store takes it for, and that is within
// the bound.
func TestKeptMemory(t *testing.T) { //nolint:paralleltest // It measures what the process has in use.
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for name, test := range map[string]struct {
		count, mostBytes int
		body             string
	}{
		"short":   {22_000, MaxKeptBytes, `{"model":"m","inputs":"x"}`},
		"text":    {50, 8 << 20, `{"model":"m","inputs":"` + strings.Repeat("x", 512<<10) + `"}`},
		"entries": {20, 8 << 20, `{"model":"m","inputs":[` + list(2000, `{"role":"user","content":""}`) + `]}`},
		"runs":    {20, 8 << 20, `{"model":"m","inputs":[` + list(2000, `{"type":"tool.execution","name":"","arguments":""}`) + `]}`},
		"chunks":  {20, 8 << 20, `{"model":"m","inputs":[{"role":"user","content":[` + list(5000, `{"type":"text","text":""}`) + `]}]}`},
		"tools":   {20, 8 << 20, `{"model":"m","inputs":"x","tools":[` + list(5000, `{"type":"web_search"}`) + `]}`},
		"stops":   {20, 8 << 20, `{"model":"m","inputs":"x","completion_args":{"stop":[` + list(10_000, `""`) + `]}}`},
	} {
		e := New(Config{Model: ok})
		e.keep(test.mostBytes)
		before := inUse()
		for range test.count {
			if status := e.send(t.Context(), http.MethodPost, "/v1/conversations", test.body).Code; status != http.StatusOK {
				t.Fatalf("%s: status is %d", name, status)
			}
		}
		const records = 8 << 20 // what the records of the requests take
		used, taken := inUse()-before, e.store.Counts().ConversationBytes
		t.Logf("%-8s %6d conversations, %4d MiB of JSON: %4d MiB in use, taken for %4d MiB", name, test.count, test.count*len(test.body)>>20, used>>20, taken>>20)
		if used > taken+records || taken > test.mostBytes {
			t.Errorf("%s: %d bytes are in use, taken for %d, want at most %d", name, used, taken, test.mostBytes)
		}
		runtime.KeepAlive(e)
	}
}

// TestVersionsAreWeighed makes versions of an agent that each have a large setting and a
// small request, and aliases.
func TestVersionsAreWeighed(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	e := New(Config{})
	e.keep(most)
	stop := strings.Repeat("x", 100<<10)
	old := e.ask(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"old"}`, http.StatusOK)
	id := e.ask(t, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"n","completion_args":{"stop":%q}}`, stop), http.StatusOK)
	for range 20 {
		e.ask(t, http.MethodPatch, "/v1/agents/"+id, `{"completion_args":{"temperature":0}}`, http.StatusOK)
	}
	bytes := e.store.Counts().AgentBytes
	if bytes < 20*len(stop) {
		t.Errorf("21 versions with %d bytes each are taken for %d", len(stop), bytes)
	}
	e.ask(t, http.MethodGet, "/v1/agents/"+old, "", http.StatusNotFound)
	alias := strings.Repeat("x", 64)
	e.ask(t, http.MethodPut, "/v1/agents/"+id+"/aliases?version=1&alias="+alias, "", http.StatusOK)
	if grown := e.store.Counts().AgentBytes - bytes; grown < len(alias) {
		t.Errorf("an alias of %d bytes is taken for %d", len(alias), grown)
	}
	e.ask(t, http.MethodDelete, "/v1/agents/"+id+"/aliases?alias="+alias, "", http.StatusNoContent)
	if after := e.store.Counts().AgentBytes; after != bytes {
		t.Errorf("without the alias it is %d bytes, before it was %d", after, bytes)
	}
}

func inUse() int {
	runtime.GC()
	runtime.GC() // What the first one has found is freed by the second at the latest.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
