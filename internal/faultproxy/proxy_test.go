package faultproxy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDraw(t *testing.T) {
	drawn, low, high := map[Kind]int{}, map[Kind]int{}, map[Kind]int{}
	a, b := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		fault := Draw(a, i%2 == 0)
		if other := Draw(b, i%2 == 0); fault != other {
			t.Fatalf("one seed gives %v and %v", fault, other)
		}
		drawn[fault.Kind]++
		low[fault.Kind] = min(low[fault.Kind], fault.N)
		high[fault.Kind] = max(high[fault.Kind], fault.N)
	}
	for _, kind := range Kinds() {
		if drawn[kind] == 0 {
			t.Errorf("%s is never drawn", kind)
		}
	}
	if len(drawn) != len(Kinds()) {
		t.Errorf("%d kinds are drawn, want %d", len(drawn), len(Kinds()))
	}
	for kind, n := range map[Kind]int{BadChunk: len(badChunks), BadLength: len(badLengths), Trailers: len(trailers), GoAwayClose: len(goAwayCodes), BadFrame: len(badFrames)} {
		if low[kind] != 0 || high[kind] != n-1 {
			t.Errorf("%s has variants from %d to %d, want 0 to %d", kind, low[kind], high[kind], n-1)
		}
	}
}

func TestCallID(t *testing.T) {
	seen := map[string]bool{}
	for n := range 5000 {
		id := CallID(n)
		if seen[id] {
			t.Fatalf("%d has the identifier of another", n)
		}
		seen[id] = true
		if got := findCall([]byte("<a><b X-Call: " + id + "\r\n")); got != id {
			t.Fatalf("found %q, want %q", got, id)
		}
		if got := findCall([]byte("X-Call: " + id[:len(id)-1])); got != "" {
			t.Fatalf("found %q in one that is cut", got)
		}
	}
	if !slices.Contains(Kinds(), Pass) || findCall(nil) != "" || findCall([]byte("<>")) != "" {
		t.Error("an empty identifier is found")
	}
}
