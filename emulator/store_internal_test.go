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

// mustSend calls the handler and returns the id in the response.
func (e *Emulator) mustSend(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	w := e.send(t.Context(), method, path, body)
	if w.Code != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, want)
	}
	var object struct {
		ID           string `json:"id"`
		Conversation string `json:"conversation_id"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &object) // A stream is not JSON; its id is not needed.
	return object.ID + object.Conversation
}

// The store counts the bytes of its entries and evicts the oldest ones beyond the bound.
func TestStoreIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	const maxBytes = 100_000
	e := New(Config{})
	e.boundStore(maxBytes)
	text := strings.Repeat("x", maxBytes/10)
	var first, last string
	for i := range 30 {
		switch i % 3 {
		case 0:
			last = e.mustSend(t, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m","inputs":%q}`, text), http.StatusOK)
		case 1:
			e.mustSend(t, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m","inputs":%q,"stream":true}`, text), http.StatusOK)
		case 2:
			e.mustSend(t, http.MethodPost, "/v1/conversations/"+last, fmt.Sprintf(`{"inputs":%q}`, text), http.StatusOK)
		}
		if first == "" {
			first = last
		}
		if kept := e.store.Counts().ConversationBytes; kept > maxBytes || i > 10 && kept < maxBytes/2 {
			t.Errorf("after %d calls the store has %d bytes of conversations, want at most %d", i+1, kept, maxBytes)
		}
	}
	e.mustSend(t, http.MethodGet, "/v1/conversations/"+first, "", http.StatusNotFound)
	e.mustSend(t, http.MethodGet, "/v1/conversations/"+last, "", http.StatusOK)

	first = e.mustSend(t, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"a","instructions":%q}`, text), http.StatusOK)
	last = e.mustSend(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"b"}`, http.StatusOK)
	for range 20 {
		e.mustSend(t, http.MethodPatch, "/v1/agents/"+last, fmt.Sprintf(`{"instructions":%q}`, text), http.StatusOK)
	}
	e.mustSend(t, http.MethodGet, "/v1/agents/"+first, "", http.StatusNotFound)
	e.mustSend(t, http.MethodGet, "/v1/agents/"+last, "", http.StatusOK)
}

// The server rejects requests that would make one conversation too large.
func TestOneConversationIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	e := New(Config{Model: ok})
	id := e.mustSend(t, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Hello"}`, http.StatusOK)
	before, text := e.store.Counts().ConversationBytes, strings.Repeat("x", 10_000)
	e.mustSend(t, http.MethodPost, "/v1/conversations/"+id, fmt.Sprintf(`{"inputs":%q}`, text), http.StatusOK)
	bytes := e.store.Counts().ConversationBytes
	if bytes < before+len(text) {
		t.Errorf("adding %d bytes changed the size from %d to %d bytes", len(text), before, bytes)
	}
	history := e.send(t.Context(), http.MethodGet, "/v1/conversations/"+id+"/history", "")
	_, entry, _ := strings.Cut(history.Body.String(), `"id":"`)
	entry, _, _ = strings.Cut(entry, `"`)
	e.store.Extend(id, state.Addition{First: true}, nil, MaxKeptBytes-20-bytes)
	for path, body := range map[string]string{"": `{"inputs":"Hello"}`, "/restart": fmt.Sprintf(`{"inputs":"Hello","from_entry_id":%q}`, entry)} {
		e.mustSend(t, http.MethodPost, "/v1/conversations/"+id+path, body, http.StatusBadRequest)
	}
}

// boundStore bounds the bytes of conversations and the bytes of agents.
func (e *Emulator) boundStore(bytes int) {
	e.store = state.New(bytes)
	e.engine.Store = e.store
}

// TestKeptMemory starts more conversations than the store keeps. The memory in use must not
// exceed the store's estimate, and the estimate must not exceed the bound.
func TestKeptMemory(t *testing.T) { //nolint:paralleltest // It measures the memory in use by the process.
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for name, test := range map[string]struct {
		count, maxBytes int
		body            string
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
		e.boundStore(test.maxBytes)
		before := inUse()
		for range test.count {
			if status := e.send(t.Context(), http.MethodPost, "/v1/conversations", test.body).Code; status != http.StatusOK {
				t.Fatalf("%s: status is %d", name, status)
			}
		}
		const records = 8 << 20 // the memory of the recorded requests
		used, estimate := inUse()-before, e.store.Counts().ConversationBytes
		t.Logf("%-8s %6d conversations, %4d MiB of JSON: %4d MiB in use, estimated %4d MiB", name, test.count, test.count*len(test.body)>>20, used>>20, estimate>>20)
		if used > estimate+records || estimate > test.maxBytes {
			t.Errorf("%s: %d bytes in use, estimated %d, want at most %d", name, used, estimate, test.maxBytes)
		}
		runtime.KeepAlive(e)
	}
}

// TestAgentVersionsAreCounted creates versions of an agent with small requests. Each version
// keeps a large setting of the first. Versions and aliases must count toward the bound.
func TestAgentVersionsAreCounted(t *testing.T) {
	t.Parallel()
	const maxBytes = 1 << 20
	e := New(Config{})
	e.boundStore(maxBytes)
	stop := strings.Repeat("x", 100<<10)
	old := e.mustSend(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"old"}`, http.StatusOK)
	id := e.mustSend(t, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"n","completion_args":{"stop":%q}}`, stop), http.StatusOK)
	for range 20 {
		e.mustSend(t, http.MethodPatch, "/v1/agents/"+id, `{"completion_args":{"temperature":0}}`, http.StatusOK)
	}
	bytes := e.store.Counts().AgentBytes
	if bytes < 20*len(stop) {
		t.Errorf("21 versions with %d bytes each count as %d bytes", len(stop), bytes)
	}
	e.mustSend(t, http.MethodGet, "/v1/agents/"+old, "", http.StatusNotFound)
	alias := strings.Repeat("x", 64)
	e.mustSend(t, http.MethodPut, "/v1/agents/"+id+"/aliases?version=1&alias="+alias, "", http.StatusOK)
	if grown := e.store.Counts().AgentBytes - bytes; grown < len(alias) {
		t.Errorf("an alias of %d bytes counts as %d bytes", len(alias), grown)
	}
	e.mustSend(t, http.MethodDelete, "/v1/agents/"+id+"/aliases?alias="+alias, "", http.StatusNoContent)
	if after := e.store.Counts().AgentBytes; after != bytes {
		t.Errorf("after deleting the alias the size is %d bytes, want %d", after, bytes)
	}
}

func inUse() int {
	runtime.GC()
	runtime.GC() // The second collection ensures that the sweep of the first has ended.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
