package ratelimited_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Calls of all classes, with various options, panic, are cancelled, and fail. Each call must end and
// release its permit.
func TestClassesWithFaults(t *testing.T) {
	for name, configure := range map[string]func(*ratelimited.Config){
		"a shared limit": func(*ratelimited.Config) {},
		"learned limits": func(c *ratelimited.Config) { c.LearnLimits = true },
		"named limits":   func(c *ratelimited.Config) { c.TokensPerMinute = 1_000_000 },
		"few in flight":  func(c *ratelimited.Config) { c.MaxInFlight = 2 },
		"bare buckets":   func(c *ratelimited.Config) { c.BareBuckets = true },
		"a model's limit": func(c *ratelimited.Config) {
			c.Limits = map[string]limiter.Limit{"m": {RequestsPerSecond: 3, TokensPerMinute: 40_000}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := ratelimited.Config{
				APIKey: secretKey, RequestsPerSecond: 4, TokensPerMinute: 60_000, MaxQueue: 12, Classes: map[string]float64{"night": 0.1},
				StateFile: filepath.Join(t.TempDir(), "state"),
			}
			configure(&config)
			synctest.Test(t, func(t *testing.T) {
				e := emulator.New(emulator.Config{RequestsPerSecond: 3, TokensPerMinute: 50_000, Mode: emulator.SlidingWindow, Latency: time.Second, LatencySpread: time.Second})
				if err := e.SetFaults(emulator.Fault{Kind: emulator.FaultUnavailable, Every: 7}, emulator.Fault{Kind: emulator.FaultReset, Every: 11}); err != nil {
					t.Fatal(err)
				}
				server := memnet.Start(checked(t, func(w http.ResponseWriter, r *http.Request) { e.ServeHTTP(w, r) }))
				defer server.Close()
				config.BaseURL, config.HTTPClient = server.URL(), server.Client()
				client := newClient(t, config)
				var callers sync.WaitGroup
				for i := range 40 {
					random := rand.New(rand.NewPCG(3, uint64(i)))
					callers.Go(func() {
						for range 6 {
							time.Sleep(time.Duration(random.IntN(8000)) * time.Millisecond)
							makeRandomCall(t, client, random)
						}
					})
				}
				time.AfterFunc(20*time.Second, func() {
					if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 30_000}); err != nil {
						t.Error(err)
					}
				})
				time.AfterFunc(30*time.Second, func() {
					if err := client.SetLimit("m", limiter.Limit{RequestsPerSecond: 3, TokensPerMinute: 40_000}); err != nil {
						t.Error(err)
					}
				})
				callers.Wait()
				synctest.Wait()
				wantNoPermits(t, client)
				if err := client.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// makeRandomCall makes a call with a random class and random options. It ignores the call's error, but
// checks that a panic of the OnQueue function reaches the caller.
func makeRandomCall(t *testing.T, client *ratelimited.Client, random *rand.Rand) {
	ctx, cancel := context.WithCancel(ratelimited.WithClass(t.Context(), []string{ratelimited.Interactive, ratelimited.Batch, "night"}[random.IntN(3)]))
	defer cancel()
	if random.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+random.IntN(40_000))*time.Millisecond)
		defer cancel()
	}
	if random.IntN(4) == 0 {
		ctx = limiter.WithPlace(ctx)
	}
	var options []ratelimited.CallOption
	if random.IntN(3) == 0 {
		options = append(options, ratelimited.WithMaxWait(time.Duration(random.IntN(20))*time.Second))
	}
	panics := false
	if random.IntN(2) == 0 {
		at := random.IntN(6)
		options = append(options, ratelimited.OnQueue(func(s ratelimited.QueueStatus) {
			if s.Position < 1 || s.Expected < 0 {
				t.Errorf("OnQueue receives %+v", s)
			}
			time.Sleep(time.Duration(at) * 300 * time.Millisecond)
			if at--; at == 0 {
				panics = true
				panic("OnQueue")
			}
		}))
	}
	defer func() {
		if r := recover(); (r != nil) != panics {
			t.Errorf("the call panicked with %v, want a panic: %v", r, panics)
		}
	}()
	if random.IntN(3) == 0 {
		if stream, err := client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}, options...); err == nil {
			_, _ = collect(stream)
		}
		return
	}
	_, _ = start(ctx, client, options...)
}
