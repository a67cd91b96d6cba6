package emulator

import (
	"reflect"
	"slices"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// store is what an emulator keeps. Entries, tools and agents' versions are never
// modified once they are in it, so what is read from it needs no copy but of lists
// that grow.
type store struct {
	mu            sync.Mutex
	conversations shelf[*conversation]
	agents        shelf[*agent]
}

func newStore() *store {
	return &store{
		conversations: newShelf[*conversation](MaxConversations),
		agents:        newShelf[*agent](MaxAgents),
	}
}

func (s *store) reset() {
	fresh := newStore()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations, s.agents = fresh.conversations, fresh.agents
}

func (s *store) counts() (conversations, agents int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conversations.byID), len(s.agents.byID)
}

// shelf keeps so many things by id, in order of their creation; the oldest gives way.
type shelf[T any] struct {
	most  int
	byID  map[string]T
	order []string
}

func newShelf[T any](most int) shelf[T] {
	return shelf[T]{most: most, byID: map[string]T{}}
}

func (s *shelf[T]) add(id string, thing T) {
	if len(s.order) >= s.most {
		delete(s.byID, s.order[0])
		s.order = s.order[1:]
	}
	s.byID[id] = thing
	s.order = append(s.order, id)
}

func (s *shelf[T]) get(id string) (T, bool) {
	thing, ok := s.byID[id]
	return thing, ok
}

func (s *shelf[T]) remove(id string) bool {
	if _, ok := s.byID[id]; !ok {
		return false
	}
	delete(s.byID, id)
	i := slices.Index(s.order, id)
	s.order = slices.Delete(slices.Clone(s.order), i, i+1)
	return true
}

// newest returns all things, newest first.
func (s *shelf[T]) newest() []T {
	list := make([]T, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		list = append(list, s.byID[id])
	}
	return list
}

// conversation is one that is kept. Its view has what a GET returns.
type conversation struct {
	view    generated.Conversation
	own     settings // that it was started with, without those of its agent
	entries []generated.Entry
}

// page returns one page of a list.
func page[T any](list []T, number, size int) []T {
	if number > len(list)/size { // Also keeps the product below from overflowing.
		return []T{}
	}
	start := min(number*size, len(list))
	return list[start:min(start+size, len(list))]
}

// carries reports whether metadata has all that a filter asks for.
func carries(metadata, filter map[string]any) bool {
	for name, want := range filter {
		have, ok := metadata[name]
		if !ok || !reflect.DeepEqual(have, want) {
			return false
		}
	}
	return true
}
