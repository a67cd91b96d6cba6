package ratelimited_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// with adds header fields, "name", "value", … to what a handler sends.
func with(handler http.HandlerFunc, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		handler(w, r)
	}
}

var limitHeaders = []string{
	"x-ratelimit-limit-tokens-minute", "100000", "x-ratelimit-remaining-tokens-minute", "4000", "x-ratelimit-tokens-query-cost", "30",
	"x-ratelimit-limit-req-minute", "720", "x-ratelimit-remaining-req-minute", "717",
}

// What the server says is read from every kind of reply, kept, and believed where
// it is less.
func TestServersWord(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 12, TokensPerMinute: 100_000, MaxRetries: ratelimited.NoRetries}
	plain := func(t *testing.T, client *ratelimited.Client) error { _, err := start(t.Context(), client); return err }
	streamed := func(t *testing.T, client *ratelimited.Client) error {
		_, err := collect(startStream(t.Context(), t, client))
		return err
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		call    func(*testing.T, *ratelimited.Client) error
	}{
		"plain":       {ok, plain},
		"stream":      {streaming(started + hello + done), streamed},
		"error":       {status(400, `{"message":"no"}`), plain},
		"429":         {status(429, tooMany), plain},
		"error of it": {status(503, "busy"), plain},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, config, with(test.handler, limitHeaders...), func(t *testing.T, client *ratelimited.Client) {
				_ = test.call(t, client) // whether that succeeds is not the subject
				said := snapshot(client).Server
				for name, field := range map[string]struct {
					got  *int
					want int
				}{
					"limit of tokens": {said.LimitTokens, 100_000}, "tokens": {said.RemainingTokens, 4000}, "cost": {said.QueryCost, 30},
					"limit of requests": {said.LimitRequests, 720}, "requests": {said.RemainingRequests, 717},
				} {
					if field.got == nil || *field.got != field.want {
						t.Errorf("the server's %s is not kept as %d", name, field.want)
					}
				}
				if !said.At.Equal(time.Now()) {
					t.Errorf("it is dated %v, want %v", said.At, time.Now())
				}
				if got := snapshot(client).AvailableTokens; got > 4000 {
					t.Errorf("%v tokens are available, more than the server's 4000", got)
				}
			})
		})
	}
}

// Words that make no sense, or say that more is left, change nothing.
func TestServersWordIsWeighed(t *testing.T) {
	for name, header := range map[string][]string{
		"none":             nil,
		"more than known":  {"x-ratelimit-limit-tokens-minute", "9000000", "x-ratelimit-remaining-tokens-minute", "8000000"},
		"not a number":     {"x-ratelimit-remaining-tokens-minute", "few"},
		"negative":         {"x-ratelimit-remaining-tokens-minute", "-1"},
		"a fraction":       {"x-ratelimit-remaining-tokens-minute", "1.5"},
		"more than all":    {"x-ratelimit-limit-tokens-minute", "10", "x-ratelimit-remaining-tokens-minute", "11"},
		"a limit of 0":     {"x-ratelimit-limit-tokens-minute", "0", "x-ratelimit-remaining-tokens-minute", "0"},
		"another window":   {"x-ratelimit-remaining-tokens-month", "1"},
		"another resource": {"x-ratelimit-remaining-web-search-minute", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, small, with(ok, header...), func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				wantTokens(t, client, 2000-30)
			})
		})
	}
}

// A limit that will not pass is reported at once, with the reason, and stops
// nobody else.
func TestHopelessLimits(t *testing.T) {
	const tokens = `{"detail":"Token rate limit reached."}`
	for name, test := range map[string]struct {
		body   string
		header []string
		reason string
		tries  int
	}{
		"not in the plan":       {tokens, []string{"x-ratelimit-limit-tokens-minute", "0", "x-ratelimit-remaining-tokens-minute", "0"}, "limit is 0", 1},
		"no requests":           {tooMany, []string{"x-ratelimit-limit-req-minute", "0"}, "limit is 0", 1},
		"larger than the limit": {tokens, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "500"}, "larger than", 1},
		"the day is used up":    {`{"detail":"web_search rate limit reached."}`, []string{"x-ratelimit-remaining-web-search-day", "0"}, "day's limit", 1},
		"the minute is":         {tokens, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "0"}, "", 4},
		"the day of another":    {tokens, []string{"x-ratelimit-remaining-web-search-day", "0"}, "", 4},
		"requests, all tokens":  {`{"message":"Requests rate limit exceeded"}`, []string{"x-ratelimit-limit-tokens-minute", "500", "x-ratelimit-remaining-tokens-minute", "500"}, "", 4},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			config := fast
			config.MaxOutage = -1 // all attempts count
			count := func(w http.ResponseWriter, r *http.Request) { tries++; status(429, test.body, test.header...)(w, r) }
			inBubble(t, config, count, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client)
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || (limited.Reason == "") != (test.reason == "") || !strings.Contains(limited.Reason, test.reason) ||
					!strings.Contains(err.Error(), test.reason) || tries != test.tries {
					t.Errorf("after %d attempts (want %d): %v, want the reason %q", tries, test.tries, err, test.reason)
				}
				own, isNamed := client.Snapshot()["m"] // the server has named a lower limit of the model
				if paused := !own.PausedUntil.IsZero() || !snapshot(client).PausedUntil.IsZero(); paused != (test.reason == "") {
					t.Errorf("others are paused: %v", paused)
				}
				if isNamed && test.body == tokens && !snapshot(client).PausedUntil.IsZero() {
					t.Error("other models are paused")
				}
			})
		})
	}
}

