package main

import (
	"fmt"
	"math"
	"time"
)

// limits are the limits of an account.
type limits struct {
	name string
	rps  float64
	tpm  int
}

var allLimits = []limits{
	{name: "tpm", rps: 5, tpm: 100_000}, // tokens are the bottleneck
	{name: "rps", rps: 1, tpm: 500_000}, // requests are the bottleneck
	{name: "slow", rps: 0.08, tpm: 50_000},
}

func (l limits) String() string {
	return fmt.Sprintf("RPS %v, TPM %s", l.rps, grouped(float64(l.tpm)))
}

// burst returns the burst of requests: the requests of one second, at least 1.
func (l limits) burst() float64 { return max(1, math.Floor(l.rps)) }

// pace returns the time in which the burst refills.
func (l limits) pace() time.Duration { return seconds(l.burst() / l.rps) }

// tokensPerSecond returns the token limit per second.
func (l limits) tokensPerSecond() float64 { return float64(l.tpm) / 60 }

// rateOf returns how many calls per second, with the given mean of tokens, use the limits completely.
func (l limits) rateOf(tokens float64) float64 { return min(l.rps, l.tokensPerSecond()/tokens) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
