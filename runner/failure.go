package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// Finding is a value that breaks a rule of its schema.
type Finding struct {
	Pointer string // the JSON pointer of the value (RFC 6901); "" for the whole value
	Rule    string // the rule and the actual value
}

// Failure is a function call that failed. The model receives Text, and the run continues.
type Failure struct {
	Call
	Stage    Stage         // the stage in which the call failed
	Text     string        // the text for the model, before [Config.ErrorText]; from Err, only the text of [Explain]
	Findings []Finding     // findings about the arguments, at most 10
	Err      error         // the error of the function, or the underlying error; nil for invalid arguments
	Stack    []byte        // the stack of a panic, at most 64 KiB
	Late     time.Duration // how long after its timeout the function returned
}

// Error returns the function and the stage, without the text of Err.
func (f *Failure) Error() string {
	return fmt.Sprintf("runner: function %q failed in stage %s", cut(f.Name, maxShown), f.Stage)
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// The texts that the model receives for failures.
const (
	textFailed  = "The function failed."
	textTimeout = "The function took too long and was stopped."
)

// Explain returns an error for a function to return. The model receives only its text, in place of
// "The function failed.". The cause err is for the application. It may be nil.
func Explain(text string, err error) error { return &explained{text, err} }

type explained struct {
	text string
	err  error
}

func (e *explained) Error() string {
	if e.err == nil {
		return e.text
	}
	return e.text + ": " + e.err.Error()
}

func (e *explained) Unwrap() error { return e.err }

// explanation returns the text that an error has for the model, or otherwise.
func explanation(err error, otherwise string) string {
	var e *explained
	if errors.As(err, &e) && e.text != "" {
		return e.text
	}
	return otherwise
}

// Abort returns an error for a function to return. The error ends the run with a [*RunError]. The
// run first waits for the other calls of the response that have begun. Their results are in
// [Result.Unsent].
func Abort(err error) error {
	if err == nil {
		err = ErrAborted
	}
	return &aborted{err}
}

type aborted struct{ err error }

func (e *aborted) Error() string { return "runner: run aborted: " + e.err.Error() }
func (e *aborted) Unwrap() error { return e.err }

// abortCause returns the error with which a function aborted the run, or nil.
func (f *Failure) abortCause() error {
	var e *aborted
	if f == nil || f.Stage == StagePanic || !errors.As(f.Err, &e) { // methods of a panic's value may panic, too
		return nil
	}
	return e.err
}

// findingsOf converts findings of package schema.
func findingsOf(found []schema.Finding) []Finding {
	findings := make([]Finding, len(found))
	for i, f := range found {
		findings[i] = Finding(f)
	}
	return findings
}
