package ratelimited

import (
	"math"
	"sync"
	"time"
)

// A retryBudget bounds how many retries a client makes for its calls, so that an
// outage does not multiply its traffic: each call puts a tenth of a retry in, each
// retry takes one out, and it holds what a tenth of the calls of the last half minute
// is, or twenty if that is more. So from 200 calls on, an outage of half a minute costs
// a fifth more requests at most; with fewer, calls have their retries. (B. Beyer and
// others, "Site Reliability Engineering", 2016, chapter "Handling Overload", has such
// a budget of a tenth for each client.)
//
// It is for failures of the server and the network, and for refusals that concern one
// call only. A 429 that pauses everybody needs none.
type retryBudget struct {
	mu    sync.Mutex
	used  float64   // of what it holds
	calls float64   // of the last half minute, the older the less
	at    time.Time // of the latest
}

const (
	retryRatio   = 0.1
	retryReserve = 20
	retryMemory  = 30 * time.Second
)

// call is to be told of each call.
func (b *retryBudget) call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.calls = 1 + b.calls*math.Exp(-float64(now.Sub(b.at))/float64(retryMemory))
	b.at = now
	b.used = max(0, b.used-retryRatio)
}

// retry takes a retry; false if none is left.
func (b *retryBudget) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+1 > max(retryReserve, retryRatio*b.calls) {
		return false
	}
	b.used++
	return true
}
