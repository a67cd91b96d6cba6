package ratelimited_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The test checks the arrival times of requests at the emulator. Bare buckets hold RequestsPerSecond
// requests, at least one, and refill continuously. By default, the client also spaces requests for
// servers that count by windows, plus the jitter.
func TestArrivalTimes(t *testing.T) {
	for _, test := range []struct {
		rps  float64
		bare bool
		want []time.Duration
	}{
		{1.2, true, []time.Duration{0, 666_666_667, 1_500_000_000, 2_333_333_334, 3_166_666_667}},
		{0.5, true, []time.Duration{0, 2 * time.Second, 4 * time.Second}},
		{0.08, true, []time.Duration{0, 12_500 * time.Millisecond, 25 * time.Second}},
		{1.2, false, []time.Duration{0, 883_333_334, 1_766_666_668, 2_650_000_002}},
		{0.08, false, []time.Duration{0, 12_550 * time.Millisecond, 25_100 * time.Millisecond}},
		{3, false, []time.Duration{0, 0, 0, 1050 * time.Millisecond, 1050 * time.Millisecond, 1050 * time.Millisecond, 2100 * time.Millisecond}},
	} {
		t.Run(fmt.Sprintf("%v bare=%v", test.rps, test.bare), func(t *testing.T) {
			var arrivals []time.Duration
			begin := time.Time{}
			stats := runWithEmulator(t, ratelimited.Config{RequestsPerSecond: test.rps, BareBuckets: test.bare}, emulator.Config{
				RequestsPerSecond: test.rps,
				Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					arrivals = append(arrivals, time.Since(begin))
					next.ServeHTTP(w, r)
				},
			}, func(t *testing.T, client *ratelimited.Client) {
				begin = time.Now()
				for range test.want {
					if _, err := start(t.Context(), client); err != nil {
						t.Error(err)
					}
				}
			})
			for i := range test.want {
				if d := (arrivals[i] - test.want[i]).Abs(); d > time.Microsecond {
					t.Errorf("calls arrived at %v, want %v", arrivals, test.want)
					break
				}
			}
			if stats.Admitted != len(test.want) || stats.Refused() != 0 {
				t.Errorf("the emulator counts %+v, want %d requests admitted", stats, len(test.want))
			}
		})
	}
}

// 200 goroutines share one client at the account's rate. They make calls of different sizes, streamed
// and not. The emulator must not reject any request, and every call must settle.
func TestManyCallersShareAClient(t *testing.T) {
	const callers, calls = 200, 3
	stats := runWithEmulator(t, ratelimited.Config{RequestsPerSecond: 50, TokensPerMinute: 1_000_000}, emulator.Config{
		RequestsPerSecond: 50, TokensPerMinute: 1_000_000, Latency: 300 * time.Millisecond, TokenDelay: 10 * time.Millisecond,
	}, func(t *testing.T, client *ratelimited.Client) {
		results := ratelimited.Gather(t.Context(), make([]struct{}, callers), func(ctx context.Context, _ struct{}) (int, error) {
			for i := range calls {
				if err := callOrStream(ctx, client, fmt.Sprintf("Count to %d.", 10*i), i == 1); err != nil {
					return i, err
				}
			}
			return calls, nil
		})
		for i, result := range results {
			if result.Err != nil || result.Value != calls {
				t.Errorf("caller %d made %d calls: %v", i, result.Value, result.Err)
			}
		}
		if s := snapshot(client); s.Settled != callers*calls || s.Retried != 0 || s.Cancelled != 0 || s.Abandoned != 0 {
			t.Errorf("counters are %+v, want %d calls settled and no retries", s.Counters, callers*calls)
		}
	})
	if stats.Admitted != callers*calls || stats.Refused() != 0 {
		t.Errorf("the emulator admitted %d requests and rejected %d, want %d and 0", stats.Admitted, stats.Refused(), callers*calls)
	}
}

// The client settles exactly the tokens that the emulator counts.
func TestSettledTokensMatchTheEmulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{})
		server := memnet.Start(e)
		defer server.Close()
		httpClient := contract.Client(t, server.Client().Transport)
		client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: server.URL(), HTTPClient: httpClient, RequestsPerSecond: 100})
		defer client.Close()
		response, err := start(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			request := generated.AppendConversationRequest{Inputs: ratelimited.Text(fmt.Sprintf("Count to %d.", 20*i))}
			stream, err := client.Beta.Conversations.AppendStream(t.Context(), response.ConversationID, request)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := collect(stream); err != nil {
				t.Error(err)
			}
		}
		if used, counted := snapshot(client).TokensSettled, e.Stats().Models["m"].Tokens; int(used) != counted {
			t.Errorf("the client settled %d tokens, the emulator counted %d", used, counted)
		}
	})
}

// For two minutes, callers make more calls than the limits allow, against each mode of the emulator. The
// emulator must not reject any request, every call must succeed, and the calls must use at least 90% of
// the limit. The flag -v prints the shares.
func TestOverload(t *testing.T) {
	const length = 2 * time.Minute
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		for _, limit := range []struct {
			name                string
			rps                 float64
			tpm                 int
			minPercent, callers int
		}{
			{"requests", 2, 1_000_000, 90, 24},
			{"tokens", 5, 15_000, 90, 24},
			{"0.08 requests", 0.08, 100_000, 90, 4},
		} {
			t.Run(fmt.Sprintf("%v/%s", mode, limit.name), func(t *testing.T) {
				t.Parallel()
				stats := runWithEmulator(t, ratelimited.Config{RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm}, emulator.Config{
					RequestsPerSecond: limit.rps, TokensPerMinute: limit.tpm, Mode: mode,
					Latency: 300 * time.Millisecond, TokenDelay: 5 * time.Millisecond,
				}, func(t *testing.T, client *ratelimited.Client) {
					ctx, cancel := context.WithCancel(t.Context()) // with a deadline, calls would fail before it
					defer cancel()
					time.AfterFunc(length, cancel)
					results := ratelimited.Gather(t.Context(), make([]int, limit.callers), func(context.Context, int) (int, error) {
						i := 0
						for ; ctx.Err() == nil; i++ {
							// The responses have 1 to 160 tokens. A third of them is streamed.
							err := callOrStream(ctx, client, fmt.Sprintf("Count to %d.", 1+i*i*7%160), i%3 == 0)
							if err != nil && ctx.Err() == nil { // at the end of the two minutes, calls are cancelled
								return i, err
							}
						}
						return i, nil
					})
					for _, result := range results {
						if result.Err != nil {
							t.Errorf("after %d calls: %v", result.Value, result.Err)
						}
					}
				})
				minutes := length.Minutes()
				requests := 100 * float64(stats.Admitted) / (limit.rps * 60 * minutes)
				tokens := 100 * float64(stats.Tokens) / (float64(limit.tpm) * minutes)
				t.Logf("%d calls used %.1f%% of the requests and %.1f%% of the tokens that the limit allows in two minutes", stats.Admitted, requests, tokens)
				if stats.Refused() != 0 {
					t.Errorf("the emulator rejected %d requests: %+v", stats.Refused(), stats)
				}
				if max(requests, tokens) < float64(limit.minPercent) {
					t.Errorf("the calls used less than %d%% of the limit", limit.minPercent)
				}
			})
		}
	}
}
