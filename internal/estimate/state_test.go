package estimate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A model that is saved and restored goes on as if nothing had happened.
func TestStateGoesOn(t *testing.T) {
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
			t.Fatalf("%d bytes", len(saved))
		}
		if err := json.Unmarshal(saved, &after); err != nil {
			t.Fatalf("%v in %s", err, saved)
		}
		learn(&before, &after)
		p := parts.Draw(t, "parts of the next")
		if a, b := before.Prompt(1000, p), after.Prompt(1000, p); a != b {
			t.Fatalf("a prompt is %d, was %d", b, a)
		}
		if a, b := before.Reply(Unbounded, limit), after.Reply(Unbounded, limit); a != b {
			t.Fatalf("a reply is %d, was %d", b, a)
		}
		a1, a2 := before.Duration()
		b1, b2 := after.Duration()
		if a1 != b1 || a2 != b2 {
			t.Fatalf("durations are %v and %v, were %v and %v", b1, b2, a1, a2)
		}
	})
}

func TestStateThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                        "cannot unmarshal",
		`{"actual":-1,"counted":1}`: "actual is -1",
		`{"actual":1}`:              "counted is 0",
		`{"prices":[1,2,3,4,2e6]}`:  "at most 1048576",
		`{"prices":[-1]}`:           "at least 0",
		`{"replies":[5,0]}`:         "must be above 0",
		`{"replies":[` + strings.Repeat("1,", 64) + `1]}`: "65 replies",
		`{"long":-1}`:      "duration is -1",
		`{"long":1e300}`:   "duration is 1e+300",
		`{"least":[0,-1]}`: "at least 0",
		`{"count":65}`:     "at most 64 calls",
	} {
		var m Model
		m.Learn(100, Parts{}, 200, 300)
		before := m.Prompt(1000, Parts{})
		err := json.Unmarshal([]byte(text), &m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if m.Prompt(1000, Parts{}) != before {
			t.Errorf("%s has changed the model", text)
		}
	}
}
