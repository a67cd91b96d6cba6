package bulk_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// TestComparison sends 400 rows of various sizes at 5 requests/s and 100,000 tokens/min: with Run,
// with Gather and the same client, and with the algorithm of OpenAI's cookbook. Run it with -v for
// the table.
func TestComparison(t *testing.T) {
	const perSecond, perMinute, maxTokens = 5, 100_000, 4096
	rows := heavyRows(400)
	for i := range rows {
		rows[i].Request.Model, rows[i].Request.Store = "m", ratelimited.Ptr(false)
		rows[i].Request.CompletionArgs.MaxTokens = ratelimited.Ptr(maxTokens)
	}
	start := func(client *ratelimited.Client) func(context.Context, bulk.Row) (*generated.ConversationResponse, error) {
		return func(ctx context.Context, row bulk.Row) (*generated.ConversationResponse, error) {
			return client.Beta.Conversations.Start(ctx, row.Request)
		}
	}
	measure := func(name string, work func(t *testing.T, client *ratelimited.Client) (done int), change ...func(*ratelimited.Config)) (took time.Duration, throttled int) {
		emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
			begin := time.Now()
			done := work(t, client)
			took, throttled = time.Since(begin), server.Stats().Total().Refused()
			used := float64(server.Stats().Total().Tokens) / took.Minutes() / perMinute
			t.Logf("%-40s %4d done in %8v, %3.0f%% of the tokens, %4d responses 429", name, done, took.Round(time.Second), 100*used, throttled)
		}, emulatortest.WithClient(func(c *ratelimited.Config) {
			c.Timeout, c.RequestsPerSecond, c.TokensPerMinute = 5*time.Minute, perSecond, perMinute
			for _, f := range change {
				f(c)
			}
		}), emulatortest.WithServer(emulator.Config{
			RequestsPerSecond: perSecond, TokensPerMinute: perMinute, Mode: emulator.SlidingWindow, Model: longResponses,
			Latency: 2 * time.Second, TokensPerSecond: 100,
		}))
		return took, throttled
	}
	unlimited := func(c *ratelimited.Config) {
		c.RequestsPerSecond, c.TokensPerMinute, c.MaxRetries = 1_000_000, 1_000_000_000, ratelimited.NoRetries
	}

	took, throttled := measure("bulk.Run", func(t *testing.T, client *ratelimited.Client) int {
		return mustRun(t, client, output(t), bulk.Rows(func(yield func(bulk.Row) bool) {
			for _, row := range rows {
				if !yield(row) {
					return
				}
			}
		}), bulk.Options{}).Done
	})
	if throttled != 0 {
		t.Errorf("Run: %d requests were throttled", throttled)
	}
	gathered, throttled := measure("ratelimited.Gather", func(t *testing.T, client *ratelimited.Client) (done int) {
		for _, r := range ratelimited.Gather(t.Context(), rows, start(client)) {
			if r.Err == nil {
				done++
			}
		}
		return done
	})
	if throttled != 0 || took > gathered+gathered/10 {
		t.Errorf("Gather took %v and Run %v; %d requests were throttled", gathered, took, throttled)
	}
	reserving, _ := measure("cookbook, max_tokens reserved", func(t *testing.T, client *ratelimited.Client) int {
		return cookbook(t, rows, perSecond, perMinute, maxTokens, start(client))
	}, unlimited)
	if took > reserving {
		t.Errorf("Run took %v, longer than %v", took, reserving)
	}
	_, throttled = measure("cookbook, 500 tokens per response", func(t *testing.T, client *ratelimited.Client) int {
		return cookbook(t, rows, perSecond, perMinute, 500, start(client))
	}, unlimited)
	if throttled == 0 {
		t.Error("calls with too low estimates were not throttled")
	}
}

// cookbook makes calls with the algorithm of api_request_parallel_processor.py. Two capacities
// refill, and a call takes an estimate that is never corrected. After a 429, all calls pause for 15
// s, and the call is made again, up to five times. It returns the number of calls that succeeded.
func cookbook(t *testing.T, rows []bulk.Row, perSecond, perMinute, response float64,
	call func(context.Context, bulk.Row) (*generated.ConversationResponse, error),
) int {
	t.Helper()
	const pause, attempts = 15 * time.Second, 5
	type request struct{ row, attempts int }
	var mu sync.Mutex
	var again []request
	var throttled time.Time
	var done, busy atomic.Int64
	requests, tokens, updated := perSecond*60, perMinute, time.Now()
	for next := 0; ; {
		mu.Lock()
		var r request
		switch {
		case len(again) > 0:
			r, again = again[0], again[1:]
		case next < len(rows):
			r = request{next, attempts}
			next++
		}
		mu.Unlock()
		if r.attempts == 0 {
			if busy.Load() == 0 {
				return int(done.Load())
			}
			time.Sleep(time.Second)
			continue
		}
		text, _ := rows[r.row].Request.Inputs.Text()
		need := float64(len(text))/5 + response
		for {
			mu.Lock()
			wait := time.Until(throttled.Add(pause))
			mu.Unlock()
			now := time.Now()
			requests = min(perSecond*60, requests+perSecond*now.Sub(updated).Seconds())
			tokens = min(perMinute, tokens+perMinute/60*now.Sub(updated).Seconds())
			if updated = now; wait <= 0 && requests >= 1 && tokens >= need {
				break
			}
			missing := max((1-requests)/perSecond, (need-tokens)/(perMinute/60)) // the original checks every millisecond
			time.Sleep(max(wait, time.Millisecond, time.Duration(missing*float64(time.Second))))
		}
		requests, tokens = requests-1, tokens-need
		busy.Add(1)
		go func() {
			defer busy.Add(-1)
			_, err := call(t.Context(), rows[r.row])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done.Add(1)
			case errors.Is(err, ratelimited.ErrRateLimited):
				throttled = time.Now()
				fallthrough
			default:
				if r.attempts--; r.attempts > 0 {
					again = append(again, r)
				}
			}
		}()
	}
}
