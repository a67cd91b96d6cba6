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
	runner *Runner
	name   string   // of the operation, such as "Start"
	resume *State   // nil: from the beginning
	answer []Answer // to what is pending in that
	check  check    // nil: any answer is right

	emit func(Event) bool // nil: responses are not streamed
	left bool             // the consumer of events has gone

	ctx       context.Context
	cancel    context.CancelCauseFunc
	began     time.Time
	ownsTime  bool       // the context's deadline is Limits.Time
	timeOver  error      // the cause when Limits.Time ends this run: not that of a run around it
	entered   []string   // the conversations that the run is in
	exhausted *ToolError // a function has failed too often
	hasBegun  bool       // there is something to go on from
	isSending bool       // a request is under way

	progress
}

// A progress is how far a run has come. A [State] has it.
type progress struct {
	first     *query           // the run's own request, with the runner's tools
	own       []generated.Tool // the tools of that request that are not the runner's
	query     *query           // the latest request
	isDue     bool             // no response to it has come
	isLost    bool             // the service may have carried it out
	hasFailed bool             // the service has begun its response, and then reported an error
	restarted bool             // it asks anew for a response that was lost

	result   *Result
	handoffs int
	repairs  int            // answers that were asked for again
	inARow   map[string]int // failures, by name; "" for unknown functions

	// What the caller has said of the latest response.
	confirmed  map[string]generated.ToolConfirmation // by tool_call_id
	isFollowed bool                                  // its handoff
}

// A check returns what is wrong with an answer, and what to ask for to have it repaired; nil
// for an answer that is right, or not to be repaired.
type check func(t Turn, maxTokens *int) (*OutputError, []generated.Entry)

// errLeft is the cause of a context that the run itself ends.
var errLeft = errors.New("runner: the loop over the events was left")

// errPanicked is what the observer is told of a run in which code of the caller's has panicked.
var errPanicked = errors.New("runner: the run panicked")

// newLoop returns a run that begins with a request.
func (r *Runner) newLoop(first *query) *loop {
	return &loop{runner: r, name: first.name(), progress: progress{first: first, result: new(Result)}}
}

// run takes a run to its end. It sets the result in any case.
func (l *loop) run(ctx context.Context) (err error) {
	operation := "Runner." + l.name
	l.began = time.Now()
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
	defer func() {
		for _, id := range l.entered {
			l.runner.leave(id)
		}
	}()
	begin := l.begin
	if l.resume != nil {
		begin = l.restore
	}
	if stage, err := begin(); err != nil {
		return l.failed(stage, err)
	}
	err = errPanicked // unless it returns: for the observer
	return l.turns()
}

// begin prepares the first request of a run.
func (l *loop) begin() (Stage, error) {
	if l.first.extend != nil && !l.enter(l.first.id) {
		return StageRequest, ErrBusy
	}
	l.first = l.first.copied()
	if l.first.start != nil {
		l.own = l.first.start.Tools
	}
	if err := cmp.Or(l.first.withTools(l.runner.tools, l.runner.definitions), l.first.checkConfirmations()); err != nil {
		return StageRequest, err
	}
	l.query, l.isDue, l.hasBegun = l.first, true, true
	l.inARow, l.confirmed = map[string]int{}, map[string]generated.ToolConfirmation{}
	return "", nil
}

// turns asks for responses until one is the answer.
func (l *loop) turns() error {
	for {
		if l.isDue {
			if err := l.ask(); err != nil {
				return err
			}
		}
		if isAnswer, err := l.settle(l.latest()); isAnswer || err != nil {
			return err
		}
	}
}

func (l *loop) latest() *Turn { return &l.result.Turns[len(l.result.Turns)-1] }

// ask makes the request that is due. On success the results that it has are no longer unsent.
func (l *loop) ask() error {
	number := len(l.result.Turns) + 1
	if limit := l.runner.config.Limits.Turns; number > limit {
		return l.limited(LimitTurns, int64(limit), int64(number-1))
	}
	if err := l.afford(); err != nil {
		return err
	}
	l.isSending = true
	l.tell(number, TurnStarted{})
	response, err := l.fetch(number)
	l.isSending = false
	if err != nil {
		if errors.Is(err, ratelimited.ErrUnconfirmed) {
			l.result.UnknownUsage++
		}
		return l.failed(StageRequest, err)
	}
	l.isDue, l.isLost, l.hasFailed, l.restarted, l.isFollowed = false, false, false, false, false
	clear(l.confirmed)
	switch {
	case l.query.isStored():
		l.inConversation(cmp.Or(response.ConversationID, l.query.id))
	case l.query.extend != nil:
		l.result.ConversationID = l.query.id
	}
	l.result.Unsent = nil
	l.result.Turns = append(l.result.Turns, Turn{Number: number, Response: response, Calls: callsOf(response, number, l.result.ConversationID)})
	l.result.add(response.Usage)
	n, _ := handoffsOf(response)
	l.handoffs += n
	l.tell(number, TurnEnded{Response: response})
	return nil
}

