// Command soak tests the client under load in two phases. In the first, the client makes 2,000
// calls of all operations through a fault proxy, which changes the bytes of connections. See
// [wire.check] for the invariants.
//
// In the second, hundreds of goroutines make calls of all operations over real sockets under
// changing limits. Faults affect 20% of the requests, and 25% of the calls are cut off. Then soak
// compares the client's and the emulator's accounts of each call. See [reconcile] for the
// invariants.
//
// Soak prints tables and violated invariants. Its exit status is 1 if an invariant is violated.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const workers = 500 // for all accounts together

func main() {
	debug.SetTraceback("all") // show the stacks of all goroutines if a call hangs
	minutes := flag.Float64("minutes", 3, "duration of the second phase in minutes")
	seed := flag.Uint64("seed", 1, "seed of all random choices")
	flag.Parse()
	if flag.NArg() > 0 || !(*minutes > 0 && *minutes < 1e6) {
		flag.Usage()
		os.Exit(2)
	}
	findings, err := soakWire(*seed)
	if err == nil {
		var more []string
		more, err = soak(time.Duration(*minutes*float64(time.Minute)), *seed)
		findings = append(findings, more...)
	}
	if err != nil {
		findings = append(findings, err.Error())
	}
	for _, finding := range findings {
		fmt.Fprintln(os.Stderr, "soak:", finding)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
	fmt.Println("soak: all accounts agree")
}

func soak(length time.Duration, seed uint64) (findings []string, err error) {
	baseline := runtime.NumGoroutine()
	fmt.Printf("soak: %d goroutines, %v, seed %d, %s\n", workers, length, seed, runtime.Version())
	// Not a deadline: the limiter would reject calls that cannot end before it.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(length, cancel).Stop()
	var accounts []*account
	var all sync.WaitGroup
	for i, p := range plans {
		a, err := open(p, seed+uint64(i))
		if err != nil {
			cancel()
			all.Wait()
			return nil, err
		}
		accounts = append(accounts, a)
		all.Go(func() { a.run(ctx, workers/len(plans), seed+uint64(i)) }) //nolint:gosec // i is not negative
	}
	var v resourceStats
	for wait(ctx, length/16) {
		v.measure()
	}
	hung := time.AfterFunc(time.Minute, func() { panic("soak: calls have not returned a minute after their contexts ended") })
	all.Wait()
	hung.Stop()
	for _, a := range accounts {
		a.close()
	}
	findings = v.growth()
	if n, stacks := awaitGoroutines(baseline, 10*time.Second); stacks != "" {
		findings = append(findings, fmt.Sprintf("%d goroutines run after the test, want at most %d:\n%s", n, baseline, stacks))
	}
	for _, a := range accounts {
		findings = append(findings, a.findings()...)
	}
	_, err = fmt.Print(report(accounts, &v))
	return findings, err
}
