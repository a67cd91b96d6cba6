package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
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
