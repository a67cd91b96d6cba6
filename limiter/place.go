package limiter

import (
	"context"
	"sync/atomic"
)

// A Place is a position in line, which orders the calls that wait: an earlier place
// is admitted first, in every [Limiter] of the process. Places are handed out in
// the order in which they are asked for. A call that gives its permit back and
// acquires another keeps its position by keeping its place.
//
// The zero Place means that no place was assigned. Places can be compared with ==.
type Place struct{ number uint64 }

var lastPlace atomic.Uint64

// Before reports whether p comes before q in line.
func (p Place) Before(q Place) bool { return p.number < q.number }

type placeKey struct{}

// WithPlace returns a context whose calls all have the same place: the one that the
// first of them gets when it acquires. In a run of several calls, such as a loop of
// function calls, only the first then waits behind others: later ones go ahead of
// calls that came after the first. Calls of one place are admitted in the order in
// which they come. If ctx has a place already, WithPlace returns ctx.
func WithPlace(ctx context.Context) context.Context {
	if _, ok := ctx.Value(placeKey{}).(*atomic.Uint64); ok {
		return ctx
	}
	return context.WithValue(ctx, placeKey{}, new(atomic.Uint64))
}

// PlaceOf returns the place of a call that is made with ctx: the context's, see
// [WithPlace], or else a new one, behind all places that were handed out before.
func PlaceOf(ctx context.Context) Place {
	if ctx == nil {
		return Place{lastPlace.Add(1)}
	}
	fixed, ok := ctx.Value(placeKey{}).(*atomic.Uint64)
	if !ok {
		return Place{lastPlace.Add(1)}
	}
	if fixed.Load() == 0 {
		fixed.CompareAndSwap(0, lastPlace.Add(1)) // of two calls at once, one fixes it for both
	}
	return Place{fixed.Load()}
}
