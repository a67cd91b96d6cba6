package main

import (
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

	mu     sync.Mutex
	server *server
	rand   *rand.Rand
}

func newWorld(kind string, l limits, seed uint64) *world {
	return &world{start: time.Now(), server: newServer(kind, l), rand: stream(seed, worldStream)}
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

// A reply is what the client hears of one attempt.
type reply struct {
	verdict
	prompt, completion int // usage
	remaining          int // tokens of the account
}

// send carries a request to the server and waits for the reply.
func (w *world) send(prompt, completion int) reply {
	way := w.jitter(uplink)
	time.Sleep(way)
	w.mu.Lock()
	v := w.server.arrive(w.now(), prompt)
	w.mu.Unlock()
	if !v.ok {
		time.Sleep(downlink)
		return reply{verdict: v}
	}
	time.Sleep(replyTime(completion) - way)
	w.mu.Lock()
	defer w.mu.Unlock()
	return reply{verdict: v, prompt: prompt, completion: completion, remaining: w.server.finish(w.now(), prompt, completion)}
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
