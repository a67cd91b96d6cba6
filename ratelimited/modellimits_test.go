package ratelimited_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// callModel makes a call of a model that uses 400 tokens.
func callModel(ctx context.Context, client *ratelimited.Client, model string) error {
	_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")})
	return err
}

// accountWithSmallModel is an account whose limit for the model "small" is a tenth of the default limit.
func accountWithSmallModel(mode emulator.Mode) emulator.Config {
	return emulator.Config{
		RequestsPerSecond: 20, TokensPerMinute: 120_000, Mode: mode, Latency: time.Second,
		Limits: map[string]emulator.Limit{"small": {RequestsPerSecond: 20, TokensPerMinute: 12_000}},
		Model: func(context.Context, emulator.Prompt) emulator.Reply {
			return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: 390, TotalTokens: 400}}
		},
	}
}

// defaultLimit is the default limit of the account.
var defaultLimit = ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 120_000}

// runWithLatency runs a test in virtual time against an emulator with a network latency of 20 ms. Without
// the latency, the client would not send the first request after a pause alone.
func runWithLatency(t *testing.T, config ratelimited.Config, server emulator.Config, test func(*testing.T, *ratelimited.Client, *emulator.Emulator)) {
	t.Helper()
	server.OnViolation = func(err error) { t.Errorf("the emulator sends %v", err) }
	var e *emulator.Emulator
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Millisecond); e.ServeHTTP(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		e = emulator.New(server) // created within the synctest bubble, to use its clock
		test(t, client, e)
	})
}

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
