package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// callRepeatedly runs callers that make calls for a time. It returns the number of calls, all of which
// must succeed.
func callRepeatedly(t *testing.T, client *ratelimited.Client, callers int, d time.Duration) (calls int) {
	t.Helper()
	end := time.Now().Add(d)
	counts := ratelimited.Gather(t.Context(), make([]struct{}, callers), func(ctx context.Context, _ struct{}) (n int, err error) {
		for ; time.Now().Before(end); n++ {
			if _, err := start(ctx, client); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	for _, c := range counts {
		if c.Err != nil {
			t.Error(c.Err)
		}
		calls += c.Value
	}
	return calls
}

// The client learns the limits of an account that differ from the configured limits. The emulator must
// reject few requests meanwhile.
func TestLearnLimits(t *testing.T) {
	for name, c := range map[string]struct {
		server  emulator.Config
		callers int
		calls   int // minimum in the ten minutes after the first three
	}{
		"lower":  {emulator.Config{RequestsPerSecond: 0.08, TokensPerMinute: 20_000}, 4, 40},
		"higher": {emulator.Config{RequestsPerSecond: 6, TokensPerMinute: 2_000_000}, 32, 3060},
	} {
		t.Run(name, func(t *testing.T) {
			c.server.Latency = time.Second
			stats := runWithEmulator(t, ratelimited.Config{LearnLimits: true}, c.server, func(t *testing.T, client *ratelimited.Client) {
				callRepeatedly(t, client, c.callers, 3*time.Minute)
				if n := callRepeatedly(t, client, c.callers, 10*time.Minute); n < c.calls {
					t.Errorf("%d calls in ten minutes, want at least %d", n, c.calls)
				}
				s := client.Snapshot()["m"]
				if s.Configured.RequestsPerSecond != ratelimited.DefaultRequestsPerSecond || s.TokensFrom != limiter.FromHeaders || s.Limit.TokensPerMinute != c.server.TokensPerMinute {
					t.Errorf("limit %+v, configured %+v, from %s and %s", s.Limit, s.Configured, s.RequestsFrom, s.TokensFrom)
				}
				t.Logf("%v requests/s, from %s", s.Limit.RequestsPerSecond, s.RequestsFrom)
			})
			if stats.Refused() > 20 {
				t.Errorf("the emulator rejected %d requests and admitted %d, want at most 20 rejected", stats.Refused(), stats.Admitted)
			}
		})
	}
}

// The client learns separate limits for each model, up to a maximum number of models.
func TestLearnLimitsByModel(t *testing.T) {
	runWithHandler(t, ratelimited.Config{LearnLimits: true}, ok, func(t *testing.T, client *ratelimited.Client) {
		for i := range 80 {
			model := strconv.Itoa(i)
			if _, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello")}); err != nil {
				t.Fatal(err)
			}
		}
		snapshots := client.Snapshot()
		if len(snapshots) != 65 || snapshots["0"].Settled != 1 || snapshots[""].Settled != 16 {
			t.Errorf("%d limiters; model 0 has %d calls, the default limiter %d; want 65, 1, and 16", len(snapshots), snapshots["0"].Settled, snapshots[""].Settled)
		}
	})
}

// LearnLimits and BareBuckets exclude each other.
func TestLearnLimitsWithBareBuckets(t *testing.T) {
	_, err := ratelimited.New(ratelimited.Config{APIKey: secretKey, LearnLimits: true, BareBuckets: true})
	var invalid *ratelimited.ConfigError
	if !errors.As(err, &invalid) || invalid.Field != "LearnLimits" {
		t.Errorf("error %v, want a ConfigError for the field LearnLimits", err)
	}
}

// callModel makes a call of a model that uses 400 tokens.
func callModel(ctx context.Context, client *ratelimited.Client, model string) error {
	_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")})
	return err
}

// accountWithSmallModel is an account whose limit for the model "small" is a tenth of the default limit. Its latencies
// vary, as those of real servers do: see "Calls in lockstep" in docs/rough-edges.md.
func accountWithSmallModel(mode emulator.Mode) emulator.Config {
	return emulator.Config{
		RequestsPerSecond: 20, TokensPerMinute: 120_000, Mode: mode, Latency: time.Second, LatencySpread: 300 * time.Millisecond,
		Limits: map[string]emulator.Limit{"small": {RequestsPerSecond: 20, TokensPerMinute: 12_000}},
		Model: func(context.Context, emulator.Prompt) emulator.Reply {
			return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: 390, TotalTokens: 400}}
		},
	}
}

// defaultLimit is the default limit of the account.
var defaultLimit = ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 120_000}

// If the server reports a lower limit for one model, the client obeys it for that model. Other models are
// not slowed down, and all models together use at most the configured limit.
func TestModelLimitUnderTheDefault(t *testing.T) {
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			runWithLatency(t, defaultLimit, accountWithSmallModel(mode), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
				const minutes = 10
				end := time.Now().Add(minutes * time.Minute)
				models := []string{"small", "large", "large", "large"}
				callers := make([]string, 0, 60)
				for i := range cap(callers) {
					callers = append(callers, models[i%len(models)])
				}
				for _, result := range ratelimited.Gather(t.Context(), callers, func(ctx context.Context, model string) (struct{}, error) {
					for time.Now().Before(end) {
						if err := callModel(ctx, client, model); err != nil {
							return struct{}{}, err
						}
					}
					return struct{}{}, nil
				}) {
					if result.Err != nil {
						t.Error(result.Err)
					}
				}
				small, large := e.Stats().Models["small"], e.Stats().Models["large"]
				t.Logf("small: %+v, large: %+v", small, large)
				if n := small.Tokens; n < 0.9*12_000*minutes {
					t.Errorf("small used %d tokens, want 90%% of its limit", n)
				}
				if n := small.Tokens + large.Tokens; n < 0.9*120_000*minutes || n > 120_000*(minutes+1) {
					t.Errorf("both models used %d tokens, want 90%% to 110%% of the default limit", n)
				}
				if n := small.Refused() + large.Refused(); n > 3 {
					t.Errorf("the emulator rejected %d requests, want at most 3", n)
				}
				s := client.Snapshot()["small"]
				if s.Limit.TokensPerMinute != 12_000 || s.TokensFrom != limiter.FromHeaders || s.Configured.TokensPerMinute != 120_000 || s.Limit.RequestsPerSecond != 20 {
					t.Errorf("the limit of small is %+v, from %s, configured %+v", s.Limit, s.TokensFrom, s.Configured)
				}
				if s := snapshot(client); s.Limit.TokensPerMinute != 120_000 || s.TokensFrom != limiter.FromConfiguration {
					t.Errorf("the default limit is %+v, from %s", s.Limit, s.TokensFrom)
				}
			})
		})
	}
}

// The limit that the server reports for a model also applies to calls that already wait.
func TestModelLimitAppliesToWaitingCalls(t *testing.T) {
	runWithLatency(t, defaultLimit, accountWithSmallModel(emulator.SlidingWindow), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
		for _, result := range ratelimited.Gather(t.Context(), make([]struct{}, 200), func(ctx context.Context, _ struct{}) (struct{}, error) {
			return struct{}{}, callModel(ctx, client, "small")
		}) {
			if result.Err != nil {
				t.Error(result.Err)
			}
		}
		if small := e.Stats().Models["small"]; small.Admitted != 200 || small.Refused() > 20 { // 40 requests are sent before the first response
			t.Errorf("of 200 calls, the emulator admitted %d and rejected %d, want 200 and at most 20", small.Admitted, small.Refused())
		}
	})
}
