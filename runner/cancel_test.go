package runner_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

func statuses(turn runner.Turn) (list []string) {
	for _, o := range turn.Calls {
		list = append(list, o.Name+": "+string(o.Status))
	}
	return list
}

// A canceled run returns at once with the partial result.
func TestCancel(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("a", `{"ms":100}`, "b", `{"ms":9000}`, "c", `{"ms":0}`))}}, func(env *environment) {
		r := env.runner(runner.Config{Limits: runner.Limits{Parallel: 1}, Tools: []*runner.Tool{sleeper(env, "a", nil), sleeper(env, "b", nil), sleeper(env, "c", func() { env.Error("c was called") })}})
		ctx, cancel := context.WithCancelCause(env.Context())
		cause := errors.New("the user closed the page")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		var err error
		took := elapsed(func() { _, err = r.Start(ctx, userRequest("?")) })
		if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || took != time.Second {
			env.Fatalf("after %v: %v", took, err)
		}
		result := runner.ResultOf(err)
		if got := strings.Join(statuses(result.Turns[0]), ", "); got != "a: done, b: interrupted, c: not started" || len(result.Unsent) != 1 {
			env.Errorf("calls are %s, %d results", got, len(result.Unsent))
		}
	})
}

// A run does not wait longer than Grace for a function that ignores its context.
func TestCancelOfAFunctionThatIgnoresIt(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("a", "{}", "b", `{"ms":10}`))}}, func(env *environment) {
		release := make(chan struct{})
		r := env.runner(runner.Config{Grace: 2 * time.Second, Tools: []*runner.Tool{
			tool(env, "a", func(context.Context, struct{}) (string, error) { <-release; return "late", nil }), sleeper(env, "b", nil),
		}})
		ctx, cancel := context.WithTimeout(env.Context(), time.Second)
		defer cancel()
		var err error
		took := elapsed(func() { _, err = r.Start(ctx, userRequest("?")) })
		close(release)
		if !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			env.Fatalf("after %v: %v", took, err)
		}
		if got := strings.Join(statuses(runner.ResultOf(err).Turns[0]), ", "); got != "a: interrupted, b: done" {
			env.Errorf("calls are %s", got)
		}
	})
}

// A run does not wait for a function after its timeout. The end of the function is reported once.
func TestLateFunction(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ended []error
	observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			if e, ok := event.(ratelimited.Ended); ok && operation == "Runner.Tool" {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, e.Err)
			}
		}
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("done"))}, client: ratelimited.Config{Observer: observer}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) {
			time.Sleep(10 * time.Second)
			return "late", nil
		}, runner.WithTimeout(50*time.Millisecond))}})
		var err error
		if took := elapsed(func() { _, err = r.Start(env.Context(), userRequest("?")) }); err != nil || took != 50*time.Millisecond {
			env.Errorf("after %v: %v", took, err)
		}
		if byID, _ := results(env, env.requests()[1]); byID["a"] != "The function took too long and was stopped." {
			env.Errorf("the model received %q", byID["a"])
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		var failure *runner.Failure
		if len(ended) != 1 || !errors.As(ended[0], &failure) || failure.Stage != runner.StageTimeout || failure.Late != 10*time.Second-50*time.Millisecond {
			env.Errorf("the observer received %v", ended)
		}
		if len(env.requests()) != 2 {
			env.Errorf("%d requests", len(env.requests()))
		}
	})
}

func TestAbort(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("a", "{}", "b", `{"ms":100}`, "c", "{}"))}}, func(env *environment) {
		cause := errors.New("password=hunter2")
		r := env.runner(runner.Config{Limits: runner.Limits{Parallel: 2}, Tools: []*runner.Tool{
			tool(env, "a", func(context.Context, struct{}) (string, error) { return "", runner.Abort(fmt.Errorf("x: %w", cause)) }), sleeper(env, "b", nil),
			tool(env, "c", func(context.Context, struct{}) (string, error) { env.Error("c was called"); return "", nil }),
		}})
		_, err := r.Start(env.Context(), userRequest("?"))
		var aborted *runner.RunError
		if !errors.As(err, &aborted) || !errors.Is(err, cause) || strings.Contains(err.Error(), "hunter2") || len(env.requests()) != 1 {
			env.Fatalf("%v after %d requests", err, len(env.requests()))
		}
		if got := strings.Join(statuses(aborted.Result.Turns[0]), ", "); got != "a: failed, b: done, c: not started" || len(aborted.Result.Unsent) != 1 {
			env.Errorf("calls are %s, %d results", got, len(aborted.Result.Unsent))
		}
	})
}

