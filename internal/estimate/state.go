package estimate

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// modelState is the saved form of a Model.
type modelState struct {
	Actual  float64          `json:"actual,omitempty"`
	Counted float64          `json:"counted,omitempty"`
	Prices  [kinds]float64   `json:"prices,omitzero"`
	Replies []int            `json:"replies,omitempty"` // The lengths, oldest first.
	Long    float64          `json:"long,omitempty"`    // The duration in nanoseconds.
	Least   [2]time.Duration `json:"least,omitzero"`
	Count   int              `json:"count,omitempty"`
}

// MarshalJSON returns the learned state, at most 2 KB. It is safe for concurrent use.
func (m *Model) MarshalJSON() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return json.Marshal(modelState{
		Actual: m.actual, Counted: m.counted, Prices: m.prices, Replies: slices.Concat(m.latest[m.next:], m.latest[:m.next]),
		Long: m.duration.long, Least: m.duration.least, Count: m.duration.count,
	})
}

// UnmarshalJSON replaces the learned state by one from MarshalJSON. On an error it leaves the model
// unchanged.
func (m *Model) UnmarshalJSON(text []byte) error {
	var s modelState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("estimate: saved model: %w", err)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("estimate: saved model: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actual, m.counted, m.prices = s.Actual, s.Counted, s.Prices
	m.latest, m.next, m.sorted = s.Replies, 0, slices.Sorted(slices.Values(s.Replies))
	m.duration = duration{long: s.Long, least: s.Least, count: s.Count}
	return nil
}

// check returns an error for an invalid state.
func (s modelState) check() error {
	switch {
	case s.Actual < 0 || s.Counted < 0 || (s.Actual == 0) != (s.Counted == 0):
		return fmt.Errorf("actual and counted: must both be 0 or both be above 0, got %v and %v", s.Actual, s.Counted)
	case slices.Min(s.Prices[:]) < 0 || slices.Max(s.Prices[:]) > maxPrice:
		return fmt.Errorf("prices: must be from 0 to %d, got %v", maxPrice, s.Prices)
	case len(s.Replies) > maxReplies:
		return fmt.Errorf("replies: must be at most %d, got %d", maxReplies, len(s.Replies))
	case len(s.Replies) > 0 && slices.Min(s.Replies) <= 0:
		return fmt.Errorf("replies: must be above 0, got %v", s.Replies)
	case s.Long < 0 || s.Long > math.MaxInt64 || min(s.Least[0], s.Least[1]) < 0 || s.Count < 0 || s.Count > blockSize:
		return fmt.Errorf("long, least and count: must be at least 0, and count at most %d, got %v, %v and %d", blockSize, s.Long, s.Least, s.Count)
	}
	return nil
}
