package main

import (
	"fmt"
	"runtime"
	"time"
)

// resourceStats are what the process used, time and again.
type resourceStats struct {
	heap       []float64 // MiB in use after a collection
	goroutines []float64
}

// measure collects garbage and adds what is left.
func (v *resourceStats) measure() {
	runtime.GC()
	runtime.GC() // what a pool gave up in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v.heap = append(v.heap, float64(m.HeapAlloc)/(1<<20))
	v.goroutines = append(v.goroutines, float64(runtime.NumGoroutine()))
}

// flat says what has grown. The last third of the run is compared with the one before:
// the first is for what is filled once, such as connections and caches. A tenth is what
// chance makes of it; beside that, the emulator fills its record of the last requests.
func (v *resourceStats) flat() (findings []string) {
	for _, x := range []struct {
		what    string
		samples []float64
		slack   float64
	}{{"MiB of heap", v.heap, 6}, {"goroutines", v.goroutines, 100}} {
		n := len(x.samples)
		if n < 3 {
			return []string{fmt.Sprintf("%d samples of what the process used, want 3 or more", n)}
		}
		before, after := mean(x.samples[n/3:n-n/3]), mean(x.samples[n-n/3:])
		if after > 1.1*before+x.slack {
			findings = append(findings, fmt.Sprintf("from the second third of the run to the last, %.1f %s became %.1f", before, x.what, after))
		}
	}
	return findings
}

func mean(samples []float64) float64 {
	sum := 0.0
	for _, x := range samples {
		sum += x
	}
	return sum / float64(len(samples))
}

// settleDown waits, for so long at most, until there are no more goroutines than at the
// baseline, and returns how many there are and what they do.
func settleDown(baseline int, most time.Duration) (n int, stacks string) {
	for end := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		if n = runtime.NumGoroutine(); n <= baseline {
			return n, ""
		}
		if time.Now().After(end) {
			buffer := make([]byte, 64<<10)
			return n, string(buffer[:runtime.Stack(buffer, true)])
		}
	}
}
