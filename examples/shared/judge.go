package main

import (
	"errors"
	"fmt"
	"time"
)

// What a run has to keep to, if it is long enough to tell and nothing is broken on
// purpose. The first seconds are special: buckets are full, and shares not yet learned.
const (
	judged      = 2 * time.Minute // the shortest run that is judged
	leastUsed   = 0.95            // of the limit that decides
	mostUnequal = 0.10            // of the mean
)

// judge says all that is wrong with a result, or nothing.
func (r result) judge() error {
	if r.duration < judged || r.broken != "" {
		return nil
	}
	var wrong []error
	find := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%v server, %s: %s", r.mode, r.load, fmt.Sprintf(format, args...)))
	}
	if n := r.refused(); n > 0 {
		find("%d calls were refused with a 429: want none", n)
	}
	failed := 0
	for _, p := range r.processes {
		failed += p.Failed
	}
	if failed > 0 {
		find("%d calls failed: want none", failed)
	}
	used, tokens := r.used()
	if r.load == "tokens" {
		used = tokens
	}
	if used < leastUsed {
		find("%.2f %% of the limit was used: want at least %.0f %%", 100*used, 100*leastUsed)
	}
	if worst := r.unfairness(); worst > mostUnequal {
		find("the calls of a process differ from the mean by %.2f %%: want at most %.0f %%", 100*worst, 100*mostUnequal)
	}
	return errors.Join(wrong...)
}
