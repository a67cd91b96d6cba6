package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// A call is what a caller wants done.
type call struct {
	prompt, completion int           // tokens; the prompt without what the conversation had before
	maxTokens          int           // that the caller sets for the reply; 0: nothing
	takes              time.Duration // from sending to the end of the reply; 0: as replyTime says
	continues          bool          // the conversation of the caller's call before
	class              string        // empty: the default
}

// A workload is what callers do. Each makes its calls one after the other; those
// of an open workload arrive by themselves, whether or not those before are done.
type workload struct {
	name    string
	callers uint64
	next    func(r *rand.Rand, l limits, caller uint64, i int) call // sizes of a caller's i-th call

	calls    int           // of each caller; 0: until the time is over
	open     float64       // share of the limits that calls use which arrive at random; 0: not open
	mean     float64       // tokens of an open workload's calls
	deadline time.Duration // of each call; 0: none
	foreign  float64       // share of the limits that others use at the same time, by heavy calls at random
	rival    float64       // the same, by a client that backs off when refused
	caption  string        // in the chart; "" if it is not there
}

// What callers set for the reply. Of the larger, few replies come near.
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
	{name: "shared", callers: 48, foreign: 0.5, next: anyHeavy},
	{name: "70%", open: 0.7, mean: heavyMean, next: anyHeavy},
}

func anySmall(r *rand.Rand, _ limits, _ uint64, _ int) call { return small(r) }

func anyHeavy(r *rand.Rand, _ limits, _ uint64, _ int) call { return heavy(r) }

// bigAmongSmall has two callers whose every call takes 60 % of a minute's tokens.
func bigAmongSmall(r *rand.Rand, l limits, caller uint64, _ int) call {
	if caller >= 2 {
		return small(r)
	}
	reply := uniform(r, 50, 250)
	return call{prompt: l.tpm*6/10 - reply, completion: reply, maxTokens: maxSmall}
}

// turn is one of a conversation of twelve, each of which has all before it for
// its prompt.
func turn(r *rand.Rand, _ limits, _ uint64, i int) call {
	return call{prompt: uniform(r, 50, 150), completion: uniform(r, 50, 250), maxTokens: maxSmall, continues: i%12 > 0}
}

func small(r *rand.Rand) call {
	return call{prompt: uniform(r, 200, 400), completion: uniform(r, 50, 250), maxTokens: maxSmall}
}

// heavy is heavy-tailed: most calls are small, and a few large ones make much of
// the tokens.
func heavy(r *rand.Rand) call {
	return call{prompt: lognormal(r, 300, 0.8, 8000), completion: lognormal(r, 300, 1, maxHeavy), maxTokens: maxHeavy}
}

// heavyMean is how many tokens a heavy call has on the average.
const heavyMean = 899

func uniform(r *rand.Rand, least, most int) int { return least + r.IntN(most-least+1) }

func lognormal(r *rand.Rand, median, sigma float64, most int) int {
	return max(1, min(most, int(median*math.Exp(sigma*r.NormFloat64()))))
}

// Each source of randomness has a stream of its own, so that none depends on when
// another is used: callers have the numbers from firstCaller on, and so have the
// calls of an open workload.
const (
	worldStream uint64 = iota
	foreignStream
	arrivalStream
	firstCaller
)

// firstOther is the number of the first stream of others' calls.
const firstOther = 1 << 40

func stream(seed, number uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, number)) }
