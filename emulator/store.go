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
		conversations: newShelf[*conversation](MaxConversations, MaxKeptBytes),
		agents:        newShelf[*agent](MaxAgents, MaxKeptBytes),
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

// sized is what says how many bytes it is taken to have. That may change, which a shelf
// has to be told.
type sized interface{ size() int }

// shelf keeps so many things of so many bytes by id, in order of their creation; the
// oldest gives way.
type shelf[T sized] struct {
	most, mostBytes int
	bytes           int
	byID            map[string]*shelved[T]
	order           []*shelved[T] // oldest first
}

type shelved[T sized] struct {
	id    string
	thing T
	bytes int // as it was weighed last
}

func newShelf[T sized](most, mostBytes int) shelf[T] {
	return shelf[T]{most: most, mostBytes: mostBytes, byID: map[string]*shelved[T]{}}
}

func (s *shelf[T]) add(id string, thing T) {
	item := &shelved[T]{id: id, thing: thing}
	s.byID[id] = item
	s.order = append(s.order, item)
	s.weigh(id)
}

// weigh takes in that a thing has another size than before. The newest stays in any
// case.
func (s *shelf[T]) weigh(id string) {
	item := s.byID[id]
	s.bytes -= item.bytes
	item.bytes = item.thing.size()
	s.bytes += item.bytes
	for len(s.order) > s.most || len(s.order) > 1 && s.bytes > s.mostBytes {
		oldest := s.order[0]
		s.order[0] = nil // What is below the slice stays in memory for a while.
		s.order = s.order[1:]
		s.forget(oldest)
	}
}

func (s *shelf[T]) forget(item *shelved[T]) {
	delete(s.byID, item.id)
	s.bytes -= item.bytes
}

func (s *shelf[T]) get(id string) (thing T, ok bool) {
	item, ok := s.byID[id]
	if ok {
		thing = item.thing
	}
	return thing, ok
}

func (s *shelf[T]) remove(id string) bool {
	item, ok := s.byID[id]
	if !ok {
		return false
	}
	s.forget(item)
	i := slices.Index(s.order, item)
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
	bytes   int // of the requests that made it and of the outputs, as JSON
}

func (c *conversation) size() int { return c.bytes }
