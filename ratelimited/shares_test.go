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

// sized is a server whose responses have as many tokens as the message says, two hundred in a second on average.
func sized(mode emulator.Mode) emulator.Config {
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

// saturate has forty callers of each class call until ten minutes after the given time, and returns what each class has used
// in these ten minutes: the time in which the limits allow as much. Before, the client learns how long responses are, and
// classes that got more than their share give it back.
func saturate(t *testing.T, client *ratelimited.Client, classes []string, size func(*rand.Rand) int, before time.Duration, warm func()) (used map[string]float64) {
	t.Helper()
	begin := time.Now().Add(before)
	end := begin.Add(10 * time.Minute)
	used = map[string]float64{}
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Go(func() {
		time.Sleep(time.Until(begin))
		warm()
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

// While calls of two classes wait, each class gets its share, whatever the sizes and the server, and no request is
// refused.
func TestSharesOfClasses(t *testing.T) {
	for name, test := range map[string]struct {
		before time.Duration
		size   func(*rand.Rand) int
	}{
		"small": {time.Minute, func(*rand.Rand) int { return 100 }},
		"large": {10 * time.Minute, func(*rand.Rand) int { return 4000 }},
		"mixed": {10 * time.Minute, func(r *rand.Rand) int { return int(min(3000, 20*math.Exp(1.2*r.NormFloat64()+3))) }},
	} {
		for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				config := ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 100_000, Classes: map[string]float64{"a": 1, "b": 4}}
				onEmulator(t, config, sized(mode), func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
					before := 0
					used := saturate(t, client, []string{"a", "b"}, test.size, test.before, func() { before = e.Stats().Models["m"].Refused() })
					if n := e.Stats().Models["m"].Refused() - before; n > 0 {
						t.Errorf("%d requests are refused", n)
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
