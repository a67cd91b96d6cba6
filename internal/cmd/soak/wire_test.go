package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/faultproxy"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// smallWire returns a wire with two calls for each operation.
func smallWire(t *testing.T, http2 bool) *wire {
	t.Helper()
	w, err := openWire(wirePhase{"test", http2, 2 * len(operations)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWire(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2: ", http2), func(t *testing.T) {
			w := smallWire(t, http2)
			w.run(1)
			w.end()
			for _, finding := range w.findings() {
				t.Error(finding)
			}
			made := map[string]int{}
			for _, c := range w.made {
				made[c.operation]++
			}
			if len(made) != len(operations) {
				t.Errorf("the wire made calls of %d operations, want %d", len(made), len(operations))
			}
			for _, r := range w.proxy.Requests() {
				if r.HTTP2 != http2 {
					t.Errorf("request %+v arrived, want HTTP/2: %v", r, http2)
				}
			}
			report := w.report()
			if last := fmt.Sprintf("%10d%10d", len(w.proxy.Requests()), len(w.made)); !strings.Contains(report, last) {
				t.Errorf("the report lacks a line with %q:\n%s", last, report)
			}
		})
	}
}

// check finds every violated invariant.
func TestWireFinds(t *testing.T) {
	id := faultproxy.CallID(0)
	fine := wireEvents{began: 1, ended: 1, attempts: 1, unsent: 1}
	with := func(change func(*wireEvents)) wireEvents {
		e := fine
		change(&e)
		return e
	}
	arrived := []faultproxy.Request{{Call: id, Kind: faultproxy.Pass, Whole: true}}
	for _, test := range []struct {
		want     string
		events   wireEvents
		requests []faultproxy.Request
		err      error
	}{
		{"", fine, nil, nil},
		{"began 1 times and ended 2 times", with(func(e *wireEvents) { e.ended = 2 }), nil, nil},
		{"began 1 times and ended 0 times", with(func(e *wireEvents) { e.ended = 0 }), nil, nil},
		{"began 2 times and ended 1 times", with(func(e *wireEvents) { e.began = 2 }), nil, nil},
		{"1 permits, but 0 ended permits", with(func(e *wireEvents) { e.acquired = 1 }), nil, nil},
		{"1 permits, but 2 ended permits", with(func(e *wireEvents) { e.acquired, e.settled = 1, 2 }), nil, nil},
		{"admitted calls by the limiter and by the events: 0 and 1", with(func(e *wireEvents) { e.acquired, e.settled = 1, 1 }), nil, nil},
		{"ended permits by the limiter and by the events: 0 and 1", with(func(e *wireEvents) { e.acquired, e.settled = 1, 1 }), nil, nil},
		{"settled tokens by the limiter and by the events: 0 and 12", with(func(e *wireEvents) { e.used, e.lost = 5, 7 }), nil, nil},
		{"and by the estimates: 0 and 9", with(func(e *wireEvents) { e.estimates = 9 }), nil, nil},
		{"the limiter admitted 0 requests, but 1 arrived", with(func(e *wireEvents) { e.conns = 1 }), arrived, nil},
		{"1 requests arrived, but the transport used 0 connections", fine, arrived, nil},
		{"requests at the proxy and by the calls: 1 and 0", fine, []faultproxy.Request{{Call: faultproxy.CallID(1), Whole: true}}, nil},
		{"a request without a call arrived", fine, []faultproxy.Request{{Whole: true}}, nil},
		{"an error of an unknown type", fine, nil, errors.New("oh")},
		{"without a call of the observer", wireEvents{}, nil, nil},
		{"without a call of the observer", wireEvents{attempts: 1}, nil, &ratelimited.RequestError{}},
		{"", wireEvents{}, nil, &ratelimited.RequestError{}},
		{"the API key is in an error", with(func(e *wireEvents) { e.err = errors.New("Bearer " + wireKey) }), nil, nil},
	} {
		w := smallWire(t, false)
		c := &wireCall{seen: test.events}
		c.id, c.err = id, test.err
		w.made = []*wireCall{c}
		w.check(test.requests)
		if got := strings.Join(w.findings(), "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("found %q, want %q", got, test.want)
		}
		w.client.Close()
		w.proxy.Close()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	}
	detector := keyDetector{newReconciler(0)}
	_, _ = detector.Write([]byte("key=" + wireKey))
	if len(detector.reconciler.findings) != 1 {
		t.Error("the key detector does not find the API key")
	}
}

// The report of a wire has a line for each injected kind of fault.
func TestWireReport(t *testing.T) {
	w := smallWire(t, false)
	w.run(2)
	w.end()
	sums := map[string]int{}
	for line := range strings.SplitSeq(w.report(), "\n") {
		var requests int
		if name := strings.TrimSpace(line[:min(24, len(line))]); name != "" {
			if _, err := fmt.Sscan(line[24:], &requests); err != nil {
				t.Errorf("line %q: %v", line, err)
			}
			sums[name] = requests
		}
	}
	sum := 0
	for _, kind := range faultproxy.Kinds() {
		sum += sums[string(kind)]
	}
	if sum == 0 || sum != sums["all"] {
		t.Errorf("the lines have %d requests in all, but the last line has %d", sum, sums["all"])
	}
}
