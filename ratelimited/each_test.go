package ratelimited_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// naturals yields 0, 1, 2, and so on without end.
func naturals(yield func(int) bool) {
	for i := 0; yield(i); i++ {
		continue
	}
}

// upTo yields 0 to n-1.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// Each yields the results in the order in which the calls end, with the positions of their inputs.
func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []int
		began := time.Now()
		for i, result := range ratelimited.Each(t.Context(), upTo(5), func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(5-n) * time.Second)
			if n == 2 {
				return 0, errors.New("two")
			}
			return n * n, nil
		}) {
			got = append(got, i)
			if failed := result.Err != nil; failed != (i == 2) || !failed && result.Value != i*i {
				t.Errorf("result %d is %v", i, result)
			}
			if want := time.Duration(5-i) * time.Second; time.Since(began) != want {
				t.Errorf("Each yields result %d after %v, want %v", i, time.Since(began), want)
			}
		}
		if !slices.Equal(got, []int{4, 3, 2, 1, 0}) {
			t.Errorf("Each yields the results in the order %v", got)
		}
		for range ratelimited.Each(t.Context(), upTo(0), func(context.Context, int) (int, error) { return 0, nil }) {
			t.Error("Each yields a result without inputs")
		}
	})
}

// Each takes further inputs only while the number of running calls is below its limit. When the loop
// ends, Each takes no further inputs. It cancels the running calls and waits until they have ended.
func TestEachOfEndlessInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended, results := 0, 0, 0
		var lock = make(chan struct{}, 1)
		count := func(n *int) {
			lock <- struct{}{}
			*n++
			<-lock
		}
		for _, result := range ratelimited.Each(t.Context(), naturals, func(ctx context.Context, n int) (int, error) {
			count(&begun)
			defer count(&ended)
			if n < 3000 {
				return n, nil
			}
			<-ctx.Done()
			return n, ctx.Err()
		}) {
			if result.Err != nil {
				t.Error(result.Err)
			}
			if results++; results == 3000 {
				break
			}
		}
		if begun != ended || begun > 4001 || begun < 3000 {
			t.Errorf("%d calls have begun, and %d have ended", begun, ended)
		}
	})
}

// Each yields a result for a call that ends its goroutine, and for every call when the context ends.
func TestEachWithGoexitAndAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results := map[int]error{}
		for i, result := range ratelimited.Each(ctx, naturals, func(ctx context.Context, n int) (int, error) {
			if n == 1 {
				runtime.Goexit()
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}) {
			results[i] = result.Err
		}
		if len(results) < 1000 || results[1] == nil || errors.Is(results[1], context.DeadlineExceeded) || !errors.Is(results[0], context.DeadlineExceeded) {
			t.Errorf("%d results: %v, %v", len(results), results[0], results[1])
		}
	})
}

// If the key is invalid, the client sends one request. All other calls of Gather and Each fail with
// the error of that request.
func TestUnauthorizedStopsTheRest(t *testing.T) {
	requests := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		requests++
		status(401, `{"detail":"Invalid API Key"}`)(w, r)
	}
	config := ratelimited.Config{RequestsPerSecond: 1, BareBuckets: true}
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		call := func(ctx context.Context, _ int) (bool, error) {
			_, err := start(ctx, client)
			return err == nil, err
		}
		for i, result := range ratelimited.Gather(t.Context(), make([]int, 2000), call) {
			if !errors.Is(result.Err, ratelimited.ErrUnauthorized) {
				t.Fatalf("result %d is %v", i, result.Err)
			}
		}
		if requests != 1 {
			t.Errorf("%d requests, want 1", requests)
		}
		requests = 0
		count := 0
		for i, result := range ratelimited.Each(t.Context(), naturals, call) {
			if count++; !errors.Is(result.Err, ratelimited.ErrUnauthorized) {
				t.Fatalf("result %d is %v", i, result.Err)
			}
		}
		if requests != 1 || count > 1001 {
			t.Errorf("%d requests and %d results, want 1 and at most 1001", requests, count)
		}
	})
}

// A 403 does not stop the other calls of Each.
func TestForbiddenDoesNotStopTheRest(t *testing.T) {
	runWithHandler(t, fast, handlersInOrder(status(403, `{"message":"no"}`), ok), func(t *testing.T, client *ratelimited.Client) {
		succeeded := 0
		for _, result := range ratelimited.Each(t.Context(), upTo(20), func(ctx context.Context, _ int) (bool, error) {
			_, err := start(ctx, client)
			return err == nil, err
		}) {
			if result.Err == nil {
				succeeded++
			}
		}
		if succeeded != 19 {
			t.Errorf("%d of 20 calls succeeded, want 19", succeeded)
		}
	})
}
