package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// A job is one call to execute.
type job struct {
	Call
	turn      *Turn
	tool      *Tool
	arguments []byte
	runner    *Runner
	claimed   atomic.Bool
}

func (j *job) outcome() *Outcome { return j.turn.call(j.ID) }

// claim reports whether the caller is the first to decide the outcome of the job.
func (j *job) claim() bool { return j.claimed.CompareAndSwap(false, true) }

// start runs the job in a new goroutine. It sends one result: when the function returns, or at its
// timeout. If the function returns later, only the observer is notified.
func (j *job) start(ctx context.Context, done chan<- jobResult) {
	timeout := defaultToolTimeout
	if j.tool != nil {
		timeout = j.tool.timeout
	}
	observed, end := j.runner.observe(context.WithValue(ctx, callKey{}, j.Call), "Runner.Tool")
	timeIsOver := errors.New("runner: function timeout") // unique to this call, because a function may start another run
	observed, cancel := context.WithTimeoutCause(observed, timeout, timeIsOver)
	began := time.Now()
	timer := time.AfterFunc(timeout, func() {
		if j.claim() {
			done <- jobResult{j, "", j.failure(StageTimeout, textTimeout, context.DeadlineExceeded), timeout}
		}
	})
	go func() {
		var text string
		var failure *Failure
		returned := false
		defer func() { // runs also if the function calls runtime.Goexit
			if !returned {
				failure = j.failure(StagePanic, textFailed, errGoexit)
			}
			defer cancel()
			took := time.Since(began)
			timer.Stop()
			if failure != nil && failure.Stage == StageExecution && context.Cause(observed) == timeIsOver {
				failure = j.failure(StageTimeout, explanation(failure.Err, textTimeout), failure.Err)
			}
			isFirst := j.claim()
			if !isFirst && context.Cause(observed) == timeIsOver {
				late := *j.failure(StageTimeout, textTimeout, context.DeadlineExceeded)
				late.Late = took - timeout
				failure = &late
			}
			if failure == nil {
				end(nil, 1)
			} else {
				end(failure, 1)
			}
			if isFirst {
				done <- jobResult{j, text, failure, took}
			}
		}()
		text, failure = j.run(observed)
		returned = true
	}()
}

var errGoexit = errors.New("runner: the function ended its goroutine")

// run executes the call, from its arguments to its result.
func (j *job) run(ctx context.Context) (text string, failure *Failure) {
	defer func() {
		if p := recover(); p != nil {
			failure = j.failure(StagePanic, textFailed, fmt.Errorf("runner: panic: %v", p))
			if err, ok := p.(error); ok {
				failure.Err = fmt.Errorf("runner: panic: %w", err)
			}
			failure.Stack = debug.Stack()
			failure.Stack = failure.Stack[:min(len(failure.Stack), maxStack)]
		}
	}()
	if j.tool == nil {
		return "", j.failure(StageLookup, j.runner.unknownFunction(j.Name), nil)
	}
	var call func(context.Context) (any, error)
	var findings []schema.Finding
	if j.tool.prepare != nil {
		call, findings = j.tool.prepare(j.arguments)
	} else {
		findings = decode(j.tool.parameters, j.arguments, nil)
	}
	if len(findings) > 0 {
		failure := j.failure(StageArguments, "The arguments are not valid:\n"+schema.Text(findings), nil)
		failure.Findings = findingsOf(findings)
		return "", failure
	}
	result, err := call(ctx)
	if err != nil {
		return "", j.failure(StageExecution, explanation(err, textFailed), err)
	}
	if text, err = encode(result); err != nil {
		return "", j.failure(StageOutput, textFailed, err)
	}
	if maxBytes := j.runner.config.Limits.ResultBytes; len(text) > maxBytes {
		return "", j.failure(StageOutput, textFailed, fmt.Errorf("runner: the result is too large: must have at most %d bytes, got %d", maxBytes, len(text)))
	}
	return text, nil
}

const maxStack = 64 << 10

func (j *job) failure(stage Stage, text string, err error) *Failure {
	return &Failure{Call: j.Call, Stage: stage, Text: text, Err: err}
}

// unknownFunction returns the text that lists the known functions for the model.
func (r *Runner) unknownFunction(name string) string {
	const maxLength = 2 << 10
	if len(r.tools) == 0 {
		return fmt.Sprintf("Unknown function %q.", cut(name, maxShown))
	}
	var names strings.Builder
	for i, d := range r.config.Tools {
		if i > 0 {
			names.WriteString(", ")
		}
		if names.Len() > maxLength {
			names.WriteString("…")
			break
		}
		names.WriteString(d.Name())
	}
	return fmt.Sprintf("Unknown function %q. The functions are: %s.", cut(name, maxShown), names.String())
}

// cut returns the beginning of a text, at most most bytes without splitting a character.
func cut(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	for maxBytes > 0 && !utf8.RuneStart(text[maxBytes]) {
		maxBytes--
	}
	return text[:maxBytes]
}
