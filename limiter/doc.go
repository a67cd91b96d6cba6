// Package limiter keeps callers inside an account's limits of requests per
// second (RPS) and tokens per minute (TPM).
//
// A [Limiter] holds two token buckets (https://en.wikipedia.org/wiki/Token_bucket),
// one counting requests and one counting language-model tokens. Each has a
// capacity, is full at first, and refills continuously at its limit. A call
// starts when both buckets can pay for it: it takes one request and its
// estimated tokens, or nothing at all. Calls that cannot start wait in one
// queue, first come, first served, so a large call is never held up by smaller
// ones that came later. (With [Guarded], those may pass it that do not delay it; and a call
// whose deadline has come too close gives way, see [Call.Duration].)
//
// That is the right schedule for a server that counts by token bucket, at the
// end of a wire that delays all calls alike. For every other, [Guarded] adds what
// keeps calls from being refused.
//
//	permit, err := l.Acquire(ctx, estimate) // waits for one request and the estimate
//	if err != nil {
//		return err
//	}
//	reply, err := send(ctx, request)
//	switch {
//	case err == nil:
//		permit.Settle(reply.Usage.TotalTokens) // surplus back, shortfall charged
//	case neverReachedServer(err):
//		permit.Cancel() // the request and all tokens go back
//	default:
//		permit.Settle(estimate) // it may have been carried out
//	}
//
// The cost of a call is known only when its reply is, so a [Permit] holds the
// estimate until Settle replaces it by the truth. A shortfall is charged even
// where it exceeds the bucket: the balance is then negative, and calls that
// need tokens wait until the refill has paid the debt off. A call of no tokens,
// such as a listing, waits for its request only, and in its turn.
//
// Which method to use:
//
//   - [Limiter.Acquire] before a call, then exactly one of [Permit.Settle] and
//     [Permit.Cancel]. A permit that is dropped without either holds its tokens
//     for good: that is the caller's bug, and nothing here repairs it.
//   - [Limiter.AcquireCall] where calls keep a [Place] in line: after they returned a
//     permit, or in several limiters. [WithPlace] has all calls of a run share one. Also
//     where a call may not wait for long, or has a deadline and a known duration.
//   - [Permit.Throttled] when the server refused it with a 429.
//   - [Permit.Retry] before every further attempt of the same call, also when the
//     last one did reach nobody: [Permit.ReturnRequest] gives its request back first.
//   - [Permit.Sent] when a request had to wait for a connection after its admission.
//   - [Limiter.WaitTime] to ask how long a call would wait, taking nothing.
//   - [Limiter.Pause] when nobody is to start before a given time.
//   - [Limiter.Observe] when the server said what remains.
//   - [Limiter.SetLimit] when the limit itself changed.
//   - [Group] when models have limits of their own.
//   - [Backend] when limits may be shared with other processes, and [Learner] for one that learns them.
//
// One timer per limiter wakes the queue when the next call can start. Whatever
// changes the balance (a settlement, a cancelled call, the server's word, a
// pause, a new limit, a waiter that leaves) re-evaluates it at once, so a refund
// lets the next call start at that very instant.
//
// Everything here is safe for use by any number of goroutines, and no lock is
// held by anybody who waits. Time is the standard time package's, so that
// testing/synctest gives tests a virtual clock.
package limiter
