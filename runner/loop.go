package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A loop is one run.
type loop struct {
	runner *Runner
	first  *query // with the runner's tools
	check  check  // nil: any answer is right

	emit func(Event) bool // nil: responses are not streamed
	left bool             // the consumer of events has gone

	ctx       context.Context
	cancel    context.CancelCauseFunc
	began     time.Time
	ownsTime  bool   // the context's deadline is Limits.Time
	timeOver  error  // the cause when Limits.Time ends this run: not that of a run around it
	entered   string // the conversation that the run is in
	result    *Result
	handoffs  int
	inARow    map[string]int // failures, by name; "" for unknown functions
	exhausted *ToolError     // a function has failed too often
}

// A check returns what is wrong with an answer, and what to ask for to have it repaired; nil
// for an answer that is right, or not to be repaired.
type check func(t Turn, maxTokens *int) (*OutputError, []generated.Entry)

// errLeft is the cause of a context that the run itself ends.
var errLeft = errors.New("runner: the loop over the events was left")

// errPanicked is what the observer is told of a run in which code of the caller's has panicked.
var errPanicked = errors.New("runner: the run panicked")

// run takes a run to its end. It sets the result in any case.
func (l *loop) run(ctx context.Context) (err error) {
	operation := "Runner." + l.first.name()
	l.result, l.inARow, l.began = new(Result), map[string]int{}, time.Now()
	if l.runner == nil || l.runner.client == nil {
		return l.failed(StageRequest, errNoRunner)
	}
	if ctx == nil {
		return l.failed(StageRequest, &ratelimited.RequestError{Operation: operation, Field: "ctx", Rule: "must be a context, such as context.Background()"})
	}
	if l.emit != nil {
		operation += "Stream"
	}
	ctx, end := l.runner.observe(limiter.WithPlace(ctx), operation)
	defer func() { end(err, len(l.result.Turns)) }()
	if limit := l.runner.config.Limits.Time; limit > 0 {
		deadline, ok := ctx.Deadline()
		l.ownsTime = !ok || time.Now().Add(limit).Before(deadline)
		l.timeOver = errors.New("runner: the run's time is over")
		timed, cancel := context.WithTimeoutCause(ctx, limit, l.timeOver)
		defer cancel()
		ctx = timed
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	defer l.cancel(nil)
	defer func() { l.runner.leave(l.entered) }()
	if l.first.extend != nil && !l.enter(l.first.id) {
		return l.failed(StageRequest, ErrBusy)
	}
	l.first = l.first.copied()
	if err := cmp.Or(l.first.withTools(l.runner.tools, l.runner.definitions), l.first.checkConfirmations()); err != nil {
		return l.failed(StageRequest, err)
	}
	err = errPanicked // unless it returns: for the observer
	return l.turns()
}

// turns asks for responses until one is the answer.
func (l *loop) turns() error {
	for request := l.first; ; {
		turn, err := l.ask(request)
		if err != nil {
			return err
		}
		jobs, pending := l.sort(turn)
		if err := l.judge(turn, len(jobs)); err != nil {
			return err
		}
		if len(jobs)+len(pending) == 0 {
			repair, err := l.answered(*turn)
			if repair == nil {
				return err
			}
			request = request.next(l.first, turn.Response, repair, generated.ToolChoiceEnumNone)
			continue
		}
		if err := l.carryOut(turn, jobs); err != nil {
			return err
		}
		if len(pending) > 0 {
			return &PendingError{Pending: pending, Result: l.result}
		}
		if stop := l.runner.config.Stop; stop != nil && stop(*turn) {
			return l.failed(StageExecution, ErrStopped)
		}
		request = request.next(l.first, turn.Response, l.result.Unsent, "")
	}
}

// ask makes one request. On success the results that it has are no longer unsent.
func (l *loop) ask(q *query) (*Turn, error) {
	number := len(l.result.Turns) + 1
	l.tell(number, TurnStarted{})
	if l.ctx.Err() != nil {
		return nil, l.failed(StageRequest, contextError(l.ctx))
	}
	if err := l.afford(q); err != nil {
		return nil, err
	}
	response, err := l.respond(q, number)
	if err != nil {
		if l.left || mayBeCharged(err) {
			l.result.UnknownUsage++
		}
		return nil, l.failed(StageRequest, err)
	}
	l.result.Unsent = nil
	l.result.Turns = append(l.result.Turns, Turn{Number: number, Response: response})
	l.result.add(response.Usage)
	switch {
	case q.isStored():
		l.inConversation(cmp.Or(response.ConversationID, q.id))
	case q.extend != nil:
		l.result.ConversationID = q.id
	}
	l.tell(number, TurnEnded{Response: response})
	return &l.result.Turns[number-1], nil
}

// respond returns the whole response, of a stream after its last event.
func (l *loop) respond(q *query, number int) (*generated.ConversationResponse, error) {
	conversations, options := l.runner.client.Beta.Conversations, l.runner.config.Options
	if l.emit == nil {
		return q.send(l.ctx, conversations, options)
	}
	stream, err := q.open(l.ctx, conversations, options)
	if err != nil {
		return nil, err
	}
	for event, err := range stream.Events() {
		if err != nil {
			return nil, err
		}
		if started, ok := event.(generated.ResponseStartedEvent); ok && q.isStored() {
			l.inConversation(started.ConversationID)
		}
		if l.tell(number, event); l.left {
			return nil, contextError(l.ctx) // leaving the loop closes the stream
		}
	}
	return stream.Response(), nil
}

// tell emits an event. When the consumer has gone, the run's context ends.
func (l *loop) tell(turn int, value any) {
	if l.emit == nil || l.left || l.emit(Event{Turn: turn, Value: value}) {
		return
	}
	l.left = true
	l.cancel(errLeft)
}

// inConversation notes the conversation that the run goes on in.
func (l *loop) inConversation(id string) {
	if id == "" {
		return
	}
	l.result.ConversationID = id
	if l.entered == "" {
		l.enter(id)
	}
}

// enter takes a conversation for this run, until it ends.
func (l *loop) enter(conversationID string) bool {
	if conversationID == "" {
		return true
	}
	if !l.runner.enter(conversationID) {
		return false
	}
	l.entered = conversationID
	return true
}

// sort returns the calls of a response that are to be carried out, and the entries that the
// caller has to answer. It enters both in the turn, each tool_call_id once.
func (l *loop) sort(turn *Turn) (jobs []*job, pending []Pending) {
	seen := map[string]bool{}
	outputs := turn.Response.Outputs
	for i, output := range outputs {
		switch entry := output.Value().(type) {
		case generated.AgentHandoffEntry:
			l.handoffs++
			if i == len(outputs)-1 {
				pending = append(pending, Pending{PendingHandoff, output})
			}
		case generated.FunctionCallEntry:
			if entry.ConfirmationStatus == generated.ConfirmationStatusPending {
				pending = append(pending, Pending{PendingConfirmation, output})
			}
			if entry.ConfirmationStatus != "" || seen[entry.ToolCallID] {
				continue // it is the service's to carry out, or there twice
			}
			seen[entry.ToolCallID] = true
			outcome := Outcome{Status: StatusNotStarted, Call: Call{
				Name: entry.Name, ID: entry.ToolCallID, Turn: turn.Number, ConversationID: l.result.ConversationID, AgentID: entry.AgentID,
			}}
			j := &job{Call: outcome.Call, at: len(turn.Calls), tool: l.runner.tools[entry.Name], arguments: argumentsOf(entry), runner: l.runner}
			if j.tool != nil && j.tool.prepare == nil && len(decode(j.tool.parameters, j.arguments, nil)) == 0 {
				pending = append(pending, Pending{PendingCall, output})
				outcome.Status = StatusPending
			} else {
				jobs = append(jobs, j)
			}
			turn.Calls = append(turn.Calls, outcome)
		}
	}
	return jobs, pending
}

// judge returns the error of a run that may not carry out its calls: no function runs whose
// result could not be sent.
func (l *loop) judge(turn *Turn, calls int) error {
	limits, used := l.runner.config.Limits, l.result
	if isAtLimit(turn.Response, l.first.fields().args.MaxTokens) && endsInside(turn.Response) {
		return &OutputError{Kind: OutputTruncated, Attempts: 1, Result: l.result}
	}
	for _, limit := range []struct {
		name      Limit
		max, used int
		isOver    bool
	}{
		{LimitHandoffs, maxHandoffs, l.handoffs, l.handoffs > maxHandoffs},
		{LimitTurns, limits.Turns, turn.Number, calls > 0 && turn.Number >= limits.Turns},
		{LimitToolCalls, limits.ToolCalls, used.Calls, limits.ToolCalls > 0 && used.Calls+calls > limits.ToolCalls},
		{LimitTokens, limits.Tokens, used.Usage.TotalTokens, calls > 0 && l.isOutOfTokens()},
	} {
		if limit.isOver {
			return &LimitError{Limit: limit.name, Max: int64(limit.max), Used: int64(limit.used), Result: l.result}
		}
	}
	return nil
}

// afford returns the error of a run whose next request would use more tokens than are left: at
// least those of its inputs, of which one has four bytes.
func (l *loop) afford(q *query) error {
	limit, used := l.runner.config.Limits.Tokens, l.result.Usage.TotalTokens
	if expected := used + sizeOf(*q.fields().inputs)/4; limit > 0 && expected > limit {
		return &LimitError{Limit: LimitTokens, Max: int64(limit), Used: int64(expected), Result: l.result}
	}
	return nil
}

func (l *loop) isOutOfTokens() bool {
	limit := l.runner.config.Limits.Tokens
	return limit > 0 && l.result.Usage.TotalTokens >= limit
}

// answered checks the answer. It returns what to ask for if that is to be repaired, and the
// limits allow it.
func (l *loop) answered(turn Turn) ([]generated.Entry, error) {
	if l.check == nil {
		return nil, nil
	}
	failure, repair := l.check(turn, l.first.fields().args.MaxTokens)
	if failure == nil {
		return nil, nil
	}
	failure.Result = l.result
	if turn.Number >= l.runner.config.Limits.Turns || l.isOutOfTokens() {
		repair = nil
	}
	return repair, failure
}

// failed returns the error of a run that ended because of err.
func (l *loop) failed(stage Stage, err error) error {
	if l.isOutOfTime(err) {
		return &LimitError{Limit: LimitTime, Max: int64(l.runner.config.Limits.Time), Used: int64(time.Since(l.began)), Result: l.result}
	}
	turn := len(l.result.Turns)
	if stage == StageRequest {
		turn++
	}
	return &RunError{Turn: turn, Stage: stage, Result: l.result, Err: err}
}

// isOutOfTime reports whether the run's own time is over, or too short for the next call.
func (l *loop) isOutOfTime(err error) bool {
	if l.ctx == nil {
		return false
	}
	return l.timeOver != nil && context.Cause(l.ctx) == l.timeOver ||
		l.ownsTime && errors.Is(err, ratelimited.ErrWouldWait) && errors.Is(err, context.DeadlineExceeded)
}

// mayBeCharged reports whether a request that failed may have used tokens.
func mayBeCharged(err error) bool {
	var api *ratelimited.APIError
	return errors.As(err, new(*ratelimited.TransportError)) || errors.As(err, new(*ratelimited.StreamError)) ||
		errors.As(err, &api) && api.StatusCode < http.StatusMultipleChoices
}

// contextError returns why a context ended, with its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
