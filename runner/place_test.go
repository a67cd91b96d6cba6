package runner_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// A run that was there first goes on first, and holds nothing while its function runs.
func TestPlaceOfARun(t *testing.T) {
	t.Parallel()
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Text() == "run" && len(p.History) == 0 {
			return calls("f", `{"ms":5500}`)
		}
		return say("done")
	}
	s := settings{emulator: emulator.Config{Model: model}, client: ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 1_000_000, BareBuckets: true}}
	in(t, s, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{sleeper(w, "f", func() {
			if held := w.client.Snapshot()[""]; held.InFlight != 0 || held.HeldTokens != 0 {
				w.Errorf("the run holds %d permits and %d tokens while its function runs", held.InFlight, held.HeldTokens)
			}
		})}})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Start(w.Context(), ask("run")); err != nil {
				w.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		for range 20 {
			wg.Go(func() {
				if _, err := w.client.Beta.Conversations.Start(w.Context(), ask("call")); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		at := slices.IndexFunc(w.bodies, func(body string) bool { return decoded(w, body)["model"] == nil })
		if at != 6 || w.times[at] != 6*time.Second {
			w.Errorf("the run's second request was number %d, at %v, want number 6 at 6 s", at, w.times[at])
		}
	})
}

// A hundred runs of three turns, against a server that counts by sliding windows: nothing is
// refused; with places they end in the order in which they began, and sooner on average than
// where each turn waits behind everybody.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	const runs, turns = 100, 3
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.History) >= 2*(turns-1) {
			return say("done")
		}
		return calls("f", `{"ms":1000}`)
	}
	measure := func(withPlaces bool) (mean time.Duration, inversions int) {
		s := settings{
			emulator: emulator.Config{Model: model, RequestsPerSecond: 5, Mode: emulator.SlidingWindow, Latency: 500 * time.Millisecond},
			client:   ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 10_000_000},
		}
		in(t, s, func(w *world) {
			f := sleeper(w, "f", nil)
			r := w.runner(runner.Config{Tools: []*runner.Tool{f}})
			ends := make([]time.Duration, runs)
			var wg sync.WaitGroup
			for i := range runs {
				wg.Go(func() {
					var err error
					if withPlaces {
						_, err = r.Start(w.Context(), ask(fmt.Sprint(i)))
					} else {
						err = bareLoop(w.Context(), w.client, ask(fmt.Sprint(i)), r.Definitions(), func() { time.Sleep(time.Second) })
					}
					if err != nil {
						w.Error(err)
					}
					ends[i] = time.Since(w.began)
				})
				time.Sleep(time.Millisecond)
			}
			wg.Wait()
			for i, end := range ends {
				mean += end / runs
				for _, later := range ends[i+1:] {
					if later < end {
						inversions++
					}
				}
			}
			if refused := w.emulator.Stats().Total().Refused(); refused != 0 || len(w.requests()) != runs*turns {
				w.Errorf("%d of %d requests were refused", refused, len(w.requests()))
			}
			w.Logf("places %v: the last run ended after %v, a run took %v on average, %d of %d pairs ended in the other order",
				withPlaces, slices.Max(ends).Round(100*time.Millisecond), mean.Round(100*time.Millisecond), inversions, runs*(runs-1)/2)
		})
		return mean, inversions
	}
	with, inversions := measure(true)
	without, _ := measure(false)
	if inversions != 0 || with >= without {
		t.Errorf("with places %v on average and %d pairs in the other order; without %v", with, inversions, without)
	}
}

// bareLoop is the loop that a program without the runner has.
func bareLoop(ctx context.Context, client *ratelimited.Client, request generated.StartConversationRequest, tools []generated.Tool, f func()) error {
	request.Tools = tools
	response, err := client.Beta.Conversations.Start(ctx, request)
	for err == nil {
		var results []generated.Entry
		for _, call := range response.FunctionCalls() {
			f()
			results = append(results, ratelimited.FunctionResult(call.ToolCallID, "f"))
		}
		if len(results) == 0 {
			return nil
		}
		response, err = client.Beta.Conversations.Append(ctx, response.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Entries(results...)})
	}
	return err
}
