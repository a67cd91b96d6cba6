package ratelimited_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The client settles a call with the reported usage, or with its estimate.
func TestUsageIsSettled(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    float64 // available tokens of 2000
	}{
		"surplus is returned":               {status(200, responseJSON("fine", 30)), 1970},
		"shortfall is charged":              {status(200, responseJSON("fine", 1500)), 500},
		"more than the bucket holds":        {status(200, responseJSON("fine", 5000)), -3000},
		"sum if the total is missing":       {status(200, `{"conversation_id":"c","outputs":[],"usage":{"prompt_tokens":60,"completion_tokens":40}}`), 1900},
		"0 for a 400":                       {status(400, `{"message":"no"}`), 2000},
		"estimate without usage":            {status(200, `{"conversation_id":"c","outputs":[],"usage":null}`), 2000 - 500 - 8},
		"estimate for HTML":                 {status(200, `<html>hello</html>`), 2000 - 500 - 8},
		"estimate for a truncated response": {status(200, `{"conversation_id":`), 2000 - 500 - 8},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, test.handler, func(t *testing.T, client *ratelimited.Client) {
				_, _ = start(t.Context(), client) // some of the calls fail
				wantTokens(t, client, test.want)
			})
		})
	}
}

// The client holds the estimated tokens of the prompt and the response.
func TestEstimate(t *testing.T) {
	// "Hello!" counts as 2 tokens. A message has an overhead of 4 tokens, and a response of 2.
	for name, test := range map[string]struct {
		request generated.StartConversationRequest
		options []ratelimited.CallOption
		want    int
	}{
		"text and the default response": {generated.StartConversationRequest{Inputs: ratelimited.Text("Hello!")}, nil, 8 + 500},
		"max_tokens below the default": {generated.StartConversationRequest{
			Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(100)},
		}, nil, 8 + 100},
		"max_tokens above the default": {generated.StartConversationRequest{
			Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(4096)},
		}, nil, 8 + 500},
		"entries and instructions": {generated.StartConversationRequest{
			Inputs:       ratelimited.Entries(ratelimited.User("Hello!"), ratelimited.Assistant("Hello!")),
			Instructions: "Hello!",
		}, nil, 2 + 6 + 6 + 6 + 500},
		"capped at the capacity of the bucket": {generated.StartConversationRequest{Inputs: ratelimited.Text(strings.Repeat("Hello! ", 900))}, nil, 2000},
		"WithTokenEstimate":                    {generated.StartConversationRequest{Inputs: ratelimited.Text("Hello!")}, []ratelimited.CallOption{ratelimited.WithTokenEstimate(77)}, 77},
	} {
		t.Run(name, func(t *testing.T) {
			held := -1
			var client *ratelimited.Client
			record := func(w http.ResponseWriter, r *http.Request) {
				held = snapshot(client).HeldTokens
				ok(w, r)
			}
			runWithHandler(t, small, record, func(t *testing.T, c *ratelimited.Client) {
				client = c
				test.request.Model = "m"
				if _, err := c.Beta.Conversations.Start(t.Context(), test.request, test.options...); err != nil {
					t.Fatal(err)
				}
				if held != test.want {
					t.Errorf("the call held %d tokens, want %d", held, test.want)
				}
			})
		})
	}
}

// A call whose prompt exceeds the capacity of the bucket fails without being sent.
func TestPromptLargerThanTheBucket(t *testing.T) {
	sent := false
	runWithHandler(t, small, func(w http.ResponseWriter, r *http.Request) { sent = true; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text(strings.Repeat("word ", 3000)),
		})
		var request *ratelimited.RequestError
		var tooLarge *limiter.TooLargeError
		if !errors.As(err, &request) || !errors.As(err, &tooLarge) || request.Field != "tokens of inputs" || tooLarge.Capacity != 2000 || sent {
			t.Errorf("error is %v (sent: %v), want a RequestError without a request", err, sent)
		}
		wantTokens(t, client, 2000)
	})
}

