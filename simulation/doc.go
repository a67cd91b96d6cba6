// Command simulation measures the limiter against servers that count in
// different ways, beside what programs do that have none. It is where the
// figures and the chart of docs/limits.md come from: somebody ran it, no CI does.
//
//	go run . -seeds 5 -o chart.svg
//
// Everything runs in virtual time: half an hour of it takes some milliseconds,
// and a wait is exactly as long as it was meant to be. The limiter and the
// estimates are the real packages; the servers, the network and the callers are
// models:
//
//   - A server lets a request in while its window of requests has room and a token
//     is left, and charges the tokens when the reply ends. It counts by token
//     bucket, in fixed windows or in sliding ones. "strict" is sliding, wants room
//     for the whole prompt and charges that on arrival. "observed" counts the
//     requests of a minute instead of a second and does not say Retry-After. The
//     others say it, in whole seconds.
//   - A request takes up to 50 ms to the server, each another time. A reply comes
//     half a second after it was sent, and a 60th of a second later for each token
//     of it. A refusal takes 50 ms back.
//   - A client counts the tokens of a prompt up to 20 % wrong. What a conversation
//     had before, it knows.
//   - Others on a shared account take what they take without being asked, so a
//     server may have given more than its limit.
//
// The workloads are in workload.go, the baselines in retry.go and pacing.go.
//
// The same seed makes the same calls in the same order for each caller. Which of
// two goroutines comes first at the same instant is left to the Go scheduler, and
// the limiter draws its backoff by itself, so that figures may differ a little
// from run to run.
package main
