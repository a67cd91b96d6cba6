package main

import (
	"testing"
	"time"
)

func TestServerCountsRequests(t *testing.T) {
	l := limits{rps: 2, tpm: 1000}
	for kind, want := range map[string][]bool{
		// Arrivals at 0, 0, 0, 0.5, 0.9, 1 and 1.4 s.
		"bucket":   {true, true, false, true, false, true, false},
		"fixed":    {true, true, false, false, false, true, true},
		"sliding":  {true, true, false, false, false, true, true},
		"strict":   {true, true, false, false, false, true, true},
		"observed": {true, true, true, true, true, true, true}, // 120 in a minute
	} {
		s := newServer(kind, l)
		refused := 0
		for i, at := range []time.Duration{0, 0, 0, ms(500), ms(900), ms(1000), ms(1400)} {
			if d := s.arrive(at, 10); d.ok != want[i] || d.noTokens {
				t.Errorf("%s: arrival %d at %v: %+v, want %v", kind, i, at, d, want[i])
			}
			if !want[i] {
				refused++
			}
		}
		if s.refused != refused {
			t.Errorf("%s: %d 429 responses, want %d", kind, s.refused, refused)
		}
	}
}

func TestObservedServerCountsRequestsByMinute(t *testing.T) {
	s := newServer("observed", limits{rps: 0.08, tpm: 1000}) // 4.8 per minute, rounded up
	for i := range 5 {
		if d := s.arrive(0, 1); !d.ok {
			t.Errorf("arrival %d: %+v, want ok", i, d)
		}
	}
	if d := s.arrive(ms(59_999), 1); d != (decision{}) {
		t.Errorf("sixth request in the minute: %+v, want a 429 response without Retry-After", d)
	}
	if d := s.arrive(time.Minute, 1); !d.ok {
		t.Errorf("a minute later: %+v, want ok", d)
	}
}

// With 600 tokens per minute, a first call has a prompt of 300 and a completion of 400 tokens. A second
// call of 300 tokens arrives meanwhile, and a third one when the first has ended.
func TestServerChargesTokens(t *testing.T) {
	for kind, want := range map[string]struct {
		remaining  int // After the end of the first call.
		retryAfter time.Duration
	}{
		"bucket":   {600 - 700, 11 * time.Second}, // the bucket has been full; 101 tokens take 10.1 s
		"fixed":    {600 - 700, 50 * time.Second},
		"sliding":  {600 - 700, 60 * time.Second},
		"observed": {600 - 700, 0},
		"strict":   {600 - 300 - 300 - 400, 55 * time.Second}, // until both prompts leave the window
	} {
		s := newServer(kind, limits{rps: 100, tpm: 600})
		for _, at := range []time.Duration{0, 5 * time.Second} {
			if d := s.arrive(at, 300); !d.ok {
				t.Errorf("%s: at %v: %+v, want ok", kind, at, d)
			}
		}
		if remaining := s.finish(10*time.Second, 300, 400); remaining != want.remaining {
			t.Errorf("%s: %d remain, want %d", kind, remaining, want.remaining)
		}
		if d := s.arrive(10*time.Second, 1); d != (decision{noTokens: true, retryAfter: want.retryAfter}) {
			t.Errorf("%s: third call: %+v, want a 429 response with Retry-After %v", kind, d, want.retryAfter)
		}
	}
}

func TestStrictServerRequiresRoomForThePrompt(t *testing.T) {
	s := newServer("strict", limits{rps: 100, tpm: 600})
	if d := s.arrive(0, 400); !d.ok {
		t.Errorf("first call: %+v, want ok", d)
	}
	if d := s.arrive(0, 201); d != (decision{noTokens: true, retryAfter: time.Minute}) {
		t.Errorf("one token too many: %+v, want a 429 response with Retry-After 1m", d)
	}
	if d := s.arrive(0, 200); !d.ok {
		t.Errorf("all remaining tokens: %+v, want ok", d)
	}
}
