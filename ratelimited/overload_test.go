package ratelimited_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Two minutes of more work than the limits let through, over HTTP, against each
// way of counting: nothing is refused, nothing is lost, and what the limits allow
// is used. The shares are printed with -v.
func TestOverload(t *testing.T) {
	const length = 2 * time.Minute
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		for _, limit := range []struct {
			name           string
			rps            float64
			tpm            int
			least, callers int
		}{
			{"requests", 2, 1_000_000, 90, 24},
			{"tokens", 5, 15_000, 90, 24},
			{"one in twelve", 0.08, 100_000, 90, 4},
		} {
			t.Run(fmt.Sprintf("%v/%s", mode, limit.name), func(t *testing.T) {
				t.Parallel()
				stats := emulated(t, ratelimited.Config{RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm}, emulator.Config{
					RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm, Mode: mode,
					Latency: 300 * time.Millisecond, TokenDelay: 5 * time.Millisecond,
				}, func(t *testing.T, client *ratelimited.Client) {
					ctx, cancel := context.WithCancel(t.Context()) // calls with a deadline would give way before it
					defer cancel()
					time.AfterFunc(length, cancel)
					results := ratelimited.Gather(t.Context(), make([]int, limit.callers), func(context.Context, int) (int, error) {
						i := 0
						for ; ctx.Err() == nil; i++ {
							// Replies of 1 to 160 tokens; a third of them streamed.
							err := callOrStream(ctx, client, fmt.Sprintf("Count to %d.", 1+i*i*7%160), i%3 == 0)
							if err != nil && ctx.Err() == nil { // not because the two minutes are over
								return i, err
							}
						}
						return i, nil
					})
					for _, result := range results {
						if result.Err != nil {
							t.Errorf("after %d calls: %v", result.Value, result.Err)
						}
					}
				})
				minutes := length.Minutes()
				requests := 100 * float64(stats.Admitted) / (limit.rps * 60 * minutes)
				tokens := 100 * float64(stats.Tokens) / (float64(limit.tpm) * minutes)
				t.Logf("%d calls, %.1f %% of the requests and %.1f %% of the tokens that the limit allows in two minutes", stats.Admitted, requests, tokens)
				if stats.Refused() != 0 {
					t.Errorf("%d requests were refused: %+v", stats.Refused(), stats)
				}
				if max(requests, tokens) < float64(limit.least) {
					t.Errorf("less than %d %% of the limit was used", limit.least)
				}
			})
		}
	}
}
