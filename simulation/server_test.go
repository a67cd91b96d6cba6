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
			if v := s.arrive(at, 10); v.ok != want[i] || v.noTokens {
				t.Errorf("%s: arrival %d at %v: %+v, want %v", kind, i, at, v, want[i])
			}
			if !want[i] {
				refused++
			}
		}
		if s.refused != refused {
			t.Errorf("%s: %d refused, want %d", kind, s.refused, refused)
		}
	}
}

func TestObservedServerCountsRequestsByMinute(t *testing.T) {
	s := newServer("observed", limits{rps: 0.08, tpm: 1000}) // 4.8 a minute, rounded up
	for i := range 5 {
		if v := s.arrive(0, 1); !v.ok {
			t.Errorf("arrival %d: %+v", i, v)
		}
	}
	if v := s.arrive(ms(59_999), 1); v != (verdict{}) {
		t.Errorf("sixth of the minute: %+v, want a refusal without Retry-After", v)
	}
	if v := s.arrive(time.Minute, 1); !v.ok {
		t.Errorf("a minute later: %+v", v)
	}
}

// Of 600 tokens a minute, a first call uses 300 and then 400; a second one of 300
// comes meanwhile, and a third when the first has ended.
func TestServerChargesTokens(t *testing.T) {
	for kind, want := range map[string]struct {
		remaining  int // when the first has ended
		retryAfter time.Duration
	}{
		"bucket":   {600 - 700, 11 * time.Second}, // it is full by then, and 101 take 10.1 s
		"fixed":    {600 - 700, 50 * time.Second},
		"sliding":  {600 - 700, 60 * time.Second},
		"observed": {600 - 700, 0},
		"strict":   {600 - 300 - 300 - 400, 55 * time.Second}, // until both prompts are out
	} {
		s := newServer(kind, limits{rps: 100, tpm: 600})
		for _, at := range []time.Duration{0, 5 * time.Second} {
			if v := s.arrive(at, 300); !v.ok {
				t.Errorf("%s: at %v: %+v", kind, at, v)
			}
		}
		if remaining := s.finish(10*time.Second, 300, 400); remaining != want.remaining {
			t.Errorf("%s: %d remain, want %d", kind, remaining, want.remaining)
		}
		if v := s.arrive(10*time.Second, 1); v != (verdict{noTokens: true, retryAfter: want.retryAfter}) {
			t.Errorf("%s: third call: %+v, want a refusal for %v", kind, v, want.retryAfter)
		}
	}
}

func TestStrictServerWantsRoomForThePrompt(t *testing.T) {
	s := newServer("strict", limits{rps: 100, tpm: 600})
	if v := s.arrive(0, 400); !v.ok {
		t.Errorf("first call: %+v", v)
	}
	if v := s.arrive(0, 201); v != (verdict{noTokens: true, retryAfter: time.Minute}) {
		t.Errorf("a token too many: %+v", v)
	}
	if v := s.arrive(0, 200); !v.ok {
		t.Errorf("what is left: %+v", v)
	}
}
