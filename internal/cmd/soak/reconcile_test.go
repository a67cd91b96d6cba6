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

// plain is a call whose first attempt a fault struck, and whose second had a reply.
func plain() *call {
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

// lost is a call whose first reply was lost, after the emulator had charged it.
func lost() *call {
	c := plain()
	c.attempts[0] = attempt{permit: 1, reached: true}
	c.requests[0] = emulator.Recorded{RequestID: "a", Status: 200, Fault: emulator.FaultResetAfterHeaders, Admitted: true, Tokens: 25}
	c.ends[0].lost = 100
	return c
}

// left is a stream that was left early.
func left() *call {
	c := plain()
	c.operation, c.stream, c.opened = "StartConversationStream", true, true
	c.reported, c.received = nil, func(estimate int) int { return estimate - 60 + 7 }
	c.ends[0].used, c.requests[1].Tokens = 47, 12
	return c
}

// unreached is a call that reached nobody.
func unreached() *call {
	c := plain()
	c.err = &ratelimited.TransportError{Err: errors.New("no connection")}
	c.attempts, c.requests, c.reported = []attempt{{permit: 1}}, nil, nil
	c.ends = []end{{permit: 1, cancelled: true}}
	c.writes.Store(0)
	return c
}

// waited is a call whose context ended in the queue.
func waited() *call {
	return &call{id: "1-1", operation: "GetAgent", err: &ratelimited.WaitError{Err: errors.New("over")}, ctxEnded: true}
}

// held is a call that gave its permit back in an outage, after an attempt that reached
// nobody, and one that it took in vain.
func held() *call {
	c := lost()
	c.estimates = []int{100, 100, 100, 100}
	c.attempts = []attempt{{permit: 1}, {permit: 2, reached: true}, {permit: 4, status: 200, requestID: "b", reached: true}}
	c.ends = []end{{permit: 1, cancelled: true}, {permit: 2, lost: 100}, {permit: 3, cancelled: true}, {permit: 4, used: 30}}
	return c
}

// managed is a call that costs a request and no tokens, which net/http sent twice.
func managed() *call {
	c := plain()
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
		"plain": {plain, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 1, whole: part{1, 30, 30},
		}},
		"lost": {lost, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 2, whole: part{1, 30, 30}, lost: part{1, 100, 25},
		}},
		"left": {left, totals{
			calls: 1, admitted: 1, settled: 1, estimates: 100, attempts: 2, sent: 2, requests: 2, accepted: 1, broken: part{1, 47, 12},
		}},
		"unreached": {unreached, totals{calls: 1, admitted: 1, cancelled: 1, estimates: 100, attempts: 1}},
		"waited":    {waited, totals{calls: 1}},
		"held": {held, totals{
			calls: 1, admitted: 4, settled: 2, cancelled: 2, estimates: 400, attempts: 3, sent: 2, requests: 2, accepted: 2,
			whole: part{1, 30, 30}, lost: part{1, 100, 25},
		}},
		"managed": {managed, totals{
			calls: 1, admitted: 1, settled: 1, attempts: 1, sent: 2, requests: 2, accepted: 1, resent: 1, whole: part{n: 1},
		}},
	} {
		got, findings := reconcile(test.call(), timeout)
		if got != test.want || len(findings) > 0 {
			t.Errorf("%s: %+v, %q, want %+v", name, got, findings, test.want)
		}
	}
}

// Whatever one of the three has otherwise is found.
func TestReconcileFinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want string
		call func() *call
		harm func(*call)
	}{
		{"no type of ours", plain, func(c *call) { c.err = errors.New("oh") }},
		{"was not admitted", plain, func(c *call) { c.estimates = nil }},
		{"was not admitted", waited, func(c *call) { c.ends = []end{{}} }},
		{"a permit ended 0 times", plain, func(c *call) { c.ends = nil }},
		{"a permit ended 0 times", held, func(c *call) { c.ends = c.ends[1:] }},
		{"a permit ended 2 times", plain, func(c *call) { c.ends = append(c.ends, end{permit: 1}) }},
		{"paid 5 tokens and was admitted again", held, func(c *call) { c.ends[1].used = 5 }},
		{"was cancelled: true", plain, func(c *call) { c.ends[0].cancelled = true }},
		{"was cancelled: false", unreached, func(c *call) { c.ends[0].cancelled = false }},
		{"the limit was not kept", plain, func(c *call) { c.requests[0].Status, c.requests[0].Fault, c.attempts[0].status = 429, "", 429 }},
		{"the limit was not kept", lost, func(c *call) { c.requests[0].Status, c.requests[0].Fault = 429, emulator.FaultStall }},
		{"charged 5 tokens for a reply of status 503", plain, func(c *call) { c.requests[0].Tokens = 5 }},
		{"has not seen", plain, func(c *call) { c.requests = c.requests[1:] }},
		{"had a reply twice", plain, func(c *call) { c.attempts[0] = c.attempts[1] }},
		{"which the emulator has as 500", plain, func(c *call) { c.requests[0].Status = 500 }},
		{"admitted: false", plain, func(c *call) { c.requests[1].Admitted = false }},
		{"had no reply to a request", lost, func(c *call) { c.requests[0].Fault = "" }},
		{"wrote 1 requests, 2 arrived", plain, func(c *call) { c.writes.Store(1) }},
		{"wrote 3 requests in 2 attempts", lost, func(c *call) { c.requests = append(c.requests, c.requests[0]); c.writes.Store(3) }},
		{"the emulator charged 30", plain, func(c *call) { c.ends[0].used, c.reported = 31, ratelimited.Ptr(31) }},
		{"the reply told of 30", plain, func(c *call) { c.ends[0].used = 100 }},
		{"did not tell its usage, want 47", left, func(c *call) { c.ends[0].used = 46 }},
		{"did not tell its usage, want 100", plain, func(c *call) { c.reported = ratelimited.Ptr(0) }},
		{"for 1 lost replies", lost, func(c *call) { c.ends[0].lost = 0 }},
		{"for 0 lost replies", plain, func(c *call) { c.ends[0].lost = 100 }},
		{"for 1 lost replies", left, func(c *call) { c.opened = false }},
		{"for no reply", lost, func(c *call) { c.attempts[1] = attempt{status: 503, requestID: "b", reached: true} }},
		{"the emulator charged 9", managed, func(c *call) { c.requests[1].Tokens = 9 }},
	} {
		c := test.call()
		test.harm(c)
		if _, findings := reconcile(c, timeout); !strings.Contains(strings.Join(findings, "\n"), test.want) {
			t.Errorf("found %q, want %q", findings, test.want)
		}
	}
}

// What has a reason is not a finding.
func TestReconcileExcuses(t *testing.T) {
	t.Parallel()
	for name, excuse := range map[string]func(*call){
		"the context ended": func(c *call) { c.ctxEnded = true },
		"it took too long":  func(c *call) { c.requests[0].Done = c.requests[0].Arrived.Add(timeout) },
	} {
		c := lost()
		c.requests[0].Fault = ""
		excuse(c)
		if _, findings := reconcile(c, timeout); len(findings) > 0 {
			t.Errorf("%s: %q", name, findings)
		}
	}
	c := left()
	c.outside, c.reported = true, ratelimited.Ptr(50)
	if _, findings := reconcile(c, timeout); len(findings) > 0 {
		t.Errorf("closed by another goroutine: %q", findings)
	}
}
