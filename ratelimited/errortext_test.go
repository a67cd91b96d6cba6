package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// wantOneLine checks that the text of an error is one line of at most maxBytes printable bytes.
func wantOneLine(t *testing.T, err error, maxBytes int) {
	t.Helper()
	if err == nil {
		t.Fatal("error is nil")
	}
	text := err.Error()
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if i := strings.IndexFunc(text, unprintable); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("the error contains %q", text[max(0, i):min(len(text), max(0, i)+20)])
	}
	if len(text) > maxBytes {
		t.Errorf("the error has %d bytes, want at most %d: %.200s…", len(text), maxBytes, text)
	}
	if !strings.HasPrefix(text, "mistral: ") {
		t.Errorf("the error does not begin with \"mistral: \": %.100s", text)
	}
}

// unprintable is text that would corrupt a log: line ends, control characters, text directions, and
// bytes that are not UTF-8.
const unprintable = "a\nb\r\nc\td\x00e\x1b[31mf\u2028g\u2029h\u0085i\u202ej\ufeffk\u200bl\xff\xfem"

// jsonString returns text as a JSON string with as few escapes as possible.
func jsonString(text string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\u0000`, "\x1b", `\u001b`).Replace(text) + `"`
}

// The text of an APIError is one short line, for any body.
func TestAPIErrorIsOneLine(t *testing.T) {
	long := strings.Repeat("é", 450_000)
	for _, text := range []string{unprintable, long, unprintable + long, strings.Repeat(unprintable, 300)} {
		q := jsonString(text)
		for name, test := range map[string]struct {
			code int
			body string
		}{
			"message":           {400, `{"message":` + q + `}`},
			"everything":        {400, `{"message":` + q[:min(len(q)/2, 100_000)] + `","type":` + q[:min(len(q)/2, 100_000)] + `","code":` + q[:min(len(q)/2, 100_000)] + `"}`},
			"validation errors": {422, `{"detail":[{"loc":["body",` + q[:len(q)/2] + `"],"msg":` + q[:len(q)/2] + `"}]}`},
			"text":              {400, text},
			"an object":         {400, `{"x":` + q + `}`},
			"success":           {200, text},
			"rate limit":        {429, `{"message":` + q + `}`},
		} {
			t.Run(fmt.Sprintf("%s of %d bytes", name, len(text)), func(t *testing.T) {
				runWithHandler(t, fast, status(test.code, test.body), func(t *testing.T, client *ratelimited.Client) {
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

// The text of a StreamError is one short line, for any event.
func TestStreamErrorIsOneLine(t *testing.T) {
	long := strings.Repeat("é", 450_000)
	for name, event := range map[string]string{
		"message":          frame("conversation.response.error", `{"type":"conversation.response.error","message":`+jsonString(unprintable)+`,"code":1}`),
		"long message":     frame("conversation.response.error", `{"type":"conversation.response.error","message":`+jsonString(long)+`,"code":1}`),
		"invalid code":     frame("conversation.response.error", `{"message":`+jsonString(unprintable+long)+`,"code":"x"}`),
		"no message":       frame("conversation.response.error", `{"text":`+jsonString(long)+`,"code":"x"}`),
		"long data":        frame("message.output.delta", `{"content":`+long),
		"long name":        frame(strings.Repeat("x", 1<<20), `{"content":`),
		"unprintable name": frame("x\x00y\u2028z\xff", `{"content":`),
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, streaming(started+event), func(t *testing.T, client *ratelimited.Client) {
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

// The text of an error is one short line for any ID from the caller or the server.
func TestErrorWithUnprintableIDIsOneLine(t *testing.T) {
	id := "a\u2028b\u2029c\u202ed" + strings.Repeat("x", 2000)
	for name, handler := range map[string]http.HandlerFunc{
		"a response":  status(404, `{"detail":"Not Found"}`, "Mistral-Correlation-Id", "q\u2028r"+strings.Repeat("s", 5000)),
		"no response": reset,
	} {
		runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
			_, err := client.Beta.Conversations.Get(t.Context(), id, ratelimited.WithMaxRetries(0))
			wantOneLine(t, err, 1200)
			if !strings.Contains(err.Error(), "/v1/conversations/a b c d") {
				t.Errorf("%s: error %q does not contain the conversation ID", name, err)
			}
		})
	}
	runWithHandler(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Get(t.Context(), "a\u2028\nb")
		var request *ratelimited.RequestError
		if !errors.As(err, &request) {
			t.Errorf("error is %v, want a RequestError", err)
		}
		wantOneLine(t, err, 200)
	})
}

// A TransportError contains the server's address once.
func TestTransportErrorContainsTheAddressOnce(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4321}
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: errors.New("connection refused")}
	}}
	config := fast
	config.BaseURL = "http://127.0.0.1:4321"
	runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
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

// The error of a call that exceeds the token bucket contains both numbers and names the setting.
func TestTooLargeErrorText(t *testing.T) {
	runWithHandler(t, small, ok, func(t *testing.T, client *ratelimited.Client) {
		const rule = "must be at most 2000, the capacity of the token bucket (TokensPerMinute)"
		_, err := start(t.Context(), client, ratelimited.WithTokenEstimate(2001))
		if want := "mistral: Conversations.Start: WithTokenEstimate is 2001: " + rule; err == nil || err.Error() != want {
			t.Errorf("error is\n%v, want\n%s", err, want)
		}
		err = callOrStream(t.Context(), client, strings.Repeat("word ", 3000), true)
		var tooLarge *limiter.TooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.Tokens < 3000 || tooLarge.Tokens > 3020 {
			t.Fatalf("error is %v, want it to wrap a TooLargeError of 3000 to 3020 tokens", err)
		}
		if want := fmt.Sprintf("mistral: Conversations.StartStream: tokens of inputs is %d: %s", tooLarge.Tokens, rule); err.Error() != want {
			t.Errorf("error is\n%v, want\n%s", err, want)
		}
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(2000)); err != nil {
			t.Errorf("a call with the capacity of the bucket returns %v", err)
		}
	})
}

// The error of a 429 that the client does not retry contains the reason.
func TestRateLimitErrorContainsItsReason(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a limit of 0": {status(429, rateLimitBody, "X-Ratelimit-Limit-Req-Minute", "0", "Retry-After", "2"),
			"mistral: POST /v1/conversations: 429 rate_limited (code 1300): Rate limit exceeded; the account's limit is 0: its plan does not have this model; retry after 2s"},
		"larger than the limit": {status(429, `{"detail":"Token rate limit reached."}`, "X-Ratelimit-Limit-Tokens-Minute", "100", "X-Ratelimit-Remaining-Tokens-Minute", "100"),
			"mistral: POST /v1/conversations: 429: Token rate limit reached.; this call alone is larger than the account's limit of tokens a minute"},
		"the daily search limit": {status(429, `{"detail":"web_search rate limit reached."}`, "X-Ratelimit-Remaining-Web-Search-Day", "0"),
			"mistral: POST /v1/conversations: 429: web_search rate limit reached.; the day's limit is used up"},
		"the monthly token limit": {status(429, `{"detail":"Token rate limit reached."}`, "X-Ratelimit-Remaining-Tokens-Month", "0"),
			"mistral: POST /v1/conversations: 429: Token rate limit reached.; the month's limit is used up"},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, test.handler, func(t *testing.T, client *ratelimited.Client) {
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

// If the next attempt would start after the deadline, the error contains the time of that attempt.
func TestDeadlineErrorContainsTheTimeOfTheNextAttempt(t *testing.T) {
	runWithHandler(t, fast, status(429, rateLimitBody, "Retry-After", "20"), func(t *testing.T, client *ratelimited.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := start(ctx, client)
		wantOneLine(t, err, 300)
		const want = "; retry after 20s; the next attempt would be in 20s, after the deadline: context deadline exceeded"
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error is\n%s, want it to end with\n%s", err, want)
		}
		if n := strings.Count(err.Error(), "mistral:"); n != 1 {
			t.Errorf("the error contains \"mistral:\" %d times, want once: %s", n, err)
		}
	})
}

// The text of a WaitError names the model, its limit, and a pause of that limit.
func TestWaitErrorText(t *testing.T) {
	config := ratelimited.Config{
		Limits: map[string]limiter.Limit{"m": {RequestsPerSecond: 0.08, TokensPerMinute: 50_000}}, MaxRetries: ratelimited.NoRetries,
	}
	handler := handlersInOrder(ok, status(429, rateLimitBody, "Retry-After", "50"))
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
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
		const prefix = "mistral: Conversations.Start: not sent: gave up after waiting 2s for 1 request and 25 tokens of m (0.08 requests/s, 50000 tokens/min"
		wait(prefix + "): context deadline exceeded")
		if _, err := start(t.Context(), client); !errors.Is(err, ratelimited.ErrRateLimited) {
			t.Fatal(err)
		}
		wait(prefix + "; paused for another 48s after a 429): context deadline exceeded")
	})
}

// The error of a 422 with many validation errors is one short line.
func TestManyValidationErrors(t *testing.T) {
	finding := `{"loc":["body"],"msg":"no","type":"t"}`
	body := `{"detail":[` + strings.Repeat(finding+",", 20_000) + finding + `]}`
	runWithHandler(t, fast, status(422, body), func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		wantOneLine(t, err, 10_000)
	})
}

// The error of a response with a long media type is one short line.
func TestLongMediaType(t *testing.T) {
	longType := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/"+strings.Repeat("x", 500_000))
		_, _ = io.WriteString(w, "{}")
	}
	runWithHandler(t, fast, longType, func(t *testing.T, client *ratelimited.Client) {
		_, err := openStream(t.Context(), client)
		wantOneLine(t, err, 2000)
	})
}

// The error of a response that is not HTTP is one short line.
func TestResponseThatIsNotHTTP(t *testing.T) {
	for name, text := range map[string]string{"no HTTP version": strings.Repeat("x", 900_000), "no status code": "HTTP/1.1 " + strings.Repeat("y", 900_000)} {
		t.Run(name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, text+"\r\n\r\n")
				_ = conn.Close()
			}
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				wantOneLine(t, err, 2000)
			})
		})
	}
}
