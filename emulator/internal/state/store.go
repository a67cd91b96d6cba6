// Package state stores conversations and agents, in memory and within bounds. Each method of
// [Store] is atomic. Callers may read the returned values concurrently, but must not modify
// them.
package state

import (
	"encoding/json"
	"iter"
	"slices"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// The bounds of a store; see package emulator.
const (
	MaxConversations = 10_000
	MaxAgents        = 10_000
	MaxVersions      = 1_000
	MaxEntries       = 10_000
	MaxKeptBytes     = 256 << 20
)

// Store stores conversations and agents. It is safe for concurrent use.
type Store struct {
	maxBytes int

	mu            sync.Mutex
	conversations bounded[*Conversation]
	agents        bounded[*agent]
}

// New returns a store. maxBytes bounds the memory of all conversations, and separately that
// of all agents.
func New(maxBytes int) *Store {
	s := &Store{maxBytes: maxBytes}
	s.Reset()
	return s
}

// Reset deletes all conversations and agents.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations = newBounded[*Conversation](MaxConversations, s.maxBytes)
	s.agents = newBounded[*agent](MaxAgents, s.maxBytes)
}

// Counts is the numbers and sizes of the stored conversations and agents.
type Counts struct{ Conversations, Agents, ConversationBytes, AgentBytes int }

// Counts returns the numbers and sizes of the stored conversations and agents.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{len(s.conversations.byID), len(s.agents.byID), s.conversations.bytes, s.agents.bytes}
}

// carry copies the properties of a request to the properties of the same names in into.
func carry(into, request any) {
	_ = json.Unmarshal(wire.Encode(request), into) // The types agree.
}

// sized is a value with an approximate size in bytes. After each change of the size, update
// must be called.
type sized interface{ size() int }

// bounded is a map bounded by count and bytes that evicts the oldest entry.
type bounded[T sized] struct {
	max, maxBytes int
	bytes         int
	byID          map[string]*item[T]
	order         []*item[T] // oldest first
}

type item[T sized] struct {
	id    string
	value T
	bytes int // size at the last update
}

func newBounded[T sized](limit, maxBytes int) bounded[T] {
	return bounded[T]{max: limit, maxBytes: maxBytes, byID: map[string]*item[T]{}}
}

func (b *bounded[T]) add(id string, value T) {
	i := &item[T]{id: id, value: value}
	b.byID[id] = i
	at := len(b.order) // Ids sort by age, but an older item may be added later.
	for at > 0 && b.order[at-1].id > id {
		at--
	}
	b.order = slices.Insert(b.order, at, i)
	b.update(id)
}

// update records the new size of a value. It evicts the oldest items, but never the newest.
func (b *bounded[T]) update(id string) {
	i := b.byID[id]
	b.bytes -= i.bytes
	i.bytes = i.value.size()
	b.bytes += i.bytes
	for len(b.order) > b.max || len(b.order) > 1 && b.bytes > b.maxBytes {
		oldest := b.order[0]
		b.order[0] = nil // Releases the item, because the array stays in memory.
		b.order = b.order[1:]
		b.drop(oldest)
	}
}

// drop removes an item from byID and bytes, but not from order.
func (b *bounded[T]) drop(i *item[T]) {
	delete(b.byID, i.id)
	b.bytes -= i.bytes
}

func (b *bounded[T]) get(id string) (value T, ok bool) {
	i, ok := b.byID[id]
	if ok {
		value = i.value
	}
	return value, ok
}

func (b *bounded[T]) remove(id string) bool {
	i, ok := b.byID[id]
	if !ok {
		return false
	}
	b.drop(i)
	at := slices.Index(b.order, i)
	b.order = slices.Delete(b.order, at, at+1)
	return true
}

// newest yields all values, newest first.
func (b *bounded[T]) newest() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, i := range slices.Backward(b.order) {
			if !yield(i.value) {
				return
			}
		}
	}
}
