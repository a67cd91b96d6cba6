// Package limiter keeps calls to a language-model API within an account's
// rate limits: requests per second (RPS) and tokens per minute (TPM).
//
// A [Limiter] holds two token buckets (https://en.wikipedia.org/wiki/Token_bucket).
// One counts requests, the other counts language-model tokens. Each bucket has a
// capacity, starts full, and refills continuously at its rate. A call starts when
// both buckets can pay for it. It then takes one request and its estimated tokens;
// it never takes only one of the two.
//
// Calls that cannot start wait in a queue, first come, first served. A smaller call
// that arrives later therefore never delays a large call. The order has exceptions.
// [Classes] share the limit by weight. [Guarded] backfills calls that do not delay
// others. A call that is about to miss its deadline is dropped (see [Call.Duration]).
//
// The two buckets suffice for a server that counts by token bucket, behind a network
// with constant latency. For other servers, [Guarded] adds window limits that prevent
// 429 responses.
//
//	permit, err := l.Acquire(ctx, estimate) // waits for one request and the estimate
//	if err != nil {
//		return err
//	}
//	response, err := send(ctx, request)
//	switch {
//	case err == nil:
//		permit.Settle(response.Usage.TotalTokens) // refunds a surplus, charges a shortfall
//	case neverReachedServer(err):
//		permit.Cancel() // returns the request and all tokens
//	default:
//		permit.Settle(estimate) // the server may have executed the request
//	}
//
// The cost of a call is known only after its response. A [Permit] therefore holds the
// estimate until Settle replaces it with the actual usage. A shortfall is charged in
// full, even if it exceeds the bucket. The balance is then negative, and calls that
// need tokens wait until the refill has paid the debt. A call without tokens, such as
// a listing, waits only for a request, in queue order.
//
// Which method to use:
//
//   - [Limiter.Acquire] before a call, followed by exactly one of [Permit.Settle] and
//     [Permit.Cancel]. A permit that is dropped without either holds its tokens
//     forever. The limiter cannot detect that bug.
//   - [Limiter.AcquireCall] to set a [Place] in the queue, a class, a maximum wait, or
//     an expected duration. [WithPlace] gives all calls of a context the same place.
//   - [Permit.Throttled] when the server rejected the call with a 429.
//   - [Permit.Retry] before every further attempt of the same call. If the last request
//     was not sent, call [Permit.ReturnRequest] first.
//   - [Permit.Sent] when a request waited for a connection after its admission.
//   - [Limiter.WaitTime] to ask how long a call would wait, without taking anything.
//   - [Limiter.Pause] to stop all admissions until a given time.
//   - [Limiter.Observe] to pass on the server's rate-limit headers.
//   - [Limiter.SetLimit] when the limit itself changed.
//   - [Group] when models have separate limits.
//   - [Backend] when processes may share limits, and [Learner] for a backend that learns them.
//
// One timer per limiter wakes the queue when the next call can start. Every change of
// the balance also re-evaluates the queue at once: a settlement, a cancellation, a
// header, a pause, a new limit, or a waiter that leaves. A refund therefore admits the
// next call immediately.
//
// All types are safe for concurrent use unless their comment says otherwise. No goroutine
// holds a lock while it waits. The package uses the standard time package, so
// testing/synctest gives tests a virtual clock.
package limiter
