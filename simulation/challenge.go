package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// challenge is a scenario for which the limiter was not tuned. It runs with a default configuration.
type challenge struct {
	name    string
	servers []string
	scenario
}

var (
	tpmLimits = allLimits[0]
	rpsLimits = allLimits[1]
	slowest   = limits{name: "slowest", rps: 0.08, tpm: 20_000}
)

// The mean sizes of the challenges' calls, in tokens.
const (
	wideMean  = 3400
	smallMean = 450
)

var (
	wideCalls  = workload{callers: 32, next: anyWide}
	slowCalls  = workload{callers: 160, next: anySlow}
	longCalls  = workload{callers: 64, next: anyLong}
	manySmall  = workload{callers: 32, next: anySmall}
	eightSmall = workload{callers: 8, next: anySmall}
)

var challenges = []challenge{
	{"wide sizes", plainKinds, scenario{limits: tpmLimits, work: wideCalls}},
	{"wide sizes, strict", []string{"strict"}, scenario{limits: tpmLimits, work: wideCalls}},
	{"wide sizes, 2 classes", plainKinds, scenario{limits: tpmLimits, newStrategy: newClasses, work: workload{callers: 32, next: ofTwoClasses(anyWide)}}},
	{"small", plainKinds, scenario{limits: tpmLimits, work: manySmall}},
	{"small, 2 classes", plainKinds, scenario{limits: tpmLimits, newStrategy: newClasses, work: workload{callers: 32, next: ofTwoClasses(anySmall)}}},
	{"responses of 30–60 s", serverKinds, scenario{limits: tpmLimits, work: slowCalls}},
	{"responses of 133 s", serverKinds, scenario{limits: tpmLimits, work: longCalls}},
	{"small at RPS 20", serverKinds, scenario{limits: limits{rps: 20, tpm: 100_000}, work: workload{callers: 100, next: anySmall}}},
	{"deadline, 3x, small", plainKinds, scenario{limits: tpmLimits, work: workload{open: 3, mean: smallMean, deadline: 30 * time.Second, next: anySmall}}},
	{"deadline, 3x, wide", plainKinds, scenario{limits: tpmLimits, work: workload{open: 3, mean: wideMean, deadline: 30 * time.Second, next: anyWide}}},
	{"deadline, 1.1x, wide", plainKinds, scenario{limits: tpmLimits, work: workload{open: 1.1, mean: wideMean, deadline: 30 * time.Second, next: anyWide}}},
	{"20% too high", plainKinds, scenario{limits: tpmLimits, actual: limits{rps: 4, tpm: 80_000}, work: manySmall}},
	{"20% too high, no hints", plainKinds, scenario{limits: tpmLimits, actual: limits{rps: 4, tpm: 80_000}, work: manySmall, noHints: true}},
	{"RPS 0.8 of 1, no hints", plainKinds, scenario{limits: rpsLimits, actual: limits{rps: 0.8, tpm: 400_000}, work: manySmall, noHints: true}},
	{"RPS 0.5 of 1, no hints", plainKinds, scenario{limits: rpsLimits, actual: limits{rps: 0.5, tpm: 250_000}, work: manySmall, noHints: true}},
	{"RPS 0.08 of 1", plainKinds, scenario{limits: rpsLimits, actual: slowest, work: eightSmall}},
	{"RPS 0.08 by the minute", []string{"observed"}, scenario{limits: slowest, work: eightSmall, counts: true}},
	learning(limits{rps: 0.08, tpm: 20_000}, 8),
	learning(limits{rps: 0.5, tpm: 250_000}, 16),
	learning(limits{rps: 1, tpm: 20_000}, 16),
	learning(limits{rps: 1.2, tpm: 500_000}, 16),
	learning(limits{rps: 3.5, tpm: 5_000_000}, 32),
	learning(limits{rps: 5, tpm: 100_000}, 32),
	learning(limits{rps: 6, tpm: 2_000_000}, 64),
	learning(limits{rps: 20, tpm: 1_000_000}, 150),
	learning(limits{rps: 50, tpm: 5_000_000}, 300),
	{"competing, learned", plainKinds, scenario{limits: tpmLimits, newStrategy: newLearning, work: workload{callers: 48, next: anyHeavy, competing: 0.5}}},
	{"competing client", plainKinds, scenario{limits: tpmLimits, work: workload{callers: 48, next: anyHeavy, competing: 0.5}}},
}

