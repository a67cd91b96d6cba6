package bulk

import (
	"context"
	"sync"
)

// A budget is what calls may use, in tokens.
type budget struct {
	max int // 0: any number

	mu             sync.Mutex
	used, reserved int
	freed          chan struct{} // has a value when something was settled
}

func newBudget(tokens int) *budget { return &budget{max: tokens, freed: make(chan struct{}, 1)} }

// reserve waits until a call fits the budget beside the calls under way, and reserves what it is
// expected to use. It reports false if the call does not fit, or if ctx ends before. One goroutine
// at a time may call it.
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

// settle replaces what was reserved for a call by what it used.
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
