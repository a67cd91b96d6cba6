package emulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// call is a request at a time after the start, and whether the limits admit it.
type call struct {
	at time.Duration
	ok bool
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func TestRequestsPerSecond(t *testing.T) {
	t.Parallel()
	const ns = time.Nanosecond
	third := time.Second / 3 // rounded down to the nanosecond
	for _, test := range []struct {
		mode  emulator.Mode
		rps   float64
		calls []call
	}{
		{emulator.TokenBucket, 1, []call{{0, true}, {0, false}, {time.Second - ns, false}, {time.Second, true}, {2 * time.Second, true}}},
		{emulator.TokenBucket, 1.2, []call{{0, true}, {2 * third, false}, {2*third + ns, true}, {1500*time.Millisecond - ns, false}, {1500 * time.Millisecond, true}}},
		{emulator.TokenBucket, 0.5, []call{{0, true}, {2*time.Second - ns, false}, {2 * time.Second, true}, {time.Minute, true}, {time.Minute, false}}},
		{emulator.TokenBucket, 0.08, []call{{0, true}, {ms(12_500) - ns, false}, {ms(12_500), true}}},
		{emulator.TokenBucket, 3, []call{{0, true}, {0, true}, {0, true}, {0, false}, {third, false}, {third + ns, true}, {10 * time.Second, true}, {10 * time.Second, true}, {10 * time.Second, true}, {10 * time.Second, false}}},
		{emulator.FixedWindow, 2, []call{{ms(900), true}, {ms(900), true}, {ms(999), false}, {time.Second, true}, {time.Second, true}, {ms(1999), false}, {2 * time.Second, true}}},
		{emulator.FixedWindow, 0.5, []call{{ms(1900), true}, {ms(1999), false}, {2 * time.Second, true}, {ms(3999), false}}},
		{emulator.SlidingWindow, 2, []call{{ms(900), true}, {ms(900), true}, {time.Second, false}, {ms(1900) - ns, false}, {ms(1900), true}, {ms(1900), true}, {ms(1900), false}}},
		{emulator.SlidingWindow, 0.5, []call{{0, true}, {2*time.Second - ns, false}, {2 * time.Second, true}}},
		{emulator.SlidingWindow, 2.5, []call{{0, true}, {0, true}, {ms(800) - ns, false}, {ms(800), true}}},
	} {
		t.Run(fmt.Sprintf("%s/%g", test.mode, test.rps), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := emulator.New(emulator.Config{RequestsPerSecond: test.rps, Mode: test.mode})
				began := time.Now()
				for _, c := range test.calls {
					time.Sleep(c.at - time.Since(began))
					if w := run(t, e, "hello"); (w.Code == http.StatusOK) != c.ok {
						t.Errorf("call at %s: status %d, want it admitted: %t", c.at, w.Code, c.ok)
					}
				}
			})
		})
	}
}

// run starts a conversation.
func run(t *testing.T, e *emulator.Emulator, text string) *httptest.ResponseRecorder {
	t.Helper()
	return direct(t.Context(), e, http.MethodPost, "/v1/conversations", encoded(t, textRequest(text)))
}

