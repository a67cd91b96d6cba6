package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// call is a call that a caller makes.
type call struct {
	prompt, completion int           // Tokens; the prompt without the conversation's history.
	maxTokens          int           // 0: not set.
	takes              time.Duration // The time from sending to the end of the response; 0: responseTime.
	continues          bool          // The call continues the conversation of the caller's previous call.
	class              string        // Empty: the default class.
}

// workload describes the calls of a scenario. Each caller makes its calls one after another. The calls
// of an open workload arrive at random times, independently of earlier calls.
type workload struct {
	name    string
	callers uint64
	next    func(r *rand.Rand, l limits, caller uint64, i int) call // Returns a caller's i-th call.

	calls     int           // The calls of each caller; 0: until the end of the run.
	open      float64       // The share of the limits that randomly arriving calls use; 0: not open.
	mean      float64       // The mean tokens of an open workload's calls.
	deadline  time.Duration // The time for each call; 0: no deadline.
	external  float64       // The share of the limits that other clients use by randomly arriving heavy calls.
	competing float64       // The same for another client that backs off after a 429 response.
	caption   string        // The caption in the chart; "": not in the chart.
}

// The values of max_tokens. Few completions come near maxHeavy.
const (
	maxSmall = 256
	maxHeavy = 4096
)

var workloads = []workload{
	{name: "uniform", callers: 32, next: anySmall, caption: "small calls"},
	{name: "heavy", callers: 48, next: anyHeavy, caption: "sizes that vary widely"},
	{name: "big", callers: 32, next: bigAmongSmall, caption: "large among small"},
	{name: "cold", callers: 1000, calls: 1, next: anySmall, caption: "1,000 calls at once"},
	{name: "turns", callers: 32, next: turn, caption: "conversations"},
	{name: "shared", callers: 48, external: 0.5, next: anyHeavy},
	{name: "70%", open: 0.7, mean: heavyMean, next: anyHeavy},
}

func anySmall(r *rand.Rand, _ limits, _ uint64, _ int) call { return small(r) }

func anyHeavy(r *rand.Rand, _ limits, _ uint64, _ int) call { return heavy(r) }

// bigAmongSmall returns a call with 60% of a minute's tokens for two of the callers, and small calls for
// the others.
func bigAmongSmall(r *rand.Rand, l limits, caller uint64, _ int) call {
	if caller >= 2 {
		return small(r)
	}
	completion := uniform(r, 50, 250)
	return call{prompt: l.tpm*6/10 - completion, completion: completion, maxTokens: maxSmall}
}

// turn returns a turn of a conversation of twelve turns. The prompt of each turn includes all earlier
// turns.
func turn(r *rand.Rand, _ limits, _ uint64, i int) call {
	return call{prompt: uniform(r, 50, 150), completion: uniform(r, 50, 250), maxTokens: maxSmall, continues: i%12 > 0}
}

func small(r *rand.Rand) call {
	return call{prompt: uniform(r, 200, 400), completion: uniform(r, 50, 250), maxTokens: maxSmall}
}

// heavy returns a call with a heavy-tailed size: most calls are small, and a few large ones use most of
// the tokens.
func heavy(r *rand.Rand) call {
	return call{prompt: lognormal(r, 300, 0.8, 8000), completion: lognormal(r, 300, 1, maxHeavy), maxTokens: maxHeavy}
}

// heavyMean is the mean number of tokens of a heavy call.
const heavyMean = 899

func uniform(r *rand.Rand, low, high int) int { return low + r.IntN(high-low+1) }

func lognormal(r *rand.Rand, median, sigma float64, high int) int {
	return max(1, min(high, int(median*math.Exp(sigma*r.NormFloat64()))))
}

// Each source of randomness has a separate stream, so that they do not depend on each other. The streams
// of callers, and of the calls of an open workload, start at firstCaller.
const (
	networkStream uint64 = iota
	externalStream
	arrivalStream
	firstCaller
)

// firstOther is the number of the first stream for the calls of other clients.
const firstOther = 1 << 40

func stream(seed, number uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, number)) }
