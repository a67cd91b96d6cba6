package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// Occasional interactive calls do not wait behind 300 callers of the batch class. The batch calls use
// the rest of the limit.
func TestInteractiveCallsDoNotWaitForBatchCalls(t *testing.T) {
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			server := emulator.Config{RequestsPerSecond: 5, TokensPerMinute: 1_000_000, Mode: mode, Latency: time.Second}
			runWithLatency(t, ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 1_000_000}, server, func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
				end := time.Now().Add(5 * time.Minute)
				var all sync.WaitGroup
				all.Go(func() {
					batch := ratelimited.WithClass(t.Context(), ratelimited.Batch)
					ratelimited.Gather(batch, make([]struct{}, 300), func(ctx context.Context, _ struct{}) (struct{}, error) {
						for time.Now().Before(end) {
							if _, err := start(ctx, client); err != nil {
								t.Error(err)
							}
						}
						return struct{}{}, nil
					})
				})
				var waits []time.Duration
				for time.Now().Before(end) {
					time.Sleep(3 * time.Second)
					began := time.Now()
					if _, err := start(t.Context(), client); err != nil {
						t.Error(err)
					}
					waits = append(waits, time.Since(began)-time.Second) // without the latency of 1 s
				}
				all.Wait()
				slices.Sort(waits)
				if wait := waits[len(waits)*95/100]; wait > time.Second+50*time.Millisecond+100*time.Millisecond {
					t.Errorf("95%% of the interactive calls wait for up to %v, want 1.15 s", wait)
				}
				stats := e.Stats().Models["m"]
				if stats.Refused() > 0 || stats.Admitted < 5*300*94/100 {
					t.Errorf("the emulator admitted %d requests and rejected %d, want 94%% of the limit and 0", stats.Admitted, stats.Refused())
				}
			})
		})
	}
}

// A call with an unknown class fails with a ConfigError that lists the classes.
func TestUnknownClass(t *testing.T) {
	config := fast
	config.Classes = map[string]float64{"night": 0.1, ratelimited.Batch: 2}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		for _, class := range []string{"", ratelimited.Interactive, ratelimited.Batch, "night"} {
			if _, err := start(ratelimited.WithClass(t.Context(), class), client); err != nil {
				t.Errorf("class %q: %v", class, err)
			}
		}
		_, err := start(ratelimited.WithClass(t.Context(), "bulk"), client)
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != "WithClass" || invalid.Value != "bulk" || invalid.Rule != "must be one of batch, interactive, night" {
			t.Errorf("error %v", err)
		}
	})
}

// OnQueue receives the call's position in the queue and a correct estimate of the remaining wait.
func TestOnQueue(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.8, TokensPerMinute: 500_000, BareBuckets: true}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		var statuses []ratelimited.QueueStatus
		for i := range 3 {
			go func() {
				var options []ratelimited.CallOption
				if i == 2 {
					options = append(options, ratelimited.OnQueue(func(s ratelimited.QueueStatus) { statuses = append(statuses, s) }))
				}
				if _, err := start(t.Context(), client, options...); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := []ratelimited.QueueStatus{
			{Position: 2, Expected: 2500 * time.Millisecond}, {Position: 2, Expected: 1500 * time.Millisecond}, {Position: 1, Expected: 500 * time.Millisecond},
		}
		if !slices.Equal(statuses, want) {
			t.Errorf("after %v, OnQueue has received %v, want %v", time.Since(begin), statuses, want)
		}
		_, err := start(t.Context(), client, ratelimited.OnQueue(nil))
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != "OnQueue" {
			t.Errorf("error of OnQueue(nil) is %v, want a ConfigError", err)
		}
	})
}

// MaxQueue limits the waiting calls of each class.
func TestMaxQueue(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, TokensPerMinute: 500_000, BareBuckets: true, MaxQueue: 2}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := func(ctx context.Context) *ratelimited.Future[timedResult] {
			f := callAsync(begin, func() error { _, err := start(ctx, client); return err })
			synctest.Wait()
			return f
		}
		calls := []*ratelimited.Future[timedResult]{call(t.Context()), call(t.Context()), call(t.Context())}
		_, err := start(t.Context(), client)
		var wait *ratelimited.WaitError
		if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrQueueFull) || wait.Position != 3 || !strings.Contains(err.Error(), "2 calls are waiting") {
			t.Errorf("error of a call with a full queue is %v, want ErrQueueFull", err)
		}
		for _, c := range append(calls, call(ratelimited.WithClass(t.Context(), ratelimited.Batch))) {
			if end, err := c.Await(t.Context()); err != nil || end.err != nil {
				t.Error(err, end.err)
			}
		}
	})
}

// If the server limits the number of concurrent requests, the client learns that limit.
func TestConcurrencyLimitIsLearned(t *testing.T) {
	var mu sync.Mutex
	var concurrent, rejected int
	enter := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if concurrent == 3 {
			rejected++
			return false
		}
		concurrent++
		return true
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if !enter() {
			status(http.StatusTooManyRequests, `{"message":"Concurrent request limit reached"}`)(w, r)
			return
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		concurrent--
		mu.Unlock()
		ok(w, r)
	}
	runWithHandler(t, ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 100_000_000}, handler, func(t *testing.T, client *ratelimited.Client) {
		calls := callRepeatedly(t, client, 12, 10*time.Minute)
		if possible := 3 * 600 / 5; calls < possible*9/10 || rejected > 40 {
			t.Errorf("%d of %d possible calls in ten minutes, want 90%%; %d rejected, want at most 40", calls, possible, rejected)
		}
		if s := snapshot(client); s.Limit.RequestsPerSecond != 100 {
			t.Errorf("the client has changed the request rate limit: %v", s)
		}
	})
}

// New validates the fields for classes and queues.
func TestClassFieldsAreValidated(t *testing.T) {
	for field, config := range map[string]ratelimited.Config{
		`Classes[""]`:    {Classes: map[string]float64{"": 1}},
		`Classes["low"]`: {Classes: map[string]float64{"low": 0}},
		"Classes":        {Classes: map[string]float64{"low": 1}, Limiter: limiter.InProcess()},
		"MaxInFlight":    {MaxInFlight: -1},
		"MaxQueue":       {MaxQueue: -1},
	} {
		config.APIKey = secretKey
		_, err := ratelimited.New(config)
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("error %v, want a ConfigError for the field %s", err, field)
		}
	}
}

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
