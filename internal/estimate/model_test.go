package estimate

import (
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// limit is a token limit that never limits.
const limit = 100_000

func TestInitialPromptIsTheCount(t *testing.T) {
	var m Model
	for _, counted := range []int{0, 1, 999, 1_000_000} {
		if got := m.Prompt(counted, Parts{}); got != counted {
			t.Errorf("Prompt(%d) is %d, want the count", counted, got)
		}
	}
}

// Before three replies were seen, the estimate depends on max_tokens and the limit.
func TestInitialReply(t *testing.T) {
	for _, test := range []struct{ bound, limit, want int }{
		{Unbounded, limit, 4096},
		{Unbounded, math.MaxInt, 4096},
		{Unbounded, 16_384, 4096},
		{Unbounded, 10_000, 2500},
		{Unbounded, 1, 0},
		{0, limit, 0},
		{100, limit, 100},
		{500, limit, 500},
		{4000, limit, 500},
		{4800, limit, 600},
		{40_000, limit, 4096},
		{4800, 1000, 250},
		{100, 1000, 100},
	} {
		var m Model
		for seen := range 3 {
			if got := m.Reply(test.bound, test.limit); got != test.want {
				t.Errorf("Reply(%d, %d) is %d after %d replies, want %d", test.bound, test.limit, got, seen, test.want)
			}
			m.Learn(0, Parts{}, 0, 300)
		}
		if got, want := m.Reply(test.bound, test.limit), min(test.bound, 300); got != want {
			t.Errorf("Reply(%d, %d) is %d after 3 replies, want %d", test.bound, test.limit, got, want)
		}
	}
}

// A reply that max_tokens cut at or above the typical length is representative: replies are long.
func TestIsCut(t *testing.T) {
	var m Model
	for _, replies := range [][]int{nil, {400, 400, 400}} {
		for _, n := range replies {
			m.Learn(0, Parts{}, 0, n)
		}
		typical := m.Reply(500, limit)
		for _, test := range []struct {
			reply, bound int
			want         bool
		}{{typical - 1, typical - 1, true}, {typical - 1, typical, false}, {typical, typical, false}, {typical + 1, typical, false}, {1, 1, true}, {1, Unbounded, false}} {
			if got := m.IsCut(test.reply, test.bound); got != test.want {
				t.Errorf("after %d replies IsCut(%d, %d) is %v, want %v", len(replies), test.reply, test.bound, got, test.want)
			}
		}
	}
}

// The weight of a call is its size, up to 1000 tokens, and decays by 1/16 with each further call. The
// initial ratio 1 has a weight of 200 tokens, which decays too.
func TestRatio(t *testing.T) {
	for name, c := range map[string]struct {
		calls [][2]int // counted and actual
		want  int      // the estimate for 10,000 counted tokens
	}{
		// 187.5 of the initial weight of 200 are left.
		"one call":                          {[][2]int{{800, 1300}}, 15_063},        // (1300 + 187.5) / (800 + 187.5)
		"the count was too high":            {[][2]int{{900, 400}}, 5402},           // (400 + 187.5) / (900 + 187.5)
		"a long prompt has the weight 1000": {[][2]int{{1800, 800}}, 5322},          // (444.4 + 187.5) / (1000 + 187.5)
		"a short prompt has a small weight": {[][2]int{{10, 20}}, 10_506},           // 207.5 / 197.5
		"rounded up":                        {[][2]int{{100, 101}}, 10_035},         // 288.5 / 287.5 is 1.00348
		"rounded down":                      {[][2]int{{100, 103}}, 10_104},         // 290.5 / 287.5 is 1.01043
		"the ratio is at most four":         {[][2]int{{100_000, 1 << 40}}, 35_263}, // (4000 + 187.5) / (1000 + 187.5)
		// 15/16 of 900 and 1800 are left, and (15/16)² of 200.
		"the latest call has the largest weight": {[][2]int{{900, 1800}, {300, 300}}, 16_394},
		"one extreme value is bounded":           {[][2]int{{300, math.MaxInt}, {500, 500}}, 18_816}, // counts as 1200
	} {
		t.Run(name, func(t *testing.T) {
			var m Model
			for _, call := range c.calls {
				m.Learn(call[0], Parts{}, call[1], 0)
			}
			if got := m.Prompt(10_000, Parts{}); got != c.want {
				t.Errorf("Prompt(10000) is %d, want %d", got, c.want)
			}
		})
	}
}

// The ratio stays between 1/4 and 4, and between the extremes of 1 and the observed ratios.
func TestRatioIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Model
		low, high := 1.0, 1.0
		for range rapid.IntRange(0, 50).Draw(t, "calls") {
			counted := rapid.SampledFrom([]int{-1, 0, 1, 100, 10_000, math.MaxInt}).Draw(t, "counted")
			actual := rapid.SampledFrom([]int{-1, 0, 1, 100, 10_000, math.MaxInt}).Draw(t, "real")
			m.Learn(counted, Parts{}, actual, 0)
			if counted > 0 && actual > 0 {
				low, high = min(low, float64(actual)/float64(counted)), max(high, float64(actual)/float64(counted))
			}
		}
		const counted = 1_000_000
		got := float64(m.Prompt(counted, Parts{})) / counted
		if low, high := max(0.25, low), min(4, high); got < low-1e-6 || got > high+1e-6 {
			t.Fatalf("the ratio is %v, want %v to %v", got, low, high)
		}
	})
}