// A request that fails permanently ends the run. No function runs again.
func TestRequestsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer   func(w http.ResponseWriter)
		is       error
		requests int
		unknown  int
	}{
		"429": {func(w http.ResponseWriter) {
			http.Error(w, `{"message":"Requests rate limit exceeded"}`, http.StatusTooManyRequests)
		}, ratelimited.ErrRateLimited, 5, 0},
		"403": {func(w http.ResponseWriter) { http.Error(w, `{"detail":"blocked"}`, http.StatusForbidden) }, ratelimited.ErrForbidden, 2, 0},
		"cut": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, ratelimited.ErrUnconfirmed, 2, 1},
	} {
		var n atomic.Int64
		intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n.Add(1) == 1 {
				next.ServeHTTP(w, r)
				return
			}
			c.answer(w)
		}
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("done")), Intercept: intercept}, client: ratelimited.Config{MaxOutage: -1}}, func(env *environment) {
			called := 0
			r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { called++; return "x", nil })}})
			_, err := r.Start(env.Context(), userRequest("?"))
			var failed *runner.RunError
			if !errors.As(err, &failed) || failed.Turn != 2 || failed.Stage != runner.StageRequest || !errors.Is(err, c.is) || called != 1 || len(env.requests()) != c.requests {
				env.Fatalf("%s: %v after %d requests and %d calls", name, err, len(env.requests()), called)
			}
			if name == "429" && !errors.As(err, new(*ratelimited.RateLimitError)) {
				env.Errorf("%v is not a RateLimitError", err)
			}
			if len(failed.Result.Unsent) != 1 || failed.Result.UnknownUsage != c.unknown || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, failed), secretKey) {
				env.Errorf("%s: %+v", name, failed.Result)
			}
		})
	}
}

// A history that no longer fits into the bucket cannot be sent.
func TestHistoryBeyondTheBucket(t *testing.T) {
	t.Parallel()
	s := settings{
		emulator: emulator.Config{Model: replySequence(calls("f", "{}"))},
		client:   ratelimited.Config{RequestsPerSecond: 100, TokensPerMinute: 20_000, BareBuckets: true, FixedEstimates: true},
	}
	inSynctest(t, s, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, struct{}) (string, error) { return strings.Repeat("word ", 8000), nil })}})
		_, err := r.Start(env.Context(), userRequest("?"))
		var failed *runner.RunError
		if !errors.As(err, &failed) || !errors.As(err, new(*ratelimited.RequestError)) || !errors.As(err, new(*limiter.TooLargeError)) || len(failed.Result.Unsent) != 1 {
			env.Fatalf("%v", err)
		}
		if len(env.requests()) != failed.Turn-1 {
			env.Errorf("%d requests in %d turns", len(env.requests()), failed.Turn)
		}
	})
}

// A run fails on a client that is shut down, without a context and without a runner.
func TestRunsThatCannotBegin(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{}, func(env *environment) {
		r := env.runner(runner.Config{})
		if _, err := r.Start(nil, userRequest("?")); !errors.Is(err, ratelimited.ErrInvalid) { //nolint:staticcheck // That is the test.
			env.Errorf("without a context: %v", err)
		}
		if _, err := new(runner.Runner).Start(env.Context(), userRequest("?")); !errors.As(err, new(*runner.ConfigError)) {
			env.Errorf("without a runner: %v", err)
		}
		if err := last(new(runner.Run)); !errors.As(err, new(*runner.ConfigError)) || new(runner.Run).Result() != nil {
			env.Errorf("without a run: %v", err)
		}
		if _, err := r.Start(env.Context(), userRequest("")); !errors.Is(err, ratelimited.ErrInvalid) {
			env.Errorf("without inputs: %v", err)
		}
		if err := env.client.Shutdown(env.Context()); err != nil {
			env.Fatal(err)
		}
		if _, err := r.Start(env.Context(), userRequest("?")); !errors.Is(err, ratelimited.ErrShuttingDown) {
			env.Errorf("after a shutdown: %v", err)
		}
		if len(env.requests()) != 0 {
			env.Errorf("%d requests", len(env.requests()))
		}
	})
}
