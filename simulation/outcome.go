package main

import (
	"slices"
	"time"
)

// outcome is the result of one run.
type outcome struct {
	goodput float64 // See run.goodput.
	calls   int
	lost    int // Calls that failed after their retries.
	refused int // 429 responses.

	// inversions is the number of calls whose accepted attempt was sent before that of a call that
	// had arrived earlier. Calls of the same instant are not ordered.
	inversions int

	// externalShare is the share of the limits that other clients used. fairness is the success rate
	// of the largest quarter of the calls divided by that of the smallest.
	externalShare, fairness float64

	// waits are the times from the arrival of each completed call to its accepted attempt.
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
		calls:      len(r.requests),
		refused:    r.network.server.refused,
		inversions: inversions(r.requests),
		fairness:   fairness(r.requests),
	}
	if l := r.serverLimits(); r.length > 0 {
		o.externalShare = max(float64(r.external.calls)/(l.rps*r.length.Seconds()), float64(r.external.tokens)/(l.tokensPerSecond()*r.length.Seconds()))
	}
	for _, e := range r.requests {
		switch {
		case e.state == lost:
			o.lost++
		case r.inTime(e):
			o.waits = append(o.waits, e.sent-e.arrived)
		}
	}
	return o
}

// inTime reports whether a call was completed before the end of the run.
func (r *run) inTime(e *request) bool {
	return e.state == done && (r.finite() || e.ended <= r.length)
}

// goodput returns the completed work divided by the work that the limits allow in the same time,
// without the work of other clients. It uses the bottleneck, requests or tokens, which gives the
// larger share. The time is that of the run, or the time to the last response of a finite workload.
// For an open workload that does not use the limits completely, goodput is the completed share of the
// arrived work.
//
// It can exceed 1: a bucket that is full at first allows the tokens of an additional minute, and a
// call that starts with one token left may use thousands.
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
	l := r.serverLimits()
	calls := l.rps*last.Seconds() - float64(r.external.calls)
	tokens := l.tokensPerSecond()*last.Seconds() - float64(r.external.tokens)
	return max(float64(completed.calls)/calls, float64(completed.tokens)/tokens)
}

// fairness returns the success rate of the largest quarter of calls divided by that of the smallest; 1
// if all of the smallest failed.
func fairness(requests []*request) float64 {
	bySize := slices.SortedFunc(slices.Values(requests), func(a, b *request) int { return a.tokens() - b.tokens() })
	quarter := len(bySize) / 4
	rate := func(requests []*request) float64 {
		n := 0
		for _, e := range requests {
			if e.state == done {
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

// inversions counts the calls that started before a call that had arrived earlier. The requests are in
// their order of arrival.
func inversions(requests []*request) (n int) {
	var latest, latestOfInstant time.Duration // the latest starts of calls before the current instant, and in it
	instant := time.Duration(-1)
	for _, e := range requests {
		if e.arrived > instant {
			instant = e.arrived
			latest = max(latest, latestOfInstant)
		}
		if e.state == done && e.sent < latest {
			n++
		}
		latestOfInstant = max(latestOfInstant, e.waitedUntil())
	}
	return n
}

// waitedUntil returns when the accepted attempt of a call was sent. For other calls it returns when the
// call failed or the run ended.
func (e *request) waitedUntil() time.Duration {
	if e.state == done {
		return e.sent
	}
	return e.ended
}
