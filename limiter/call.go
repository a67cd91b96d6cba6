package limiter

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A Call describes a call to acquire. Every call takes one request in addition to its tokens.
type Call struct {
	// Prompt and Reply are the expected numbers of prompt and completion tokens. Both must be at
	// least 0. The limiter takes their sum, the call's estimate. A [Guarded] limiter distinguishes
	// them if the server charges prompts on arrival.
	Prompt, Reply int

	// Estimate recomputes Prompt and Reply during the wait; nil keeps the estimate. The limiter
	// calls Estimate only if the latest estimate is at least a second old, on three occasions: when
	// the call reaches the head of the queue, when it could be admitted, and when another call ends
	// while it is the head. The limiter also calls Estimate when the limit is lowered below the
	// latest estimate.
	//
	// Estimate runs in the goroutine that waits, without a lock, and may use the limiter: for
	// example, take a Snapshot. It must return quickly and must not acquire, because the limiter
	// admits no later call until Estimate returns. A new estimate that can never fit ends the wait
	// with a [*TooLargeError]. The limiter may ignore a change of at most an eighth.
	Estimate func() (prompt, reply int)

	// Place is the call's position in the queue. The zero Place means [PlaceOf] the context.
	Place Place

	// Class is the call's class: [Interactive], [Batch], or a name in [Classes]. "" means
	// Interactive. The module limiter/redislimiter ignores it.
	Class string

	// MaxWait is the longest acceptable expected wait. If the call is expected to wait longer, it
	// fails at once with [ErrWouldWait]. 0 means as long as the context lasts. [NoWait], or any
	// negative value, means that the call must start now.
	MaxWait time.Duration

	// MaxQueue is the maximum number of waiting calls of the class. If that many wait already and
	// this call would have to wait too, it fails at once with [ErrQueueFull]. The module
	// limiter/redislimiter counts all waiting calls of the process. 0 or less means unlimited.
	MaxQueue int

	// OnQueue receives the call's position while it waits: at the start of the wait, and after a
	// change, at most once a second. The module limiter/redislimiter calls it only at the start. It
	// runs in the goroutine that waits, without a lock. It should return quickly, because the call
	// does not start before that. It may be nil.
	OnQueue func(QueueStatus)

	// Duration is the time that the call is expected to take after its request is sent; 0 or less
	// means unknown. It matters only if the context has a deadline. The limiter drops
	// the call if less time is left when its turn comes, or while it waits for tokens at the head of
	// the queue. The wait then ends with an error that wraps [ErrWouldWait] and
	// [context.DeadlineExceeded], and nothing is taken. If the call waited for tokens, the next
	// call of about the same size takes its turn.
	//
	// There are exceptions. A call at the head may wait for tokens somewhat longer, down to half of
	// Duration. If no other call waits, MinDuration decides. One late call in ten seconds starts
	// anyway, so that the limiter notices when calls become faster. [Permit.Retry] is never dropped.
	Duration time.Duration

	// MinDuration is the shortest time that the call can take, at most Duration; 0 or less means
	// unknown. It matters only together with Duration. If the requests of the calls ahead leave less
	// time before the deadline, the call fails at once with the same error. The tokens of the calls
	// ahead do not count, because they may be refunded.
	MinDuration time.Duration
}

// NoWait is the [Call.MaxWait] of a call that must start at once or fail.
const NoWait time.Duration = -1

// Tokens returns the call's estimate, Prompt + Reply, at most [math.MaxInt].
func (c Call) Tokens() int {
	if c.Prompt > math.MaxInt-max(0, c.Reply) {
		return math.MaxInt
	}
	return c.Prompt + c.Reply
}

// WithDefaults returns c with a Place assigned. It fails if ctx is nil, or with an error that wraps
// [ErrNegativeTokens] if Prompt or Reply is negative. A [Backend] calls it first.
func (c Call) WithDefaults(ctx context.Context) (Call, error) {
	switch {
	case ctx == nil:
		return c, errNilContext
	case c.Prompt < 0:
		return c, fmt.Errorf("%w: Prompt must be at least 0, got %d", ErrNegativeTokens, c.Prompt)
	case c.Reply < 0:
		return c, fmt.Errorf("%w: Reply must be at least 0, got %d", ErrNegativeTokens, c.Reply)
	}
	if c.Place == (Place{}) {
		c.Place = PlaceOf(ctx)
	}
	return c, nil
}
