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

	// Estimate returns Prompt and Reply anew, by what has been learned since the call was made; nil
	// if the call keeps its estimate. The limiter asks if the latest estimate is a second old: when
	// the call comes to the head of the queue, when it could be admitted, and when calls end while it
	// is the head. The limiter also asks if the limit is lowered below the latest estimate. Estimate
	// runs in the goroutine that waits, without a lock of the limiter: it may take a Snapshot,
	// for example. It must return at once and not acquire, because until it returns the
	// limiter admits no call that comes later. A new estimate that can never fit ends the wait with
	// a [*TooLargeError]. One that differs by at most an eighth may be ignored.
	Estimate func() (prompt, reply int)

	// Place is the call's position in line. The zero Place stands for [PlaceOf] the
	// context.
	Place Place

	// Class is whose turn the call takes: [Interactive], which "" stands for, [Batch], or one of
	// [Classes]. The module limiter/redislimiter ignores it.
	Class string

	// MaxWait refuses the call at once, with [ErrWouldWait], if it is expected to wait for
	// longer. 0 means that it may wait for as long as its context lasts; [NoWait], or any
	// negative value, that it has to start now.
	MaxWait time.Duration

	// MaxQueue refuses the call at once, with [ErrQueueFull], if it would have to wait and that many
	// calls of its class wait already; by the module limiter/redislimiter, that many calls of the process. 0 or
	// less: any number.
	MaxQueue int

	// OnQueue is told where the call waits: when it begins to wait, and when that has changed, at most once
	// a second; by the module limiter/redislimiter only when it begins. It is called in the goroutine that waits, without locks, and should return soon: the
	// call does not start before that. If nil, nobody is told.
	OnQueue func(QueueStatus)

	// Duration is the time that the call is expected to need once its request is sent; 0 or less
	// if it is unknown. It matters if the context has a deadline. When the call's turn comes, or
	// while it waits for its tokens at the head of the queue, it gives way to others if less time
	// is left: its wait ends with an error that wraps [ErrWouldWait] and
	// [context.DeadlineExceeded], and it takes nothing. If it waited for tokens, its turn goes to
	// the next call that needs about as many. A call that has its turn may wait for tokens
	// somewhat longer, down to half of Duration. A call that no other call waits for needs only
	// MinDuration, and one call in ten seconds starts in any case, so that a limiter notices when
	// calls get faster. A [Permit.Retry] never gives way.
	Duration time.Duration

	// MinDuration is the least time that the call can take, at most Duration; 0 or less if it is
	// unknown. It matters only together with Duration. The limiter refuses the call at once, with
	// the same error, if the requests of those ahead leave less time before the deadline. It does
	// not count the tokens of those ahead, which may be refunded.
	MinDuration time.Duration
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
