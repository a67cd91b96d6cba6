package main

import (
	"errors"
	"fmt"
	"time"
)

// The requirements for a result. They do not apply to short runs, because at the start the
// buckets are full and the processes have not learned their shares. They do not apply to runs
// with -break either.
const (
	minDuration  = 2 * time.Minute
	minUsed      = 0.95 // share of the limiting limit
	maxDeviation = 0.10 // share of the mean number of calls of a process
)

// check returns all requirements that a result violates, joined, or nil.
func (r result) check() error {
	if r.duration < minDuration || r.broken != "" {
		return nil
	}
	var violations []error
	fail := func(format string, args ...any) {
		violations = append(violations, fmt.Errorf("%v server, limited by %s: %s", r.mode, r.load, fmt.Sprintf(format, args...)))
	}
	if n := r.throttled(); n > 0 {
		fail("want 0 calls with status 429, got %d", n)
	}
	failed := 0
	for _, p := range r.processes {
		failed += p.Failed
	}
	if failed > 0 {
		fail("want 0 failed calls, got %d", failed)
	}
	used, tokens := r.used()
	if r.load == "tokens" {
		used = tokens
	}
	if used < minUsed {
		fail("want at least %.0f%% of the limit used, got %.2f%%", 100*minUsed, 100*used)
	}
	if deviation := r.deviation(); deviation > maxDeviation {
		fail("want at most %.0f%% deviation of a process from the mean, got %.2f%%", 100*maxDeviation, 100*deviation)
	}
	return errors.Join(violations...)
}
