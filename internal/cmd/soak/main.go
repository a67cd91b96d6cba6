// Soak has two phases. In the first the client makes 2,000 calls of all operations through
// a fault proxy, which damages the bytes of connections: see [wire.check] for what must
// hold.
//
// In the second hundreds of goroutines make all kinds of calls, of which a fifth is struck
// by faults and a quarter is cut off, under limits that change, over real sockets; and
// then it reconciles, call by call, what the client's books and the emulator's say. See
// [reconcile] for what must hold.
//
// Soak prints tables, and what does not hold; if anything does not, its exit status is 1.
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

const workers = 500 // on all accounts together

func main() {
	debug.SetTraceback("all") // if a call hangs, show where
	minutes := flag.Float64("minutes", 3, "how long to run")
	seed := flag.Uint64("seed", 1, "of all that is random")
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
	fmt.Println("soak: all books agree")
}

func soak(length time.Duration, seed uint64) (findings []string, err error) {
	baseline := runtime.NumGoroutine()
	fmt.Printf("soak: %d goroutines, %v, seed %d, %s\n", workers, length, seed, runtime.Version())
	// Not a deadline: calls that cannot end before it would not be sent.
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
	hung := time.AfterFunc(time.Minute, func() { panic("soak: a minute after their contexts ended, calls have not returned") })
	all.Wait()
	hung.Stop()
	for _, a := range accounts {
		a.close()
	}
	findings = v.flat()
	if n, stacks := settleDown(baseline, 10*time.Second); stacks != "" {
		findings = append(findings, fmt.Sprintf("%d goroutines were left, there were %d before:\n%s", n, baseline, stacks))
	}
	for _, a := range accounts {
		findings = append(findings, a.findings()...)
	}
	_, err = fmt.Print(report(accounts, &v))
	return findings, err
}
