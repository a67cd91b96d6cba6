package main

import (
	"slices"
	"time"
)

// An outcome is what one run came to.
type outcome struct {
	// goodput is the completed work as a share of what the limits allow. See
	// run.goodput.
	goodput float64

	asked   int // calls
	lost    int // calls, after their retries
	refused int // requests: 429s

	// inversions is how many calls the server let in by an attempt that had been
	// sent before that of a call asked for earlier. Those of the same instant have
	// no order.
	inversions int

	// theirs is the share of the limits that others used. fairness is the success rate of the
	// largest quarter of the calls over that of the smallest.
	theirs, fairness float64

	// waits has, for each completed call, the time from asking for it to the
	// attempt that was accepted.
	waits []time.Duration
}

// usage is an amount of work.
type usage struct{ calls, tokens int }

func (u *usage) add(tokens int) {
	u.calls++
	u.tokens += tokens
}

func (r *run) outcome() outcome {
	o := outcome{
		goodput:    r.goodput(),
		asked:      len(r.requests),
		refused:    r.world.server.refused,
		inversions: inversions(r.requests),
		fairness:   fairness(r.requests),
	}
	if l := r.truth(); r.length > 0 {
		o.theirs = max(float64(r.foreign.calls)/(l.rps*r.length.Seconds()), float64(r.foreign.tokens)/(l.tokensPerSecond()*r.length.Seconds()))
	}
	for _, e := range r.requests {
		switch {
		case e.fate == lost:
			o.lost++
		case r.inTime(e):
			o.waits = append(o.waits, e.sent-e.asked)
		}
	}
	return o
}

// inTime reports whether a call was completed before the end of the run.
func (r *run) inTime(e *request) bool {
	return e.fate == done && (r.finite() || e.ended <= r.length)
}

// goodput is the work that was completed over the work that the limits allow in
// the same time, by the limit that binds: requests or tokens, whichever gives the
// larger share. The time is that of the run, or until the last reply where the
// calls come to an end. What others used is not allowed to us. Of an open
// workload, which does not use up the limits, it is the share of what arrived.
//
// It can exceed 1: a bucket that is full at first gives a minute's tokens more,
// and a call that finds one token left may use thousands.
func (r *run) goodput() float64 {
	var completed, offered usage
	var last time.Duration
	for _, e := range r.requests {
		offered.add(e.tokens())
		if r.inTime(e) && e.ended >= r.after {
			completed.add(e.tokens())
			last = max(last, e.ended)
		}
	}
	switch {
	case completed.calls == 0:
		return 0
	case r.work.open > 0 && r.work.open < 1:
		return float64(completed.tokens) / float64(offered.tokens)
	case !r.finite():
		last = r.length - r.after
	}
	l := r.truth()
	calls := l.rps*last.Seconds() - float64(r.foreign.calls)
	tokens := l.tokensPerSecond()*last.Seconds() - float64(r.foreign.tokens)
	return max(float64(completed.calls)/calls, float64(completed.tokens)/tokens)
}

// fairness returns the success rate of the largest quarter of calls over that of the
// smallest; 1 if none of these succeeded.
func fairness(requests []*request) float64 {
	bySize := slices.SortedFunc(slices.Values(requests), func(a, b *request) int { return a.tokens() - b.tokens() })
	quarter := len(bySize) / 4
	rate := func(requests []*request) float64 {
		n := 0
		for _, e := range requests {
			if e.fate == done {
				n++
			}
		}
		return float64(n) / float64(max(1, len(requests)))
	}
	small, large := rate(bySize[:quarter]), rate(bySize[len(bySize)-quarter:])
	if small == 0 {
		return 1
	}
	return large / small
}

// inversions counts the calls that went ahead of one that had been asked for
// earlier. The requests come in the order in which they were asked for.
func inversions(requests []*request) (n int) {
	var latest, latestOfInstant time.Duration // of those asked for before the present instant, and in it
	instant := time.Duration(-1)
	for _, e := range requests {
		if e.asked > instant {
			instant = e.asked
			latest = max(latest, latestOfInstant)
		}
		if e.fate == done && e.sent < latest {
			n++
		}
		latestOfInstant = max(latestOfInstant, e.waitedUntil())
	}
	return n
}

// waitedUntil is when a call was sent for good, or left the queue: given up, or cut
// short by the end of the run.
func (e *request) waitedUntil() time.Duration {
	if e.fate == done {
		return e.sent
	}
	return e.ended
}