// The limit of a tool concerns those who use it: others go on.
func TestToolLimitPausesNobody(t *testing.T) {
	refusal := status(429, `{"detail":"web_search rate limit reached."}`, "Retry-After", "9")
	inBubble(t, fast, inTurn(refusal, ok), func(t *testing.T, client *ratelimited.Client) {
		searching := ratelimited.Async(func() (time.Duration, error) {
			var err error
			return elapsed(func() { _, err = start(t.Context(), client) }), err
		})
		time.Sleep(time.Second)
		if took := elapsed(func() {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		}); took != 0 {
			t.Errorf("another call took %v, want none", took)
		}
		if took, err := searching.Await(t.Context()); took != 9*time.Second || err != nil {
			t.Errorf("the refused one took %v (%v), want the 9 s it was told", took, err)
		}
	})
}

// A call that is refused waits like all others for as long as the server asks. More
// than a minute and a second ends the call that was refused, with the time in the error,
// and the others wait for a minute and a second.
func TestLongRetryAfter(t *testing.T) {
	const window = 61 * time.Second
	for asked, test := range map[string]struct{ refused, next time.Duration }{
		"45": {45 * time.Second, 0}, "61": {window, 0}, "62": {0, window}, "86400": {0, window},
	} {
		t.Run(asked, func(t *testing.T) {
			inBubble(t, fast, inTurn(status(429, tooMany, "Retry-After", asked), ok), func(t *testing.T, client *ratelimited.Client) {
				var err error
				took := elapsed(func() { _, err = start(t.Context(), client) })
				var limited *ratelimited.RateLimitError
				if failed := errors.As(err, &limited); failed != (test.refused == 0) || took != test.refused {
					t.Errorf("after %v: %v, want it to take %v", took, err, test.refused)
				} else if failed && !strings.Contains(err.Error(), "retry after "+limited.RetryAfter.String()) {
					t.Errorf("error %q does not say how long the server asks to wait", err)
				}
				if took := elapsed(func() { _, err = start(t.Context(), client) }); took != test.next || err != nil {
					t.Errorf("the next call took %v (%v), want %v", took, err, test.next)
				}
			})
		})
	}
}

// Ten calls under way are refused together: that is one incident, which backs off
// once, and afterwards they come back in order and at the pace of the limit.
func TestIncident(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 10, BaseDelay: 4 * time.Second, MaxDelay: 4 * time.Second}
	var mu sync.Mutex
	var sent []time.Duration
	begin := time.Time{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, time.Since(begin))
		n := len(sent)
		mu.Unlock()
		if n <= 10 {
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
			status(429, tooMany)(w, r)
			return
		}
		ok(w, r)
	}
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		begin = time.Now()
		results := ratelimited.Gather(t.Context(), make([]struct{}, 15), func(ctx context.Context, _ struct{}) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		})
		for i, result := range results {
			if result.Err != nil {
				t.Errorf("call %d: %v", i, result.Err)
			}
		}
		// Refused from 10 ms on; the pause lasts until 4.01 s. Then comes one that was refused, alone for two round trips
		// of 90 ms, then the nine others, and the rest 1.05 s after each of these.
		slices.Sort(sent)
		const again, rest = 4010 * time.Millisecond, 1050 * time.Millisecond
		const alone = 180 * time.Millisecond
		for i, at := range sent {
			want := []time.Duration{0, again + alone, again + alone + rest}[i/10]
			if i%10 == 0 {
				want = max(0, want-alone)
			}
			if at != want {
				t.Fatalf("requests at %v: number %d is not at %v", sent, i, want)
			}
		}
		if s := snapshot(client); s.Retried != 10 || s.Admitted != 15 {
			t.Errorf("books: %+v", s.Counters)
		}
	})
}

func TestSetLimitWakesWhoWaits(t *testing.T) {
	inBubble(t, ratelimited.Config{RequestsPerSecond: 0.01}, ok, func(t *testing.T, client *ratelimited.Client) {
		for range 2 {
			waiting := ratelimited.Async(func() (*generated.ConversationResponse, error) { return start(t.Context(), client) })
			time.Sleep(5 * time.Second)
			if client.Snapshot()[""].Waiting == 1 {
				if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			select {
			case <-waiting.Done():
			default:
				t.Fatal("still waiting a second after the limit was raised")
			}
		}
	})
}
