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

// A run that began first continues first, and holds nothing while its function runs.
func TestPlaceOfARun(t *testing.T) {
	t.Parallel()
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Text() == "run" && len(p.History) == 0 {
			return calls("f", `{"ms":5500}`)
		}
		return say("done")
	}
	s := settings{emulator: emulator.Config{Model: model}, client: ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 1_000_000, BareBuckets: true}}
	inSynctest(t, s, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{sleeper(env, "f", func() {
			if held := env.client.Snapshot()[""]; held.InFlight != 0 || held.HeldTokens != 0 {
				env.Errorf("the run holds %d permits and %d tokens while its function runs", held.InFlight, held.HeldTokens)
			}
		})}})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Start(env.Context(), userRequest("run")); err != nil {
				env.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		for range 20 {
			wg.Go(func() {
				if _, err := env.client.Beta.Conversations.Start(env.Context(), userRequest("call")); err != nil {
					env.Error(err)
				}
			})
		}
		wg.Wait()
		env.mu.Lock()
		defer env.mu.Unlock()
		at := slices.IndexFunc(env.bodies, func(body string) bool { return decoded(env, body)["model"] == nil })
		if at != 6 || env.times[at] != 6*time.Second {
			env.Errorf("the run's second request was number %d, at %v, want number 6 at 6 s", at, env.times[at])
		}
	})
}

// A hundred runs of three turns use a server with sliding windows. No request is throttled. With
// places, the runs end in the order in which they began, and on average earlier than without
// places.
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
		inSynctest(t, s, func(env *environment) {
			f := sleeper(env, "f", nil)
			r := env.runner(runner.Config{Tools: []*runner.Tool{f}})
			ends := make([]time.Duration, runs)
			var wg sync.WaitGroup
			for i := range runs {
				wg.Go(func() {
					var err error
					if withPlaces {
						_, err = r.Start(env.Context(), userRequest(fmt.Sprint(i)))
					} else {
						err = bareLoop(env.Context(), env.client, userRequest(fmt.Sprint(i)), r.Definitions(), func() { time.Sleep(time.Second) })
					}
					if err != nil {
						env.Error(err)
					}
					ends[i] = time.Since(env.began)
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
			if throttled := env.emulator.Stats().Total().Refused(); throttled != 0 || len(env.requests()) != runs*turns {
				env.Errorf("%d of %d requests were throttled", throttled, len(env.requests()))
			}
			env.Logf("places %v: the last run ended after %v, a run took %v on average, %d of %d pairs ended in the other order",
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

// bareLoop is the loop of a program without the runner.
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
