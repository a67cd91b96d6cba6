package main

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// pool holds the conversations and agents that all workers share, a bounded number of each. Deleting
// calls remove those beyond the bound. If the response to a creating call is lost, the listing calls
// find its conversation or agent.
type pool struct {
	mu            sync.Mutex
	conversations boundedList[conversation]
	agents        boundedList[string]
}

// conversation is a conversation with an entry from which it can be restarted.
type conversation struct{ id, entry string }

// boundedList holds a bounded number of live elements and the expired ones.
type boundedList[T comparable] struct {
	capacity int
	live     []T // Oldest first.
	expired  []T // To be deleted.
}

func newPool() *pool {
	return &pool{conversations: boundedList[conversation]{capacity: 50}, agents: boundedList[string]{capacity: 20}}
}

func (s *boundedList[T]) put(v T) {
	if s.live = append(s.live, v); len(s.live) > s.capacity {
		s.expired = append(s.expired, s.live[0])
		s.live = slices.Delete(s.live, 0, 1)
	}
}

// pick returns a random live element, or missing if the list is empty.
func (s *boundedList[T]) pick(random *rand.Rand, missing T) T {
	if len(s.live) == 0 {
		return missing
	}
	return s.live[random.IntN(len(s.live))]
}

// take removes an element for deletion: an expired one, otherwise a random live one. It returns
// missing if fewer than half of the capacity are live.
func (s *boundedList[T]) take(random *rand.Rand, missing T) T {
	if n := len(s.expired); n > 0 {
		v := s.expired[n-1]
		s.expired = s.expired[:n-1]
		return v
	}
	if len(s.live) < s.capacity/2 {
		return missing
	}
	i := random.IntN(len(s.live))
	v := s.live[i]
	s.live = slices.Delete(s.live, i, i+1)
	return v
}

// addUnknown marks a listed element as expired if the list does not contain it.
func (s *boundedList[T]) addUnknown(v T, is func(T) bool) {
	if !slices.ContainsFunc(s.live, is) && !slices.ContainsFunc(s.expired, is) {
		s.expired = append(s.expired, v)
	}
}
