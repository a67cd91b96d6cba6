package runner

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Resume continues a run that ended with an error, in this process or in another one with the same
// tools. It sends the requests that the run would have sent. First it executes the calls that were
// not started and the pending calls that the answers allow. If a pending entry has no answer, it
// sends nothing and ends with a [*PendingError] again.
//
// The answers must match the pending entries, and the runner's tools must match those of the state.
// Otherwise Resume neither calls a function nor sends a request, and the error wraps an
// [*AnswerError] or a [*StateError].
//
// All limits except Time continue to count. If the service may have executed the latest request,
// Resume reads the conversation's history before it sends the request again. It does not read
// the history if this is the run's first request and has no function results. It then sends the
// request again, as the client would. Resuming the same state twice runs its functions twice.
func (r *Runner) Resume(ctx context.Context, state *State, answers ...Answer) (*Result, error) {
	return r.resumed(state, answers).resultOf(ctx)
}

// ResumeStream is like [Runner.Resume], with streamed responses.
func (r *Runner) ResumeStream(ctx context.Context, state *State, answers ...Answer) *Run {
	return &Run{loop: r.resumed(state, answers), ctx: ctx}
}

// ResumeAs is like [Runner.Resume], for a run that [StartAs] or [AppendAs] started with the same
// type and options.
func ResumeAs[T any](ctx context.Context, r *Runner, state *State, answers []Answer, options ...FormatOption) (T, *Result, error) {
	var none T
	f, err := formatOf(reflect.TypeFor[T](), options)
	if err != nil {
		return none, nil, err
	}
	l := r.resumed(state, answers)
	if state != nil && !isSameFormat(state, f.response) {
		return none, nil, l.runError(StageRequest, &StateError{Field: "response_format", Rule: fmt.Sprintf("must be the format of %v", reflect.TypeFor[T]())})
	}
	return valueOf[T](ctx, l, f)
}

func (r *Runner) resumed(state *State, answers []Answer) *loop {
	if state == nil {
		state = new(State) // restore reports that it is invalid
	}
	return &loop{runner: r, name: "Resume", resume: state, answers: slices.Clone(answers), progress: progress{result: new(Result)}}
}

// restore continues a run from its state.
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
	if conversation == "" && l.first.append != nil {
		conversation = l.first.id
	}
	if !l.markBusy(conversation) {
		return StageRequest, ErrBusy
	}
	for _, q := range []*turnRequest{l.first, l.request} {
		if err := q.withTools(l.runner.tools, l.runner.definitions); err != nil {
			return StageRequest, err
		}
	}
	var turn *Turn
	var pending []Pending
	if !l.isDue {
		turn = l.latest()
		_, pending = l.unfinished(turn)
	}
	return StageApproval, l.apply(turn, pending, l.answers)
}

// check compares the runner's tools with those of the state.
func (s *State) check(r *Runner) error {
	for _, i := range s.data.Authorized {
		if !s.sendsTools() || i < 0 || i >= len(s.Tools) {
			continue
		}
		if _, isAuthorized := withoutAuthorization(s.Tools[i]); !isAuthorized {
			return &StateError{Field: fmt.Sprintf("Tools[%d].authorization", i), Rule: "must be set again: a State does not contain it"}
		}
	}
	if r.config.AcceptChangedTools {
		return nil
	}
	for _, name := range sortedKeys(s.data.Fingerprints) {
		switch tool := r.tools[name]; {
		case tool == nil:
			return &StateError{Field: "tools", Value: name, Rule: "must be a tool of the runner, unless Config.AcceptChangedTools is set"}
		case fingerprint(tool) != s.data.Fingerprints[name]:
			return &StateError{Field: "tools", Value: name, Rule: "must have an unchanged definition, unless Config.AcceptChangedTools is set"}
		}
	}
	return nil
}

// isSameFormat reports whether a state's requests have the response format.
func isSameFormat(s *State, format generated.ResponseFormat) bool {
	progress, err := s.progress()
	if err != nil {
		return true // restore reports the error
	}
	return string(encodedJSON(progress.first.fields().args.ResponseFormat)) == string(encodedJSON(format))
}
