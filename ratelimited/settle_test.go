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

// small is a token bucket in which each token shows: it hardly refills.
var small = ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 2000}

func wantTokens(t *testing.T, client *ratelimited.Client, want float64) {
	t.Helper()
	if got := snapshot(client).AvailableTokens; got < want-0.5 || got > want+0.5 {
		t.Errorf("the bucket holds %.1f tokens, want %.0f", got, want)
	}
}

func TestUsageIsSettled(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    float64 // left of 2000
	}{
		"surplus goes back":                {status(200, reply("fine", 30)), 1970},
		"shortfall is charged":             {status(200, reply("fine", 1500)), 500},
		"more than the bucket holds":       {status(200, reply("fine", 5000)), -3000},
		"sum where the total is missing":   {status(200, `{"conversation_id":"c","outputs":[],"usage":{"prompt_tokens":60,"completion_tokens":40}}`), 1900},
		"nothing for a refusal":            {status(400, `{"message":"no"}`), 2000},
		"estimate without usage":           {status(200, `{"conversation_id":"c","outputs":[],"usage":null}`), 2000 - 500 - 8},
		"estimate for a reply of HTML":     {status(200, `<html>hello</html>`), 2000 - 500 - 8},
		"estimate for a reply that breaks": {status(200, `{"conversation_id":`), 2000 - 500 - 8},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, small, test.handler, func(t *testing.T, client *ratelimited.Client) {
				_, _ = start(t.Context(), client) // its result is the subject of other tests
				wantTokens(t, client, test.want)
			})
		})
	}
}

func TestEstimate(t *testing.T) {
	// "Hello!" has 2 tokens, a message 4 and the reply 2 more.
	for name, test := range map[string]struct {
		request generated.StartConversationRequest
		options []ratelimited.CallOption
		want    int
	}{
		"text and a reply not known": {generated.StartConversationRequest{Inputs: ratelimited.Text("Hello!")}, nil, 8 + 500},
		"max_tokens below the guess": {generated.StartConversationRequest{
			Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(100)},
		}, nil, 8 + 100},
		"max_tokens above the guess": {generated.StartConversationRequest{
			Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(4096)},
		}, nil, 8 + 500},
		"entries and instructions": {generated.StartConversationRequest{
			Inputs:       ratelimited.Entries(ratelimited.User("Hello!"), ratelimited.Assistant("Hello!")),
			Instructions: "Hello!",
		}, nil, 2 + 6 + 6 + 6 + 500},
		"the guess is cut to the bucket": {generated.StartConversationRequest{Inputs: ratelimited.Text(strings.Repeat("Hello! ", 900))}, nil, 2000},
		"the caller's own":               {generated.StartConversationRequest{Inputs: ratelimited.Text("Hello!")}, []ratelimited.CallOption{ratelimited.WithTokenEstimate(77)}, 77},
	} {
		t.Run(name, func(t *testing.T) {
			held := -1
			var client *ratelimited.Client
			look := func(w http.ResponseWriter, r *http.Request) {
				held = snapshot(client).HeldTokens
				ok(w, r)
			}
			inBubble(t, small, look, func(t *testing.T, c *ratelimited.Client) {
				client = c
				test.request.Model = "m"
				if _, err := c.Beta.Conversations.Start(t.Context(), test.request, test.options...); err != nil {
					t.Fatal(err)
				}
				if held != test.want {
					t.Errorf("held %d tokens, want %d", held, test.want)
				}
			})
		})
	}
}

func TestPromptThatNeverFits(t *testing.T) {
	sent := false
	inBubble(t, small, func(w http.ResponseWriter, r *http.Request) { sent = true; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text(strings.Repeat("word ", 3000)),
		})
		var request *ratelimited.RequestError
		var tooLarge *limiter.TooLargeError
		if !errors.As(err, &request) || !errors.As(err, &tooLarge) || request.Field != "tokens of inputs" || tooLarge.Capacity != 2000 || sent {
			t.Errorf("error is %v (sent: %v), want a RequestError before anything is sent", err, sent)
		}
		wantTokens(t, client, 2000)
	})
}