// settle does what a response asks for, and makes the next request. It reports whether the
// response was the answer instead.
func (l *loop) settle(turn *Turn) (isAnswer bool, err error) {
	if turn.isAnswer() {
		if err := l.judge(turn, nil, nil); err != nil {
			return true, err
		}
		return l.answered(*turn)
	}
	if err := l.carryOutAll(turn); err != nil {
		return false, err
	}
	l.next(turn, l.result.Unsent, "")
	if stop := l.runner.config.Stop; stop != nil && stop(*turn) {
		return false, l.failed(StageExecution, ErrStopped)
	}
	return false, nil
}

// next makes the request that follows a turn.
func (l *loop) next(turn *Turn, inputs []generated.Entry, choice generated.ToolChoiceEnum) {
	var confirmations []generated.ToolCallConfirmation
	for _, call := range turn.Response.FunctionCalls() {
		if answer := l.confirmed[call.ToolCallID]; answer != "" {
			confirmations = append(confirmations, generated.ToolCallConfirmation{ToolCallID: call.ToolCallID, Confirmation: answer})
		}
	}
	l.query, l.isDue = l.query.next(l.first, turn.Response, inputs, confirmations, choice), true
}

// carryOutAll carries out all calls of a turn, and those that the caller allows. What is then
// left for the caller ends the run.
func (l *loop) carryOutAll(turn *Turn) error {
	decide := l.runner.config.Decide
	for {
		jobs, pending := l.agenda(turn)
		if err := l.judge(turn, jobs, pending); err != nil {
			return err
		}
		if err := l.carryOut(turn, jobs); err != nil || len(pending) == 0 {
			return err
		}
		for _, p := range pending {
			l.tell(turn.Number, CallPending{p})
		}
		if l.ctx.Err() != nil {
			return l.failed(StageApproval, contextError(l.ctx))
		}
		if decide == nil {
			return &PendingError{Pending: pending, Result: l.result, State: l.state()}
		}
		answers, err := decide(l.ctx, slices.Clone(pending))
		if err == nil {
			err = l.apply(turn, pending, answers)
		}
		if err != nil {
			return l.failed(StageApproval, err)
		}
		decide = nil // it is asked once
	}
}

// answered checks the answer. If that is to be repaired, the request for it is due.
func (l *loop) answered(turn Turn) (isRight bool, err error) {
	if l.check == nil {
		return true, nil
	}
	failure, repair := l.check(turn, l.first.fields().args.MaxTokens)
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
	if !slices.Contains(l.entered, id) {
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
	l.entered = append(l.entered, conversationID)
	return true
}

// afford returns the error of a run whose next request would use more tokens than are left: at
// least those of its inputs, of which one has four bytes.
func (l *loop) afford() error {
	limit, used := l.runner.config.Limits.Tokens, l.result.Usage.TotalTokens
	if expected := used + sizeOf(*l.query.fields().inputs)/4; limit > 0 && expected > limit {
		return l.limited(LimitTokens, int64(limit), int64(expected))
	}
	return nil
}

func (l *loop) isOutOfTokens() bool {
	limit := l.runner.config.Limits.Tokens
	return limit > 0 && l.result.Usage.TotalTokens >= limit
}

// limited returns the error of a run that has reached a limit.
func (l *loop) limited(limit Limit, most, used int64) error {
	return &LimitError{Limit: limit, Max: most, Used: used, Result: l.result, State: l.state()}
}

// failed returns the error of a run that ended because of err.
func (l *loop) failed(stage Stage, err error) error {
	if l.isOutOfTime(err) {
		return l.limited(LimitTime, int64(l.runner.config.Limits.Time), int64(time.Since(l.began)))
	}
	turn := len(l.result.Turns)
	if stage == StageRequest {
		turn++
	}
	return &RunError{Turn: turn, Stage: stage, Result: l.result, State: l.state(), Err: err}
}

// isOutOfTime reports whether the run's own time is over, or too short for the next call.
func (l *loop) isOutOfTime(err error) bool {
	if l.ctx == nil {
		return false
	}
	return l.timeOver != nil && context.Cause(l.ctx) == l.timeOver ||
		l.ownsTime && errors.Is(err, ratelimited.ErrWouldWait) && errors.Is(err, context.DeadlineExceeded)
}

// contextError returns why a context ended, with its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
