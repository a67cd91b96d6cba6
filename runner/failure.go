package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// Finding is a value that breaks a rule of its schema.
type Finding struct {
	Pointer string // JSON pointer (RFC 6901) of the value; "" for the whole
	Rule    string // what it has to be, and what it was
}

// Failure is a function call that failed. The model is told Text and goes on.
type Failure struct {
	Call
	Stage    Stage         // in which the call failed
	Text     string        // what the model is told, unless [Config.ErrorText] has another; of Err only what [Explain] has
	Findings []Finding     // about the arguments, at most 10
	Err      error         // the function's own error, or what found the failure; nil for bad arguments
	Stack    []byte        // of a panic, at most 64 KiB
	Late     time.Duration // of a function that returned after its timeout: by how long
}

// Error names the function and the stage. It has nothing of Err.
func (f *Failure) Error() string {
	return fmt.Sprintf("runner: function %q failed in stage %s", cut(f.Name, maxShown), f.Stage)
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// What the model is told of failures.
const (
	textFailed  = "The function failed."
	textTimeout = "The function took too long and was stopped."
)

// Explain returns an error for a function to return, whose text the model is told, alone, in
// place of "The function failed.". The cause err is for the application and may be nil.
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

// explanation returns the text that an error carries for the model, or the default.
func explanation(err error, otherwise string) string {
	var e *explained
	if errors.As(err, &e) && e.text != "" {
		return e.text
	}
	return otherwise
}

// Abort returns an error for a function to return that ends the run with a [*RunError]. The
// calls beside it that have begun end first, and their results are in [Result.Unsent].
func Abort(err error) error {
	if err == nil {
		err = ErrAborted
	}
	return &aborted{err}
}

type aborted struct{ err error }

func (e *aborted) Error() string { return "runner: run aborted: " + e.err.Error() }
func (e *aborted) Unwrap() error { return e.err }

// abortion returns the error that a function has ended the run with; nil if it has not.
func (f *Failure) abortion() error {
	var e *aborted
	if f == nil || f.Stage == StagePanic || !errors.As(f.Err, &e) { // what was thrown may throw again
		return nil
	}
	return e.err
}

// findingsOf makes the package's own findings.
func findingsOf(found []schema.Finding) []Finding {
	findings := make([]Finding, len(found))
	for i, f := range found {
		findings[i] = Finding(f)
	}
	return findings
}
