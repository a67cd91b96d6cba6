package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
)

// ask has a request served, and returns the id of what it is about.
func (e *Emulator) ask(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	w := e.send(t.Context(), method, path, body)
	if w.Code != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, want)
	}
	var thing struct {
		ID           string `json:"id"`
		Conversation string `json:"conversation_id"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &thing) // A stream is not JSON, and has none.
	return thing.ID + thing.Conversation
}

// What comes in over the API is counted, and filled beyond the bytes the store has the
// latest.
func TestStoreIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	const most = 100_000
	e := New(Config{})
	e.keep(most)
	text := strings.Repeat("x", most/10)
	var first, last string
	for i := range 30 {
		switch i % 3 {
		case 0:
			last = e.ask(t, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m","inputs":%q}`, text), http.StatusOK)
		case 1:
			e.ask(t, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m","inputs":%q,"stream":true}`, text), http.StatusOK)
		case 2:
			e.ask(t, http.MethodPost, "/v1/conversations/"+last, fmt.Sprintf(`{"inputs":%q}`, text), http.StatusOK)
		}
		if first == "" {
			first = last
		}
		if kept := e.store.Counts().ConversationBytes; kept > most || i > 10 && kept < most/2 {
			t.Errorf("after %d calls %d bytes of conversations are kept, want at most %d", i+1, kept, most)
		}
	}
	e.ask(t, http.MethodGet, "/v1/conversations/"+first, "", http.StatusNotFound)
	e.ask(t, http.MethodGet, "/v1/conversations/"+last, "", http.StatusOK)

	first = e.ask(t, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"a","instructions":%q}`, text), http.StatusOK)
	last = e.ask(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"b"}`, http.StatusOK)
	for range 20 {
		e.ask(t, http.MethodPatch, "/v1/agents/"+last, fmt.Sprintf(`{"instructions":%q}`, text), http.StatusOK)
	}
	e.ask(t, http.MethodGet, "/v1/agents/"+first, "", http.StatusNotFound)
	e.ask(t, http.MethodGet, "/v1/agents/"+last, "", http.StatusOK)
}

// A conversation that is too large by itself.
func TestOneConversationIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	e := New(Config{Model: ok})
	id := e.ask(t, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Hello"}`, http.StatusOK)
	before, text := e.store.Counts().ConversationBytes, strings.Repeat("x", 10_000)
	e.ask(t, http.MethodPost, "/v1/conversations/"+id, fmt.Sprintf(`{"inputs":%q}`, text), http.StatusOK)
	bytes := e.store.Counts().ConversationBytes
	if bytes < before+len(text) {
		t.Errorf("with %d bytes more, %d bytes are %d", len(text), before, bytes)
	}
	history := e.send(t.Context(), http.MethodGet, "/v1/conversations/"+id+"/history", "")
	_, entry, _ := strings.Cut(history.Body.String(), `"id":"`)
	entry, _, _ = strings.Cut(entry, `"`)
	e.store.Extend(id, state.Addition{First: true}, nil, MaxKeptBytes-20-bytes)
	for path, body := range map[string]string{"": `{"inputs":"Hello"}`, "/restart": fmt.Sprintf(`{"inputs":"Hello","from_entry_id":%q}`, entry)} {
		e.ask(t, http.MethodPost, "/v1/conversations/"+id+path, body, http.StatusBadRequest)
	}
}

// keep has an emulator keep so many bytes of conversations, and as many of agents.
func (e *Emulator) keep(bytes int) {
	e.store = state.New(bytes)
	e.engine.Store = e.store
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
