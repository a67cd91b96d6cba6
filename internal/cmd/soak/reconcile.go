package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Totals are sums over calls that have been reconciled.
type totals struct {
	calls, admitted, settled, cancelled int
	estimates                           int // tokens that were held
	attempts, requests, accepted        int // accepted by the emulator's limits
	sent                                int // requests that the server may have seen
	resent                              int // those of them that net/http wrote again by itself, with a permit
	unarrived                           int // attempts without a reply of which the emulator saw nothing

	// The tokens, by what is known of the reply that they are for. Whole replies tell
	// what they cost: both sides have the same. Of broken ones the client has what came,
	// or its estimate; of lost ones its estimate, once for each.
	whole, broken, lost part
}

// A part is so many replies, and what they cost by each side's books.
type part struct{ n, client, server int }

func (p *part) add(q part) { p.n, p.client, p.server = p.n+q.n, p.client+q.client, p.server+q.server }

func (t *totals) add(u totals) {
	t.calls += u.calls
	t.admitted += u.admitted
	t.settled += u.settled
	t.cancelled += u.cancelled
	t.estimates += u.estimates
	t.attempts += u.attempts
	t.requests += u.requests
	t.accepted += u.accepted
	t.sent += u.sent
	t.resent += u.resent
	t.unarrived += u.unarrived
	t.whole.add(u.whole)
	t.broken.add(u.broken)
	t.lost.add(u.lost)
}

func (t *totals) clientTokens() int { return t.whole.client + t.broken.client + t.lost.client }
func (t *totals) serverTokens() int { return t.whole.server + t.broken.server + t.lost.server }

// A reconciliation sets one call's accounts against each other.
type reconciliation struct {
	*call
	timeout  time.Duration // of an attempt
	totals   totals
	findings []string
	answered map[string]emulator.Recorded // by request id, those of which the client had a reply
}

func (r *reconciliation) find(format string, args ...any) {
	r.findings = append(r.findings, fmt.Sprintf("%s %s: %s", r.operation, r.id, fmt.Sprintf(format, args...)))
}

// reconcile says what does not fit, and what a call adds to the totals. The call has
// ended, for all three of its parties. What must hold, exactly:
//
//   - It ended with a result or with a [ratelimited.Error], and each of its permits once:
//     given back if none of the requests with that permit can have arrived, settled
//     otherwise.
//   - Each reply that the client had is that of a request in the emulator's record, with
//     the same status. Each other request in the record has a reason for which its reply
//     was lost.
//   - net/http writes no request again by itself, but those of PUT and PATCH that have no
//     body.
//   - The emulator refused no request of its own accord.
//   - What the client settled is the usage that the reply told, if it came to its end,
//     and that is what the emulator charged; what was received (for a stream), or the
//     estimate, if the reply broke off; and the estimate once more for each attempt whose
//     reply was lost. A reply that is not a success costs nothing, on both sides.
func reconcile(c *call, timeout time.Duration) (totals, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &reconciliation{call: c, timeout: timeout, answered: map[string]emulator.Recorded{}}
	r.totals = totals{calls: 1, admitted: len(c.estimates), attempts: len(c.attempts), requests: len(c.requests), sent: r.reached(0)}
	if own := ratelimited.Error(nil); c.err != nil && !errors.As(c.err, &own) {
		r.find("ended with an error of no type of ours: %v", c.err)
	}
	for _, request := range c.requests {
		r.server(request)
	}
	if len(c.estimates) == 0 {
		if len(c.attempts)+len(c.requests)+len(c.ends) > 0 {
			r.find("was not admitted; %d attempts, %d requests, %d permits ended", len(c.attempts), len(c.requests), len(c.ends))
		}
		return r.totals, r.findings
	}
	r.replies()
	r.lostRequests()
	r.permits()
	return r.totals, r.findings
}

// refusals are the faults that are a 429.
var refusals = []emulator.FaultKind{
	emulator.FaultRateLimit, emulator.FaultTokenLimit, emulator.FaultRequestLimit,
	emulator.FaultToolLimit, emulator.FaultCapacity, emulator.FaultQuota,
}

// server looks at one request in the emulator's record.
func (r *reconciliation) server(request emulator.Recorded) {
	if request.Admitted {
		r.totals.accepted++
	}
	if request.Status == http.StatusTooManyRequests && !slices.Contains(refusals, request.Fault) {
		r.find("the emulator refused a request: the limit was not kept")
	}
	if request.Tokens != 0 && request.Status >= 300 {
		r.find("the emulator charged %d tokens for a reply of status %d", request.Tokens, request.Status)
	}
}

// replies finds the request of each reply.
func (r *reconciliation) replies() {
	for _, a := range r.attempts {
		if a.status == 0 {
			continue
		}
		i := slices.IndexFunc(r.requests, func(q emulator.Recorded) bool { return q.RequestID == a.requestID })
		switch _, twice := r.answered[a.requestID]; {
		case i < 0:
			r.find("had a reply of status %d, of a request that the emulator has not seen", a.status)
		case twice:
			r.find("had a reply twice")
		case r.requests[i].Status != a.status || isSuccess(a.status) && !r.requests[i].Admitted:
			r.find("had a reply of status %d, which the emulator has as %d, admitted: %v", a.status, r.requests[i].Status, r.requests[i].Admitted)
		default:
			r.answered[a.requestID] = r.requests[i]
		}
	}
}

