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

// ask makes a call to a model that uses 400 tokens.
func ask(ctx context.Context, client *ratelimited.Client, model string) error {
	_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")})
	return err
}

// unequal is an account on which the model "small" may use a tenth of the tokens that others may.
func unequal(mode emulator.Mode) emulator.Config {
	return emulator.Config{
		RequestsPerSecond: 20, TokensPerMinute: 120_000, Mode: mode, Latency: time.Second,
		Limits: map[string]emulator.Limit{"small": {RequestsPerSecond: 20, TokensPerMinute: 12_000}},
		Model: func(context.Context, emulator.Prompt) emulator.Reply {
			return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 10, CompletionTokens: 390, TotalTokens: 400}}
		},
	}
}

var equalLimits = ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 120_000}

// onEmulator runs a test in a bubble, against an emulator at the end of a wire of 20 ms: without
// any, the first request after a pause would not go alone.
func onEmulator(t *testing.T, config ratelimited.Config, server emulator.Config, test func(*testing.T, *ratelimited.Client, *emulator.Emulator)) {
	t.Helper()
	server.OnViolation = func(err error) { t.Errorf("the emulator sends %v", err) }
	var e *emulator.Emulator
	inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Millisecond); e.ServeHTTP(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		e = emulator.New(server) // its counts begin with the bubble's clock
		test(t, client, e)
	})
}

// A model of which the server names a lower limit keeps to that. It does not slow other models
// down, and all of them together use no more than what is configured.
func TestModelLimitUnderTheDefault(t *testing.T) {
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			onEmulator(t, equalLimits, unequal(mode), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
				const minutes = 10
				end := time.Now().Add(minutes * time.Minute)
				models := []string{"small", "large", "large", "large"}
				callers := make([]string, 0, 60)
				for i := range cap(callers) {
					callers = append(callers, models[i%len(models)])
				}
				for _, result := range ratelimited.Gather(t.Context(), callers, func(ctx context.Context, model string) (struct{}, error) {
					for time.Now().Before(end) {
						if err := ask(ctx, client, model); err != nil {
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
					t.Errorf("small used %d tokens", n)
				}
				if n := small.Tokens + large.Tokens; n < 0.9*120_000*minutes || n > 120_000*(minutes+1) {
					t.Errorf("both used %d tokens", n)
				}
				if n := small.Refused() + large.Refused(); n > 3 {
					t.Errorf("%d requests were refused", n)
				}
				s := client.Snapshot()["small"]
				if s.Limit.TokensPerMinute != 12_000 || s.TokensFrom != limiter.FromHeaders || s.Configured.TokensPerMinute != 120_000 || s.Limit.RequestsPerSecond != 20 {
					t.Errorf("limit of small: %+v, from %s, configured: %+v", s.Limit, s.TokensFrom, s.Configured)
				}
				if s := snapshot(client); s.Limit.TokensPerMinute != 120_000 || s.TokensFrom != limiter.FromConfiguration {
					t.Errorf("limit of all: %+v, from %s", s.Limit, s.TokensFrom)
				}
			})
		})
	}
}

// Calls that wait already when the server names the limit of their model keep to it too.
func TestModelLimitOfCallsThatWait(t *testing.T) {
	onEmulator(t, equalLimits, unequal(emulator.SlidingWindow), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
		for _, result := range ratelimited.Gather(t.Context(), make([]struct{}, 200), func(ctx context.Context, _ struct{}) (struct{}, error) {
			return struct{}{}, ask(ctx, client, "small")
		}) {
			if result.Err != nil {
				t.Error(result.Err)
			}
		}
		if small := e.Stats().Models["small"]; small.Admitted != 200 || small.Refused() > 20 { // 40 are under way before the first reply
			t.Errorf("of 200 calls at once %d were admitted, and %d refused before", small.Admitted, small.Refused())
		}
	})
}
