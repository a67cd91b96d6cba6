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

// totals are sums over reconciled calls.
type totals struct {
	calls, admitted, settled, cancelled int
	estimates                           int // The held tokens.
	attempts, requests                  int
	accepted                            int // The requests that the emulator's limits accepted.
	sent                                int // The requests that the server may have received.
	resent                              int // The requests of sent that net/http wrote again by itself, with a permit.
	notArrived                          int // The attempts without a response that did not reach the emulator.

	// The tokens by kind of response. Complete responses report their usage, which is the same on
	// both sides. For broken responses the client settles the received tokens or its estimate; for
	// each lost response it settles its estimate.
	complete, broken, lost responseTotals
}

// responseTotals are the number of responses and their tokens on each side.
type responseTotals struct{ n, client, server int }

func (p *responseTotals) add(q responseTotals) {
	p.n, p.client, p.server = p.n+q.n, p.client+q.client, p.server+q.server
}

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
	t.notArrived += u.notArrived
	t.complete.add(u.complete)
	t.broken.add(u.broken)
	t.lost.add(u.lost)
}

func (t *totals) clientTokens() int { return t.complete.client + t.broken.client + t.lost.client }
func (t *totals) serverTokens() int { return t.complete.server + t.broken.server + t.lost.server }

// reconciliation compares the accounts of one call.
type reconciliation struct {
	*call
	timeout  time.Duration // The timeout of an attempt.
	totals   totals
	findings []string
	answered map[string]emulator.Recorded // The requests with a response at the client, by request id.
}

func (r *reconciliation) find(format string, args ...any) {
	r.findings = append(r.findings, fmt.Sprintf("%s %s: %s", r.operation, r.id, fmt.Sprintf(format, args...)))
}

// reconcile returns the totals of a call and the violated invariants. The call must have ended in all
// three sources. The invariants are:
//
//   - The call ended with a result or a [ratelimited.Error]. Each permit ended once: cancelled if
//     no request with that permit can have arrived, otherwise settled.
//   - Each response at the client belongs to a request in the emulator's log with the same status.
//     Each other request in the log has a reason why its response was lost.
//   - net/http writes only PUT and PATCH requests without a body again by itself.
//   - The emulator throttles requests only by injected faults.
//   - For a complete response, the client settles the reported usage, which the emulator has
//     charged. For a broken response it settles the received tokens of a stream or the estimate.
//     For each attempt with a lost response it settles the estimate. Responses with an error
//     status cost nothing on both sides.
func reconcile(c *call, timeout time.Duration) (totals, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &reconciliation{call: c, timeout: timeout, answered: map[string]emulator.Recorded{}}
	r.totals = totals{calls: 1, admitted: len(c.estimates), attempts: len(c.attempts), requests: len(c.requests), sent: r.reached(0)}
	if own := ratelimited.Error(nil); c.err != nil && !errors.As(c.err, &own) {
		r.find("ended with an error that is not a ratelimited.Error: %v", c.err)
	}
	for _, request := range c.requests {
		r.server(request)
	}
	if len(c.estimates) == 0 {
		if len(c.attempts)+len(c.requests)+len(c.ends) > 0 {
			r.find("was not admitted, but has %d attempts, %d requests and %d ended permits", len(c.attempts), len(c.requests), len(c.ends))
		}
		return r.totals, r.findings
	}
	r.matchResponses()
	r.explainLostResponses()
	r.permits()
	return r.totals, r.findings
}

// rateLimitFaults are the faults with a 429 response.
var rateLimitFaults = []emulator.FaultKind{
	emulator.FaultRateLimit, emulator.FaultTokenLimit, emulator.FaultRequestLimit,
	emulator.FaultToolLimit, emulator.FaultCapacity, emulator.FaultQuota,
}

// server checks one request in the emulator's log.
func (r *reconciliation) server(request emulator.Recorded) {
	if request.Admitted {
		r.totals.accepted++
	}
	if request.Status == http.StatusTooManyRequests && !slices.Contains(rateLimitFaults, request.Fault) {
		r.find("the emulator throttled a request: the client exceeded the limit")
	}
	if request.Tokens != 0 && request.Status >= 300 {
		r.find("the emulator charged %d tokens for a response with status %d", request.Tokens, request.Status)
	}
}

