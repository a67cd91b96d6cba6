package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const timeout = time.Second

// plainCall returns a call whose first attempt failed by a fault, and whose second succeeded.
func plainCall() *call {
	c := &call{
		id: "1-1", operation: "StartConversation", estimates: []int{100},
		attempts: []attempt{{permit: 1, status: 503, requestID: "a", reached: true}, {permit: 1, status: 200, requestID: "b", reached: true}},
		ends:     []end{{permit: 1, used: 30}}, reported: ratelimited.Ptr(30),
		requests: []emulator.Recorded{
			{RequestID: "a", Status: 503, Fault: emulator.FaultUnavailable},
			{RequestID: "b", Status: 200, Admitted: true, Tokens: 30},
		},
	}
	c.writes.Store(2)
	return c
}

// lostResponse returns a call whose first response was lost after the emulator had charged it.
func lostResponse() *call {
	c := plainCall()
	c.attempts[0] = attempt{permit: 1, reached: true}
	c.requests[0] = emulator.Recorded{RequestID: "a", Status: 200, Fault: emulator.FaultResetAfterHeaders, Admitted: true, Tokens: 25}
	c.ends[0].lost = 100
	return c
}

// closedStream returns a call with a stream that was closed early.
func closedStream() *call {
	c := plainCall()
	c.operation, c.stream, c.opened = "StartConversationStream", true, true
	c.reported, c.received = nil, func(estimate int) int { return estimate - 60 + 7 }
	c.ends[0].used, c.requests[1].Tokens = 47, 12
	return c
}

// unreached returns a call that did not reach the server.
func unreached() *call {
	c := plainCall()
	c.err = &ratelimited.TransportError{Err: errors.New("no connection")}
	c.attempts, c.requests, c.reported = []attempt{{permit: 1}}, nil, nil
	c.ends = []end{{permit: 1, cancelled: true}}
	c.writes.Store(0)
	return c
}

// waited returns a call whose context ended in the queue.
func waited() *call {
	return &call{id: "1-1", operation: "GetAgent", err: &ratelimited.WaitError{Err: errors.New("over")}, ctxEnded: true}
}

// outageCall returns a call that cancelled two permits in an outage: one after an attempt that did
// not reach the server, and one without an attempt.
func outageCall() *call {
	c := lostResponse()
	c.estimates = []int{100, 100, 100, 100}
	c.attempts = []attempt{{permit: 1}, {permit: 2, reached: true}, {permit: 4, status: 200, requestID: "b", reached: true}}
	c.ends = []end{{permit: 1, cancelled: true}, {permit: 2, lost: 100}, {permit: 3, cancelled: true}, {permit: 4, used: 30}}
	return c
}

// resentCall returns a call that costs a request without tokens and that net/http sent twice.
func resentCall() *call {
	c := plainCall()
	c.operation, c.reported, c.estimates, c.ends = "UpdateAgentVersion", nil, []int{0}, []end{{permit: 1}}
	c.attempts = c.attempts[1:]
	c.requests[0] = emulator.Recorded{RequestID: "a", Fault: emulator.FaultClose}
	c.requests[1].Tokens = 0
	return c
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call func() *call
		want totals
	}{
		"plain": {plainCall, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 1, complete: responseTotals{1, 30, 30},
		}},
		"lost response": {lostResponse, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 2, complete: responseTotals{1, 30, 30}, lost: responseTotals{1, 100, 25},
		}},
		"closed stream": {closedStream, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 1, broken: responseTotals{1, 47, 12},
		}},
		"unreached": {unreached, totals{calls: 1, admitted: 1, cancelled: 1, estimates: 100, attempts: 1}},
		"waited":    {waited, totals{calls: 1}},
		"outage": {outageCall, totals{
			calls: 1, admitted: 4, settled: 2, cancelled: 2, estimates: 400, attempts: 3, sent: 2, requests: 2, accepted: 2,
			complete: responseTotals{1, 30, 30}, lost: responseTotals{1, 100, 25},
		}},
		"resent": {resentCall, totals{
			calls: 1, admitted: 1, settled: 1, attempts: 1, sent: 2, requests: 2, accepted: 1, resent: 1, complete: responseTotals{n: 1},
		}},
	} {
		got, findings := reconcile(test.call(), timeout)
		if got != test.want || len(findings) > 0 {
			t.Errorf("%s: %+v, %q, want %+v", name, got, findings, test.want)
		}
	}
}

