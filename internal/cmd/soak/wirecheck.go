package main

import (
	"fmt"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/faultproxy"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// check compares the calls, the limiter's counters and the requests that reached the
// proxy. What must hold:
//
//   - Each call ended once, and so did each of its permits.
//   - No request reached the proxy without a permit. A permit whose request did not reach
//     it is that of an attempt without a response, or of a request that net/http took
//     another connection for.
//   - The limiter holds nothing, and its tokens are those of the calls.
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
		sum.attempts, sum.unsent, sum.silent, sum.conns = sum.attempts+e.attempts, sum.unsent+e.unsent, sum.silent+e.silent, sum.conns+e.conns
	}
	var books limiter.Snapshot
	for model, s := range w.client.Snapshot() {
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			w.reconciler.find("limiter %q: %d calls in flight with %d tokens, %d waiting, after all calls have ended", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
		books.Admitted += s.Admitted
		books.Retried += s.Retried
		books.ReturnedRequests += s.ReturnedRequests
		books.Settled += s.Settled
		books.Cancelled += s.Cancelled
		books.TokensSettled += s.TokensSettled
		books.TokensRefunded += s.TokensRefunded
		books.TokensCharged += s.TokensCharged
	}
	sent := int(books.Admitted + books.Retried - books.ReturnedRequests)
	again := sum.conns - (sum.attempts - sum.unsent)
	if missing := sent - len(requests); missing < 0 || missing > sum.silent+again {
		w.reconciler.find("the limiter admitted %d requests, %d arrived; %d attempts had no response, and net/http took %d more connections",
			sent, len(requests), sum.silent, again)
	}
	for _, same := range []struct {
		what      string
		got, want int
	}{
		{"calls admitted by the limiter and by the events", int(books.Admitted), sum.acquired},
		{"permits ended by the limiter and by the events", int(books.Settled + books.Cancelled), sum.settled},
		{"permits and their ends", sum.acquired, sum.settled},
		{"tokens settled by the limiter and by the events", int(books.TokensSettled), sum.used + sum.lost},
		{"tokens taken and given back by the limiter, and the estimates", int(books.TokensSettled + books.TokensRefunded - books.TokensCharged), sum.estimates},
		{"requests that arrived and those of the calls", len(requests), known},
	} {
		if same.got != same.want {
			w.reconciler.find("%s: %d and %d", same.what, same.got, same.want)
		}
	}
}

// checkCall checks one call, of which so many requests arrived with its identifier.
func (w *wire) checkCall(c *wireCall, e wireEvents, arrived int) {
	at := c.operation + " " + c.id
	switch {
	case e.began == 0: // It was refused before, such as for an id that is not valid.
		if e != (wireEvents{}) || arrived > 0 || c.err == nil {
			w.reconciler.find("%s: %d requests of a call that the observer was not called for: %+v", at, arrived, e)
		}
		return
	case e.began != 1 || e.ended != 1:
		w.reconciler.find("%s: began %d times and ended %d times", at, e.began, e.ended)
	case e.acquired != e.settled:
		w.reconciler.find("%s: %d permits ended %d times", at, e.acquired, e.settled)
	}
	if endOf(c.err) == fmt.Sprintf("%T", c.err) {
		w.reconciler.find("%s: ended with an error of an unknown type: %v", at, c.err)
	}
	if arrived > e.conns {
		w.reconciler.find("%s: %d requests arrived, %d connections were taken", at, arrived, e.conns)
	}
	if e.err != nil {
		w.reconciler.findKey("an error", e.err.Error())
	}
}

// report is a line for each kind of fault: the requests that it was injected into, and
// what became of their calls. A call counts in the line of each fault that it met.
func (w *wire) report() string {
	type line struct{ requests, calls, succeeded, failed, retried int }
	lines, met := map[faultproxy.Kind]*line{}, map[string]map[faultproxy.Kind]bool{}
	at := func(kind faultproxy.Kind) *line {
		if lines[kind] == nil {
			lines[kind] = new(line)
		}
		return lines[kind]
	}
	for _, r := range w.proxy.Requests() {
		at(r.Kind).requests++
		if met[r.Call] == nil {
			met[r.Call] = map[faultproxy.Kind]bool{}
		}
		met[r.Call][r.Kind] = true
	}
	const none, sum = "no request identified", "all"
	for _, c := range w.made {
		e, kinds := c.events(), met[c.id]
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
