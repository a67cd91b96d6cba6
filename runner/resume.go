package runner

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Resume goes on with a run that has ended with an error, in this process or in another one
// with the same tools: the requests are those that would have followed. What the error left
// open is carried out first: calls that were not started, and pending ones that the answers
// allow. While something is pending without an answer, nothing is sent: the run ends with a
// [*PendingError] again.
//
// All answers have to fit what is pending, and the runner's tools those of the state;
// otherwise nothing is run or sent, and the error wraps an [*AnswerError] or a [*StateError].
//
// Limits go on counting, except Time. If the service may have carried out the latest request, the
// conversation's history is read before it is sent again; not if that was the run's first request and
// has no results of functions, which is sent again as the client does. Resuming the same state twice
// runs its functions twice.
func (r *Runner) Resume(ctx context.Context, state *State, answers ...Answer) (*Result, error) {
	return r.resumed(state, answers).resultOf(ctx)
}

// ResumeStream is [Runner.Resume] with the responses as streams.
func (r *Runner) ResumeStream(ctx context.Context, state *State, answers ...Answer) *Run {
	return &Run{loop: r.resumed(state, answers), ctx: ctx}
}

// ResumeAs is [Runner.Resume] of a run that [StartAs] or [AppendAs] began with the same type and
// options.
func ResumeAs[T any](ctx context.Context, r *Runner, state *State, answers []Answer, options ...FormatOption) (T, *Result, error) {
	var none T
	f, err := formatOf(reflect.TypeFor[T](), options)
	if err != nil {
		return none, nil, err
	}
	l := r.resumed(state, answers)
	if state != nil && !isSameFormat(state, f.response) {
		return none, nil, l.failed(StageRequest, &StateError{Field: "response_format", Rule: fmt.Sprintf("must be that of %v", reflect.TypeFor[T]())})
	}
	return valueOf[T](ctx, l, f)
}

func (r *Runner) resumed(state *State, answers []Answer) *loop {
	if state == nil {
		state = new(State) // which is not valid
	}
	return &loop{runner: r, name: "Resume", resume: state, answer: slices.Clone(answers), progress: progress{result: new(Result)}}
}

// restore takes up a run where its state has left it.
func (l *loop) restore() (Stage, error) {
	progress, err := l.resume.progress()
	if err != nil {
		return StageRequest, err
	}
	if err := l.resume.check(l.runner); err != nil {
		return StageRequest, err
	}
	l.progress, l.hasBegun = progress, true
	conversation := l.result.ConversationID
	if conversation == "" && l.first.extend != nil {
		conversation = l.first.id
	}
	if !l.enter(conversation) {
		return StageRequest, ErrBusy
	}
	for _, q := range []*query{l.first, l.query} {
		if err := q.withTools(l.runner.tools, l.runner.definitions); err != nil {
			return StageRequest, err
		}
	}
	var turn *Turn
	var pending []Pending
	if !l.isDue {
		turn = l.latest()
		_, pending = l.agenda(turn)
	}
	return StageApproval, l.apply(turn, pending, l.answer)
}

// check compares the tools of a runner with those that a state was made with.
func (s *State) check(r *Runner) error {
	for _, i := range s.data.Authorized {
		if !s.sendsTools() || i < 0 || i >= len(s.Tools) {
			continue
		}
		if _, isAuthorized := withoutAuthorization(s.Tools[i]); !isAuthorized {
			return &StateError{Field: fmt.Sprintf("Tools[%d].authorization", i), Rule: "must be set again: a state does not keep it"}
		}
	}
	if r.config.AcceptChangedTools {
		return nil
	}
	for _, name := range sortedKeys(s.data.Fingerprints) {
		switch tool := r.tools[name]; {
		case tool == nil:
			return &StateError{Field: "tools", Value: name, Rule: "must be a tool of the runner: Config.AcceptChangedTools goes on without it"}
		case fingerprint(tool) != s.data.Fingerprints[name]:
			return &StateError{Field: "tools", Value: name, Rule: "must have the definition that it had: Config.AcceptChangedTools goes on with another one"}
		}
	}
	return nil
}

// isSameFormat reports whether a state's requests ask for a format.
func isSameFormat(s *State, format generated.ResponseFormat) bool {
	progress, err := s.progress()
	if err != nil {
		return true // which Resume reports
	}
	return string(encodedJSON(progress.first.fields().args.ResponseFormat)) == string(encodedJSON(format))
}
