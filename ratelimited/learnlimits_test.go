package ratelimited_test

import (
	"context"
	"errors"
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

func TestLearnLimitsWithBareBuckets(t *testing.T) {
	_, err := ratelimited.New(ratelimited.Config{APIKey: secretKey, LearnLimits: true, BareBuckets: true})
	var invalid *ratelimited.ConfigError
	if !errors.As(err, &invalid) || invalid.Field != "LearnLimits" {
		t.Errorf("error %v, want a ConfigError for the field LearnLimits", err)
	}
}