// The history of a stored conversation is read again by each call, so it counts.
func TestHistoryCounts(t *testing.T) {
	held := 0
	var client *ratelimited.Client
	look := func(w http.ResponseWriter, r *http.Request) {
		held = snapshot(client).HeldTokens
		if r.Method == http.MethodDelete {
			w.WriteHeader(204)
			return
		}
		answer(w, 200, reply("fine", 300))
	}
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 1e6}
	inBubble(t, config, look, func(t *testing.T, c *ratelimited.Client) {
		client = c
		more := func(want int) {
			t.Helper()
			_, err := c.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
			if err != nil || held != want {
				t.Errorf("append held %d tokens (%v), want %d", held, err, want)
			}
		}
		more(8 + unknownReply) // nothing is known of the conversation
		more(300 + 8 + unknownReply)
		if _, err := c.Beta.Conversations.Restart(t.Context(), "conv_1", generated.RestartConversationRequest{FromEntryID: "msg_1"}); err != nil || held != 300+unknownReply {
			t.Errorf("restart held %d tokens (%v), want %d", held, err, 300+unknownReply)
		}
		if err := c.Beta.Conversations.Delete(t.Context(), "conv_1"); err != nil || held != 0 {
			t.Errorf("delete held %d tokens: %v", held, err)
		}
		more(8 + unknownReply)
	})
}

func TestModelsHaveTheirOwnLimits(t *testing.T) {
	config := ratelimited.Config{
		RequestsPerSecond: 1, BareBuckets: true,
		Limits: map[string]limiter.Limit{"quick": {RequestsPerSecond: 10, TokensPerMinute: 1e6}},
	}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		call := func(model string) {
			t.Helper()
			request := generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hello!")}
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Error(err)
			}
		}
		if took := elapsed(func() { call("a"); call("b"); call("a") }); took != 2*time.Second {
			t.Errorf("models without a limit of their own took %v, want the shared 2 s", took)
		}
		if took := elapsed(func() {
			for range 15 {
				call("quick")
			}
		}); took != 500*time.Millisecond {
			t.Errorf("15 calls to a model with 10 a second took %v, want 500 ms", took)
		}
		// The conversation was started with "quick" last, and goes on with it.
		if took := elapsed(func() {
			_, err := client.Beta.Conversations.Append(t.Context(), "conv_1", generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")})
			if err != nil {
				t.Error(err)
			}
		}); took != 100*time.Millisecond {
			t.Errorf("append took %v, want the 100 ms of its conversation's model", took)
		}
		if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 4, TokensPerMinute: 1000}); err != nil {
			t.Fatal(err)
		}
		if got := client.Snapshot()["quick"].Admitted; got != 16 {
			t.Errorf("%d calls to quick admitted, want 16", got)
		}
	})
}

func TestWaitTime(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 0.5, BareBuckets: true}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		if d := client.WaitTime("m", 100); d != 0 {
			t.Errorf("wait is %v before the first call, want 0", d)
		}
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if d := client.WaitTime("m", 100); d != 2*time.Second {
			t.Errorf("wait is %v, want 2 s", d)
		}
		if d := client.WaitTime("m", 600_000); d != limiter.Never {
			t.Errorf("wait for more than the bucket holds is %v, want Never", d)
		}
	})
}

func TestCancelledWhileWaitingLeavesNoTrace(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 2000}
	requests := 0
	inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
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
			t.Errorf("after %d requests: %v, want context.Canceled and no request", requests, err)
		}
		wantTokens(t, client, before)
	})
}

func TestCancelledWhileTheServerWorks(t *testing.T) {
	inBubble(t, small, slow, func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := start(ctx, client)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		// The server may have carried it out.
		if s := snapshot(client); s.TokensSettled != 508 {
			t.Errorf("%d tokens settled, want the estimate", s.TokensSettled)
		}
	})
}

// A transport that panics is the program's to recover; the permit is not lost.
func TestPanicLosesNoPermit(t *testing.T) {
	config := small
	config.APIKey = secretKey
	config.HTTPClient = &http.Client{Transport: panicking{}}
	client := newClient(t, config)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = start(t.Context(), client)
	}()
	wantNoPermits(t, client)
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("broken transport") }
