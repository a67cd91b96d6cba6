package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A loop is one run, from its beginning or from a [State].
type loop struct {
	runner      *Runner
	name        string      // the operation, such as "Start"
	resume      *State      // the state to continue from; nil for a new run
	answers     []Answer    // the answers to the pending entries of that state
	checkOutput outputCheck // nil to accept any answer

	emit            func(Event) bool // nil if responses are not streamed
	consumerStopped bool             // whether the consumer of the events has stopped

	ctx            context.Context
	cancel         context.CancelCauseFunc
	began          time.Time
	hasOwnDeadline bool       // whether Limits.Time sets the context's deadline
	timeLimitCause error      // the cause when Limits.Time ends this run, distinct from an enclosing run's
	conversations  []string   // the conversations that the run has marked as busy
	toolError      *ToolError // the error of a function that failed too often
	hasBegun       bool       // whether the run can be resumed
	isSending      bool       // whether a request is in flight

	progress
}

// A progress is the part of a run that a [State] stores.
type progress struct {
	first       *turnRequest     // the request of the caller, with the runner's tools
	callerTools []generated.Tool // the tools of that request that are not the runner's
	request     *turnRequest     // the latest request
	isDue       bool             // whether the latest request has no response yet
	isLost      bool             // whether the service may have executed the latest request
	hasFailed   bool             // whether the service began a response and then reported an error
	restarted   bool             // whether the latest request asks again for a lost response

	result         *Result
	handoffs       int
	repairs        int            // the number of repair requests
	failuresInARow map[string]int // consecutive failures by name; "" for unknown functions

	// The caller's answers to the latest response.
	confirmed  map[string]generated.ToolConfirmation // by tool_call_id
	isFollowed bool                                  // whether the caller followed its handoff
}

// An outputCheck validates an answer. It returns nil if the answer is accepted. Otherwise it returns the
// error and the inputs of a repair request; without inputs, the answer is not repaired.
type outputCheck func(t Turn, maxTokens *int) (*OutputError, []generated.Entry)

// errConsumerStopped is the cause of the run's context after the consumer of the events has stopped.
var errConsumerStopped = errors.New("runner: the loop over the events ended early")

// errPanicked is the error that the observer receives if code of the caller panics during a run.
var errPanicked = errors.New("runner: the run panicked")

// newLoop returns a run that begins with a request.
func (r *Runner) newLoop(first *turnRequest) *loop {
	return &loop{runner: r, name: first.name(), progress: progress{first: first, result: new(Result)}}
}

