package limiter

import (
	"context"
	"sync/atomic"
)

// A Place is a position in the queue. Waiting calls are admitted in the order of their places, in
// every [Limiter] of the process. New places are always behind all earlier ones. A call that gives
// up its permit and acquires another keeps its position if it keeps its Place.
//
// The zero Place means that no place was assigned. Places are comparable with ==.
type Place struct{ number uint64 }

var lastPlace atomic.Uint64

// Before reports whether p is ahead of q in the queue.
func (p Place) Before(q Place) bool { return p.number < q.number }

type placeKey struct{}

// WithPlace returns a context whose calls all share one [Place]: the one assigned to the first of them
// that acquires. In a run of several calls, such as a loop of function calls, only the first call then
// waits behind others. Later calls of the run go ahead of calls that arrived after the first. Calls
// with the same place are admitted in order of arrival. If ctx has a place already, WithPlace returns
// ctx.
func WithPlace(ctx context.Context) context.Context {
	if _, ok := ctx.Value(placeKey{}).(*atomic.Uint64); ok {
		return ctx
	}
	return context.WithValue(ctx, placeKey{}, new(atomic.Uint64))
}

// PlaceOf returns the place for a call made with ctx: the place that the context's calls share (see
// [WithPlace]), or otherwise a new place behind all others. ctx may be nil.
func PlaceOf(ctx context.Context) Place {
	if ctx == nil {
		return Place{lastPlace.Add(1)}
	}
	fixed, ok := ctx.Value(placeKey{}).(*atomic.Uint64)
	if !ok {
		return Place{lastPlace.Add(1)}
	}
	if fixed.Load() == 0 {
		fixed.CompareAndSwap(0, lastPlace.Add(1)) // of two concurrent calls, one sets the place of both
	}
	return Place{fixed.Load()}
}
