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

// Calls made together are spaced by the one limiter that they share.
func TestGatherIsLimited(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		inputs := []string{"a", "b", "c", "d", "e"}
		var ends [5]time.Duration
		begin := time.Now()
		results := ratelimited.Gather(t.Context(), inputs, func(ctx context.Context, input string) (int, error) {
			_, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(input)})
			i := int(input[0] - 'a')
			ends[i] = time.Since(begin)
			if input == "c" {
				return 0, errors.New("not c")
			}
			return i, err
		})
		for i, result := range results {
			if i != 2 && (result.Err != nil || result.Value != i) || i == 2 && result.Err == nil {
				t.Errorf("result %d is %+v", i, result)
			}
		}
		if took := time.Since(begin); took != 8200*time.Millisecond { // four times 2 s and the jitter
			t.Errorf("five calls at 0.5 a second took %v, want 8.2 s (%v)", took, ends)
		}
	})
}

func TestGatherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		results := ratelimited.Gather(t.Context(), make([]int, 3000), func(context.Context, int) (string, error) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			return strconv.Itoa(1), nil
		})
		if len(results) != 3000 || most.Load() != 1000 {
			t.Errorf("%d results with at most %d calls at a time, want 3000 and 1000", len(results), most.Load())
		}
	})
	if results := ratelimited.Gather(t.Context(), nil, func(context.Context, int) (int, error) { return 0, nil }); len(results) != 0 {
		t.Errorf("no inputs give %v", results)
	}
}

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

func TestFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := ratelimited.Async(func() (string, error) {
			time.Sleep(3 * time.Second)
			return "done", nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := future.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await for a second: %v, want the deadline", err)
		}
		took := elapsed(func() {
			if value, err := future.Await(t.Context()); value != "done" || err != nil {
				t.Errorf("Await: %q, %v", value, err)
			}
		})
		if took != 2*time.Second {
			t.Errorf("Await took %v, want the 2 s that were left", took)
		}
		select {
		case <-future.Done():
		default:
			t.Error("Done is not closed")
		}
		if value, err := future.Await(ctx); value != "done" || err != nil {
			t.Errorf("a future that is done is not awaited in vain: %q, %v", value, err)
		}
	})
}

// A call may end its goroutine instead of returning, as testing.T.FailNow does.
func TestFutureOfCallThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := ratelimited.Async(func() (string, error) {
			runtime.Goexit()
			return "never", nil
		})
		for range 2 { // to whoever asks
			if value, err := future.Await(t.Context()); value != "" || err == nil || !strings.HasPrefix(err.Error(), "mistral: ") {
				t.Errorf("Await: %q, %v; want an error of this package", value, err)
			}
		}
	})
}

// Calls that end their goroutines stop no other call of the same Gather, however
// many they are.
func TestGatherOutlivesItsCalls(t *testing.T) {
	for name, ends := range map[string]func(i int) bool{
		"one":            func(i int) bool { return i == 1 },
		"every third":    func(i int) bool { return i%3 == 0 },
		"all at first":   func(i int) bool { return i < 1200 },
		"without return": func(int) bool { return true },
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

// Who gives up waiting hears both that and why.
func TestCauseIsToldByAwaitAndGather(t *testing.T) {
	reason := errors.New("why")
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
			t.Errorf("the call itself: %v, %v; it goes on", value, err)
		}
	})
}
