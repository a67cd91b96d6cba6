package main

import (
	"slices"
	"testing"
	"time"
)

// cell holds the outcomes of one scenario with several seeds.
type cell struct {
	server   string
	outcomes []outcome
}

// newCell runs a scenario with seeds from 1.
func newCell(t *testing.T, seeds uint64, s scenario) cell {
	t.Helper()
	c := cell{server: s.server}
	for seed := range seeds {
		s.seed = 1 + seed
		c.outcomes = append(c.outcomes, simulate(t, s))
	}
	return c
}

// goodput returns the mean goodput.
func (c cell) goodput() float64 {
	sum := 0.0
	for _, o := range c.outcomes {
		sum += o.goodput
	}
	return sum / float64(len(c.outcomes))
}

// total is the sum of several cells.
type total struct {
	runs             int
	goodput          float64 // The mean over the cells.
	refused          int     // 429 responses.
	worst            int     // The maximum number of 429 responses in one run.
	calls            int
	lost, inversions int
	waits            []time.Duration // In ascending order.
}

func totalOf(cells ...cell) total {
	var t total
	for _, c := range cells {
		t.goodput += c.goodput() / float64(len(cells))
		for _, o := range c.outcomes {
			t.runs++
			t.refused += o.refused
			t.worst = max(t.worst, o.refused)
			t.calls += o.calls
			t.lost += o.lost
			t.inversions += o.inversions
			t.waits = append(t.waits, o.waits...)
		}
	}
	slices.Sort(t.waits)
	return t
}

// percentile returns a percentile of the waits of completed calls.
func (t total) percentile(percent int) time.Duration {
	if len(t.waits) == 0 {
		return 0
	}
	return t.waits[(len(t.waits)-1)*percent/100]
}

// share returns n as a share of the calls.
func (t total) share(n int) float64 { return float64(n) / float64(max(1, t.calls)) }
