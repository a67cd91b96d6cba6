package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A person who asks now and then does not wait behind three hundred calls of a batch, which use the rest.
func TestPersonBesideBatch(t *testing.T) {
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			server := emulator.Config{RequestsPerSecond: 5, TokensPerMinute: 1_000_000, Mode: mode, Latency: time.Second}
			onEmulator(t, ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 1_000_000}, server, func(t *testing.T, client *ratelimited.Client, e *emulator.Emulator) {
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
					waits = append(waits, time.Since(began)-time.Second) // the latency
				}
				all.Wait()
				slices.Sort(waits)
				if wait := waits[len(waits)*95/100]; wait > time.Second+50*time.Millisecond+100*time.Millisecond {
					t.Errorf("19 of 20 calls of the person wait for up to %v", wait)
				}
				stats := e.Stats().Models["m"]
				if stats.Refused() > 0 || stats.Admitted < 5*300*94/100 {
					t.Errorf("%d requests are admitted, %d refused", stats.Admitted, stats.Refused())
				}
			})
		})
	}
}

func TestUnknownClass(t *testing.T) {
	config := fast
	config.Classes = map[string]float64{"night": 0.1, ratelimited.Batch: 2}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
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

// What a call is told while it waits is what comes.
func TestOnQueueOfAClient(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.8, TokensPerMinute: 500_000, BareBuckets: true}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		var told []ratelimited.QueueStatus
		for i := range 3 {
			go func() {
				var options []ratelimited.CallOption
				if i == 2 {
					options = append(options, ratelimited.OnQueue(func(s ratelimited.QueueStatus) { told = append(told, s) }))
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
		if !slices.Equal(told, want) {
			t.Errorf("after %v it was told %v, want %v", time.Since(begin), told, want)
		}
		_, err := start(t.Context(), client, ratelimited.OnQueue(nil))
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != "OnQueue" {
			t.Errorf("error %v of a function that is nil", err)
		}
	})
}

func TestMaxQueueOfAClient(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, TokensPerMinute: 500_000, BareBuckets: true, MaxQueue: 2}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := func(ctx context.Context) *ratelimited.Future[ending] {
			f := ended(begin, func() error { _, err := start(ctx, client); return err })
			synctest.Wait()
			return f
		}
		calls := []*ratelimited.Future[ending]{call(t.Context()), call(t.Context()), call(t.Context())}
		_, err := start(t.Context(), client)
		var wait *ratelimited.WaitError
		if !errors.As(err, &wait) || !errors.Is(err, ratelimited.ErrQueueFull) || wait.Position != 3 || !strings.Contains(err.Error(), "2 calls are waiting") {
			t.Errorf("error %v of a call that finds the queue full", err)
		}
		for _, c := range append(calls, call(ratelimited.WithClass(t.Context(), ratelimited.Batch))) {
			if end, err := c.Await(t.Context()); err != nil || end.err != nil {
				t.Error(err, end.err)
			}
		}
	})
}

// A server that bounds the calls in flight is asked for no more at a time.
func TestConcurrencyIsLearned(t *testing.T) {
	var mu sync.Mutex
	var now, refused int
	enter := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if now == 3 {
			refused++
			return false
		}
		now++
		return true
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if !enter() {
			status(http.StatusTooManyRequests, `{"message":"Concurrent request limit reached"}`)(w, r)
			return
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		now--
		mu.Unlock()
		ok(w, r)
	}
	inBubble(t, ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 100_000_000}, handler, func(t *testing.T, client *ratelimited.Client) {
		calls := busy(t, client, 12, 10*time.Minute)
		if most := 3 * 600 / 5; calls < most*9/10 || refused > 40 {
			t.Errorf("%d calls of %d in ten minutes, %d refused", calls, most, refused)
		}
		if s := snapshot(client); s.Limit.RequestsPerSecond != 100 {
			t.Errorf("the limit of requests was changed: %v", s)
		}
	})
}

func TestClassesOfTheConfiguration(t *testing.T) {
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
			t.Errorf("error %v, want one of %s", err, field)
		}
	}
}
