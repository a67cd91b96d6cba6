package ratelimited_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// For two minutes, callers make more calls than the limits allow, against each mode of the emulator. The
// emulator must not reject any request, every call must succeed, and the calls must use at least 90% of
// the limit. The flag -v prints the shares.
func TestOverload(t *testing.T) {
	const length = 2 * time.Minute
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		for _, limit := range []struct {
			name                string
			rps                 float64
			tpm                 int
			minPercent, callers int
		}{
			{"requests", 2, 1_000_000, 90, 24},
			{"tokens", 5, 15_000, 90, 24},
			{"0.08 requests", 0.08, 100_000, 90, 4},
		} {
			t.Run(fmt.Sprintf("%v/%s", mode, limit.name), func(t *testing.T) {
				t.Parallel()
				stats := runWithEmulator(t, ratelimited.Config{RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm}, emulator.Config{
					RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm, Mode: mode,
					Latency: 300 * time.Millisecond, TokenDelay: 5 * time.Millisecond,
				}, func(t *testing.T, client *ratelimited.Client) {
					ctx, cancel := context.WithCancel(t.Context()) // with a deadline, calls would fail before it
					defer cancel()
					time.AfterFunc(length, cancel)
					results := ratelimited.Gather(t.Context(), make([]int, limit.callers), func(context.Context, int) (int, error) {
						i := 0
						for ; ctx.Err() == nil; i++ {
							// The responses have 1 to 160 tokens. A third of them is streamed.
							err := callOrStream(ctx, client, fmt.Sprintf("Count to %d.", 1+i*i*7%160), i%3 == 0)
							if err != nil && ctx.Err() == nil { // at the end of the two minutes, calls are cancelled
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
				t.Logf("%d calls used %.1f%% of the requests and %.1f%% of the tokens that the limit allows in two minutes", stats.Admitted, requests, tokens)
				if stats.Refused() != 0 {
					t.Errorf("the emulator rejected %d requests: %+v", stats.Refused(), stats)
				}
				if max(requests, tokens) < float64(limit.minPercent) {
					t.Errorf("the calls used less than %d%% of the limit", limit.minPercent)
				}
			})
		}
	}
}