func TestTokensPerMinute(t *testing.T) {
	t.Parallel()
	// "Say a" has 5 prompt tokens (an entry, Say, a) and 1 completion token.
	for _, test := range []struct {
		mode  emulator.Mode
		calls []call
	}{
		// The first two calls use all 12 tokens. After 5 s, one token admits the third call, which
		// leaves a balance of -5.
		{emulator.TokenBucket, []call{{0, true}, {0, true}, {0, false}, {4999 * time.Millisecond, false}, {5 * time.Second, true}, {ms(34_999), false}, {35 * time.Second, true}}},
		{emulator.FixedWindow, []call{{50 * time.Second, true}, {50 * time.Second, true}, {59 * time.Second, false}, {time.Minute, true}, {time.Minute, true}, {61 * time.Second, false}}},
		{emulator.SlidingWindow, []call{{50 * time.Second, true}, {55 * time.Second, true}, {time.Minute, false}, {ms(109_999), false}, {110 * time.Second, true}, {110 * time.Second, false}, {115 * time.Second, true}}},
	} {
		t.Run(test.mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := emulator.New(emulator.Config{TokensPerMinute: 12, Mode: test.mode})
				began := time.Now()
				admitted := 0
				for _, c := range test.calls {
					time.Sleep(c.at - time.Since(began))
					w := run(t, e, "Say a")
					if (w.Code == http.StatusOK) != c.ok {
						t.Errorf("call at %s: status %d, want it admitted: %t", c.at, w.Code, c.ok)
					}
					if c.ok {
						admitted++
					} else if got := w.Body.String(); got != `{"detail":"Token rate limit reached."}` {
						t.Errorf("body is %s", got)
					}
				}
				m := e.Stats().Models[model]
				if m.Admitted != admitted || m.RefusedTokens != len(test.calls)-admitted || m.RefusedRequests != 0 || m.Tokens != 6*admitted {
					t.Errorf("stats are %+v", m)
				}
			})
		})
	}
}

func TestLimitsByModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := emulator.New(emulator.Config{
			RequestsPerSecond: 1, RetryAfter: true,
			Limits: map[string]emulator.Limit{"free": {}, "slow": {RequestsPerSecond: 0.1}},
		})
		start := func(model string) *httptest.ResponseRecorder {
			return direct(t.Context(), e, http.MethodPost, "/v1/conversations", `{"model":"`+model+`","inputs":"x"}`)
		}
		for model, after := range map[string]string{"other": "1", "slow": "10", "free": ""} {
			if w := start(model); w.Code != http.StatusOK {
				t.Errorf("%s: status %d", model, w.Code)
			}
			w := start(model)
			if got := w.Header().Get("Retry-After"); got != after {
				t.Errorf("%s: Retry-After is %q, want %q", model, got, after)
			}
			want := `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`
			if after != "" && (w.Code != http.StatusTooManyRequests || w.Body.String() != want) {
				t.Errorf("%s: %d %s", model, w.Code, w.Body)
			}
		}
		// Calls without a model have a separate limit and do not use tokens.
		for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
			if w := direct(t.Context(), e, http.MethodGet, "/v1/agents", ""); w.Code != want {
				t.Errorf("list: status %d, want %d", w.Code, want)
			}
		}
		if m := e.Stats().Models[emulator.NoModel]; m.Admitted != 1 || m.RefusedRequests != 1 {
			t.Errorf("stats without a model are %+v", m)
		}
	})
}

func TestTokenHeaders(t *testing.T) {
	t.Parallel()
	const limit, remaining = "x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"
	a := start(t, emulator.Config{TokensPerMinute: 12, Mode: emulator.FixedWindow})
	first := a.post("/v1/conversations", textRequest("Say a")).want(http.StatusOK)
	if first.header.Get(limit) != "12" || first.header.Get(remaining) != "6" {
		t.Errorf("headers are %v", first.header)
	}
	c := read[generated.ConversationResponse](first)
	streamed := a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewTextInputs("Count to 20"), Stream: true,
	}).want(http.StatusOK)
	refused := a.post("/v1/conversations", textRequest("Say a")).want(http.StatusTooManyRequests)
	if refused.header.Get(remaining) != "0" || refused.header.Get("Retry-After") != "" {
		t.Errorf("headers of a 429 are %v", refused.header)
	}
	agents := a.do(http.MethodGet, "/v1/agents", "").want(http.StatusOK)
	for _, r := range []fullResponse{streamed, agents} {
		if r.header.Get(limit) != "" || r.header.Get(remaining) != "" {
			t.Errorf("header is %v, want it without limits", r.header)
		}
	}
	waitForRecords(a, 4)
	recorded := a.Requests()
	for i, r := range []fullResponse{first, streamed, refused, agents} {
		if id := r.header.Get("mistral-correlation-id"); id == "" || id != recorded[i].RequestID {
			t.Errorf("request %d has mistral-correlation-id %q, and its record has %q", i, id, recorded[i].RequestID)
		}
	}
}

