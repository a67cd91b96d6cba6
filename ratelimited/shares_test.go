package ratelimited_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// serverWithResponseSizes is a server whose responses use the number of tokens in the prompt. It generates
// 200 tokens/s on average.
func serverWithResponseSizes(mode emulator.Mode) emulator.Config {
	return emulator.Config{
		RequestsPerSecond: 5, TokensPerMinute: 100_000, Mode: mode, Latency: time.Second, LatencySpread: 300 * time.Millisecond,
		Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
			tokens, err := strconv.Atoi(p.Text())
			if err != nil {
				return emulator.Reply{Err: &emulator.Error{Status: 400, Message: err.Error()}}
			}
			time.Sleep(time.Duration((0.5 + rand.Float64()) * float64(tokens) / 200 * float64(time.Second)))
			return emulator.Reply{Text: "Hi.", Usage: &generated.ConversationUsageInfo{PromptTokens: 1, CompletionTokens: tokens - 1, TotalTokens: tokens}}
		},
	}
}

// measureUsage runs 40 callers of each class for a warm-up time and then for ten minutes. It returns the usage of each
// class in these ten minutes. The unit is the seconds in which the limits allow the same usage. During the warm-up, the
// client learns the sizes of responses, and classes that used more than their share use less again. After the warm-up,
// measureUsage calls warmedUp.
func measureUsage(t *testing.T, client *ratelimited.Client, classes []string, size func(*rand.Rand) int, warmUp time.Duration, warmedUp func()) (used map[string]float64) {
	t.Helper()
	begin := time.Now().Add(warmUp)
	end := begin.Add(10 * time.Minute)
	used = map[string]float64{}
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Go(func() {
		time.Sleep(time.Until(begin))
		warmedUp()
	})
	for i := range 40 * len(classes) {
		all.Go(func() {
			class, random := classes[i%len(classes)], rand.New(rand.NewPCG(1, uint64(i)))
			ctx := ratelimited.WithClass(t.Context(), class)
			for time.Now().Before(end) {
				tokens := size(random)
				request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(strconv.Itoa(tokens))}
				request.CompletionArgs.MaxTokens = ratelimited.Ptr(tokens)
				if _, err := client.Beta.Conversations.Start(ctx, request); err != nil {
					t.Error(err)
					return
				}
				if now := time.Now(); now.After(begin) && now.Before(end) {
					mu.Lock()
					used[class] += max(1.0/5, float64(tokens)*60/100_000)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return used
}

// While calls of two classes wait, each class gets its share, for all sizes of calls and modes of the emulator. The
// emulator must not reject any request.
func TestSharesOfClasses(t *testing.T) {
	for name, test := range map[string]struct {
		warmUp time.Duration
		size   func(*rand.Rand) int
	}{
		"small": {time.Minute, func(*rand.Rand) int { return 100 }},
		"large": {10 * time.Minute, func(*rand.Rand) int { return 4000 }},
		"mixed": {10 * time.Minute, func(r *rand.Rand) int { return int(min(3000, 20*math.Exp(1.2*r.NormFloat64()+3))) }},
	} {
		for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				config := ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 100_000, Classes: map[string]float64{"a": 1, "b": 4}}
				runWithLatency(t, config, serverWithResponseSizes(mode), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
					before := 0
					used := measureUsage(t, client, []string{"a", "b"}, test.size, test.warmUp, func() { before = e.Stats().Models["m"].Refused() })
					if n := e.Stats().Models["m"].Refused() - before; n > 0 {
						t.Errorf("the emulator rejected %d requests, want 0", n)
					}
					b := used["b"] / (used["a"] + used["b"])
					t.Logf("the share of b is %.3f", b)
					if math.Abs(b/0.8-1) > 0.05 || math.Abs((1-b)/0.2-1) > 0.05 {
						t.Errorf("the share of b is %.3f, want 0.8", b)
					}
				})
			})
		}
	}
}
