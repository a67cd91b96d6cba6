package runner

import (
	"context"
	"errors"
	"time"
)

// A jobResult is the result of a job that was started.
type jobResult struct {
	*job
	text     string
	failure  *Failure
	duration time.Duration
}

// executeCalls executes the calls of a response in their order, within the limit for concurrent calls.
// It returns when all calls have ended or the run has. Afterwards their results are unsent. The
// run's own goroutine emits all events.
func (l *loop) executeCalls(turn *Turn, jobs []*job) error {
	b := batch{loop: l, turn: turn, jobs: jobs, done: make(chan jobResult, len(jobs))}
	b.run()
	l.result.Unsent = turn.results()
	l.count(jobs)
	switch {
	case b.aborted != nil:
		err := b.aborted
		if l.ctx.Err() != nil {
			err = errors.Join(err, contextError(l.ctx))
		}
		return &RunError{Turn: turn.Number, Stage: StageExecution, Result: l.result, State: l.state(), Err: err, hidden: true}
	case l.ctx.Err() != nil:
		return l.runError(StageExecution, contextError(l.ctx))
	case l.toolError != nil:
		l.toolError.State = l.state()
		return l.toolError
	}
	return nil
}

// A batch is the calls of one response.
type batch struct {
	*loop
	turn         *Turn
	jobs         []*job
	done         chan jobResult // buffered for all jobs, so that senders never wait
	started      int            // the number of started jobs
	running      int
	isSequential bool  // whether the running job is sequential
	aborted      error // the error of a function that ended the run with Abort
}

func (b *batch) run() {
	over := b.ctx.Done()
	var grace <-chan time.Time
	for {
		b.start()
		if b.running == 0 {
			return
		}
		select {
		case f := <-b.done:
			b.record(f)
		case <-over:
			over = nil
			timer := time.NewTimer(b.runner.config.Grace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			grace = nil
			b.abandon()
		}
	}
}

// start starts as many jobs as may run now.
func (b *batch) start() {
	for b.started < len(b.jobs) && b.aborted == nil && b.ctx.Err() == nil {
		j := b.jobs[b.started]
		sequential := j.tool != nil && j.tool.sequential
		if b.running >= b.runner.config.Limits.Parallel || b.running > 0 && (sequential || b.isSequential) {
			return
		}
		decided := &j.outcome().decided
		decided.isRunning = true // the consumer may take a State during the event
		if b.notify(b.turn.Number, ToolStarted{Call: j.Call}); b.consumerStopped {
			decided.isRunning = false
			return
		}
		decided.approved = false
		b.started++
		b.running++
		b.isSequential = sequential
		j.start(b.ctx, b.done)
	}
}

// record records the result of a job.
func (b *batch) record(f jobResult) {
	b.running--
	o := f.outcome()
	o.Duration, o.decided.isRunning = f.duration, false
	switch {
	case f.failure == nil:
		o.Status, o.Result = StatusDone, f.text
	case b.ctx.Err() != nil && f.failure.Stage == StageExecution && f.failure.abortCause() == nil:
		o.Status = StatusInterrupted
	default:
		o.Status, o.Failure, o.Result = StatusFailed, f.failure, b.failureText(f.failure)
		if b.aborted == nil {
			b.aborted = f.failure.abortCause()
		}
	}
	b.notify(b.turn.Number, ToolFinished{Outcome: *o})
}

// abandon marks all running jobs as interrupted and stops waiting for them.
func (b *batch) abandon() {
	for _, j := range b.jobs[:b.started] {
		if j.claim() {
			b.running--
			o := j.outcome()
			o.Status, o.decided.isRunning = StatusInterrupted, false
			b.notify(b.turn.Number, ToolFinished{Outcome: *o})
		}
	}
}

// failureText returns the text that the model receives for a failure.
func (l *loop) failureText(f *Failure) (text string) {
	text = f.Text
	if hook := l.runner.config.ErrorText; hook != nil {
		defer func() {
			if recover() != nil {
				text = f.Text
			}
		}()
		if replaced := hook(*f); replaced != "" {
			text = replaced
		}
	}
	return cut(text, l.runner.config.Limits.ResultBytes)
}

// count adds the executed calls to the totals of the run, and counts consecutive failures.
func (l *loop) count(jobs []*job) {
	for _, j := range jobs {
		o, name := j.outcome(), j.Name
		if l.runner.tools[name] == nil {
			name = ""
		}
		switch o.Status {
		case StatusDone:
			l.result.Calls++
			l.failuresInARow[name] = 0
		case StatusFailed:
			l.result.Calls++
			l.result.FailedCalls++
			l.failuresInARow[name]++
			if l.toolError == nil && l.failuresInARow[name] >= l.runner.config.Limits.FailuresInARow {
				l.toolError = &ToolError{Name: name, Failures: l.failuresInARow[name], Last: o.Failure, Result: l.result}
			}
		default: // not executed, or interrupted
		}
	}
}

type callKey struct{}

// CallFrom returns the call that a function is executing, from the context of the function. The
// context that an observer receives for "Runner.Tool" holds the call, too.
func CallFrom(ctx context.Context) (Call, bool) {
	call, ok := ctx.Value(callKey{}).(Call)
	return call, ok
}
