package main

import (
	"math"
	"testing"
	"time"
)

func TestGoodput(t *testing.T) {
	const second = time.Second
	l := limits{rps: 1, tpm: 600} // 10 tokens/s
	closed := workload{}
	for _, test := range []struct {
		name     string
		work     workload
		external usage
		requests []*request
		want     float64
	}{
		{"no calls", closed, usage{}, nil, 0},
		{"tokens are the bottleneck", closed, usage{}, []*request{
			{prompt: 30, completion: 20, state: done, ended: 5 * second},
			{prompt: 20, completion: 10, state: done, ended: 10 * second},
			{prompt: 99, completion: 99, state: done, ended: 11 * second}, // after the end of the run
			{prompt: 99, completion: 99, state: lost, ended: 5 * second},
			{prompt: 99, completion: 99},
		}, 80.0 / 100},
		{"requests are the bottleneck", closed, usage{}, []*request{
			{prompt: 1, completion: 1, state: done, ended: second},
			{prompt: 1, completion: 1, state: done, ended: second},
		}, 2.0 / 10},
		{"finite", workload{calls: 1}, usage{}, []*request{
			{prompt: 30, completion: 20, state: done, ended: 5 * second},
			{prompt: 20, completion: 10, state: done, ended: 16 * second},
		}, 80.0 / 160},
		{"shared", workload{external: 0.5}, usage{calls: 5, tokens: 60}, []*request{
			{prompt: 10, completion: 10, state: done, ended: second},
		}, 20.0 / 40},
		{"open", workload{open: 0.7}, usage{}, []*request{
			{prompt: 10, completion: 10, state: done, ended: second},
			{prompt: 20, completion: 40, state: lost, ended: second},
		}, 20.0 / 80},
	} {
		r := &run{scenario: scenario{limits: l, work: test.work, length: 10 * second}, requests: test.requests, external: test.external}
		if got := r.goodput(); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s: goodput %v, want %v", test.name, got, test.want)
		}
	}
}

func TestInversions(t *testing.T) {
	sent := func(arrived, at int) *request { return &request{arrived: ms(arrived), sent: ms(at), state: done} }
	for _, test := range []struct {
		name     string
		requests []*request
		want     int
	}{
		{"in order", []*request{sent(0, 0), sent(1, 5), sent(2, 5), sent(3, 6)}, 0},
		{"one passes two", []*request{sent(0, 9), sent(1, 8), sent(2, 3)}, 2},
		{"the same instant", []*request{sent(1, 9), sent(1, 3), sent(1, 5)}, 0},
		{"after the same instant", []*request{sent(1, 3), sent(1, 9), sent(2, 5)}, 1},
		{"passes a call that still waits", []*request{{arrived: 0, ended: ms(6)}, sent(1, 5)}, 1},
		{"after a call that the end of the run cut off", []*request{{arrived: 0, ended: ms(5)}, sent(1, 5)}, 0},
		{"passes a call before that failed", []*request{{arrived: 0, state: lost, ended: ms(6)}, sent(1, 5), sent(1, 6)}, 1},
	} {
		if got := inversions(test.requests); got != test.want {
			t.Errorf("%s: %d inversions, want %d", test.name, got, test.want)
		}
	}
}

func TestTotal(t *testing.T) {
	first := cell{outcomes: []outcome{
		{goodput: 0.5, calls: 10, lost: 1, refused: 3, waits: []time.Duration{4, 2}},
		{goodput: 0.7, calls: 10, refused: 5, inversions: 2, waits: []time.Duration{1}},
	}}
	second := cell{outcomes: []outcome{{goodput: 1, calls: 20, lost: 1, waits: []time.Duration{3, 5}}}}
	got := totalOf(first, second)
	if math.Abs(got.goodput-0.8) > 1e-12 || got.runs != 3 || got.refused != 8 || got.worst != 5 ||
		got.calls != 40 || got.lost != 2 || got.inversions != 2 || got.share(got.lost) != 0.05 {
		t.Errorf("total %+v, want 3 runs, goodput 0.8, 8 refused, 5 at worst, 40 calls, 2 lost and 2 inversions", got)
	}
	for percent, want := range map[int]time.Duration{0: 1, 50: 3, 99: 4, 100: 5} {
		if w := got.percentile(percent); w != want {
			t.Errorf("percentile %d is %d, want %d", percent, w, want)
		}
	}
}
