package main

import (
	"math"
	"testing"
	"time"
)

func TestGoodput(t *testing.T) {
	const second = time.Second
	l := limits{rps: 1, tpm: 600} // 10 tokens a second
	closed := workload{}
	for _, test := range []struct {
		name     string
		work     workload
		foreign  usage
		requests []*request
		want     float64
	}{
		{"nothing", closed, usage{}, nil, 0},
		{"tokens bind", closed, usage{}, []*request{
			{prompt: 30, reply: 20, fate: done, ended: 5 * second},
			{prompt: 20, reply: 10, fate: done, ended: 10 * second},
			{prompt: 99, reply: 99, fate: done, ended: 11 * second}, // too late
			{prompt: 99, reply: 99, fate: lost, ended: 5 * second},
			{prompt: 99, reply: 99},
		}, 80.0 / 100},
		{"requests bind", closed, usage{}, []*request{
			{prompt: 1, reply: 1, fate: done, ended: second},
			{prompt: 1, reply: 1, fate: done, ended: second},
		}, 2.0 / 10},
		{"finite", workload{calls: 1}, usage{}, []*request{
			{prompt: 30, reply: 20, fate: done, ended: 5 * second},
			{prompt: 20, reply: 10, fate: done, ended: 16 * second},
		}, 80.0 / 160},
		{"shared", workload{foreign: 0.5}, usage{calls: 5, tokens: 60}, []*request{
			{prompt: 10, reply: 10, fate: done, ended: second},
		}, 20.0 / 40},
		{"open", workload{open: 0.7}, usage{}, []*request{
			{prompt: 10, reply: 10, fate: done, ended: second},
			{prompt: 20, reply: 40, fate: lost, ended: second},
		}, 20.0 / 80},
	} {
		r := &run{scenario: scenario{limits: l, work: test.work, length: 10 * second}, requests: test.requests, foreign: test.foreign}
		if got := r.goodput(); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s: goodput %v, want %v", test.name, got, test.want)
		}
	}
}

func TestInversions(t *testing.T) {
	sent := func(asked, at int) *request { return &request{asked: ms(asked), sent: ms(at), fate: done} }
	for _, test := range []struct {
		name     string
		requests []*request
		want     int
	}{
		{"in order", []*request{sent(0, 0), sent(1, 5), sent(2, 5), sent(3, 6)}, 0},
		{"one ahead of two", []*request{sent(0, 9), sent(1, 8), sent(2, 3)}, 2},
		{"of the same instant", []*request{sent(1, 9), sent(1, 3), sent(1, 5)}, 0},
		{"after them", []*request{sent(1, 3), sent(1, 9), sent(2, 5)}, 1},
		{"ahead of one that still waits", []*request{{asked: 0, ended: ms(6)}, sent(1, 5)}, 1},
		{"behind one that the end of the run cut short", []*request{{asked: 0, ended: ms(5)}, sent(1, 5)}, 0},
		{"ahead of one before it gave up", []*request{{asked: 0, fate: lost, ended: ms(6)}, sent(1, 5), sent(1, 6)}, 1},
	} {
		if got := inversions(test.requests); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestTotal(t *testing.T) {
	first := cell{outcomes: []outcome{
		{goodput: 0.5, asked: 10, lost: 1, refused: 3, waits: []time.Duration{4, 2}},
		{goodput: 0.7, asked: 10, refused: 5, inversions: 2, waits: []time.Duration{1}},
	}}
	second := cell{outcomes: []outcome{{goodput: 1, asked: 20, lost: 1, waits: []time.Duration{3, 5}}}}
	got := totalOf(first, second)
	if math.Abs(got.goodput-0.8) > 1e-12 || got.runs != 3 || got.refused != 8 || got.worst != 5 ||
		got.asked != 40 || got.lost != 2 || got.inversions != 2 || got.share(got.lost) != 0.05 {
		t.Errorf("total: %+v", got)
	}
	for percent, want := range map[int]time.Duration{0: 1, 50: 3, 99: 4, 100: 5} {
		if w := got.percentile(percent); w != want {
			t.Errorf("p%d: %d, want %d", percent, w, want)
		}
	}
}
