package main

import (
	"slices"
	"testing"
	"time"
)

// A cell is the outcomes of one scenario with several seeds.
type cell struct {
	server   string
	outcomes []outcome
}

// newCell runs s with the seeds from 1 on.
func newCell(t *testing.T, seeds uint64, s scenario) cell {
	t.Helper()
	c := cell{server: s.server}
	for seed := range seeds {
		s.seed = 1 + seed
		c.outcomes = append(c.outcomes, simulate(t, s))
	}
	return c
}

// goodput is the mean.
func (c cell) goodput() float64 {
	sum := 0.0
	for _, o := range c.outcomes {
		sum += o.goodput
	}
	return sum / float64(len(c.outcomes))
}

// A total is what several cells come to.
type total struct {
	runs             int
	goodput          float64 // mean
	refused          int
	worst            int // refused in one run
	asked            int
	lost, inversions int
	waits            []time.Duration // sorted
}

func totalOf(cells ...cell) total {
	var t total
	for _, c := range cells {
		t.goodput += c.goodput() / float64(len(cells))
		for _, o := range c.outcomes {
			t.runs++
			t.refused += o.refused
			t.worst = max(t.worst, o.refused)
			t.asked += o.asked
			t.lost += o.lost
			t.inversions += o.inversions
			t.waits = append(t.waits, o.waits...)
		}
	}
	slices.Sort(t.waits)
	return t
}

// percentile returns the wait that so many of a hundred completed calls did not
// exceed.
func (t total) percentile(percent int) time.Duration {
	if len(t.waits) == 0 {
		return 0
	}
	return t.waits[(len(t.waits)-1)*percent/100]
}

// share returns how many of the calls n is.
func (t total) share(n int) float64 { return float64(n) / float64(max(1, t.asked)) }
