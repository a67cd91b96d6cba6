package bulk

import (
	"context"
	"sync"
)

// A budget is the token budget of a run.
type budget struct {
	max int // 0 for no limit

	mu             sync.Mutex
	used, reserved int
	freed          chan struct{} // receives a value when a reservation is settled
}

func newBudget(tokens int) *budget { return &budget{max: tokens, freed: make(chan struct{}, 1)} }

// reserve waits until the estimated tokens of a call fit into the budget together with the calls in
// flight, and reserves them. It reports false if they do not fit, or if ctx ends first. Only one
// goroutine at a time may call it.
func (b *budget) reserve(ctx context.Context, tokens int) bool {
	for {
		b.mu.Lock()
		idle, fits := b.reserved == 0, b.max == 0 || b.used+b.reserved+tokens <= b.max
		if fits {
			b.reserved += tokens
		}
		b.mu.Unlock()
		if fits || idle {
			return fits
		}
		select {
		case <-b.freed:
		case <-ctx.Done():
			return false
		}
	}
}

// settle replaces the reservation of a call with its usage.
func (b *budget) settle(reserved, used int) {
	b.mu.Lock()
	b.reserved -= reserved
	b.used += used
	b.mu.Unlock()
	select {
	case b.freed <- struct{}{}:
	default:
	}
}
