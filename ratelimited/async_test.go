package ratelimited_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The calls of Gather share one limiter.
func TestGatherIsLimited(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		inputs := []string{"a", "b", "c", "d", "e"}
		var ends [5]time.Duration
		begin := time.Now()
		results := ratelimited.Gather(t.Context(), inputs, func(ctx context.Context, input string) (int, error) {
			_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(input)})
			i := int(input[0] - 'a')
			ends[i] = time.Since(begin)
			if input == "c" {
				return 0, errors.New("error of c")
			}
			return i, err
		})
		for i, result := range results {
			if i != 2 && (result.Err != nil || result.Value != i) || i == 2 && result.Err == nil {
				t.Errorf("result %d is %+v", i, result)
			}
		}
		if took := time.Since(begin); took != 8200*time.Millisecond { // four times 2 s plus the jitter
			t.Errorf("five calls at 0.5 requests/s took %v, want 8.2 s (%v)", took, ends)
		}
	})
}

// Gather runs at most 1,000 calls at a time.
func TestGatherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, maxRunning atomic.Int64
		results := ratelimited.Gather(t.Context(), make([]int, 3000), func(context.Context, int) (string, error) {
			maxRunning.Store(max(maxRunning.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			return strconv.Itoa(1), nil
		})
		if len(results) != 3000 || maxRunning.Load() != 1000 {
			t.Errorf("%d results with at most %d concurrent calls, want 3000 and 1000", len(results), maxRunning.Load())
		}
	})
	if results := ratelimited.Gather(t.Context(), nil, func(context.Context, int) (int, error) { return 0, nil }); len(results) != 0 {
		t.Errorf("without inputs, the results are %v", results)
	}
}

// When the context of Gather ends, Gather makes no further calls. Their results contain the cause.
func TestGatherStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	var calls atomic.Int64
	results := ratelimited.Gather(ctx, make([]int, 5000), func(ctx context.Context, _ int) (int, error) {
		if calls.Add(1) == 1 {
			cancel(reason)
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	for i, result := range results {
		if result.Err == nil {
			t.Fatalf("result %d has no error", i)
		}
	}
	if calls.Load() > 1000 || !errors.Is(results[4999].Err, reason) {
		t.Errorf("%d calls, last error %v; want at most 1000 and the cause", calls.Load(), results[4999].Err)
	}
}

// Await returns when the function has ended or the context ends.
func TestFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := ratelimited.Async(func() (string, error) {
			time.Sleep(3 * time.Second)
			return "done", nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := future.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await with a deadline of 1 s: %v, want context.DeadlineExceeded", err)
		}
		took := elapsed(func() {
			if value, err := future.Await(t.Context()); value != "done" || err != nil {
				t.Errorf("Await: %q, %v", value, err)
			}
		})
		if took != 2*time.Second {
			t.Errorf("Await took %v, want the remaining 2 s", took)
		}
		select {
		case <-future.Done():
		default:
			t.Error("Done is not closed")
		}
		if value, err := future.Await(ctx); value != "done" || err != nil {
			t.Errorf("Await of a completed future with an expired context: %q, %v", value, err)
		}
	})
}

// A function can end its goroutine instead of returning, as testing.T.FailNow does.
func TestFutureOfFunctionThatCallsGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := ratelimited.Async(func() (string, error) {
			runtime.Goexit()
			return "never", nil
		})
		for range 2 {
			if value, err := future.Await(t.Context()); value != "" || err == nil || !strings.HasPrefix(err.Error(), "mistral: ") {
				t.Errorf("Await: %q, %v; want an error with the prefix \"mistral: \"", value, err)
			}
		}
	})
}

// Functions that end their goroutines do not stop the other calls of the same Gather.
func TestGatherWithFunctionsThatCallGoexit(t *testing.T) {
	for name, ends := range map[string]func(i int) bool{
		"one":            func(i int) bool { return i == 1 },
		"every third":    func(i int) bool { return i%3 == 0 },
		"the first 1200": func(i int) bool { return i < 1200 },
		"all":            func(int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inputs := make([]int, 2500)
				for i := range inputs {
					inputs[i] = i
				}
				var calls atomic.Int64
				results := ratelimited.Gather(t.Context(), inputs, func(_ context.Context, i int) (int, error) {
					calls.Add(1)
					if ends(i) {
						runtime.Goexit()
					}
					return i + 1, nil
				})
				if calls.Load() != 2500 {
					t.Errorf("%d calls were made, want 2500", calls.Load())
				}
				for i, result := range results {
					if ends(i) && (result.Err == nil || result.Value != 0) || !ends(i) && (result.Err != nil || result.Value != i+1) {
						t.Fatalf("result %d is %+v", i, result)
					}
				}
			})
		})
	}
}

// Await and Gather return both the context's error and its cause.
func TestAwaitAndGatherReturnTheCause(t *testing.T) {
	reason := errors.New("the cause")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(reason) })
		future := ratelimited.Async(func() (int, error) {
			time.Sleep(time.Minute)
			return 1, nil
		})
		if _, err := future.Await(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
			t.Errorf("Await: %v, want the cancellation and its cause", err)
		}
		for i, result := range ratelimited.Gather(ctx, make([]int, 3), func(context.Context, int) (int, error) { return 1, nil }) {
			if !errors.Is(result.Err, context.Canceled) || !errors.Is(result.Err, reason) {
				t.Errorf("result %d of Gather: %v, want the cancellation and its cause", i, result.Err)
			}
		}
		if value, err := future.Await(t.Context()); value != 1 || err != nil {
			t.Errorf("the call continues, but it returned %v, %v", value, err)
		}
	})
}
