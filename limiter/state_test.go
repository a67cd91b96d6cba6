package limiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// saveable returns a group whose state can be saved. With separate, each model learns separately.
func saveable(t testing.TB, separate bool, options ...limiter.Option) *limiter.Group {
	t.Helper()
	byModel := map[string]limiter.Limit{"own": {RequestsPerSecond: 0.5, TokensPerMinute: 6000}}
	g, err := limiter.NewGroup(limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, byModel, limiter.InProcess(options...))
	if err != nil {
		t.Fatal(err)
	}
	if separate {
		g.Separate()
	}
	return g
}

var kindsOfGroups = map[string]struct {
	separate bool
	options  []limiter.Option
}{
	"buckets only": {false, nil},
	"guarded":      {false, []limiter.Option{limiter.Guarded(limiter.DefaultJitter)}},
	"learning":     {true, []limiter.Option{limiter.Guarded(limiter.DefaultJitter), limiter.LearnLimits()}},
}

// A restored group behaves like the saved one, after any events.
func TestRestoredGroupGoesOn(t *testing.T) {
	for name, kind := range kindsOfGroups {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				steps := rapid.SliceOfN(rapid.Custom(genStep), 0, 60).Draw(r, "steps")
				pauses := rapid.SliceOfN(rapid.Custom(genPause), 6, 6).Draw(r, "pauses")
				different := ""
				synctest.Test(t, func(t *testing.T) {
					saved := saveable(t, kind.separate, kind.options...)
					for _, s := range steps {
						s.happen(t, saved)
					}
					state, err := saved.Save(0)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(pauses[0])
					restored := saveable(t, kind.separate, kind.options...)
					if err := restored.Restore(state); err != nil {
						t.Fatalf("%v in %s", err, state)
					}
					for _, pause := range pauses[1:] {
						if different = difference(saved, restored); different != "" {
							return
						}
						time.Sleep(pause)
					}
				})
				if different != "" {
					r.Fatal(different)
				}
			})
		})
	}
}

func genPause(r *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 1, 300, 2000, 20_000, 70_000, 700_000}).Draw(r, "pause"))*ms + 137
}

// A step is a call with its response.
type step struct {
	model       string
	tokens      int
	takes       time.Duration
	completion  int
	throttle    limiter.Throttle
	limit, left int
}

func genStep(r *rapid.T) step {
	return step{
		model:      rapid.SampledFrom([]string{"", "a", "own"}).Draw(r, "model"),
		tokens:     rapid.SampledFrom([]int{0, 10, 500, 2000, 6000}).Draw(r, "tokens"),
		takes:      genPause(r) / 10,
		completion: rapid.IntRange(0, 5).Draw(r, "completion"),
		throttle:   limiter.Throttle{Requests: rapid.Bool().Draw(r, "requests"), Tokens: rapid.Bool().Draw(r, "of tokens")},
		limit:      rapid.SampledFrom([]int{3000, 60_000, 90_000}).Draw(r, "limit"),
		left:       rapid.IntRange(0, 3000).Draw(r, "left"),
	}
}

func (s step) happen(t *testing.T, g *limiter.Group) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	p, err := g.For(s.model).Acquire(ctx, limiter.Call{Prompt: s.tokens / 2, Reply: s.tokens - s.tokens/2})
	if err != nil {
		return
	}
	time.Sleep(s.takes)
	switch s.completion {
	case 0:
		p.Throttled(s.throttle)
		p.Settle(0)
	case 1:
		p.ReturnRequest()
		p.Cancel()
	case 2:
		p.Settle(2 * s.tokens)
		g.Observe(s.model, limiter.ServerState{LimitTokens: &s.limit, RemainingTokens: &s.left})
	default:
		p.Settle(s.tokens * 2 / 3)
	}
}

