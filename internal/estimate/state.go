package estimate

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// modelState is a Model as it is saved.
type modelState struct {
	Actual  float64          `json:"actual,omitempty"`
	Counted float64          `json:"counted,omitempty"`
	Prices  [kinds]float64   `json:"prices,omitzero"`
	Replies []int            `json:"replies,omitempty"` // lengths, the oldest first
	Long    float64          `json:"long,omitempty"`    // duration, in nanoseconds
	Least   [2]time.Duration `json:"least,omitzero"`
	Count   int              `json:"count,omitempty"`
}

// MarshalJSON returns what was learned, at most 2 KB. It is safe for concurrent use.
func (m *Model) MarshalJSON() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return json.Marshal(modelState{
		Actual: m.actual, Counted: m.counted, Prices: m.prices, Replies: slices.Concat(m.latest[m.next:], m.latest[:m.next]),
		Long: m.duration.long, Least: m.duration.least, Count: m.duration.count,
	})
}

// UnmarshalJSON replaces what was learned by what MarshalJSON has returned. An error leaves the
// model as it was.
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

// check returns an error for a state that no model can have.
func (s modelState) check() error {
	switch {
	case s.Actual < 0 || s.Counted < 0 || (s.Actual == 0) != (s.Counted == 0):
		return fmt.Errorf("actual is %v and counted is %v: must both be 0, or above", s.Actual, s.Counted)
	case slices.Min(s.Prices[:]) < 0 || slices.Max(s.Prices[:]) > maxPrice:
		return fmt.Errorf("prices are %v: must be at least 0 and at most %d", s.Prices, maxPrice)
	case len(s.Replies) > replies:
		return fmt.Errorf("%d replies: must be at most %d", len(s.Replies), replies)
	case len(s.Replies) > 0 && slices.Min(s.Replies) <= 0:
		return fmt.Errorf("replies are %v: must be above 0", s.Replies)
	case s.Long < 0 || s.Long > math.MaxInt64 || min(s.Least[0], s.Least[1]) < 0 || s.Count < 0 || s.Count > block:
		return fmt.Errorf("duration is %v, %v and %d: must be at least 0, and at most %d calls", s.Long, s.Least, s.Count, block)
	}
	return nil
}
