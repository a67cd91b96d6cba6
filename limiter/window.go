package limiter

import (
	"math"
	"slices"
	"time"
)

// windowEntries bounds the number of entries of a window, and so its memory and running time. Units used
// within span/windowEntries of an entry's start are added to that entry, and leave the window together
// with its last unit. A unit can therefore leave that much late, but never early.
const windowEntries = 500

// A window counts the units used in the time span that ends now, like a server with a sliding window.
// Times are durations since an epoch. The caller serializes all use and passes times that never
// decrease.
type window struct {
	span  time.Duration
	limit int // maximum units in one span
	used  int // units used in the span that ends now

	uses  []use // ring buffer; its length is 0 or a power of two
	first int   // index of the oldest use
	count int
}

// A use is a number of units used between two times.
type use struct {
	from, to time.Duration
	n        int
}

// at returns the i-th oldest use.
func (w *window) at(i int) *use { return &w.uses[(w.first+i)&(len(w.uses)-1)] }

// leaves returns when the i-th oldest use leaves the window.
func (w *window) leaves(i int) time.Duration { return w.at(i).to + w.span }

// add counts n units as used now, even beyond the limit.
func (w *window) add(now time.Duration, n int) {
	w.expire(now)
	w.used += n
	if w.count > 0 {
		if last := w.at(w.count - 1); now-last.from < w.span/windowEntries {
			last.to = now
			last.n += n
			return
		}
	}
	if w.count == len(w.uses) {
		w.grow()
	}
	w.count++
	*w.at(w.count - 1) = use{now, now, n}
}

func (w *window) grow() {
	uses := make([]use, max(8, 2*len(w.uses)))
	for i := range w.count {
		uses[i] = *w.at(i)
	}
	w.uses, w.first = uses, 0
}

// remove uncounts up to n units used at the given time, as far as they are still in the window.
func (w *window) remove(at time.Duration, n int) {
	for i := w.count - 1; i >= 0 && w.at(i).to >= at; i-- {
		if u := w.at(i); u.from <= at {
			k := min(n, u.n)
			u.n -= k
			w.used -= k
			n -= k
		}
	}
}

// expire removes the uses that have left the window.
func (w *window) expire(now time.Duration) {
	for w.count > 0 && w.leaves(0) <= now {
		w.used -= w.at(0).n
		w.first = (w.first + 1) & (len(w.uses) - 1)
		w.count--
	}
}

// wait returns how long it takes until n more units fit. If n exceeds the limit, it returns Never.
func (w *window) wait(now time.Duration, n int) time.Duration {
	w.expire(now)
	room := w.limit - n - w.used
	if room >= 0 {
		return 0
	}
	for i := range w.count {
		if room += w.at(i).n; room >= 0 {
			return w.leaves(i) - now
		}
	}
	return Never
}

// waitMany returns how long it takes until the last of n units can be used, if each is used as soon as
// it fits. The limit must be at least 1.
func (w *window) waitMany(now time.Duration, n int) time.Duration {
	full := (n - 1) / w.limit
	if int64(full) > math.MaxInt64/2/int64(w.span) {
		return Never
	}
	return addSaturated(w.wait(now, n-full*w.limit), time.Duration(full)*w.span)
}

// usedAt returns how many of the units used now will still be in the window at the later time.
func (w *window) usedAt(later time.Duration) int {
	used := w.used
	for i := 0; i < w.count && w.leaves(i) <= later; i++ {
		used -= w.at(i).n
	}
	return used
}

// clone returns an independent copy of w.
func (w *window) clone() window {
	c := *w
	c.uses = slices.Clone(w.uses)
	return c
}
