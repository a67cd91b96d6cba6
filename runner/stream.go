package runner

import (
	"context"
	"errors"
	"iter"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Event is something that happened in a run.
type Event struct {
	// Turn is the response that the event belongs to, from 1.
	Turn int
	// Value is an event of the API, as [generated.MessageOutputEvent], or one of the run:
	// [TurnStarted], [TurnRestarted], [TurnEnded], [ToolStarted], [ToolFinished], [CallPending] and
	// [Finished].
	Value any
}

// The run's own events.
type (
	// TurnStarted comes before a request waits for the limiter.
	TurnStarted struct{}
	// TurnRestarted comes when a turn begins anew, because its response was lost: the request is sent
	// again as it had not arrived, or another one asks anew in a new conversation, see
	// [Config.RestartLost]. Events of the turn that came before are void.
	TurnRestarted struct {
		ConversationID string // a new one, or that of the run
	}
	// TurnEnded comes when the response is whole.
	TurnEnded struct {
		Response *generated.ConversationResponse // put together from the events
	}
	// ToolStarted comes before a function is called.
	ToolStarted struct{ Call }
	// ToolFinished comes when a function has returned, or was left behind. It has the result, so
	// mind what you log.
	ToolFinished struct{ Outcome }
	// CallPending comes when something is left to [Config.Decide] or to the caller.
	CallPending struct{ Pending }
	// Finished is the last event of a run that has an answer.
	Finished struct {
		Result *Result // what Start returns
	}
)

// Run is a run whose responses are streamed. Nothing happens before [Run.Events] is ranged over.
// Its methods are for one goroutine.
type Run struct {
	loop   *loop
	ctx    context.Context
	ranged bool
}

// StartStream is [Runner.Start] with the responses as streams.
func (r *Runner) StartStream(ctx context.Context, request generated.StartConversationRequest) *Run {
	return r.stream(ctx, &query{start: &request})
}

// AppendStream is [Runner.Append] with the responses as streams.
func (r *Runner) AppendStream(ctx context.Context, conversationID string, request generated.AppendConversationRequest) *Run {
	return r.stream(ctx, &query{id: conversationID, extend: &request})
}

// RestartStream is [Runner.Restart] with the responses as streams.
func (r *Runner) RestartStream(ctx context.Context, conversationID string, request generated.RestartConversationRequest) *Run {
	return r.stream(ctx, &query{id: conversationID, restart: &request})
}

func (r *Runner) stream(ctx context.Context, first *query) *Run {
	return &Run{loop: r.newLoop(first), ctx: ctx}
}

// errNoRun is the error of a Run that no method of a Runner made.
var errNoRun = &ConfigError{Field: "Run", Rule: "must come from StartStream, AppendStream or RestartStream"}

// errRanged is the error of a second loop over a run's events.
var errRanged = errors.New("runner: the events of a run can be ranged over once")

// Events carries out the run and yields its events as they happen: the API's events of every
// turn, unknown ones included, and the run's own. Functions are called when a response is
// whole; while they run, and while the loop's body does, the run waits for the body.
//
// An error comes last, alone and once: what [Runner.Start] returns. Leaving the loop ends the
// run: the stream is closed and settled, functions are cancelled and waited for as
// [Config.Grace] says, and [Run.Result] has the result so far.
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
		case l.left:
		case err != nil:
			yield(Event{Turn: turn}, err)
		default:
			yield(Event{Turn: turn, Value: Finished{Result: l.result}}, nil)
		}
	}
}

// TextDeltas yields the text of the model's messages as it comes, of all turns. It skips other
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

// State returns what [Runner.Resume] would go on from if the run ended here; nil before it has
// begun. It may be called at each event, to be kept for a program that ends without warning: a
// call whose function has begun is interrupted in it, and a request that is under way may have
// been carried out.
func (r *Run) State() *State {
	if r == nil || r.loop == nil {
		return nil
	}
	return r.loop.state()
}
