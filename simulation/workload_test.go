package main

import (
	"math"
	"testing"
)

func TestHeavyMean(t *testing.T) {
	r := stream(1, 1)
	const n = 500_000
	sum := 0
	for range n {
		c := heavy(r)
		sum += c.prompt + c.completion
	}
	if mean := float64(sum) / n; math.Abs(mean-heavyMean) > heavyMean/100 {
		t.Errorf("the mean size of heavy calls is %.0f tokens, want %d", mean, heavyMean)
	}
}

func TestBigCallsTakeMostOfAMinute(t *testing.T) {
	for _, l := range allLimits {
		for caller := range uint64(4) {
			c := bigAmongSmall(stream(1, 1), l, caller, 0)
			if big := c.prompt+c.completion == l.tpm*6/10; big != (caller < 2) {
				t.Errorf("%v, caller %d: %+v, want 60%% of a minute's tokens: %v", l, caller, c, caller < 2)
			}
		}
	}
}
