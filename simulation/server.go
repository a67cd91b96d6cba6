package main

import (
	"math"
	"time"
)

// serverKinds are the kinds of servers for newServer. The plain kinds enforce the published limits by
// different algorithms.
var (
	plainKinds  = []string{"bucket", "fixed", "sliding"}
	serverKinds = append(plainKinds[:len(plainKinds):len(plainKinds)], "strict", "observed")
)

// server is a model of a rate-limited service.
type server struct {
	requests, tokens counter

	strict       bool // The whole prompt must fit and is charged on arrival.
	noRetryAfter bool // The server sends no Retry-After.

	refused int // The number of 429 responses.
}

func newServer(kind string, l limits) *server {
	tpm := float64(l.tpm)
	s := &server{tokens: newSliding(tpm, time.Minute)}
	switch kind {
	case "bucket":
		s.requests, s.tokens = newBucket(l.burst(), l.pace()), newBucket(tpm, time.Minute)
	case "fixed":
		s.requests, s.tokens = newFixed(l.burst(), l.pace()), newFixed(tpm, time.Minute)
	case "sliding":
		s.requests = newSliding(l.burst(), l.pace())
	case "strict":
		s.requests, s.strict = newSliding(l.burst(), l.pace()), true
	case "observed":
		s.requests, s.noRetryAfter = newSliding(math.Ceil(60*l.rps), time.Minute), true
	default:
		panic("simulation: unknown server " + kind)
	}
	return s
}

// decision is the server's decision about an arriving request.
type decision struct {
	ok         bool
	noTokens   bool          // The token limit caused the 429 response, not the request limit.
	retryAfter time.Duration // 0: not sent.
}

// oneRequest is one request with a tolerance for rounding errors of a refilled bucket.
const oneRequest = 1 - 1e-9

// arrive decides about an arriving request.
func (s *server) arrive(now time.Duration, prompt int) decision {
	need := 1.0
	if s.strict {
		need = float64(prompt)
	}
	switch {
	case s.requests.left(now) < oneRequest:
		s.refused++
		return decision{retryAfter: s.retryAfter(s.requests.wait(now, 1))}
	case s.tokens.left(now) < need:
		s.refused++
		return decision{noTokens: true, retryAfter: s.retryAfter(s.tokens.wait(now, need))}
	}
	s.requests.take(now, 1)
	if s.strict {
		s.tokens.take(now, float64(prompt))
	}
	return decision{ok: true}
}

// retryAfter rounds up to whole seconds, the unit of the header.
func (s *server) retryAfter(d time.Duration) time.Duration {
	if s.noRetryAfter {
		return 0
	}
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// finish charges for a completed response and returns the remaining tokens.
func (s *server) finish(now time.Duration, prompt, completion int) (remaining int) {
	if s.strict {
		s.tokens.take(now, float64(completion))
	} else {
		s.tokens.take(now, float64(prompt+completion))
	}
	return int(s.tokens.left(now))
}
