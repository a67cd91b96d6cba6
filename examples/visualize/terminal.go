package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// live records in real time and shows each frame.
func (r *recording) live(ctx context.Context, w io.Writer) error {
	ended := make(chan error, 1)
	go func() { ended <- r.record(ctx) }()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for drawn := 0; ; {
		frame := r.frame()
		if drawn > 0 {
			fmt.Fprintf(w, "\x1b[%dA", drawn) // moves up, over the last frame
		}
		fmt.Fprint(w, strings.ReplaceAll(frame, "\n", "\x1b[K\n")) // deletes the rest of longer lines
		drawn = strings.Count(frame, "\n")
		select {
		case <-ticker.C:
		case err := <-ended:
			fmt.Fprintf(w, "\x1b[%dA%s", drawn, strings.ReplaceAll(r.frame(), "\n", "\x1b[K\n"))
			return err
		}
	}
}

// frame returns the present state of the recording as text.
func (r *recording) frame() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Duration(0)
	if n := len(r.samples); n > 0 {
		now = r.samples[n-1].at
	}
	for _, c := range r.calls {
		now = max(now, c.arrived, c.admitted, c.settled)
	}
	return r.frameAt(now)
}

// frameAt returns the state at the given time since the beginning. It requires that r.mu is held, or that the recording
// has ended.
func (r *recording) frameAt(now time.Duration) string {
	level := sample{requests: max(1, limit.RequestsPerSecond), tokens: float64(limit.TokensPerMinute)}
	for _, s := range r.samples {
		if s.at > now {
			break
		}
		level = s
	}

	var b strings.Builder
	fmt.Fprintf(&b, "%v requests/s, %s tokens/min; the estimate of each call is %s tokens.\n\n",
		limit.RequestsPerSecond, thousands(float64(limit.TokensPerMinute)), thousands(estimate))
	fmt.Fprintf(&b, "requests  %s %4.2f of %v\n", bar(level.requests/limit.RequestsPerSecond), level.requests, limit.RequestsPerSecond)
	fmt.Fprintf(&b, "tokens    %s %s of %s\n\n", bar(level.tokens/float64(limit.TokensPerMinute)), thousands(level.tokens), thousands(float64(limit.TokensPerMinute)))
	fmt.Fprintf(&b, "%-58sstarted   used   back\n", "call  · waits, █ is in flight")
	for i, c := range r.calls {
		fmt.Fprintf(&b, "%4d  %-51s", i+1, c.row(now))
		if c.admitted != never && c.admitted <= now {
			fmt.Fprintf(&b, "%6.3f s", c.admitted.Seconds())
		}
		if c.settled != never && c.settled <= now {
			fmt.Fprintf(&b, " %6s %6s", thousands(float64(c.used)), signed(estimate-c.used))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// row draws the history of a call, a character for each fifth of a second.
func (c call) row(now time.Duration) string {
	const step = 200 * time.Millisecond
	if c.arrived == never || c.arrived > now {
		return ""
	}
	started, ended := c.admitted, c.settled
	if started == never || started > now {
		started = now
	}
	if ended == never || ended > now {
		ended = now
	}
	waits := int((started - c.arrived + step/2) / step)
	whole := int((ended - c.arrived + step/2) / step)
	return strings.Repeat("·", waits) + strings.Repeat("█", max(0, whole-waits))
}

// signed writes a whole number below a million with its sign.
func signed(n int) string {
	if n < 0 {
		return "-" + thousands(float64(-n))
	}
	return "+" + thousands(float64(n))
}

// bar is a gauge that is full at 1.
func bar(share float64) string {
	const width = 40
	filled := max(0, min(width, int(share*width+0.5)))
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}
