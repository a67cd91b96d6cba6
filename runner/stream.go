package runner

import (
	"context"
	"errors"
	"iter"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Event is an event of a streamed run.
type Event struct {
	// The number of the turn that the event belongs to, from 1.
	Turn int
	// An event of the API, such as [generated.MessageOutputEvent], or an event of the run:
	// [TurnStarted], [TurnRestarted], [TurnEnded], [ToolStarted], [ToolFinished], [CallPending] or
	// [Finished].
	Value any
}

// The events of a run.
type (
	// TurnStarted is emitted before a request waits for the limiter.
	TurnStarted struct{}
	// TurnRestarted is emitted when a turn starts again because its response was lost. The run
	// resends a request that did not arrive, or restarts the conversation: see
	// [Config.RestartLost]. Discard all earlier events of the turn.
	TurnRestarted struct {
		ConversationID string // the conversation of the run, or a new one
	}
	// TurnEnded is emitted when the response is complete.
	TurnEnded struct {
		Response *generated.ConversationResponse // assembled from the events
	}
	// ToolStarted is emitted before a function is called.
	ToolStarted struct{ Call }
	// ToolFinished is emitted when a function has returned, or when the run stops waiting for it.
	// It contains the result, so be careful with logging it.
	ToolFinished struct{ Outcome }
	// CallPending is emitted for each entry that [Config.Decide] or the caller has to answer.
	CallPending struct{ Pending }
	// Finished is the last event of a run that has an answer.
	Finished struct {
		Result *Result // the result that Start returns
	}
)

// Run is a run with streamed responses. It starts when [Run.Events] is ranged over. Its methods
// must be called from one goroutine.
type Run struct {
	loop   *loop
	ctx    context.Context
	ranged bool
}

// StartStream is like [Runner.Start], with streamed responses.
func (r *Runner) StartStream(ctx context.Context, request generated.StartConversationRequest) *Run {
	return r.stream(ctx, &turnRequest{start: &request})
}

// AppendStream is like [Runner.Append], with streamed responses.
func (r *Runner) AppendStream(ctx context.Context, conversationID string, request generated.AppendConversationRequest) *Run {
	return r.stream(ctx, &turnRequest{id: conversationID, append: &request})
}

// RestartStream is like [Runner.Restart], with streamed responses.
func (r *Runner) RestartStream(ctx context.Context, conversationID string, request generated.RestartConversationRequest) *Run {
	return r.stream(ctx, &turnRequest{id: conversationID, restart: &request})
}

func (r *Runner) stream(ctx context.Context, first *turnRequest) *Run {
	return &Run{loop: r.newLoop(first), ctx: ctx}
}

// errNoRun is the error of a Run that was not made by a Runner.
var errNoRun = &ConfigError{Field: "Run", Rule: "must be made with StartStream, AppendStream or RestartStream"}

// errRanged is the error of a second loop over the events of a run.
var errRanged = errors.New("runner: Run.Events: must be ranged over only once")

// Events executes the run and yields its events as they happen: the API's events of every turn,
// including unknown ones, and the run's own events. The run calls functions when a response is
// complete. The run waits while the body of the loop executes, also while functions run.
//
// An error is yielded once, as the last element. It is the error that [Runner.Start] would return.
// Exiting the loop ends the run: it closes the stream and records its usage, cancels the functions,
// and waits for them up to [Config.Grace]. Then [Run.Result] returns the result so far.
func (r *Run) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if r == nil || r.loop == nil {
			yield(Event{}, errNoRun)
			return
		}
		if r.ranged {
			yield(Event{}, errRanged)
			return
		}
		r.ranged = true
		l := r.loop
		l.emit = func(e Event) bool { return yield(e, nil) }
		err := l.run(r.ctx)
		switch turn := len(l.result.Turns); {
		case l.consumerStopped:
		case err != nil:
			yield(Event{Turn: turn}, err)
		default:
			yield(Event{Turn: turn, Value: Finished{Result: l.result}}, nil)
		}
	}
}

// TextDeltas yields the text of the model's messages as it arrives, of all turns. It skips other
// events and otherwise behaves like [Run.Events].
func (r *Run) TextDeltas() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range r.Events() {
			var text string
			if message, ok := event.Value.(generated.MessageOutputEvent); ok {
				text = message.Content.Text()
			}
			if (text != "" || err != nil) && !yield(text, err) {
				return
			}
		}
	}
}

// Result returns the result so far. It is empty before [Run.Events] is ranged over.
func (r *Run) Result() *Result {
	if r == nil || r.loop == nil {
		return nil
	}
	return r.loop.result
}

// State returns the state from which [Runner.Resume] could continue if the run ended now. It is nil
// before the run has begun. Call it at each event and store the result, if the program may end
// without warning. In the state, a running function call is interrupted, and a request in flight
// may have been executed.
func (r *Run) State() *State {
	if r == nil || r.loop == nil {
		return nil
	}
	return r.loop.state()
}