// difference compares two groups. The restored one may have lost less than a token and a millionth of a request.
func difference(want, got *limiter.Group) string {
	a, b := want.Snapshot(), got.Snapshot()
	for model, s := range a {
		u, ok := b[model]
		burst := u.Limit.TokenBurst
		u.Limit.TokenBurst, s.Limit.TokenBurst = 0, 0
		if !ok || s.Limit != u.Limit || s.Configured != u.Configured || s.TokensFrom != u.TokensFrom || s.RequestsFrom != u.RequestsFrom {
			return fmt.Sprintf("model %q: %+v, want %+v", model, u, s)
		}
		for _, tokens := range []int{0, 100, burst} {
			before, after := want.For(model).WaitTime(tokens), got.For(model).WaitTime(tokens)
			slack := 2*time.Minute/time.Duration(s.Limit.TokensPerMinute) + time.Duration(3e3/s.Limit.RequestsPerSecond) + time.Microsecond
			if after < before-time.Microsecond || after > before+slack {
				return fmt.Sprintf("model %q: %d tokens wait %v, want %v", model, tokens, after, before)
			}
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d limiters, want %d", len(b), len(a))
	}
	return ""
}

// Calls in flight count as used. With ahead, so do the calls that may start before the next save.
func TestSavedCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			ahead            time.Duration
			requests, tokens float64
		}{{0, 7, 60_000 - 3000}, {time.Second, 0, 60_000 - 3000 - 10_000}} { // ten more calls, each of a second's tokens
			saved, restored := saveable(t, false), saveable(t, false)
			for range 3 {
				if _, err := saved.For("a").Acquire(t.Context(), limiter.Call{Prompt: 1000}); err != nil {
					t.Fatal(err)
				}
			}
			state, err := saved.Save(test.ahead)
			if err != nil {
				t.Fatal(err)
			}
			if err := restored.Restore(state); err != nil {
				t.Fatal(err)
			}
			s := restored.Snapshot()[""]
			if test.ahead > 0 {
				test.requests, test.tokens = 7-17, 60_000-3000-17*1000
			}
			equal(t, "requests", s.AvailableRequests, test.requests)
			equal(t, "tokens", s.AvailableTokens, test.tokens)
			equal(t, "in flight", s.InFlight, 0)
		}
	})
}

// If the configured limit has changed, the learned limits are forgotten. Usage counts anyway.
func TestRestoreForAnotherConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guarded := limiter.Guarded(limiter.DefaultJitter)
		saved := saveable(t, false, guarded)
		reportLimit(saved, "", 30_000)
		equal(t, "learned", saved.For("").Limit().TokensPerMinute, 60_000)
		reportLimit(saved, "a", 30_000)
		equal(t, "limit named by the server", saved.For("a").Limit().TokensPerMinute, 30_000)
		p, err := saved.For("a").Acquire(t.Context(), limiter.Call{Prompt: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		p.Settle(20_000)
		state, err := saved.Save(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ configured, want int }{{60_000, 30_000}, {40_000, 30_000}, {25_000, 25_000}} {
			restored, err := limiter.NewGroup(limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: test.configured}, nil, limiter.InProcess(guarded))
			if err != nil {
				t.Fatal(err)
			}
			if err := restored.Restore(state); err != nil {
				t.Fatal(err)
			}
			equal(t, "limit of the model", restored.For("a").Limit().TokensPerMinute, test.want)
			equal(t, "available tokens", restored.Snapshot()[""].AvailableTokens, float64(test.configured-20_000))
		}
	})
}

// A model with a limit named by the server, which now has a separate limit, keeps its usage.
func TestRestoreForASeparateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, separate := range []bool{false, true} {
			saved := saveable(t, false, limiter.Guarded(limiter.DefaultJitter))
			reportLimit(saved, "a", 30_000)
			p, err := saved.For("a").Acquire(t.Context(), limiter.Call{Prompt: 20_000})
			if err != nil {
				t.Fatal(err)
			}
			p.Settle(20_000)
			state, err := saved.Save(0)
			if err != nil {
				t.Fatal(err)
			}
			own := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 50_000}
			byModel := map[string]limiter.Limit{"a": own}
			if separate {
				byModel = nil
			}
			restored, err := limiter.NewGroup(own, byModel, limiter.InProcess(limiter.Guarded(limiter.DefaultJitter)))
			if err != nil {
				t.Fatal(err)
			}
			if separate {
				restored.Separate()
			}
			if err := restored.Restore(state); err != nil {
				t.Fatal(err)
			}
			s := restored.Snapshot()["a"]
			equal(t, "available tokens", s.AvailableTokens, 10_000) // of 30,000: added capacity starts empty
			equal(t, "available requests", s.AvailableRequests, 4)
			equal(t, "limit in force", s.Limit.TokensPerMinute, 50_000)
		}
	})
}