// The model reads the stored history in each call of a conversation, so the client includes it in the estimate.
func TestHistoryIsEstimated(t *testing.T) {
	held := 0
	var client *ratelimited.Client
	record := func(w http.ResponseWriter, r *http.Request) {
		held = snapshot(client).HeldTokens
		if r.Method == http.MethodDelete {
			w.WriteHeader(204)
			return
		}
		writeJSON(w, 200, responseJSON("fine", 300))
	}
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 1e6}
	runWithHandler(t, config, record, func(t *testing.T, c *ratelimited.Client) {
		client = c
		wantAppend := func(want int) {
			t.Helper()
			_, err := c.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
			if err != nil || held != want {
				t.Errorf("append held %d tokens (%v), want %d", held, err, want)
			}
		}
		wantAppend(8 + defaultResponseEstimate) // the client does not know the conversation
		wantAppend(300 + 8 + defaultResponseEstimate)
		if _, err := c.Beta.Conversations.Restart(t.Context(), "conv_1", generated.RestartConversationRequest{FromEntryID: "msg_1"}); err != nil || held != 300+defaultResponseEstimate {
			t.Errorf("restart held %d tokens (%v), want %d", held, err, 300+defaultResponseEstimate)
		}
		if err := c.Beta.Conversations.Delete(t.Context(), "conv_1"); err != nil || held != 0 {
			t.Errorf("delete held %d tokens: %v", held, err)
		}
		wantAppend(8 + defaultResponseEstimate)
	})
}

// Models in Config.Limits have separate limits. The other models share the default limit.
func TestLimitsOfModels(t *testing.T) {
	config := ratelimited.Config{
		RequestsPerSecond: 1, BareBuckets: true,
		Limits: map[string]limiter.Limit{"quick": {RequestsPerSecond: 10, TokensPerMinute: 1e6}},
	}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		call := func(model string) {
			t.Helper()
			request := generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")}
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Error(err)
			}
		}
		if took := elapsed(func() { call("a"); call("b"); call("a") }); took != 2*time.Second {
			t.Errorf("models without a separate limit took %v, want 2 s", took)
		}
		if took := elapsed(func() {
			for range 15 {
				call("quick")
			}
		}); took != 500*time.Millisecond {
			t.Errorf("15 calls of a model with 10 requests/s took %v, want 500 ms", took)
		}
		// The last call with this conversation ID used the model "quick".
		if took := elapsed(func() {
			_, err := client.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
			if err != nil {
				t.Error(err)
			}
		}); took != 100*time.Millisecond {
			t.Errorf("append took %v, want the 100 ms of the conversation's model", took)
		}
		if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 4, TokensPerMinute: 1000}); err != nil {
			t.Fatal(err)
		}
		if got := client.Snapshot()["quick"].Admitted; got != 16 {
			t.Errorf("%d calls of quick admitted, want 16", got)
		}
	})
}

// WaitTime returns the time that a call would wait now.
func TestWaitTime(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, BareBuckets: true}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		if d := client.WaitTime("m", 100); d != 0 {
			t.Errorf("WaitTime before the first call is %v, want 0", d)
		}
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if d := client.WaitTime("m", 100); d != 2*time.Second {
			t.Errorf("WaitTime is %v, want 2 s", d)
		}
		if d := client.WaitTime("m", 600_000); d != limiter.Never {
			t.Errorf("WaitTime for more tokens than the capacity is %v, want Never", d)
		}
	})
}

// A call that is cancelled while it waits for the limiter does not use tokens or requests.
func TestCancelledWhileWaiting(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 2000}
	requests := 0
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		before := snapshot(client).AvailableTokens
		ctx, cancel := context.WithCancel(t.Context())
		failed := ratelimited.Async(func() (*generated.ConversationResponse, error) { return start(ctx, client) })
		synctest.Wait()
		cancel()
		_, err := failed.Await(t.Context())
		if !errors.Is(err, context.Canceled) || requests != 1 {
			t.Errorf("after %d requests: %v, want context.Canceled after 1", requests, err)
		}
		wantTokens(t, client, before)
	})
}

// A call that is cancelled while the server processes it is charged its estimate.
func TestCancelledWhileTheServerWorks(t *testing.T) {
	runWithHandler(t, small, noResponse, func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := start(ctx, client)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		if s := snapshot(client); s.TokensSettled != 508 {
			t.Errorf("%d tokens settled, want the estimate of 508", s.TokensSettled)
		}
	})
}