// After many calls with the same ratio, the model has learned that ratio.
func TestRatioConverges(t *testing.T) {
	for _, want := range []float64{0.25, 0.5, 1.3, 4} {
		var m Model
		for range 200 {
			m.Learn(100_000, Parts{}, int(want*100_000), 0)
		}
		if got := float64(m.Prompt(1_000_000, Parts{})) / 1_000_000; math.Abs(got-want) > 0.001 {
			t.Errorf("the ratio is %v, want %v", got, want)
		}
	}
	var m Model
	for range 200 {
		m.Learn(100_000, Parts{}, 1, 0)
	}
	if got := m.Prompt(1000, Parts{}); got != 250 {
		t.Errorf("Prompt(1000) is %d, want 250, the minimum", got)
	}
}

// upperQuartile returns the upper quartile of the latest 64 values by nearest rank; 4096 for fewer than
// three values.
func upperQuartile(seen []int) int {
	latest := slices.Clone(seen[max(0, len(seen)-64):])
	if len(latest) < 3 {
		return 4096
	}
	slices.Sort(latest)
	return latest[(3*(len(latest)-1)+2)/4] // three quarters of the way, rounded
}

func TestReplyAgainstSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Model
		var seen []int
		longest := rapid.SampledFrom([]int{3, 100, 100_000}).Draw(t, "longest") // a small range has many equal values
		for _, reply := range rapid.SliceOfN(rapid.IntRange(-1, longest), 0, 200).Draw(t, "replies") {
			m.Learn(1, Parts{}, 1, reply)
			if reply > 0 {
				seen = append(seen, reply)
			}
			if got, want := m.Reply(Unbounded, limit), upperQuartile(seen); got != want {
				t.Fatalf("after %d replies: %d, want %d", len(seen), got, want)
			}
		}
	})
}

// The same holds long after the model has dropped the first replies, which random tests seldom reach.
func TestReplyAgainstSortingAfterManyCalls(t *testing.T) {
	var m Model
	var seen []int
	for i := range 1000 {
		seen = append(seen, 1+i*7919%1009)
		m.Learn(1, Parts{}, 1, seen[i])
		if got, want := m.Reply(Unbounded, limit), upperQuartile(seen); got != want {
			t.Fatalf("after %d replies: %d, want %d", len(seen), got, want)
		}
	}
}

func TestReply(t *testing.T) {
	for name, c := range map[string]struct {
		replies []int
		want    int
	}{
		"one":                          {[]int{70}, 4096},
		"two":                          {[]int{10, 20}, 4096},
		"three":                        {[]int{30, 10, 20}, 30},
		"four":                         {[]int{4, 3, 2, 1}, 3},
		"five":                         {[]int{5, 4, 3, 2, 1}, 4},
		"one is an outlier":            {[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 100_000}, 1},
		"0 is ignored":                 {[]int{0, 7, 0, 7, 7, 0}, 7},
		"a negative length is ignored": {[]int{-100, 7, 7, 7}, 7},
		"only ignored lengths":         {[]int{0, -1, 0, -1}, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			var m Model
			for _, n := range c.replies {
				m.Learn(0, Parts{}, 0, n)
			}
			if got := m.Reply(Unbounded, limit); got != c.want {
				t.Errorf("Reply is %d, want %d", got, c.want)
			}
		})
	}
}

// The model stores the latest 64 replies only.
func TestOldRepliesAreDropped(t *testing.T) {
	var m Model
	for range 1000 {
		m.Learn(0, Parts{}, 0, 10_000)
	}
	for range 64 {
		m.Learn(0, Parts{}, 0, 1)
	}
	if got := m.Reply(Unbounded, limit); got != 1 {
		t.Errorf("Reply is %d after 64 replies of one token, want 1", got)
	}
	if len(m.latest) != 64 || len(m.sorted) != 64 {
		t.Errorf("the model stores %d and %d replies, want 64", len(m.latest), len(m.sorted))
	}
}

// Learn uses the prompt if the reply is invalid, and the reply if the prompt is invalid.
func TestLearnFromOneValidValue(t *testing.T) {
	var m Model
	m.Learn(800, Parts{}, 1300, 0)
	if prompt, reply := m.Prompt(1000, Parts{}), m.Reply(Unbounded, limit); prompt != 1506 || reply != 4096 {
		t.Errorf("after a prompt: estimates %d and %d, want 1506 and 4096", prompt, reply)
	}
	for _, c := range [][2]int{{0, 5}, {5, 0}, {-5, 5}, {5, -5}, {0, 0}} {
		m.Learn(c[0], Parts{}, c[1], 60)
	}
	if prompt, reply := m.Prompt(1000, Parts{}), m.Reply(Unbounded, limit); prompt != 1506 || reply != 60 {
		t.Errorf("after replies: estimates %d and %d, want 1506 and 60", prompt, reply)
	}
}

func TestConcurrentUse(t *testing.T) {
	var m Model
	for range minReplies {
		m.Learn(100, Parts{}, 200, 10)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				m.Learn(100, Parts{}, 200, 1+(i+n)%10)
				if got := m.Reply(Unbounded, limit); got < 1 || got > 10 {
					t.Errorf("Reply is %d, want 1–10", got)
				}
				if got := m.Prompt(100, Parts{}); got < 100 || got > 200 {
					t.Errorf("Prompt(100) is %d, want 100–200", got)
				}
			}
		})
	}
	wg.Wait()
	if len(m.latest) != 64 || !slices.IsSorted(m.sorted) {
		t.Errorf("the model stores %d replies, sorted: %v, want 64 sorted", len(m.latest), slices.IsSorted(m.sorted))
	}
	if got := m.Prompt(1000, Parts{}); got != 2000 {
		t.Errorf("Prompt(1000) is %d after thousands of calls, want 2000", got)
	}
}
