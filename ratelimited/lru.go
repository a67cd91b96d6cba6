package ratelimited

import (
	"container/list"
	"strings"
	"sync"
)

// An lru is a map with at most maxEntries entries that evicts the least recently used entry. It is safe for
// concurrent use.
type lru[V any] struct {
	maxEntries int

	mu     sync.Mutex
	byKey  map[string]*list.Element
	recent list.List // of *lruEntry[V], most recently used first
}

type lruEntry[V any] struct {
	key   string
	value V
}

func newLRU[V any](maxEntries int) *lru[V] {
	return &lru[V]{maxEntries: maxEntries, byKey: map[string]*list.Element{}}
}

// get returns the value of a key, or the zero value without one.
func (m *lru[V]) get(key string) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	var value V
	if element := m.byKey[key]; element != nil {
		m.recent.MoveToFront(element)
		value = element.Value.(*lruEntry[V]).value
	}
	return value
}

// maxKeyLength is the maximum length of a key in bytes, many times that of the API's ids.
const maxKeyLength = 256

// update changes the value of a key, which is the zero value for a new key. It ignores empty keys and keys
// longer than maxKeyLength.
func (m *lru[V]) update(key string, change func(*V)) {
	if key == "" || len(key) > maxKeyLength {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	element := m.byKey[key]
	if element == nil {
		key = strings.Clone(key) // it may be part of a response, which must not stay in memory
		element = m.recent.PushFront(&lruEntry[V]{key: key})
		m.byKey[key] = element
		if m.recent.Len() > m.maxEntries {
			oldest := m.recent.Remove(m.recent.Back()).(*lruEntry[V])
			delete(m.byKey, oldest.key)
		}
	}
	m.recent.MoveToFront(element)
	change(&element.Value.(*lruEntry[V]).value)
}

// all returns a copy of the map.
func (m *lru[V]) all() map[string]V {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]V, len(m.byKey))
	for key, element := range m.byKey {
		all[key] = element.Value.(*lruEntry[V]).value
	}
	return all
}

func (m *lru[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if element := m.byKey[key]; element != nil {
		m.recent.Remove(element)
		delete(m.byKey, key)
	}
}
