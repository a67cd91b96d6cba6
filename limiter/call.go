package limiter

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A Call describes what a call asks of a limiter, beside the one request that every
// call needs.
type Call struct {
	// Prompt and Reply are how many tokens the prompt and the reply are expected to use.
	// Both must be at least 0. The limiter takes their sum, the call's estimate. A [Guarded]
	// limiter tells them apart if the server charges prompts on arrival.
	Prompt, Reply int

	// Place is the call's position in line. The zero Place stands for [PlaceOf] the
	// context.
	Place Place

	// MaxWait refuses the call at once, with [ErrWouldWait], if it is expected to wait for
	// longer. 0 means that it may wait for as long as its context lasts; [NoWait], or any
	// negative value, that it has to start now.
	MaxWait time.Duration
}

// NoWait is the [Call.MaxWait] of a call that starts now or not at all.
const NoWait time.Duration = -1

// Tokens returns the call's estimate, at most the largest int.
func (c Call) Tokens() int {
	if c.Prompt > math.MaxInt-max(0, c.Reply) {
		return math.MaxInt
	}
	return c.Prompt + c.Reply
}

// WithDefaults returns c, with a place assigned if it had none, or an error that wraps
// [ErrNegativeTokens] or reports that ctx is nil. A [Backend] calls it first.
func (c Call) WithDefaults(ctx context.Context) (Call, error) {
	switch {
	case ctx == nil:
		return c, errNilContext
	case c.Prompt < 0:
		return c, fmt.Errorf("%w: Prompt is %d, must be at least 0", ErrNegativeTokens, c.Prompt)
	case c.Reply < 0:
		return c, fmt.Errorf("%w: Reply is %d, must be at least 0", ErrNegativeTokens, c.Reply)
	}
	if c.Place == (Place{}) {
		c.Place = PlaceOf(ctx)
	}
	return c, nil
}