// matchResponses finds the request of each response.
func (r *reconciliation) matchResponses() {
	for _, a := range r.attempts {
		if a.status == 0 {
			continue
		}
		i := slices.IndexFunc(r.requests, func(q emulator.Recorded) bool { return q.RequestID == a.requestID })
		switch _, twice := r.answered[a.requestID]; {
		case i < 0:
			r.find("a response with status %d belongs to a request that is not in the emulator's log", a.status)
		case twice:
			r.find("received a response twice")
		case r.requests[i].Status != a.status || isSuccess(a.status) && !r.requests[i].Admitted:
			r.find("received status %d; the emulator's log has status %d, admitted: %v", a.status, r.requests[i].Status, r.requests[i].Admitted)
		default:
			r.answered[a.requestID] = r.requests[i]
		}
	}
}

func isSuccess(status int) bool { return status >= 200 && status <= 299 }

// responseLossFaults are the faults that may cause a lost response.
var responseLossFaults = []emulator.FaultKind{
	emulator.FaultClose, emulator.FaultReset, emulator.FaultStall, emulator.FaultResetAfterHeaders, emulator.FaultLostReply,
	emulator.FaultResetStream, emulator.FaultStallStream,
}

// explainLostResponses checks that requests without a response at the client have a reason.
func (r *reconciliation) explainLostResponses() {
	lost := 0
	for _, request := range r.requests {
		if _, ok := r.answered[request.RequestID]; ok {
			continue
		}
		lost++
		if !slices.Contains(responseLossFaults, request.Fault) && !r.ctxEnded && request.Done.Sub(request.Arrived) < r.timeout {
			r.find("received no response to a request that the emulator completed with status %d and fault %q", request.Status, request.Fault)
		}
	}
	unanswered := 0
	for _, a := range r.attempts {
		if a.status == 0 && a.reached {
			unanswered++
		}
	}
	written := int(r.writes.Load())
	r.totals.resent = max(0, written-r.totals.sent)
	r.totals.sent += r.totals.resent
	r.totals.notArrived = max(0, unanswered-lost)
	noBody := r.operation == "CreateAgentVersionAlias" || r.operation == "UpdateAgentVersion"
	switch {
	case len(r.requests) > written:
		r.find("wrote %d requests, but %d arrived", written, len(r.requests))
	case r.totals.resent > 0 && !noBody:
		r.find("wrote %d requests in %d attempts", written, r.reached(0))
	}
}

// reached returns how many attempts with a permit the server may have received; 0 means all permits.
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
	var settled end              // the sum of all settlements
	for i := range r.estimates { // each admission has an estimate
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
				r.find("permit cancelled: %v; one of its requests may have arrived: %v", e.cancelled, reached)
			}
			if e.used > 0 && permit < len(r.estimates) {
				r.find("settled %d tokens and was admitted again", e.used)
			}
			settled.used, settled.lost = settled.used+e.used, settled.lost+e.lost
		}
		if ended != 1 {
			r.find("a permit ended %d times", ended)
			return
		}
	}
	var last emulator.Recorded // the request of the call's response
	hasLast := false
	if n := len(r.attempts); n > 0 && isSuccess(r.attempts[n-1].status) && (!r.stream || r.opened) {
		last, hasLast = r.answered[r.attempts[n-1].requestID]
	}
	attempts, lost := 0, 0 // the attempts that are settled by their estimate, and the sum of these estimates
	for i, a := range r.attempts {
		if a.reached && (a.status == 0 || isSuccess(a.status)) && (!hasLast || i < len(r.attempts)-1) {
			attempts++
			lost += r.estimates[a.permit-1]
		}
	}
	if hasLast {
		r.last(r.estimates[len(r.estimates)-1], settled.used, last)
	} else if settled.used != 0 {
		r.find("settled %d tokens without a response", settled.used)
	}
	if settled.lost != lost {
		r.find("settled %d tokens for %d lost responses, want %d", settled.lost, attempts, lost)
	}
	r.totals.lost.add(responseTotals{n: attempts, client: settled.lost})
	for _, request := range r.requests {
		if !hasLast || request.RequestID != last.RequestID {
			r.totals.lost.server += request.Tokens
		}
	}
}

// last checks the tokens that were settled for the call's response.
func (r *reconciliation) last(estimate, used int, request emulator.Recorded) {
	cost := responseTotals{n: 1, client: used, server: request.Tokens}
	switch {
	case r.reported != nil && *r.reported > 0 && used == *r.reported, estimate == 0 && r.reported == nil:
		if used != request.Tokens {
			r.find("settled %d tokens, but the emulator charged %d", used, request.Tokens)
		}
		r.totals.complete.add(cost)
	case r.reported != nil && *r.reported > 0 && !r.closedElsewhere:
		r.find("settled %d tokens, but the response reported %d", used, *r.reported)
	default:
		want := estimate
		if r.received != nil {
			want = r.received(estimate)
		}
		if used != want {
			r.find("settled %d tokens for a response without usage, want %d", used, want)
		}
		r.totals.broken.add(cost)
	}
}
