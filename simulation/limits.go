package main

import (
	"fmt"
	"math"
	"time"
)

// limits are what an account allows.
type limits struct {
	name string
	rps  float64
	tpm  int
}

var allLimits = []limits{
	{name: "tpm", rps: 5, tpm: 100_000}, // tokens run out first
	{name: "rps", rps: 1, tpm: 500_000}, // requests run out first
	{name: "slow", rps: 0.08, tpm: 50_000},
}

func (l limits) String() string {
	return fmt.Sprintf("RPS %v, TPM %s", l.rps, grouped(float64(l.tpm)))
}

// burst is how many requests may come at once: a second's, but a whole one.
func (l limits) burst() float64 { return max(1, math.Floor(l.rps)) }

// pace is the span in which the burst comes back.
func (l limits) pace() time.Duration { return seconds(l.burst() / l.rps) }

// tokensPerSecond is the token limit by the second.
func (l limits) tokensPerSecond() float64 { return float64(l.tpm) / 60 }

// rateOf is how many calls of so many tokens a second use up the limits.
func (l limits) rateOf(tokens float64) float64 { return min(l.rps, l.tokensPerSecond()/tokens) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
