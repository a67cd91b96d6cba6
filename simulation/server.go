package main

import (
	"math"
	"time"
)

// serverKinds are the names that newServer knows. The first three keep to the
// limits as they are published, each in its own way.
var (
	plainKinds  = []string{"bucket", "fixed", "sliding"}
	serverKinds = append(plainKinds[:len(plainKinds):len(plainKinds)], "strict", "observed")
)

// A server decides about requests as a rate limited service does.
type server struct {
	requests, tokens meter

	strict bool // the prompt must fit, and is charged on arrival
	silent bool // says no Retry-After

	refused int // requests
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
		s.requests, s.silent = newSliding(math.Ceil(60*l.rps), time.Minute), true
	default:
		panic("no such server: " + kind)
	}
	return s
}

// A verdict is the server's answer to a request as it arrives.
type verdict struct {
	ok         bool
	noTokens   bool          // refused for want of tokens, not of requests
	retryAfter time.Duration // 0: not said
}

// whole forgives what a bucket that has refilled to one request lacks of it by
// rounding.
const whole = 1 - 1e-9

// arrive decides about a request.
func (s *server) arrive(now time.Duration, prompt int) verdict {
	need := 1.0
	if s.strict {
		need = float64(prompt)
	}
	switch {
	case s.requests.left(now) < whole:
		s.refused++
		return verdict{retryAfter: s.retryAfter(s.requests.wait(now, 1))}
	case s.tokens.left(now) < need:
		s.refused++
		return verdict{noTokens: true, retryAfter: s.retryAfter(s.tokens.wait(now, need))}
	}
	s.requests.take(now, 1)
	if s.strict {
		s.tokens.take(now, float64(prompt))
	}
	return verdict{ok: true}
}

// retryAfter rounds up to whole seconds, as the header has them.
func (s *server) retryAfter(d time.Duration) time.Duration {
	if s.silent {
		return 0
	}
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// finish charges for a reply that ends, and returns how many tokens remain.
func (s *server) finish(now time.Duration, prompt, completion int) (remaining int) {
	if s.strict {
		s.tokens.take(now, float64(completion))
	} else {
		s.tokens.take(now, float64(prompt+completion))
	}
	return int(s.tokens.left(now))
}