// learning returns a challenge in which the client learns the account's limits from the default limits,
// within three minutes.
func learning(actual limits, callers uint64) challenge {
	return challenge{fmt.Sprintf("learned %v, %v", actual.rps, actual.tpm), plainKinds, scenario{
		limits: rpsLimits, actual: actual, after: 3 * time.Minute, newStrategy: newLearning, work: workload{callers: callers, next: anySmall},
	}}
}

// ofTwoClasses assigns the callers alternately to the classes a and b.
func ofTwoClasses(next func(*rand.Rand, limits, uint64, int) call) func(*rand.Rand, limits, uint64, int) call {
	return func(r *rand.Rand, l limits, caller uint64, i int) call {
		c := next(r, l, caller, i)
		c.class = []string{"a", "b"}[caller%2]
		return c
	}
}

// anyWide returns a call with a size from a wide range, 3400 tokens on average.
func anyWide(r *rand.Rand, _ limits, _ uint64, _ int) call {
	return call{prompt: max(50, lognormal(r, 1500, 1.2, 20_000)), completion: max(10, lognormal(r, 400, 0.9, 4000)), maxTokens: maxHeavy}
}

// anySlow returns a call with a size from a wide range whose response takes 30–60 s.
func anySlow(r *rand.Rand, l limits, caller uint64, i int) call {
	c := anyWide(r, l, caller, i)
	c.takes = 30*time.Second + time.Duration(r.Int64N(int64(30*time.Second)))
	return c
}

// anyLong returns a call with a completion of 7000–9000 tokens, which takes about two minutes, without
// max_tokens.
func anyLong(r *rand.Rand, _ limits, _ uint64, _ int) call {
	return call{prompt: uniform(r, 10, 50), completion: uniform(r, 7000, 9000)}
}

// reportChallenges prints the results of the default configuration for each challenge.
func reportChallenges(t *testing.T, o options, t2 *table) {
	t.Helper()
	t2.printf("\n%-24s %s\n", "", "by server: goodput in % (max 429s, max lost calls or success rate of largest / smallest quarter)")
	for _, c := range o.challenges {
		c.length = o.length
		if c.newStrategy == nil {
			c.newStrategy = newDefault
		}
		t2.printf("%-24s", c.name)
		for _, server := range c.servers {
			if !slices.Contains(o.servers, server) {
				continue
			}
			c.server = server
			cell := newCell(t, o.seeds, c.scenario)
			all := totalOf(cell)
			lost, externalShare, fairness := 0, 0.0, 0.0
			for _, outcome := range cell.outcomes {
				lost = max(lost, outcome.lost)
				externalShare += outcome.externalShare / float64(len(cell.outcomes))
				fairness += outcome.fairness / float64(len(cell.outcomes))
			}
			text := fmt.Sprintf("%.1f (%d, %d)", 100*cell.goodput(), all.worst, lost)
			if c.work.deadline > 0 {
				text = fmt.Sprintf("%.1f (%d, %.2f)", 100*cell.goodput(), all.worst, fairness)
			}
			if c.work.competing > 0 {
				text = fmt.Sprintf("%.1f + %.1f (%d, %d)", 100*cell.goodput()*(1-externalShare), 100*externalShare, all.worst, lost)
			}
			t2.printf("  %s %s", server, text)
		}
		t2.printf("\n")
	}
}
