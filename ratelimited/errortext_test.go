package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// wantOneLine demands of an error that it fits a line of a log.
func wantOneLine(t *testing.T, err error, most int) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	text := err.Error()
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if i := strings.IndexFunc(text, odd); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("the error has %q in it", text[max(0, i):min(len(text), max(0, i)+20)])
	}
	if len(text) > most {
		t.Errorf("the error has %d bytes, want at most %d: %.200s…", len(text), most, text)
	}
	if !strings.HasPrefix(text, "mistral: ") {
		t.Errorf("the error does not say whose it is: %.100s", text)
	}
}

// nasty is what a server might send to spoil a log: line ends, control characters,
// directions, and bytes that are not UTF-8.
const nasty = "a\nb\r\nc\td\x00e\x1b[31mf\u2028g\u2029h\u0085i\u202ej\ufeffk\u200bl\xff\xfem"

// quoted is a text as JSON has it, which escapes no more than it must.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\u0000`, "\x1b", `\u001b`).Replace(text) + `"`
}

func TestErrorOfAPIIsOneLine(t *testing.T) {
	long := strings.Repeat("é", 450_000)
	for _, text := range []string{nasty, long, nasty + long, strings.Repeat(nasty, 300)} {
		q := quoted(text)
		for name, test := range map[string]struct {
			code int
			body string
		}{
			"message":    {400, `{"message":` + q + `}`},
			"everything": {400, `{"message":` + q[:min(len(q)/2, 100_000)] + `","type":` + q[:min(len(q)/2, 100_000)] + `","code":` + q[:min(len(q)/2, 100_000)] + `"}`},
			"findings":   {422, `{"detail":[{"loc":["body",` + q[:len(q)/2] + `"],"msg":` + q[:len(q)/2] + `"}]}`},
			"text":       {400, text},
			"an object":  {400, `{"x":` + q + `}`},
			"success":    {200, text},
			"refusal":    {429, `{"message":` + q + `}`},
		} {
			t.Run(fmt.Sprintf("%s of %d bytes", name, len(text)), func(t *testing.T) {
				inBubble(t, fast, status(test.code, test.body), func(t *testing.T, client *ratelimited.Client) {
					_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
					var api *ratelimited.APIError
					if !errors.As(err, &api) {
						t.Fatalf("error is %T, want an APIError", err)
					}
					wantOneLine(t, err, 2000)
				})
			})
		}
	}
}

func TestErrorOfStreamIsOneLine(t *testing.T) {
	long := strings.Repeat("é", 450_000)
	for name, event := range map[string]string{
		"message":      frame("conversation.response.error", `{"type":"conversation.response.error","message":`+quoted(nasty)+`,"code":1}`),
		"long message": frame("conversation.response.error", `{"type":"conversation.response.error","message":`+quoted(long)+`,"code":1}`),
		"odd":          frame("conversation.response.error", `{"message":`+quoted(nasty+long)+`,"code":"x"}`),
		"without one":  frame("conversation.response.error", `{"text":`+quoted(long)+`,"code":"x"}`),
		"long data":    frame("message.output.delta", `{"content":`+long),
		"long name":    frame(strings.Repeat("x", 1<<20), `{"content":`),
		"odd name":     frame("x\x00y\u2028z\xff", `{"content":`),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, streaming(started+event), func(t *testing.T, client *ratelimited.Client) {
				_, err := collect(startStream(t.Context(), t, client))
				var broken *ratelimited.StreamError
				if !errors.As(err, &broken) {
					t.Fatalf("error is %v (%T), want a StreamError", err, err)
				}
				wantOneLine(t, err, 1000)
			})
		})
	}
}

// Ids are the caller's, and may be anything too.
func TestErrorWithOddIDIsOneLine(t *testing.T) {
	id := "a\u2028b\u2029c\u202ed" + strings.Repeat("x", 2000)
	for name, handler := range map[string]http.HandlerFunc{
		"a reply": status(404, `{"detail":"Not Found"}`, "Mistral-Correlation-Id", "q\u2028r"+strings.Repeat("s", 5000)),
		"none":    reset,
	} {
		inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
			_, err := client.Beta.Conversations.Get(t.Context(), id, ratelimited.WithMaxRetries(0))
			wantOneLine(t, err, 1200)
			if !strings.Contains(err.Error(), "/v1/conversations/a b c d") {
				t.Errorf("%s: error %q does not say which conversation", name, err)
			}
		})
	}
	inBubble(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Get(t.Context(), "a\u2028\nb")
		var request *ratelimited.RequestError
		if !errors.As(err, &request) {
			t.Errorf("error is %v, want a RequestError", err)
		}
		wantOneLine(t, err, 200)
	})
}

// Where a request did not arrive is said once.
func TestTransportErrorSaysTheAddressOnce(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4321}
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: errors.New("connection refused")}
	}}
	config := fast
	config.BaseURL = "http://127.0.0.1:4321"
	overTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		for retries, want := range []string{
			"mistral: POST /v1/conversations: dial tcp 127.0.0.1:4321: connection refused",
			"mistral: POST /v1/conversations: dial tcp 127.0.0.1:4321: connection refused (2 attempts)",
		} {
			_, err := start(t.Context(), client, ratelimited.WithMaxRetries(retries))
			wantOneLine(t, err, 200)
			if err.Error() != want {
				t.Errorf("error is\n%s, want\n%s", err, want)
			}
		}
	})
}