// The limits per minute and per day of a tool apply to all models together.
func TestToolLimits(t *testing.T) {
	t.Parallel()
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{Mode: mode, ToolLimits: map[string]emulator.ToolLimit{"web_search": {PerMinute: 1, PerDay: 2}}})
			search := encoded(t, startRequests()["search"])
			other := strings.Replace(search, model, "mistral-large-latest", 1)
			for i, step := range []struct {
				body        string
				after       time.Duration
				status      int
				minute, day string // the remaining runs
			}{
				{search, 0, http.StatusOK, "0", "1"},
				{other, 0, http.StatusTooManyRequests, "0", "1"},
				{encoded(t, textRequest("Search for gophers")), 0, http.StatusOK, "", ""}, // This request does not have the tool.
				{other, time.Minute, http.StatusOK, "0", "0"},
				{search, time.Minute, http.StatusTooManyRequests, "1", "0"},
			} {
				time.Sleep(step.after)
				w := httptest.NewRecorder()
				e.ServeHTTP(w, newRequest(t, http.MethodPost, "http://emulator/v1/conversations", step.body))
				minute, day := w.Header().Get("x-ratelimit-remaining-web-search-minute"), w.Header().Get("x-ratelimit-remaining-web-search-day")
				if w.Code != step.status || minute != step.minute || day != step.day {
					t.Errorf("%s, step %d: %d, %q and %q remain, want %+v: %s", mode, i, w.Code, minute, day, step, w.Body)
				}
				if m := e.Stats().Total(); m.RefusedRequests != 0 || m.RefusedTools != m.Refused() {
					t.Errorf("%s, step %d: stats are %+v, want only RefusedTools", mode, i, m)
				}
				if w.Code == http.StatusTooManyRequests && w.Body.String() != `{"detail":"web_search rate limit reached."}` {
					t.Errorf("body is %s", w.Body)
				}
			}
		})
	}
}

// With ChatHeaders, responses that are not streamed have the rate limit header fields of chat
// completions.
func TestChatHeaders(t *testing.T) {
	t.Parallel()
	shown := func(w *httptest.ResponseRecorder) string {
		var values []string
		for _, name := range []string{"limit-req-minute", "remaining-req-minute", "tokens-query-cost"} {
			values = append(values, w.Header().Get("x-ratelimit-"+name))
		}
		return strings.Join(values, " ")
	}
	for _, test := range []struct {
		rps   float64
		calls []string // "Say a" every 10 s; the cost is 5 prompt tokens and 1 completion token
	}{
		{4.1, []string{"246 245 6", "246 245 6"}},
		{0.05, []string{"3 2 6", "3 2 ", "3 2 6", "3 2 "}}, // one request every 20 s
		{0.01, []string{"1 0 6", "1 0 ", "1 0 "}},
		{1e300, []string{"2147483647 2147483646 6"}},
		{0, []string{"  6"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{RequestsPerSecond: test.rps, ChatHeaders: true})
			for i, want := range test.calls {
				if got := shown(run(t, e, "Say a")); got != want {
					t.Errorf("at %v a second, call %d: %q, want %q", test.rps, i, got, want)
				}
				time.Sleep(10 * time.Second)
			}
		})
	}
	e := emulator.New(emulator.Config{RequestsPerSecond: 5, ChatHeaders: true})
	for _, w := range []*httptest.ResponseRecorder{
		direct(t.Context(), e, http.MethodPost, "/v1/conversations", streamHello),
		direct(t.Context(), e, http.MethodGet, "/v1/conversations", ""),
		run(t, emulator.New(emulator.Config{RequestsPerSecond: 5}), "Say a"),
	} {
		if got := shown(w); w.Code != http.StatusOK || got != "  " {
			t.Errorf("response %d has the chat header fields %q, want none", w.Code, got)
		}
	}
}
