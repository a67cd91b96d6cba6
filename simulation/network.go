package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// The times of the network and of the model.
const (
	uplink     = 50 * time.Millisecond // the exclusive maximum
	downlink   = 50 * time.Millisecond // for a 429 response
	firstToken = 500 * time.Millisecond
	outputRate = 60 // tokens per second
)

// network is a server and the network to it.
type network struct {
	start time.Time

	noHints bool // The server reports no details.
	counts  bool // The server reports the remaining requests.
	limit   int  // The token limit per minute.

	mu     sync.Mutex
	server *server
	rand   *rand.Rand
}

func newNetwork(s scenario) *network {
	return &network{limit: s.serverLimits().tpm, start: time.Now(), noHints: s.noHints, counts: s.counts, server: newServer(s.server, s.serverLimits()), rand: stream(s.seed, networkStream)}
}

// now returns the time since the start of the run.
func (n *network) now() time.Duration { return time.Since(n.start) }

// jitter returns a random duration below the given one.
func (n *network) jitter(below time.Duration) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.rand.Int64N(int64(below)))
}

// responseTime returns the time from sending a request to the end of its response.
func responseTime(completion int) time.Duration {
	return firstToken + time.Duration(completion)*time.Second/outputRate
}

// response is the client's view of the result of one attempt.
type response struct {
	decision
	late               bool // The client's context ended before the response.
	prompt, completion int  // The usage in tokens.
	remaining          int  // The remaining tokens of the account; negative: not reported.
	requests           int  // The remaining requests; negative: not reported.
}

// send sends a request to the server and waits for the response, which takes the given time, or until ctx
// is done. The server charges the request in both cases.
func (n *network) send(ctx context.Context, prompt, completion int, takes time.Duration) response {
	latency := n.jitter(uplink)
	time.Sleep(latency)
	n.mu.Lock()
	d := n.server.arrive(n.now(), prompt)
	n.mu.Unlock()
	if n.noHints {
		d.retryAfter, d.noTokens = 0, false
	}
	if !d.ok {
		time.Sleep(downlink)
		return response{decision: d}
	}
	ended := make(chan response, 1)
	time.AfterFunc(takes-latency, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		r := response{decision: d, prompt: prompt, completion: completion, remaining: n.server.finish(n.now(), prompt, completion)}
		r.requests = -1
		if n.counts {
			r.requests = int(n.server.requests.left(n.now()))
		}
		if n.noHints {
			r.remaining = -1
		}
		ended <- r
	})
	select {
	case r := <-ended:
		return r
	case <-ctx.Done():
		return response{late: true}
	}
}

// useExternally makes a call of another client on the same account that does not limit itself.
func (n *network) useExternally(c call) {
	n.mu.Lock()
	n.server.requests.take(n.now(), 1)
	n.mu.Unlock()
	time.Sleep(responseTime(c.completion))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server.tokens.take(n.now(), float64(c.prompt+c.completion))
}
