package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// The network and the model, as the clients see them.
const (
	uplink      = 50 * time.Millisecond // at most, exclusive
	downlink    = 50 * time.Millisecond // of a refusal
	firstToken  = 500 * time.Millisecond
	everyTokens = 60 // a second
)

// A world is a server and the way to it.
type world struct {
	start time.Time

	mute   bool // the server says only yes or no
	counts bool // it says how many requests remain
	limit  int  // tokens a minute

	mu     sync.Mutex
	server *server
	rand   *rand.Rand
}

func newWorld(s scenario) *world {
	return &world{limit: s.truth().tpm, start: time.Now(), mute: s.mute, counts: s.counts, server: newServer(s.server, s.truth()), rand: stream(s.seed, worldStream)}
}

// now is the time since the start.
func (w *world) now() time.Duration { return time.Since(w.start) }

// jitter draws a duration below most.
func (w *world) jitter(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rand.Int64N(int64(most)))
}

// replyTime is how long it takes from sending a request to the end of its reply.
func replyTime(completion int) time.Duration {
	return firstToken + time.Duration(completion)*time.Second/everyTokens
}

// A reply is what the client learns of one attempt.
type reply struct {
	verdict
	late               bool // the client did not wait for it
	prompt, completion int  // usage
	remaining          int  // tokens of the account; negative: not said
	requests           int  // that remain; negative: not said
}

// send carries a request to the server and waits for the reply, which takes the given time,
// or for the end of ctx. The server charges for it in any case.
func (w *world) send(ctx context.Context, prompt, completion int, takes time.Duration) reply {
	way := w.jitter(uplink)
	time.Sleep(way)
	w.mu.Lock()
	v := w.server.arrive(w.now(), prompt)
	w.mu.Unlock()
	if w.mute {
		v.retryAfter, v.noTokens = 0, false
	}
	if !v.ok {
		time.Sleep(downlink)
		return reply{verdict: v}
	}
	ended := make(chan reply, 1)
	time.AfterFunc(takes-way, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		r := reply{verdict: v, prompt: prompt, completion: completion, remaining: w.server.finish(w.now(), prompt, completion)}
		r.requests = -1
		if w.counts {
			r.requests = int(w.server.requests.left(w.now()))
		}
		if w.mute {
			r.remaining = -1
		}
		ended <- r
	})
	select {
	case r := <-ended:
		return r
	case <-ctx.Done():
		return reply{late: true}
	}
}

// impose is a call of somebody else on the same account, who takes without
// asking.
func (w *world) impose(c call) {
	w.mu.Lock()
	w.server.requests.take(w.now(), 1)
	w.mu.Unlock()
	time.Sleep(replyTime(c.completion))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server.tokens.take(w.now(), float64(c.prompt+c.completion))
}
