package limiter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model uses one unit after the other.
func TestWindowWaitMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{limit: rapid.IntRange(1, 7).Draw(t, "limit"), span: time.Second}
		now := time.Duration(0)
		for range rapid.IntRange(0, 10).Draw(t, "used") {
			now += w.wait(now, 1) + time.Duration(rapid.IntRange(0, 400).Draw(t, "later"))*time.Millisecond
			w.add(now, 1)
		}
		now += time.Duration(rapid.IntRange(0, 1500).Draw(t, "now")) * time.Millisecond
		played, at := w.clone(), now
		for n := range 30 {
			at += played.wait(at, 1)
			// Units used within span/windowEntries leave the window together, slightly late.
			late := at - now - w.waitMany(now, n+1)
			if maximum := time.Duration(1+n/w.limit) * (w.span/windowEntries + 1); late < 0 || late > maximum {
				t.Fatalf("waitMany(%d) is %v, want %v", n+1, at-now-late, at-now)
			}
			played.add(at, 1)
		}
	})
}
