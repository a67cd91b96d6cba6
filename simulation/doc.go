// Command simulation measures the limiter against servers that count in different ways, and
// compares it with baselines. Its results are the numbers and the chart in docs/limits.md. It is
// run by hand, not in CI.
//
//	go run . -seeds 5 -o chart.svg
//
// Everything runs in virtual time: half an hour takes some milliseconds, and each wait has exactly
// its intended length. The limiter and the estimates are the real packages. The servers, the network
// and the callers are models:
//
//   - A server accepts a request if its window of requests has room and a token is left. It charges
//     the tokens when the response ends. It counts by token bucket, fixed window or sliding window.
//     "strict" has sliding windows, requires room for the whole prompt, and charges the prompt on
//     arrival. "observed" counts requests by the minute instead of the second and sends no
//     Retry-After. The others send it in whole seconds.
//   - A request takes up to 50 ms to the server; the time varies. A response ends 0.5 s after the
//     request was sent, plus 1/60 s for each token of its completion. A 429 response takes 50 ms.
//   - A client's count of prompt tokens has an error of up to 20%. It knows the tokens of a
//     conversation's history.
//   - On a shared account, other clients use tokens without coordination. A server may therefore
//     give more than its limit.
//
// The workloads are in workload.go, the baselines in retry.go and pacing.go.
//
// The same seed makes the same calls in the same order for each caller. The Go scheduler decides the
// order of goroutines at the same instant, and the limiter has separate random backoff. Results may
// therefore differ slightly between runs.
package main
