package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// live records in real time and shows the progress.
func (r *recording) live(ctx context.Context, w io.Writer) error {
	ended := make(chan error, 1)
	go func() { ended <- r.record(ctx) }()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for drawn := 0; ; {
		frame := r.frame()
		if drawn > 0 {
			fmt.Fprintf(w, "\x1b[%dA", drawn) // move the cursor up to the previous frame
		}
		fmt.Fprint(w, strings.ReplaceAll(frame, "\n", "\x1b[K\n")) // clear the rest of each line
		drawn = strings.Count(frame, "\n")
		select {
		case <-ticker.C:
		case err := <-ended:
			fmt.Fprintf(w, "\x1b[%dA%s", drawn, strings.ReplaceAll(r.frame(), "\n", "\x1b[K\n"))
			return err
		}
	}
}

// frame returns the state of the recording as text.
func (r *recording) frame() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Duration(0)
	level := sample{requests: max(1, limit.RequestsPerSecond), tokens: float64(limit.TokensPerMinute)}
	if len(r.samples) > 0 {
		level = r.samples[len(r.samples)-1]
		now = level.at
	}

	var b strings.Builder
	fmt.Fprintf(&b, "%v requests/s, %s tokens/min. The estimate of each call is %s tokens.\n\n",
		limit.RequestsPerSecond, thousands(float64(limit.TokensPerMinute)), thousands(estimate))
	fmt.Fprintf(&b, "requests  %s %4.2f of %v\n", bar(level.requests/limit.RequestsPerSecond), level.requests, limit.RequestsPerSecond)
	fmt.Fprintf(&b, "tokens    %s %5.0f of %d\n\n", bar(level.tokens/float64(limit.TokensPerMinute)), level.tokens, limit.TokensPerMinute)
	fmt.Fprintf(&b, "%-59sstarted   used spare\n", "call  waiting ·, in flight █")
	for i, c := range r.calls {
		fmt.Fprintf(&b, "%4d  %-52s", i+1, c.row(now))
		if c.admitted != never {
			fmt.Fprintf(&b, "%6.3f s", c.admitted.Seconds())
		}
		if c.settled != never {
			fmt.Fprintf(&b, " %6d %+5d", c.used, estimate-c.used)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// row draws the progress of a call, one character for every 200 ms.
func (c call) row(now time.Duration) string {
	const step = 200 * time.Millisecond
	if c.arrived == never {
		return ""
	}
	started, ended := c.admitted, c.settled
	if started == never {
		started = now
	}
	if ended == never {
		ended = now
	}
	waiting := int((started - c.arrived + step/2) / step)
	total := int((ended - c.arrived + step/2) / step)
	return strings.Repeat("·", waiting) + strings.Repeat("█", max(0, total-waiting))
}

// bar returns a gauge that is full at 1.
func bar(share float64) string {
	const width = 40
	filled := max(0, min(width, int(share*width+0.5)))
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}
