package ratelimited_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// admissionRecorder is an observer that records the tokens and times of admitted calls.
type admissionRecorder struct {
	mu     sync.Mutex
	began  time.Time
	tokens []int
	at     []time.Duration // since began
}

// observe is the observer.
func (a *admissionRecorder) observe(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
	return ctx, func(event ratelimited.CallEvent) {
		if e, ok := event.(ratelimited.Acquired); ok {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.tokens, a.at = append(a.tokens, e.Tokens), append(a.at, time.Since(a.began))
		}
	}
}

// When the first responses arrive, the client estimates the waiting calls again with what it has
// learned. The first burst of requests is not delayed.
func TestWaitingCallsAreEstimatedAgain(t *testing.T) {
	const callers = 200
	var a admissionRecorder
	config := ratelimited.Config{RequestsPerSecond: 5, TokensPerMinute: 100_000, Observer: a.observe}
	runWithHandler(t, config, delayed(30*time.Second, status(200, responseWithUsage("c", 24, 40))), func(t *testing.T, client *ratelimited.Client) {
		a.began = time.Now()
		for _, r := range ratelimited.Gather(t.Context(), make([]int, callers), func(ctx context.Context, _ int) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		}) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if len(a.tokens) != callers {
			t.Fatalf("%d calls were admitted, want %d", len(a.tokens), callers)
		}
		for i := range 5 {
			if a.at[i] != 0 || a.tokens[i] != 8+defaultResponseEstimate {
				t.Errorf("call %d was admitted after %v with %d tokens, want at once with %d", i, a.at[i], a.tokens[i], 8+defaultResponseEstimate)
			}
		}
		before, unlearned := 0, 0
		for i, at := range a.at {
			switch {
			case at < 30*time.Second:
				before++
			case a.tokens[i] > 100:
				unlearned++
			}
		}
		if before < 20 || before > 150 {
			t.Errorf("%d calls were admitted before the first response, want 20 to 150 with %d tokens each", before, defaultResponseEstimate)
		}
		if unlearned > 5 { // after the first two responses, the client still uses its default estimate
			t.Errorf("%d calls were admitted after the first response with more than 100 tokens, want at most 5", unlearned)
		}
		if s := snapshot(client); s.TokensSettled != 64*callers || s.HeldTokens != 0 {
			t.Errorf("%d tokens settled and %d held, want %d and 0", s.TokensSettled, s.HeldTokens, 64*callers)
		}
	})
}

// If SetLimit lowers the limit while calls wait, the client caps their estimates at the new limit.
// A call whose prompt exceeds the new limit fails and does not hold a permit.
func TestWaitingCallsUnderALowerLimit(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 20_000, BareBuckets: true}
	runWithHandler(t, config, handlersInOrder(delayed(10*time.Second, ok), ok), func(t *testing.T, client *ratelimited.Client) {
		first := ratelimited.Async(func() (*generated.ConversationResponse, error) {
			return start(t.Context(), client, ratelimited.WithTokenEstimate(20_000))
		})
		synctest.Wait()
		time.AfterFunc(5*time.Second, func() {
			if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 3000}); err != nil {
				t.Error(err)
			}
		})
		results := ratelimited.Gather(t.Context(), []int{1, 4000, 1}, func(ctx context.Context, n int) (*generated.ConversationResponse, error) {
			return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(n))})
		})
		if results[0].Err != nil || results[2].Err != nil {
			t.Errorf("calls whose prompts fit return %v, %v", results[0].Err, results[2].Err)
		}
		if err := results[1].Err; !errors.As(err, new(*limiter.TooLargeError)) || !errors.As(err, new(*ratelimited.RequestError)) {
			t.Errorf("a call whose prompt does not fit returns %v, want a RequestError and a TooLargeError", err)
		}
		if _, err := first.Await(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The client estimates waiting calls again while other calls end and the limit changes. The settled
// tokens must be exactly the used tokens.
func TestCallsAreEstimatedAgainConcurrently(t *testing.T) {
	const callers = 300
	var used atomic.Int64
	var requests atomic.Int64
	runWithHandler(t, ratelimited.Config{RequestsPerSecond: 20, TokensPerMinute: 60_000}, func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		time.Sleep(time.Duration(n%7) * time.Second)
		used.Add(int64(10 + n%40 + 50*(n%11)))
		status(200, responseWithUsage("c", 10+n%40, 50*(n%11)))(w, r)
	}, func(t *testing.T, client *ratelimited.Client) {
		for i := range 20 {
			time.AfterFunc(time.Duration(i)*5*time.Second, func() {
				_ = client.Snapshot()
				if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 60_000 - 2000*(i%5)}); err != nil {
					t.Error(err)
				}
			})
		}
		for _, r := range ratelimited.Gather(t.Context(), make([]int, callers), func(ctx context.Context, _ int) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		}) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if s := snapshot(client); s.TokensSettled != used.Load() || s.HeldTokens != 0 || s.InFlight != 0 {
			t.Errorf("%d tokens settled and %d held by %d calls, want %d and 0", s.TokensSettled, s.HeldTokens, s.InFlight, used.Load())
		}
	})
}
