package ratelimited

import "sync"

// A retryBudget bounds how many retries a client makes for each of its calls, so
// that an outage does not multiply its traffic: each call puts a fifth of a retry
// in, each retry takes one out, and a hundred are there at first, and at most.
// With a small quota, where a hundred calls take minutes, every call thus has its
// retries; with a large one, an outage costs a fifth more requests. (B. Beyer and
// others, "Site Reliability Engineering", 2016, chapter "Handling Overload", has
// such a budget for each client, of a tenth.)
//
// It is for failures of the server and the network. A 429 needs none: it pauses
// everybody anyway.
type retryBudget struct {
	mu   sync.Mutex
	used float64 // of retryReserve
}

const (
	retryReserve = 100
	retryRatio   = 0.2
)

// call is to be told of each call.
func (b *retryBudget) call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = max(0, b.used-retryRatio)
}

// retry takes a retry; false if none is left.
func (b *retryBudget) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+1 > retryReserve {
		return false
	}
	b.used++
	return true
}
