package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// live records in real time and shows how it goes.
func (r *recording) live(ctx context.Context, w io.Writer) error {
	ended := make(chan error, 1)
	go func() { ended <- r.record(ctx) }()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for drawn := 0; ; {
		frame := r.frame()
		if drawn > 0 {
			fmt.Fprintf(w, "\x1b[%dA", drawn) // up again, over the last frame
		}
		fmt.Fprint(w, strings.ReplaceAll(frame, "\n", "\x1b[K\n")) // what is left of longer lines goes
		drawn = strings.Count(frame, "\n")
		select {
		case <-ticker.C:
		case err := <-ended:
			fmt.Fprintf(w, "\x1b[%dA%s", drawn, strings.ReplaceAll(r.frame(), "\n", "\x1b[K\n"))
			return err
		}
	}
}

// frame is the state of the recording as text.
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
	fmt.Fprintf(&b, "%v requests a second, %d tokens a minute; each call is estimated at %d.\n\n",
		limit.RequestsPerSecond, limit.TokensPerMinute, estimate)
	fmt.Fprintf(&b, "requests  %s %4.2f of %v\n", bar(level.requests/limit.RequestsPerSecond), level.requests, limit.RequestsPerSecond)
	fmt.Fprintf(&b, "tokens    %s %5.0f of %d\n\n", bar(level.tokens/float64(limit.TokensPerMinute)), level.tokens, limit.TokensPerMinute)
	fmt.Fprintf(&b, "%-59sstarted   used  back\n", "call  waits ·, is on its way █")
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

// row draws how a call has gone so far, a character for each fifth of a second.
func (c call) row(now time.Duration) string {
	const step = 200 * time.Millisecond
	if c.asked == never {
		return ""
	}
	started, ended := c.admitted, c.settled
	if started == never {
		started = now
	}
	if ended == never {
		ended = now
	}
	waits := int((started - c.asked + step/2) / step)
	whole := int((ended - c.asked + step/2) / step)
	return strings.Repeat("·", waits) + strings.Repeat("█", max(0, whole-waits))
}

// bar is a gauge that is full at 1.
func bar(share float64) string {
	const width = 40
	filled := max(0, min(width, int(share*width+0.5)))
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}
