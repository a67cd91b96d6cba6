package emulator

import (
	"iter"
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
	order []shelved[T] // oldest first
}

type shelved[T any] struct {
	id    string
	thing T
}

func newShelf[T any](most int) shelf[T] {
	return shelf[T]{most: most, byID: map[string]T{}}
}

func (s *shelf[T]) add(id string, thing T) {
	if len(s.order) >= s.most {
		s.dropOldest()
	}
	s.byID[id] = thing
	s.order = append(s.order, shelved[T]{id, thing})
}

func (s *shelf[T]) dropOldest() {
	delete(s.byID, s.order[0].id)
	s.order[0] = shelved[T]{} // What is below the slice stays in memory for a while.
	s.order = s.order[1:]
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
	i := slices.IndexFunc(s.order, func(item shelved[T]) bool { return item.id == id })
	s.order = slices.Delete(s.order, i, i+1)
	return true
}

// newest yields all things, newest first.
func (s *shelf[T]) newest() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, item := range slices.Backward(s.order) {
			if !yield(item.thing) {
				return
			}
		}
	}
}

// conversation is one that is kept. Its view has what a GET returns.
type conversation struct {
	view    generated.Conversation
	own     settings // that it was started with, without those of its agent
	entries []generated.Entry
}