func isSuccess(status int) bool { return status >= 200 && status <= 299 }

// cutting are the faults for which a client may have no reply.
var cutting = []emulator.FaultKind{
	emulator.FaultClose, emulator.FaultReset, emulator.FaultStall, emulator.FaultResetAfterHeaders, emulator.FaultLostReply,
	emulator.FaultResetStream, emulator.FaultStallStream,
}

// lostRequests explains the requests whose reply the client did not have.
func (r *reconciliation) lostRequests() {
	lost := 0
	for _, request := range r.requests {
		if _, ok := r.answered[request.RequestID]; ok {
			continue
		}
		lost++
		if !slices.Contains(cutting, request.Fault) && !r.ctxEnded && request.Done.Sub(request.Arrived) < r.timeout {
			r.find("had no reply to a request that was answered %d, fault %q", request.Status, request.Fault)
		}
	}
	silent := 0
	for _, a := range r.attempts {
		if a.status == 0 && a.reached {
			silent++
		}
	}
	written := int(r.writes.Load())
	r.totals.resent = max(0, written-r.totals.sent)
	r.totals.sent += r.totals.resent
	r.totals.unarrived = max(0, silent-lost)
	noBody := r.operation == "CreateAgentVersionAlias" || r.operation == "UpdateAgentVersion"
	switch {
	case len(r.requests) > written:
		r.find("wrote %d requests, %d arrived", written, len(r.requests))
	case r.totals.resent > 0 && !noBody:
		r.find("wrote %d requests in %d attempts", written, r.reached(0))
	}
}

// reached is how many attempts the server may have seen: those with one permit, or 0 for
// all.
func (r *reconciliation) reached(permit int) (n int) {
	for _, a := range r.attempts {
		if a.reached && (permit == 0 || a.permit == permit) {
			n++
		}
	}
	return n
}

// permits checks how the permits ended.
func (r *reconciliation) permits() {
	var paid end                 // of all settlements
	for i := range r.estimates { // a call that is admitted again is estimated again
		r.totals.estimates += r.estimates[i]
		permit, ended := i+1, 0
		for _, e := range r.ends {
			if e.permit != permit {
				continue
			}
			if ended++; e.cancelled {
				r.totals.cancelled++
			} else {
				r.totals.settled++
			}
			if reached := r.reached(permit) > 0; reached == e.cancelled {
				r.find("a permit was cancelled: %v; one of its requests may have arrived: %v", e.cancelled, reached)
			}
			if e.used > 0 && permit < len(r.estimates) {
				r.find("paid %d tokens and was admitted again", e.used)
			}
			paid.used, paid.lost = paid.used+e.used, paid.lost+e.lost
		}
		if ended != 1 {
			r.find("a permit ended %d times", ended)
			return
		}
	}
	var last emulator.Recorded // whose reply the call has
	hasLast := false
	if n := len(r.attempts); n > 0 && isSuccess(r.attempts[n-1].status) && (!r.stream || r.opened) {
		last, hasLast = r.answered[r.attempts[n-1].requestID]
	}
	costly, lost := 0, 0 // attempts that cost their estimate, and those
	for i, a := range r.attempts {
		if a.reached && (a.status == 0 || isSuccess(a.status)) && (!hasLast || i < len(r.attempts)-1) {
			costly++
			lost += r.estimates[a.permit-1]
		}
	}
	if hasLast {
		r.last(r.estimates[len(r.estimates)-1], paid.used, last)
	} else if paid.used != 0 {
		r.find("paid %d tokens for no reply", paid.used)
	}
	if paid.lost != lost {
		r.find("paid %d tokens for %d lost replies, want %d", paid.lost, costly, lost)
	}
	r.totals.lost.add(part{n: costly, client: paid.lost})
	for _, request := range r.requests {
		if !hasLast || request.RequestID != last.RequestID {
			r.totals.lost.server += request.Tokens
		}
	}
}

// last checks what was paid for the reply that the call has.
func (r *reconciliation) last(estimate, used int, request emulator.Recorded) {
	cost := part{n: 1, client: used, server: request.Tokens}
	switch {
	case r.reported != nil && *r.reported > 0 && used == *r.reported, estimate == 0 && r.reported == nil:
		if used != request.Tokens {
			r.find("paid %d tokens, the emulator charged %d", used, request.Tokens)
		}
		r.totals.whole.add(cost)
	case r.reported != nil && *r.reported > 0 && !r.outside:
		r.find("paid %d tokens, the reply told of %d", used, *r.reported)
	default:
		want := estimate
		if r.received != nil {
			want = r.received(estimate)
		}
		if used != want {
			r.find("paid %d tokens for a reply that did not tell its usage, want %d", used, want)
		}
		r.totals.broken.add(cost)
	}
}
