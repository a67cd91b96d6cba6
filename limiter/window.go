package limiter

import (
	"math"
	"slices"
	"time"
)

// windowEntries bounds how many entries a window has, and so its memory and the
// time to look through it: what happens within 1/windowEntries of its span of an
// entry is added to that entry and leaves the window with the last of it. That
// is late by so much at most, and never early.
const windowEntries = 500

// A window knows what was used in the span of time that ends now, as a server
// with a sliding window does. Times are those since some epoch. The caller
// serialises all use and passes times that never run backwards.
type window struct {
	span  time.Duration
	limit int // most that may be used in one span
	used  int // in the span that ends now

	uses  []use // a ring; its length is 0 or a power of two
	first int   // index of the oldest
	count int
}

// A use is what was used between two moments.
type use struct {
	from, to time.Duration
	n        int
}

// at returns the i-th oldest use.
func (w *window) at(i int) *use { return &w.uses[(w.first+i)&(len(w.uses)-1)] }

// leaves returns when the i-th oldest use leaves the window.
func (w *window) leaves(i int) time.Duration { return w.at(i).to + w.span }

// add uses n units, whether there is room for them or not.
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

// remove takes back n units that were used at the given time, as many of them as the window
// still has.
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

// expire forgets what has left the window.
func (w *window) expire(now time.Duration) {
	for w.count > 0 && w.leaves(0) <= now {
		w.used -= w.at(0).n
		w.first = (w.first + 1) & (len(w.uses) - 1)
		w.count--
	}
}

// wait returns how long it takes until there is room for n more units, at most
// as many as the limit.
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

// waitMany returns how long it takes until the last of n units can be used, if each is used as soon
// as there is room for it. The limit must be at least 1.
func (w *window) waitMany(now time.Duration, n int) time.Duration {
	full := (n - 1) / w.limit
	if int64(full) > math.MaxInt64/2/int64(w.span) {
		return Never
	}
	return addSaturated(w.wait(now, n-full*w.limit), time.Duration(full)*w.span)
}

// usedAt returns how much of what is used now is still in the window later.
func (w *window) usedAt(later time.Duration) int {
	used := w.used
	for i := 0; i < w.count && w.leaves(i) <= later; i++ {
		used -= w.at(i).n
	}
	return used
}

// clone returns a copy that shares nothing with w.
func (w *window) clone() window {
	c := *w
	c.uses = slices.Clone(w.uses)
	return c
}