// reconcile finds every difference between the three sources.
func TestReconcileFinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want   string
		call   func() *call
		change func(*call)
	}{
		{"not a ratelimited.Error", plainCall, func(c *call) { c.err = errors.New("oh") }},
		{"was not admitted", plainCall, func(c *call) { c.estimates = nil }},
		{"was not admitted", waited, func(c *call) { c.ends = []end{{}} }},
		{"a permit ended 0 times", plainCall, func(c *call) { c.ends = nil }},
		{"a permit ended 0 times", outageCall, func(c *call) { c.ends = c.ends[1:] }},
		{"a permit ended 2 times", plainCall, func(c *call) { c.ends = append(c.ends, end{permit: 1}) }},
		{"settled 5 tokens and was admitted again", outageCall, func(c *call) { c.ends[1].used = 5 }},
		{"permit cancelled: true", plainCall, func(c *call) { c.ends[0].cancelled = true }},
		{"permit cancelled: false", unreached, func(c *call) { c.ends[0].cancelled = false }},
		{"the client exceeded the limit", plainCall, func(c *call) { c.requests[0].Status, c.requests[0].Fault, c.attempts[0].status = 429, "", 429 }},
		{"the client exceeded the limit", lostResponse, func(c *call) { c.requests[0].Status, c.requests[0].Fault = 429, emulator.FaultStall }},
		{"charged 5 tokens for a response with status 503", plainCall, func(c *call) { c.requests[0].Tokens = 5 }},
		{"not in the emulator's log", plainCall, func(c *call) { c.requests = c.requests[1:] }},
		{"received a response twice", plainCall, func(c *call) { c.attempts[0] = c.attempts[1] }},
		{"the emulator's log has status 500", plainCall, func(c *call) { c.requests[0].Status = 500 }},
		{"admitted: false", plainCall, func(c *call) { c.requests[1].Admitted = false }},
		{"received no response to a request", lostResponse, func(c *call) { c.requests[0].Fault = "" }},
		{"wrote 1 requests, but 2 arrived", plainCall, func(c *call) { c.writes.Store(1) }},
		{"wrote 3 requests in 2 attempts", lostResponse, func(c *call) { c.requests = append(c.requests, c.requests[0]); c.writes.Store(3) }},
		{"the emulator charged 30", plainCall, func(c *call) { c.ends[0].used, c.reported = 31, ratelimited.Ptr(31) }},
		{"the response reported 30", plainCall, func(c *call) { c.ends[0].used = 100 }},
		{"without usage, want 47", closedStream, func(c *call) { c.ends[0].used = 46 }},
		{"without usage, want 100", plainCall, func(c *call) { c.reported = ratelimited.Ptr(0) }},
		{"for 1 lost responses", lostResponse, func(c *call) { c.ends[0].lost = 0 }},
		{"for 0 lost responses", plainCall, func(c *call) { c.ends[0].lost = 100 }},
		{"for 1 lost responses", closedStream, func(c *call) { c.opened = false }},
		{"without a response", lostResponse, func(c *call) { c.attempts[1] = attempt{status: 503, requestID: "b", reached: true} }},
		{"the emulator charged 9", resentCall, func(c *call) { c.requests[1].Tokens = 9 }},
	} {
		c := test.call()
		test.change(c)
		if _, findings := reconcile(c, timeout); !strings.Contains(strings.Join(findings, "\n"), test.want) {
			t.Errorf("found %q, want %q", findings, test.want)
		}
	}
}

// A lost response with a reason is not a finding.
func TestReconcileAcceptsReasons(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]func(*call){
		"the context ended":     func(c *call) { c.ctxEnded = true },
		"the attempt timed out": func(c *call) { c.requests[0].Done = c.requests[0].Arrived.Add(timeout) },
	} {
		c := lostResponse()
		c.requests[0].Fault = ""
		reason(c)
		if _, findings := reconcile(c, timeout); len(findings) > 0 {
			t.Errorf("%s: %q", name, findings)
		}
	}
	c := closedStream()
	c.closedElsewhere, c.reported = true, ratelimited.Ptr(50)
	if _, findings := reconcile(c, timeout); len(findings) > 0 {
		t.Errorf("closed by another goroutine: %q", findings)
	}
}
