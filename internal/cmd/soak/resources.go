package main

import (
	"fmt"
	"runtime"
	"time"
)

// resourceStats are samples of the resources of the process.
type resourceStats struct {
	heap       []float64 // The MiB in use after a garbage collection.
	goroutines []float64
}

// measure collects garbage and adds a sample.
func (v *resourceStats) measure() {
	runtime.GC()
	runtime.GC() // a sync.Pool frees its elements in the second cycle
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v.heap = append(v.heap, float64(m.HeapAlloc)/(1<<20))
	v.goroutines = append(v.goroutines, float64(runtime.NumGoroutine()))
}

// growth returns the resources that have grown. It compares the last third of the run with the
// second: in the first third, connections and caches fill. It tolerates random growth of 10%, and
// the growth of the emulator's request log.
func (v *resourceStats) growth() (findings []string) {
	for _, x := range []struct {
		what    string
		samples []float64
		slack   float64
	}{{"MiB of heap", v.heap, 6}, {"goroutines", v.goroutines, 100}} {
		n := len(x.samples)
		if n < 3 {
			return []string{fmt.Sprintf("%d samples of resources, want at least 3", n)}
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

// awaitGoroutines waits until at most baseline goroutines run, and returns their number. After the
// timeout it also returns their stacks.
func awaitGoroutines(baseline int, timeout time.Duration) (n int, stacks string) {
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		if n = runtime.NumGoroutine(); n <= baseline {
			return n, ""
		}
		if time.Now().After(end) {
			buffer := make([]byte, 64<<10)
			return n, string(buffer[:runtime.Stack(buffer, true)])
		}
	}
}
