package main

import (
	"context"
	"time"
)

// A strategy is how a client deals with limits. All callers of a run share it.
type strategy interface {
	// do carries out a call and returns the last reply to it. It may give up, the
	// reply then being a refusal or none, and does so when ctx is done.
	do(ctx context.Context, e *request) reply
}

// A contender is a strategy with its name, and what the chart calls it.
type contender struct {
	name    string
	caption string
	make    func(limits) strategy
}

var contenders = []contender{
	{"limiter", "this limiter", newOurs},
	{"pacing", "two limiters of golang.org/x/time/rate", newPacing},
	{"retry", "retries only", newRetrying},
}

// An request is a call on its way: what the client knows of it, what becomes of
// it, and the means to send it.
type request struct {
	world *world

	counted   int // tokens of the prompt as the client counts them, without history
	history   int // what the conversation had before
	prompt    int // really, with history
	reply     int // really
	maxTokens int // that the request allows the reply; 0: it does not say
	takes     time.Duration
	class     string
	ctx       context.Context // ends an attempt

	asked time.Duration
	sent  time.Duration // latest attempt
	ended time.Duration
	fate  fate
}

// fate is what became of an request.
type fate int

const (
	pending fate = iota // or cut short by the end of the run
	done
	lost
)

// send makes one attempt.
func (e *request) send() reply {
	e.sent = e.world.now()
	takes := e.takes
	if takes == 0 {
		takes = replyTime(e.reply)
	}
	return e.world.send(e.ctx, e.prompt, e.reply, takes)
}

// tokens is what the call uses.
func (e *request) tokens() int { return e.prompt + e.reply }
