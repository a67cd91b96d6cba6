package main

import (
	"fmt"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/faultproxy"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// check compares the calls, the limiter's counters and the requests that reached the proxy. The
// invariants are:
//
//   - Each call ended once, and each of its permits ended once.
//   - Each request at the proxy has a permit. A permit whose request did not reach the proxy belongs
//     to an attempt without a response, or to a request for which net/http used another connection.
//   - The limiter holds no tokens, and its token counters equal those of the calls.
func (w *wire) check(requests []faultproxy.Request) {
	arrived, sum, unknown := map[string]int{}, wireEvents{}, 0
	for _, r := range requests {
		arrived[r.Call]++
		if r.Call == "" {
			unknown++
		}
		if r.Call == "" && r.Whole {
			w.reconciler.find("a request without a call arrived")
		}
	}
	known := unknown
	for _, c := range w.made {
		e := c.events()
		w.checkCall(c, e, arrived[c.id])
		known += arrived[c.id]
		sum.acquired, sum.settled = sum.acquired+e.acquired, sum.settled+e.settled
		sum.estimates, sum.used, sum.lost = sum.estimates+e.estimates, sum.used+e.used, sum.lost+e.lost
		sum.attempts, sum.unsent, sum.unanswered, sum.conns = sum.attempts+e.attempts, sum.unsent+e.unsent, sum.unanswered+e.unanswered, sum.conns+e.conns
	}
	var sums limiter.Snapshot
	for model, s := range w.client.Snapshot() {
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			w.reconciler.find("limiter %q: %d calls in flight with %d tokens and %d waiting after all calls have ended, want 0", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
		sums.Admitted += s.Admitted
		sums.Retried += s.Retried
		sums.ReturnedRequests += s.ReturnedRequests
		sums.Settled += s.Settled
		sums.Cancelled += s.Cancelled
		sums.TokensSettled += s.TokensSettled
		sums.TokensRefunded += s.TokensRefunded
		sums.TokensCharged += s.TokensCharged
	}
	sent := int(sums.Admitted + sums.Retried - sums.ReturnedRequests)
	resent := sum.conns - (sum.attempts - sum.unsent)
	if missing := sent - len(requests); missing < 0 || missing > sum.unanswered+resent {
		w.reconciler.find("the limiter admitted %d requests, but %d arrived; %d attempts are without a response, and net/http used %d more connections",
			sent, len(requests), sum.unanswered, resent)
	}
	for _, same := range []struct {
		what      string
		got, want int
	}{
		{"admitted calls by the limiter and by the events", int(sums.Admitted), sum.acquired},
		{"ended permits by the limiter and by the events", int(sums.Settled + sums.Cancelled), sum.settled},
		{"permits and ended permits by the events", sum.acquired, sum.settled},
		{"settled tokens by the limiter and by the events", int(sums.TokensSettled), sum.used + sum.lost},
		{"held tokens by the limiter and by the estimates", int(sums.TokensSettled + sums.TokensRefunded - sums.TokensCharged), sum.estimates},
		{"requests at the proxy and by the calls", len(requests), known},
	} {
		if same.got != same.want {
			w.reconciler.find("%s: %d and %d", same.what, same.got, same.want)
		}
	}
}

// checkCall checks one call. The last argument is the number of requests at the proxy with its
// identifier.
func (w *wire) checkCall(c *wireCall, e wireEvents, arrived int) {
	at := c.operation + " " + c.id
	switch {
	case e.began == 0: // The client rejected the call before, for example because of an invalid id.
		if e != (wireEvents{}) || arrived > 0 || c.err == nil {
			w.reconciler.find("%s: %d requests arrived without a call of the observer: %+v", at, arrived, e)
		}
		return
	case e.began != 1 || e.ended != 1:
		w.reconciler.find("%s: began %d times and ended %d times", at, e.began, e.ended)
	case e.acquired != e.settled:
		w.reconciler.find("%s: %d permits, but %d ended permits", at, e.acquired, e.settled)
	}
	if outcomeOf(c.err) == fmt.Sprintf("%T", c.err) {
		w.reconciler.find("%s: ended with an error of an unknown type: %v", at, c.err)
	}
	if arrived > e.conns {
		w.reconciler.find("%s: %d requests arrived, but the transport used %d connections", at, arrived, e.conns)
	}
	if e.err != nil {
		w.reconciler.findKey("an error", e.err.Error())
	}
}

// report returns a table with a line for each kind of fault: the number of requests with the fault,
// and the outcomes of their calls. A call counts in the line of each of its faults.
func (w *wire) report() string {
	type line struct{ requests, calls, succeeded, failed, retried int }
	lines, kindsOf := map[faultproxy.Kind]*line{}, map[string]map[faultproxy.Kind]bool{}
	at := func(kind faultproxy.Kind) *line {
		if lines[kind] == nil {
			lines[kind] = new(line)
		}
		return lines[kind]
	}
	for _, r := range w.proxy.Requests() {
		at(r.Kind).requests++
		if kindsOf[r.Call] == nil {
			kindsOf[r.Call] = map[faultproxy.Kind]bool{}
		}
		kindsOf[r.Call][r.Kind] = true
	}
	const none, sum = "no identified request", "all"
	for _, c := range w.made {
		e, kinds := c.events(), kindsOf[c.id]
		if len(kinds) > 1 {
			delete(kinds, faultproxy.Pass)
		}
		if len(kinds) == 0 {
			kinds = map[faultproxy.Kind]bool{none: true}
		}
		count := func(kind faultproxy.Kind) {
			l := at(kind)
			l.calls++
			if e.err == nil && c.err == nil {
				l.succeeded++
			} else {
				l.failed++
			}
			if e.attempts > 1 {
				l.retried++
			}
		}
		for kind := range kinds {
			count(kind)
		}
		count(sum)
	}
	at(sum).requests = len(w.proxy.Requests())
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s%10s%10s%11s%10s%10s\n", "", "requests", "calls", "succeeded", "failed", "retried")
	for _, kind := range append(faultproxy.Kinds(), none, sum) {
		if l := lines[kind]; l != nil {
			fmt.Fprintf(&b, "%-24s%10d%10d%11d%10d%10d\n", kind, l.requests, l.calls, l.succeeded, l.failed, l.retried)
		}
	}
	return b.String()
}