// Too large is said with both numbers, and in terms of what the caller set.
func TestTooLargeTexts(t *testing.T) {
	inBubble(t, small, ok, func(t *testing.T, client *ratelimited.Client) {
		const rule = "must be at most 2000, the capacity of the token bucket (TokensPerMinute)"
		_, err := start(t.Context(), client, ratelimited.WithTokenEstimate(2001))
		if want := "mistral: Conversations.Start: WithTokenEstimate is 2001: " + rule; err == nil || err.Error() != want {
			t.Errorf("error is\n%v, want\n%s", err, want)
		}
		err = callOrStream(t.Context(), client, strings.Repeat("word ", 3000), true)
		var tooLarge *limiter.TooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.Tokens < 3000 || tooLarge.Tokens > 3020 {
			t.Fatalf("error is %v, want it to wrap what the limiter says of 3000 tokens and some", err)
		}
		if want := fmt.Sprintf("mistral: Conversations.StartStream: tokens of inputs is %d: %s", tooLarge.Tokens, rule); err.Error() != want {
			t.Errorf("error is\n%v, want\n%s", err, want)
		}
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(2000)); err != nil {
			t.Errorf("with as much as the bucket holds: %v", err)
		}
	})
}

// A refusal that is not tried again says why.
func TestRefusalSaysWhyItIsFinal(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a limit of 0": {status(429, tooMany, "X-Ratelimit-Limit-Req-Minute", "0", "Retry-After", "2"),
			"mistral: POST /v1/conversations: 429 rate_limited (code 1300): Rate limit exceeded; the account's limit is 0: its plan does not have this model; retry after 2s"},
		"larger than the limit": {status(429, `{"detail":"Token rate limit reached."}`, "X-Ratelimit-Limit-Tokens-Minute", "100", "X-Ratelimit-Remaining-Tokens-Minute", "100"),
			"mistral: POST /v1/conversations: 429: Token rate limit reached.; this call alone is larger than the account's limit of tokens a minute"},
		"the day's searches": {status(429, `{"detail":"web_search rate limit reached."}`, "X-Ratelimit-Remaining-Web-Search-Day", "0"),
			"mistral: POST /v1/conversations: 429: web_search rate limit reached.; the day's limit is used up"},
		"the month's tokens": {status(429, `{"detail":"Token rate limit reached."}`, "X-Ratelimit-Remaining-Tokens-Month", "0"),
			"mistral: POST /v1/conversations: 429: Token rate limit reached.; the month's limit is used up"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, test.handler, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client)
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || limited.Reason == "" || limited.Attempts != 1 {
					t.Fatalf("error is %v, want a RateLimitError with its reason after one attempt", err)
				}
				if err.Error() != test.want {
					t.Errorf("error is\n%s, want\n%s", err, test.want)
				}
			})
		})
	}
}

// A deadline that the next attempt would miss: the error says when that would be.
func TestDeadlineErrorSaysWhenTheNextAttemptWouldBe(t *testing.T) {
	inBubble(t, fast, status(429, tooMany, "Retry-After", "20"), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := start(ctx, client)
		wantOneLine(t, err, 300)
		const want = "; retry after 20s; the next attempt would be in 20s, after the deadline: context deadline exceeded"
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error is\n%s, want it to end in\n%s", err, want)
		}
		if n := strings.Count(err.Error(), "mistral:"); n != 1 {
			t.Errorf("the error says %d times whose it is: %s", n, err)
		}
	})
}

// A gateway's own field makes sense only above 0; otherwise the standard's counts.
func TestSenselessMillisecondsDoNotHideRetryAfter(t *testing.T) {
	for _, ms := range []string{"-1", "0", "soon", "NaN", ""} {
		inBubble(t, fast, inTurn(status(429, tooMany, "Retry-After-Ms", ms, "Retry-After", "20"), ok), func(t *testing.T, client *ratelimited.Client) {
			var err error
			took := elapsed(func() { _, err = start(t.Context(), client) })
			if err != nil || took != 20*time.Second {
				t.Errorf("Retry-After-Ms %q: the call took %v (%v), want the 20 s of Retry-After", ms, took, err)
			}
		})
	}
}

// A wait says for whose limit it was, and what else kept it.
func TestWaitErrorText(t *testing.T) {
	config := ratelimited.Config{
		Limits: map[string]limiter.Limit{"m": {RequestsPerSecond: 0.08, TokensPerMinute: 50_000}}, MaxRetries: ratelimited.NoRetries,
	}
	handler := inTurn(ok, status(429, tooMany, "Retry-After", "50"))
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		wait := func(want string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := start(ctx, client, ratelimited.WithTokenEstimate(25))
			var waited *ratelimited.WaitError
			if !errors.As(err, &waited) || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		}
		const who = "mistral: Conversations.Start: not sent: gave up after waiting 2s for 1 request and 25 tokens of m (0.08 requests/s, 50000 tokens/min"
		wait(who + "): context deadline exceeded")
		if _, err := start(t.Context(), client); !errors.Is(err, ratelimited.ErrRateLimited) {
			t.Fatal(err)
		}
		wait(who + "; paused for another 48s after a 429): context deadline exceeded")
	})
}
