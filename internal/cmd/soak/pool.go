package main

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// A pool is the conversations and agents that all callers share. It holds a bounded
// number of each; what is too much is for one of the deleting calls. Replies that were
// lost leave some on the server that nobody knows: listing finds them.
type pool struct {
	mu            sync.Mutex
	conversations shelf[conversation]
	agents        shelf[string]
}

// A conversation has an entry from which it can be restarted.
type conversation struct{ id, entry string }

type shelf[T comparable] struct {
	most   int
	live   []T
	doomed []T
}

func newPool() *pool {
	return &pool{conversations: shelf[conversation]{most: 50}, agents: shelf[string]{most: 20}}
}

func (s *shelf[T]) put(v T) {
	if s.live = append(s.live, v); len(s.live) > s.most {
		s.doomed = append(s.doomed, s.live[0])
		s.live = slices.Delete(s.live, 0, 1)
	}
}

// pick returns one at random, or other if there is none.
func (s *shelf[T]) pick(random *rand.Rand, other T) T {
	if len(s.live) == 0 {
		return other
	}
	return s.live[random.IntN(len(s.live))]
}

// take removes one for deletion: one of those too many, or else one at random.
func (s *shelf[T]) take(random *rand.Rand, other T) T {
	if n := len(s.doomed); n > 0 {
		v := s.doomed[n-1]
		s.doomed = s.doomed[:n-1]
		return v
	}
	if len(s.live) < s.most/2 {
		return other
	}
	i := random.IntN(len(s.live))
	v := s.live[i]
	s.live = slices.Delete(s.live, i, i+1)
	return v
}

// found dooms what was listed and is not known.
func (s *shelf[T]) found(v T, is func(T) bool) {
	if !slices.ContainsFunc(s.live, is) && !slices.ContainsFunc(s.doomed, is) {
		s.doomed = append(s.doomed, v)
	}
}
