package main

import (
	"context"
	"time"
)

// strategy is how a client handles limits. All callers of a run share it.
type strategy interface {
	// do makes a call and returns its last response. After a failure, or when ctx is done, the
	// response is not ok.
	do(ctx context.Context, e *request) response
}

// contender is a strategy with its name and its caption in the chart.
type contender struct {
	name    string
	caption string
	make    func(limits) strategy
}

var contenders = []contender{
	{"limiter", "this limiter", newAdaptive},
	{"pacing", "two limiters of golang.org/x/time/rate", newPacing},
	{"retry", "retries only", newRetrying},
}

// request is a call in a run: the client's view of it, its result, and the method to send it.
type request struct {
	network *network

	counted    int // The client's count of the prompt tokens, without history.
	history    int // The tokens of the conversation before this call.
	prompt     int // The actual tokens, with history.
	completion int // The actual tokens.
	maxTokens  int // 0: not set.
	takes      time.Duration
	class      string
	ctx        context.Context // Ends an attempt.

	arrived time.Duration
	sent    time.Duration // The time of the latest attempt.
	ended   time.Duration
	state   callState
}

// callState is the state of a request.
type callState int

const (
	pending callState = iota // The call is running, or the end of the run cut it off.
	done
	lost
)

// send makes one attempt.
func (e *request) send() response {
	e.sent = e.network.now()
	takes := e.takes
	if takes == 0 {
		takes = responseTime(e.completion)
	}
	return e.network.send(e.ctx, e.prompt, e.completion, takes)
}

// tokens returns the tokens that the call uses.
func (e *request) tokens() int { return e.prompt + e.completion }
