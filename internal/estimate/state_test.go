package estimate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A restored model behaves like the original.
func TestRestoredModelEqualsOriginal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SampledFrom([]Parts{{}, {Image: 2}, {Document: 1, Audio: 3}, {Other: 1}, {LowImage: 1}})
		learn := func(models ...*Model) {
			for range rapid.IntRange(0, 100).Draw(t, "calls") {
				counted, p := rapid.IntRange(0, 5000).Draw(t, "counted"), parts.Draw(t, "parts")
				actual, reply := rapid.IntRange(-1, 1<<30).Draw(t, "actual"), rapid.IntRange(-1, 10_000).Draw(t, "reply")
				took := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took"))
				for _, m := range models {
					m.Learn(counted, p, actual, reply)
					m.LearnDuration(took, took)
				}
			}
		}
		var before, after Model
		learn(&before)
		saved, err := json.Marshal(&before)
		if err != nil {
			t.Fatal(err)
		}
		if len(saved) > 2000 {
			t.Fatalf("the state has %d bytes, want at most 2000", len(saved))
		}
		if err := json.Unmarshal(saved, &after); err != nil {
			t.Fatalf("%v in %s", err, saved)
		}
		learn(&before, &after)
		p := parts.Draw(t, "parts of the next")
		if a, b := before.Prompt(1000, p), after.Prompt(1000, p); a != b {
			t.Fatalf("the restored estimate of a prompt is %d, want %d", b, a)
		}
		if a, b := before.Reply(Unbounded, limit), after.Reply(Unbounded, limit); a != b {
			t.Fatalf("the restored estimate of a reply is %d, want %d", b, a)
		}
		a1, a2 := before.Duration()
		b1, b2 := after.Duration()
		if a1 != b1 || a2 != b2 {
			t.Fatalf("the restored durations are %v and %v, want %v and %v", b1, b2, a1, a2)
		}
	})
}

func TestInvalidStateIsRejected(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                        "cannot unmarshal",
		`{"actual":-1,"counted":1}`: "actual and counted: must both be 0 or both be above 0, got -1 and 1",
		`{"actual":1}`:              "actual and counted: must both be 0 or both be above 0, got 1 and 0",
		`{"prices":[1,2,3,4,2e6]}`:  "prices: must be from 0 to 1048576, got [1 2 3 4 2e+06]",
		`{"prices":[-1]}`:           "prices: must be from 0 to 1048576, got [-1",
		`{"replies":[5,0]}`:         "replies: must be above 0, got [5 0]",
		`{"replies":[` + strings.Repeat("1,", 64) + `1]}`: "replies: must be at most 64, got 65",
		`{"long":-1}`:      "long, least and count: must be at least 0, and count at most 64, got -1,",
		`{"long":1e300}`:   "long, least and count: must be at least 0, and count at most 64, got 1e+300,",
		`{"least":[0,-1]}`: "long, least and count: must be at least 0, and count at most 64, got 0, [0s -1ns] and 0",
		`{"count":65}`:     "and 65",
	} {
		var m Model
		m.Learn(100, Parts{}, 200, 300)
		before := m.Prompt(1000, Parts{})
		err := json.Unmarshal([]byte(text), &m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if m.Prompt(1000, Parts{}) != before {
			t.Errorf("%s: the invalid state changes the model", text)
		}
	}
}
