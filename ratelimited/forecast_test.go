package ratelimited_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Estimate uses what the client has learned from responses, and does not take tokens.
func TestEstimateLearns(t *testing.T) {
	request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}
	runWithHandler(t, ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 500_000}, ok, func(t *testing.T, client *ratelimited.Client) {
		estimate := func() ratelimited.Estimate {
			e, err := client.Estimate(request)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if e := estimate(); e.Counted != 8 || e.Prompt != 8 || e.Reply != 500 || e.Replies != 0 || e.Duration != 0 {
			t.Errorf("the first estimate is %+v", e)
		}
		request.CompletionArgs.MaxTokens = ratelimited.Ptr(20)
		if e := estimate(); e.Reply != 20 {
			t.Errorf("the estimate with max_tokens 20 is %+v", e)
		}
		request.CompletionArgs.MaxTokens = nil
		for range 50 {
			if _, err := start(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		if e := estimate(); e.Counted != 8 || e.Prompt < 18 || e.Replies != 0 {
			t.Errorf("after 50 calls with prompts of 30 tokens, the estimate is %+v", e)
		}
		if _, err := client.Estimate(generated.StartConversationRequest{Model: "m"}); !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("without inputs, Estimate returns %v", err)
		}
		if s := snapshot(client); s.Admitted != 50 {
			t.Errorf("%d calls were admitted, want 50", s.Admitted)
		}
	})
}

// Forecast returns the time until the last of many calls starts.
func TestForecast(t *testing.T) {
	limit := ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 100_000}
	for name, test := range map[string]struct {
		calls, tokens int
		want, within  time.Duration
	}{
		"limited by requests": {500, 0, 99 * 1050 * time.Millisecond, 0},
		"many calls":          {50_000, 0, 9999 * 1050 * time.Millisecond, 10 * time.Second},
		"limited by tokens":   {200, 5000, 9 * time.Minute, time.Minute},
		"no calls":            {0, 0, 0, 0},
		"too large":           {1, 100_001, limiter.Never, 0},
	} {
		runWithHandler(t, limit, ok, func(t *testing.T, client *ratelimited.Client) {
			if got := client.Forecast("m", test.calls, test.tokens); (got - test.want).Abs() > test.within {
				t.Errorf("%s: Forecast returns %v, want %v within %v", name, got, test.want, test.within)
			}
		})
	}
	runWithHandler(t, limit, ok, func(t *testing.T, client *ratelimited.Client) {
		begin, want := time.Now(), client.Forecast("m", 23, 100)
		for range 23 {
			if _, err := start(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != want {
			t.Errorf("23 calls took %v, want %v", took, want)
		}
	})
}