func TestRestoreRejectsInvalidStates(t *testing.T) {
	g := saveable(t, false, limiter.Guarded(limiter.DefaultJitter))
	const valid = `"configured":{"RequestsPerSecond":10,"TokensPerMinute":60000}`
	for state, want := range map[string]string{
		``:                                "unexpected end",
		`[]`:                              "cannot unmarshal",
		`{"version":2}`:                   "version must be 1, got 2",
		`{"version":1,"limits":{"a":{}}}`: `model "a": limiter: RequestsPerSecond`,
		`{"version":1,"limits":{"":{` + valid + `,"named":-1}}}`:                         "named must be a number of tokens per minute, got -1",
		`{"version":1,"limits":{"":{` + valid + `,"pause":-1}}}`:                         "pause and inFlight must be at least 0, got -1ns",
		`{"version":1,"limits":{"":{` + valid + `,"learner":{}}}}`:                       "guard must be set",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{},"learner":{}}}}`:            "rate of requests must be above 0 and at most 1e+06, got 0",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{"now":-1}}}}`:                 "now must be from 0 to 876000h0m0s, got -1ns",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{"early":[[0,1,1]]}}}}`:        "early[0] must be two ascending times, not after now, and a number of units, got [0 1 1]",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{"now":9,"late":[[2,1,1]]}}}}`: "late[0] must be two ascending times",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{"caution":-1}}}}`:             "caution must be at least 0, got -1",
		`{"version":1,"limits":{"":{` + valid + `,"guard":{"latest":1}}}}`:               "latest must not be after now (0s), got 1ns",
	} {
		if err := g.Restore([]byte(state)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", state, err, want)
		}
	}
	equal(t, "limiters", len(g.Snapshot()), 2)
	equal(t, "available tokens", g.Snapshot()[""].AvailableTokens, 60_000)
	var none *limiter.Group
	if _, err := none.Save(0); err == nil || none.Restore(nil) == nil {
		t.Error("Save or Restore of a nil group succeeded")
	}
}

// fixture returns the group that testdata/group-1.json was saved from.
func fixture(t *testing.T) *limiter.Group {
	g := saveable(t, false, limiter.Guarded(limiter.DefaultJitter))
	reportLimit(g, "a", 20_000)
	for range 12 {
		p, err := g.For("a").Acquire(t.Context(), limiter.Call{Prompt: 500, Reply: 500})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * ms)
		p.Settle(900)
	}
	for i := range 6 {
		p, err := g.For("own").Acquire(t.Context(), limiter.Call{Prompt: 100})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * ms)
		if i%2 == 1 {
			p.Throttled(limiter.Throttle{Requests: true})
		}
		p.Settle(0)
	}
	return g
}

// The states of all versions can be restored. UPDATE_FIXTURES=1 rewrites the state of the current version.
func TestStateOfEachVersion(t *testing.T) {
	path := filepath.Join("testdata", "group-1.json")
	synctest.Test(t, func(t *testing.T) {
		if os.Getenv("UPDATE_FIXTURES") != "" {
			state, err := fixture(t).Save(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(state, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		state, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := saveable(t, false, limiter.Guarded(limiter.DefaultJitter))
		if err := got.Restore(state); err != nil {
			t.Fatal(err)
		}
		equal(t, "limit of a", got.For("a").Limit().TokensPerMinute, 20_000)
		own := got.Snapshot()["own"]
		if own.RequestsFrom != limiter.FromRefusals || own.Limit.RequestsPerSecond >= 0.5 {
			t.Errorf("limit of model own: %+v, from %s", own.Limit, own.RequestsFrom)
		}
	})
}

// Any state is either rejected, or calls start within an hour after Restore.
func FuzzRestore(f *testing.F) {
	for _, name := range []string{"group-1.json"} {
		state, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		if !json.Valid(state) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			g := saveable(t, true, limiter.Guarded(limiter.DefaultJitter), limiter.LearnLimits())
			if err := g.Restore(state); err != nil {
				return
			}
			for model := range g.Snapshot() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				p, err := g.For(model).Acquire(ctx, limiter.Call{Prompt: 1})
				cancel()
				var tooLarge *limiter.TooLargeError
				switch {
				case errors.As(err, &tooLarge):
				case err != nil:
					t.Errorf("%s: model %q: %v", state, model, err)
				default:
					p.Settle(1)
				}
			}
		})
	})
}