// run executes the run. It sets l.result in any case.
func (l *loop) run(ctx context.Context) (err error) {
	operation := "Runner." + l.name
	l.began = time.Now()
	if l.runner == nil || l.runner.client == nil {
		return l.runError(StageRequest, errNoRunner)
	}
	if ctx == nil {
		return l.runError(StageRequest, &ratelimited.RequestError{Operation: operation, Field: "ctx", Rule: "must be a context, such as context.Background()"})
	}
	if l.emit != nil {
		operation += "Stream"
	}
	ctx, end := l.runner.observe(limiter.WithPlace(ctx), operation)
	defer func() { end(err, len(l.result.Turns)) }()
	if limit := l.runner.config.Limits.Time; limit > 0 {
		deadline, ok := ctx.Deadline()
		l.hasOwnDeadline = !ok || time.Now().Add(limit).Before(deadline)
		l.timeLimitCause = errors.New("runner: Limits.Time exceeded")
		timed, cancel := context.WithTimeoutCause(ctx, limit, l.timeLimitCause)
		defer cancel()
		ctx = timed
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	defer l.cancel(nil)
	defer func() {
		for _, id := range l.conversations {
			l.runner.clearBusy(id)
		}
	}()
	begin := l.begin
	if l.resume != nil {
		begin = l.restore
	}
	if stage, err := begin(); err != nil {
		return l.runError(stage, err)
	}
	err = errPanicked // the error for the observer unless turns returns
	return l.turns()
}

// begin prepares the first request of a run.
func (l *loop) begin() (Stage, error) {
	if l.first.append != nil && !l.markBusy(l.first.id) {
		return StageRequest, ErrBusy
	}
	l.first = l.first.clone()
	if l.first.start != nil {
		l.callerTools = l.first.start.Tools
	}
	if err := cmp.Or(l.first.withTools(l.runner.tools, l.runner.definitions), l.first.checkConfirmations()); err != nil {
		return StageRequest, err
	}
	l.request, l.isDue, l.hasBegun = l.first, true, true
	l.failuresInARow, l.confirmed = map[string]int{}, map[string]generated.ToolConfirmation{}
	return "", nil
}

// turns sends requests until a response is the answer.
func (l *loop) turns() error {
	for {
		if l.isDue {
			if err := l.sendRequest(); err != nil {
				return err
			}
		}
		if isAnswer, err := l.processTurn(l.latest()); isAnswer || err != nil {
			return err
		}
	}
}

func (l *loop) latest() *Turn { return &l.result.Turns[len(l.result.Turns)-1] }

// sendRequest sends the request that is due. On success it clears the unsent results.
func (l *loop) sendRequest() error {
	number := len(l.result.Turns) + 1
	if limit := l.runner.config.Limits.Turns; number > limit {
		return l.limitError(LimitTurns, int64(limit), int64(number-1))
	}
	if err := l.checkTokens(); err != nil {
		return err
	}
	l.isSending = true
	l.notify(number, TurnStarted{})
	response, err := l.fetch(number)
	l.isSending = false
	if err != nil {
		if errors.Is(err, ratelimited.ErrUnconfirmed) {
			l.result.UnknownUsage++
		}
		return l.runError(StageRequest, err)
	}
	l.isDue, l.isLost, l.hasFailed, l.restarted, l.isFollowed = false, false, false, false, false
	clear(l.confirmed)
	switch {
	case l.request.isStored():
		l.inConversation(cmp.Or(response.ConversationID, l.request.id))
	case l.request.append != nil:
		l.result.ConversationID = l.request.id
	}
	l.result.Unsent = nil
	l.result.Turns = append(l.result.Turns, Turn{Number: number, Response: response, Calls: callsOf(response, number, l.result.ConversationID)})
	l.result.add(response.Usage)
	n, _ := handoffsOf(response)
	l.handoffs += n
	l.notify(number, TurnEnded{Response: response})
	return nil
}

// processTurn executes the calls of a response and prepares the next request. It reports whether the
// response was the answer instead.
func (l *loop) processTurn(turn *Turn) (isAnswer bool, err error) {
	if turn.isAnswer() {
		if err := l.checkLimits(turn, nil, nil); err != nil {
			return true, err
		}
		return l.checkAnswer(*turn)
	}
	if err := l.executeAll(turn); err != nil {
		return false, err
	}
	l.next(turn, l.result.Unsent, "")
	if stop := l.runner.config.Stop; stop != nil && stop(*turn) {
		return false, l.runError(StageExecution, ErrStopped)
	}
	return false, nil
}

// next prepares the request that follows a turn.
func (l *loop) next(turn *Turn, inputs []generated.Entry, choice generated.ToolChoiceEnum) {
	var confirmations []generated.ToolCallConfirmation
	for _, call := range turn.Response.FunctionCalls() {
		if answer := l.confirmed[call.ToolCallID]; answer != "" {
			confirmations = append(confirmations, generated.ToolCallConfirmation{ToolCallID: call.ToolCallID, Confirmation: answer})
		}
	}
	l.request, l.isDue = l.request.next(l.first, turn.Response, inputs, confirmations, choice), true
}

// executeAll executes all calls of a turn, including the calls that the caller allows. The run
// ends if entries are still pending afterwards.
func (l *loop) executeAll(turn *Turn) error {
	decide := l.runner.config.Decide
	for {
		jobs, pending := l.unfinished(turn)
		if err := l.checkLimits(turn, jobs, pending); err != nil {
			return err
		}
		if err := l.executeCalls(turn, jobs); err != nil || len(pending) == 0 {
			return err
		}
		for _, p := range pending {
			l.notify(turn.Number, CallPending{p})
		}
		if l.ctx.Err() != nil {
			return l.runError(StageApproval, contextError(l.ctx))
		}
		if decide == nil {
			return &PendingError{Pending: pending, Result: l.result, State: l.state()}
		}
		answers, err := decide(l.ctx, slices.Clone(pending))
		if err == nil {
			err = l.apply(turn, pending, answers)
		}
		if err != nil {
			return l.runError(StageApproval, err)
		}
		decide = nil // Decide is called once per response
	}
}

// checkAnswer checks the answer. If the answer needs a repair, it prepares the repair request.
func (l *loop) checkAnswer(turn Turn) (isRight bool, err error) {
	if l.checkOutput == nil {
		return true, nil
	}
	failure, repair := l.checkOutput(turn, l.first.fields().args.MaxTokens)
	if failure == nil {
		return true, nil
	}
	if repair == nil || turn.Number >= l.runner.config.Limits.Turns || l.isOutOfTokens() {
		failure.Result = l.result
		return true, failure
	}
	l.repairs++
	l.next(&turn, repair, generated.ToolChoiceEnumNone)
	return false, nil
}

// notify emits an event. If the consumer has stopped, it ends the context of the run.
func (l *loop) notify(turn int, value any) {
	if l.emit == nil || l.consumerStopped || l.emit(Event{Turn: turn, Value: value}) {
		return
	}
	l.consumerStopped = true
	l.cancel(errConsumerStopped)
}

// inConversation sets the conversation in which the run continues.
func (l *loop) inConversation(id string) {
	if id == "" {
		return
	}
	l.result.ConversationID = id
	if !slices.Contains(l.conversations, id) {
		l.markBusy(id)
	}
}

// markBusy marks a conversation as busy until the run ends.
func (l *loop) markBusy(conversationID string) bool {
	if conversationID == "" {
		return true
	}
	if !l.runner.markBusy(conversationID) {
		return false
	}
	l.conversations = append(l.conversations, conversationID)
	return true
}

// checkTokens returns an error if the inputs of the next request alone exceed the remaining tokens, at
// four bytes per token.
func (l *loop) checkTokens() error {
	limit, used := l.runner.config.Limits.Tokens, l.result.Usage.TotalTokens
	if expected := used + sizeOf(*l.request.fields().inputs)/4; limit > 0 && expected > limit {
		return l.limitError(LimitTokens, int64(limit), int64(expected))
	}
	return nil
}

func (l *loop) isOutOfTokens() bool {
	limit := l.runner.config.Limits.Tokens
	return limit > 0 && l.result.Usage.TotalTokens >= limit
}

// limitError returns the error of a run that reached a limit.
func (l *loop) limitError(limit Limit, maximum, used int64) error {
	return &LimitError{Limit: limit, Max: maximum, Used: used, Result: l.result, State: l.state()}
}

// runError returns the error of a run that ended because of err.
func (l *loop) runError(stage Stage, err error) error {
	if l.isOutOfTime(err) {
		return l.limitError(LimitTime, int64(l.runner.config.Limits.Time), int64(time.Since(l.began)))
	}
	turn := len(l.result.Turns)
	if stage == StageRequest {
		turn++
	}
	return &RunError{Turn: turn, Stage: stage, Result: l.result, State: l.state(), Err: err}
}

// isOutOfTime reports whether the run's own time is over or too short for the next call.
func (l *loop) isOutOfTime(err error) bool {
	if l.ctx == nil {
		return false
	}
	return l.timeLimitCause != nil && context.Cause(l.ctx) == l.timeLimitCause ||
		l.hasOwnDeadline && errors.Is(err, ratelimited.ErrWouldWait) && errors.Is(err, context.DeadlineExceeded)
}

// contextError returns the error of a context together with its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
