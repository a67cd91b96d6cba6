package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// weight is a thing that has nothing but a size.
type weight int

func (w *weight) size() int { return int(*w) }

// on returns the ids that are on a shelf, newest first, and checks its books.
func (s *shelf[T]) on(t *testing.T) string {
	t.Helper()
	var ids strings.Builder
	bytes := 0
	for _, item := range slices.Backward(s.order) {
		ids.WriteString(item.id)
		bytes += item.thing.size()
	}
	if bytes != s.bytes || len(s.order) != len(s.byID) {
		t.Errorf("shelf has %d things of %d bytes, and %d of %d in its books", len(s.order), bytes, len(s.byID), s.bytes)
	}
	return ids.String()
}

func TestShelfForgetsTheOldest(t *testing.T) {
	t.Parallel()
	s := newShelf[*weight](3, 100)
	put := func(ids string, bytes weight) {
		for _, id := range ids {
			s.add(string(id), &bytes)
		}
	}
	put("abcd", 1)
	if got := s.on(t); got != "dcb" {
		t.Errorf("of a, b, c, d it has %s, want d, c, b", got)
	}
	if _, ok := s.get("a"); ok || !s.remove("c") || s.remove("c") || s.remove("a") {
		t.Error("what is there can be removed, once")
	}
	put("ef", 1)
	if got := s.on(t); got != "fed" {
		t.Errorf("with e, f it has %s, want f, e, d", got)
	}
	put("g", 98)
	if got := s.on(t); got != "gfe" {
		t.Errorf("with g, which makes it 100 bytes, it has %s, want g, f, e", got)
	}
	f, _ := s.get("f")
	*f = 2 // It is that of e, too.
	s.weigh("e")
	s.weigh("f")
	if got := s.on(t); got != "gf" {
		t.Errorf("with f and e one byte larger it has %s, want g, f", got)
	}
	put("h", 1000)
	if got := s.on(t); got != "h" {
		t.Errorf("with h, which is too large, it has %s, want h alone", got)
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore()
	if c, a := s.conversations, s.agents; c.most != MaxConversations || a.most != MaxAgents || c.mostBytes != MaxKeptBytes || a.mostBytes != MaxKeptBytes {
		t.Errorf("store keeps %d conversations of %d bytes and %d agents of %d", c.most, c.mostBytes, a.most, a.mostBytes)
	}
}

// ask has a request served, and returns the id of what it is about.
func (e *Emulator) ask(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer key")
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request)
	if w.Code != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, want)
	}
	var thing struct {
		ID           string `json:"id"`
		Conversation string `json:"conversation_id"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &thing) // A stream is no JSON, and has none.
	return thing.ID + thing.Conversation
}

// What comes in over the API is counted, and filled beyond the bytes the store has the
// latest.
func TestStoreIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	const most = 100_000
	e := New(Config{})
	e.store.conversations.mostBytes, e.store.agents.mostBytes = most, most
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
		if kept := e.store.conversations.bytes; kept > most || i > 10 && kept < most/2 {
			t.Errorf("after %d calls %d bytes of conversations are kept, want at most %d", i+1, kept, most)
		}
	}
	e.ask(t, http.MethodGet, "/v1/conversations/"+first, "", http.StatusNotFound)
	e.ask(t, http.MethodGet, "/v1/conversations/"+last, "", http.StatusOK)
	e.store.conversations.on(t)

	first = e.ask(t, http.MethodPost, "/v1/agents", fmt.Sprintf(`{"model":"m","name":"a","instructions":%q}`, text), http.StatusOK)
	last = e.ask(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"b"}`, http.StatusOK)
	for range 20 {
		e.ask(t, http.MethodPatch, "/v1/agents/"+last, fmt.Sprintf(`{"instructions":%q}`, text), http.StatusOK)
	}
	e.ask(t, http.MethodGet, "/v1/agents/"+first, "", http.StatusNotFound)
	e.ask(t, http.MethodGet, "/v1/agents/"+last, "", http.StatusOK)
	e.store.agents.on(t)
}

// A conversation or an agent that is too large by itself.
func TestOneThingIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	e := New(Config{Model: func(context.Context, Prompt) Reply { return Reply{Text: "ok"} }})
	id := e.ask(t, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Hello"}`, http.StatusOK)
	c, _ := e.store.conversations.get(id)
	entry := idOf(c.entries[0])
	before, text := c.bytes, strings.Repeat("x", 10_000)
	e.ask(t, http.MethodPost, "/v1/conversations/"+id, fmt.Sprintf(`{"inputs":%q}`, text), http.StatusOK)
	if c.bytes < before+len(text) {
		t.Errorf("with %d bytes more, %d bytes are %d", len(text), before, c.bytes)
	}
	c.bytes = MaxKeptBytes - 20
	e.ask(t, http.MethodPost, "/v1/conversations/"+id, `{"inputs":"Hello"}`, http.StatusOK)
	e.ask(t, http.MethodPost, "/v1/conversations/"+id, `{"inputs":"Hello"}`, http.StatusBadRequest)
	e.ask(t, http.MethodPost, "/v1/conversations/"+id+"/restart", fmt.Sprintf(`{"inputs":"Hello","from_entry_id":%q}`, entry), http.StatusBadRequest)

	a := &agent{}
	for range 5 {
		a.add(generated.Agent{}, MaxKeptBytes/2)
	}
	if view := a.view(a.current); !slices.Equal(view.Versions, []int{3, 4}) || a.size() != MaxKeptBytes {
		t.Errorf("versions %v are kept, of %d bytes", view.Versions, a.size())
	}
}

// A tool's count keeps nothing of calls that did not run it.
func TestToolCountsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate(Config{Mode: SlidingWindow, ToolLimits: map[string]ToolLimit{"web_search": {PerDay: 5}}})
	for range 10 {
		g.chargeTools(nil, time.Now())
		g.chargeTools(map[string]int{"code_interpreter": 1}, time.Now())
	}
	if kept, _ := g.tools[0].meter.(*slidingWindow); len(kept.uses) != 0 {
		t.Errorf("%d entries are kept of no runs", len(kept.uses))
	}
}

// An agent that has more versions than are kept has the latest, and no alias of others.
func TestOldestVersionGivesWay(t *testing.T) {
	t.Parallel()
	a := &agent{aliases: map[string]generated.AgentAliasResponse{"first": {Version: 0}, "second": {Version: 1}}}
	for range MaxVersions + 1 {
		a.add(generated.Agent{}, 1)
	}
	view := a.view(MaxVersions)
	if len(view.Versions) != MaxVersions || view.Versions[0] != 1 || view.Version != MaxVersions || a.current != MaxVersions {
		t.Errorf("version %d is one of %d from %d", view.Version, len(view.Versions), view.Versions[0])
	}
	if _, ok := a.find("first"); ok || a.version(0) != nil {
		t.Error("version 0 is still there")
	}
	if number, ok := a.find("second"); !ok || number != 1 {
		t.Errorf("alias is of version %d, %v", number, ok)
	}
}
