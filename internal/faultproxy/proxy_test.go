package faultproxy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSample(t *testing.T) {
	sampled, low, high := map[Kind]int{}, map[Kind]int{}, map[Kind]int{}
	a, b := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		fault := Sample(a, i%2 == 0)
		if other := Sample(b, i%2 == 0); fault != other {
			t.Fatalf("the same seed returns %v and %v", fault, other)
		}
		sampled[fault.Kind]++
		low[fault.Kind] = min(low[fault.Kind], fault.N)
		high[fault.Kind] = max(high[fault.Kind], fault.N)
	}
	for _, kind := range Kinds() {
		if sampled[kind] == 0 {
			t.Errorf("Sample never returns %s", kind)
		}
	}
	if len(sampled) != len(Kinds()) {
		t.Errorf("%d kinds are sampled, want %d", len(sampled), len(Kinds()))
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
			t.Fatalf("the identifier of %d is not unique", n)
		}
		seen[id] = true
		if got := findCall([]byte("<a><b X-Call: " + id + "\r\n")); got != id {
			t.Fatalf("found %q, want %q", got, id)
		}
		if got := findCall([]byte("X-Call: " + id[:len(id)-1])); got != "" {
			t.Fatalf("found %q in an incomplete identifier", got)
		}
	}
	if !slices.Contains(Kinds(), Pass) || findCall(nil) != "" || findCall([]byte("<>")) != "" {
		t.Error("findCall finds an empty identifier, or Kinds lacks Pass")
	}
}
