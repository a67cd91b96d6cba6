package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The response that a caller gets is that of the last attempt, or none.
func TestResponseIsOfTheLastAttempt(t *testing.T) {
	inBubble(t, fast, inTurn(status(503, ""), reset), func(t *testing.T, client *ratelimited.Client) {
		resp := new(http.Response)
		_, err := start(t.Context(), client, ratelimited.WithMaxRetries(1), ratelimited.WithResponseInto(&resp))
		var transport *ratelimited.TransportError
		if !errors.As(err, &transport) || resp != nil {
			t.Errorf("response %v with %v, want none of an attempt that had no reply", resp, err)
		}
	})
	inBubble(t, fast, inTurn(reset, status(403, "", "X-Trace", "abc")), func(t *testing.T, client *ratelimited.Client) {
		var resp *http.Response
		_, err := start(t.Context(), client, ratelimited.WithResponseInto(&resp))
		if err == nil || resp == nil || resp.StatusCode != 403 || resp.Header.Get("X-Trace") != "abc" {
			t.Fatalf("response %v with %v, want the 403 of the second attempt", resp, err)
		}
		if resp.Request == nil || resp.Request.Header.Get("User-Agent") == "" || resp.Request.Header.Get("Authorization") != "" {
			t.Errorf("its request is %v, want it without the key", resp.Request)
		}
		if text := fmt.Sprintf("%+v %+v", resp, resp.Request); strings.Contains(text, "SECRET") {
			t.Errorf("the response shows the key: %s", text)
		}
	})
}

// Whatever is done to the header of one request, the next one has its own.
func TestHeadersAreNotShared(t *testing.T) {
	var mu sync.Mutex
	var seen []string // what each request had
	look := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(r.Header["Authorization"], r.Header["User-Agent"], r.Header["Accept"], r.Header["Content-Type"], r.Header["X-Own"]))
		n := len(seen)
		mu.Unlock()
		if n%2 == 1 {
			status(503, "")(w, r)
			return
		}
		ok(w, r)
	}
	synctest.Test(t, func(t *testing.T) {
		server := memnet.Start(http.HandlerFunc(look))
		defer server.Close()
		inner := server.Client().Transport
		overwrite := func(header http.Header) {
			for _, values := range header {
				for i := range values {
					values[i] = "overwritten"
				}
			}
		}
		config := fast
		config.APIKey, config.BaseURL = secretKey, server.URL()
		config.HTTPClient = &http.Client{Transport: tripper(func(req *http.Request) (*http.Response, error) {
			resp, err := inner.RoundTrip(req)
			overwrite(req.Header)
			return resp, err
		})}
		first, second := newClient(t, config), newClient(t, config)
		own := ratelimited.WithHeader("X-Own", "mine")
		for _, client := range []*ratelimited.Client{first, first, second} {
			var resp *http.Response
			if _, err := start(t.Context(), client, own, ratelimited.WithResponseInto(&resp)); err != nil {
				t.Fatalf("Start: %v", err)
			}
			overwrite(resp.Header)
			overwrite(resp.Request.Header)
		}
		want := fmt.Sprint([]string{"Bearer " + secretKey}, []string{"mistral-ratelimit-go"}, []string{"application/json"}, []string{"application/json"}, []string{"mine"})
		if len(seen) != 6 {
			t.Fatalf("%d requests, want 6", len(seen))
		}
		for i, got := range seen {
			if got != want {
				t.Errorf("request %d has %s, want %s", i, got, want)
			}
		}
	})
}

// The caller changes what it got of a request that went through unchanged.
func TestCallersResponseIsItsOwn(t *testing.T) {
	var agents, keys []string
	look := func(w http.ResponseWriter, r *http.Request) {
		agents, keys = append(agents, r.UserAgent()), append(keys, r.Header.Get("Authorization"))
		ok(w, r)
	}
	inBubble(t, fast, look, func(t *testing.T, client *ratelimited.Client) {
		for range 3 {
			var resp *http.Response
			if _, err := start(t.Context(), client, ratelimited.WithResponseInto(&resp)); err != nil {
				t.Fatal(err)
			}
			for _, values := range resp.Request.Header {
				clear(values)
			}
			resp.Request.Header.Set("Authorization", "another")
		}
	})
	for i := range agents {
		if agents[i] != "mistral-ratelimit-go" || keys[i] != "Bearer "+secretKey {
			t.Errorf("request %d has User-Agent %q and Authorization %q", i, agents[i], keys[i])
		}
	}
}

// shownOf is all that a program is likely to print of an error.
func shownOf(err error) string {
	var b strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(&b, "%v\n%+v\n%q\n", e, e, e.Error())
	}
	var api *ratelimited.APIError
	if errors.As(err, &api) {
		fmt.Fprintf(&b, "%s\n%+v\n%+v\n%s %s %s\n", api.Body, api.Message, api.Fields, api.Code, api.Type, api.Param)
	}
	var stream *ratelimited.StreamError
	if errors.As(err, &stream) {
		fmt.Fprintf(&b, "%+v\n%+v\n", stream.Message, *stream)
	}
	return b.String()
}

// A key that comes back with some of its characters escaped, or in the name of a header
// field, is not shown either.
func TestEscapedKeyIsNotShown(t *testing.T) {
	escaped := func(format string, every int) string {
		var b strings.Builder
		for i, c := range []byte(secretKey) {
			if i%every == 0 {
				fmt.Fprintf(&b, format, c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	for name, key := range map[string]string{
		"first of ten in JSON": escaped(`\u00%02x`, 10), "all in JSON": escaped(`\u00%02x`, 1), "capitals": escaped(`\u00%02X`, 2), "Go": escaped(`\x%02x`, 3), "JSON in JSON": escaped(`\\\\u00%02x`, 1), "long in Go": escaped(`\U%08x`, 1),
		"octal": escaped(`\%03o`, 2), "URL in URL": escaped(`%%25%02x`, 1), "HTML": escaped(`&#%d;`, 2), "hexadecimal HTML": escaped(`&#x%X;`, 3), "URL": escaped(`%%%02X`, 4), "plain": secretKey,
	} {
		t.Run(name, func(t *testing.T) {
			for _, test := range []http.HandlerFunc{
				status(200, `{"error":{"x":"`+key+`"}}`), status(400, `{"x":"`+key+`"}`), status(500, `text `+key, "Content-Type", "text/plain"),
				streaming("data: {\"error\":{\"x\":\"" + key + "\"}}\n\n"), status(404, `{}`, "X-"+secretKey, "value"),
			} {
				config := fast
				config.MaxRetries = ratelimited.NoRetries
				inBubble(t, config, test, func(t *testing.T, client *ratelimited.Client) {
					for _, stream := range []bool{false, true} {
						err := callOrStream(t.Context(), client, "Hello!", stream)
						if err == nil {
							t.Fatal("no error")
						}
						out := shownOf(err)
						if api := (*ratelimited.APIError)(nil); errors.As(err, &api) {
							out += string(api.Body) + fmt.Sprint(api.Header)
						}
						if strings.Contains(out, key) || strings.Contains(out, "SECRET") || strings.Contains(out, "Secret") {
							t.Errorf("the error shows the key:\n%s", out)
						}
					}
				})
			}
		})
	}
}

// A server that sends the key back: it is in no error and in no record.
func TestEchoedKeyIsNotShown(t *testing.T) {
	for name, test := range map[string]struct {
		code int
		body string // with ECHO for the Authorization field
	}{
		"message":    {401, `{"message":"no such key: ECHO","type":"ECHO","code":"ECHO","param":"ECHO"}`},
		"detail":     {403, `{"detail":"ECHO is not known"}`},
		"findings":   {422, `{"detail":[{"loc":["header","ECHO"],"msg":"ECHO is wrong","type":"ECHO"}]}`},
		"nested":     {400, `{"error":{"message":"ECHO","type":"ECHO"}}`},
		"text":       {500, `upstream: bad header Authorization: ECHO`},
		"page":       {502, `<html>ECHO</html>`},
		"refusal":    {429, `{"message":"ECHO rate limit exceeded"}`},
		"not JSON":   {200, `hello ECHO`},
		"a list":     {200, `["ECHO"]`},
		"an error":   {200, `{"error":{"message":"ECHO","type":"ECHO","code":"ECHO"}}`},
		"breaks off": {200, `{"conversation_id":"ECHO`},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			config := fast
			config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			echo := func(w http.ResponseWriter, r *http.Request) {
				answer(w, test.code, strings.ReplaceAll(test.body, "ECHO", r.Header.Get("Authorization")))
			}
			inBubble(t, config, echo, func(t *testing.T, client *ratelimited.Client) {
				for _, stream := range []bool{false, true} {
					err := callOrStream(t.Context(), client, "Hello!", stream)
					var api *ratelimited.APIError
					if !errors.As(err, &api) || !strings.Contains(string(api.Body), "REDACTED") {
						t.Fatalf("error is %v (%T), want an APIError that has its body without the key", err, err)
					}
					if out := shownOf(err); strings.Contains(out, "SECRET") {
						t.Errorf("the error shows the key:\n%s", out)
					}
				}
				if log.Len() == 0 || strings.Contains(log.String(), "SECRET") {
					t.Errorf("the log shows the key, or nothing:\n%s", log.String())
				}
			})
		})
	}
}

func TestEchoedKeyInStream(t *testing.T) {
	for name, event := range map[string]string{
		"error event":         `{"type":"conversation.response.error","message":"bad key ECHO","code":1}`,
		"odd error event":     `{"message":"bad key ECHO","code":"x"}`,
		"error without words": `{"code":"ECHO"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			config := fast
			config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			echo := func(w http.ResponseWriter, r *http.Request) {
				data := strings.ReplaceAll(event, "ECHO", r.Header.Get("Authorization"))
				streaming(started+hello+frame("conversation.response.error", data))(w, r)
			}
			inBubble(t, config, echo, func(t *testing.T, client *ratelimited.Client) {
				_, err := collect(startStream(t.Context(), t, client))
				var broken *ratelimited.StreamError
				if !errors.As(err, &broken) || !strings.Contains(err.Error(), "REDACTED") {
					t.Errorf("error is %v, want a StreamError without the key", err)
				}
				if out := shownOf(err) + log.String(); strings.Contains(out, "SECRET") {
					t.Errorf("the key is shown:\n%s", out)
				}
			})
		})
	}
}

// The log says what happened and not what was said.
func TestLogHasNoContents(t *testing.T) {
	var log strings.Builder
	config := fast
	config.Timeout = 5 * time.Second
	config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	text := strings.ReplaceAll(hello, "Hello", "REPLYTEXT")
	failed := frame("conversation.response.error", `{"type":"conversation.response.error","message":"REPLYTEXT","code":1}`)
	handler := inTurn(
		status(429, `{"message":"REPLYTEXT"}`, "Retry-After", "1"), status(503, "REPLYTEXT"), reset, status(200, reply("REPLYTEXT", 30)), // one call
		status(422, `{"detail":[{"loc":["REPLYTEXT"],"msg":"REPLYTEXT","type":"REPLYTEXT"}]}`),
		status(200, `{"REPLYTEXT`),
		slow, status(200, "REPLYTEXT"),
		streaming(started+text+done), streaming(started+text), streaming(started+text+failed),
		streaming(started+frame("message.output.delta", `{"REPLYTEXT`)),
		status(200, "REPLYTEXT"),
	)
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		for i, want := range []bool{true, false, false, false, false} {
			if err := callOrStream(t.Context(), client, "PROMPTTEXT", false); (err == nil) != want {
				t.Errorf("call %d: %v", i, err)
			}
		}
		for i, want := range []bool{true, false, false, false, false} {
			if err := callOrStream(t.Context(), client, "PROMPTTEXT", true); (err == nil) != want {
				t.Errorf("stream %d: %v", i, err)
			}
		}
		for _, what := range []string{"acquired", "response", "no response", "retry", "settled"} {
			if !strings.Contains(log.String(), `"msg":"mistral: `+what+`"`) {
				t.Errorf("there is no record %q", what)
			}
		}
		for _, what := range []string{"PROMPTTEXT", "REPLYTEXT", "SECRET"} {
			if strings.Contains(log.String(), what) {
				t.Errorf("the log has %s in it:\n%s", what, log.String())
			}
		}
	})
}

// handler is a slog handler that does one thing with each record.
type handler func(slog.Record)

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error { h(r); return nil }

func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h handler) WithGroup(string) slog.Handler { return h }

// A logger that panics, whatever the record, takes no permit with it.
func TestPanickingLogger(t *testing.T) {
	unreachable := func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch }
	for name, test := range map[string]struct {
		records []string // that the call makes, in turn
		stream  bool
		replies []tripper
	}{
		"plain": {[]string{"acquired", "response", "retry", "no response", "retry", "response", "settled", "ended"}, false, []tripper{
			canned503, func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			func(*http.Request) (*http.Response, error) {
				return canned(200, "application/json", reply("fine", 30)), nil
			},
		}},
		"stream": {[]string{"acquired", "response", "retry", "response", "settled", "ended"}, true, []tripper{
			canned503, func(*http.Request) (*http.Response, error) {
				return canned(200, "text/event-stream", started+hello+done), nil
			},
		}},
		"stream that breaks off": {[]string{"acquired", "response", "settled", "ended"}, true, []tripper{
			func(*http.Request) (*http.Response, error) {
				return canned(200, "text/event-stream", started+hello), nil
			},
		}},
		"nothing sent": {[]string{"acquired", "no response", "cancelled", "ended"}, false, []tripper{unreachable}},
	} {
		for i, record := range test.records {
			t.Run(fmt.Sprintf("%s/%d %s", name, i, record), func(t *testing.T) {
				config, next := fast, 0
				config.Logger = slog.New(handler(func(r slog.Record) {
					if r.Message != "mistral: "+record && next == i {
						t.Errorf("record %d is %q, want %q", next, r.Message, record)
					}
					if next++; next == i+1 {
						panic("broken logger")
					}
				}))
				overTransport(t, config, turns(test.replies...), func(t *testing.T, client *ratelimited.Client) {
					defer func() {
						if recover() == nil {
							t.Error("the panic was swallowed")
						}
						if n := snapshot(client).InFlight; n != 0 {
							t.Errorf("%d permits are in flight, want none", n)
						}
					}()
					_ = callOrStream(t.Context(), client, "Hello!", test.stream) // it panics
				})
			})
		}
	}
}

func canned503(*http.Request) (*http.Response, error) { return canned(503, "text/plain", "busy"), nil }

// turns is inTurn for transports.
func turns(trippers ...tripper) tripper {
	next := 0
	return func(req *http.Request) (*http.Response, error) {
		next++
		return trippers[min(next, len(trippers))-1](req)
	}
}

// A logger may ask the stream whose settlement it hears of.
func TestLoggerAsksTheStream(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		early bool // the caller leaves after the second event
		want  string
	}{
		"done":  {started + hello + done, false, "conv_1 Hello true"},
		"early": {started + hello + done, true, "conv_1 Hello false"},
		"error": {started + hello, false, "conv_1 Hello false"},
	} {
		t.Run(name, func(t *testing.T) {
			var stream *ratelimited.Stream
			var heard string
			config := fast
			config.APIKey = secretKey
			config.HTTPClient = &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
				return canned(200, "text/event-stream", test.body), nil
			})}
			config.Logger = slog.New(handler(func(r slog.Record) {
				if r.Message == "mistral: settled" {
					heard = fmt.Sprint(stream.ConversationID(), " ", stream.Text(), " ", stream.Usage() != nil)
				}
			}))
			client := newClient(t, config)
			ended := ratelimited.Async(func() (string, error) {
				var err error
				if stream, err = openedStream(t.Context(), client); err != nil {
					return "", err
				}
				events := 0
				for _, err := range stream.Events() {
					if events++; err != nil || test.early && events == 2 {
						break
					}
				}
				return heard, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a mutex that nobody will unlock
			defer cancel()
			if got, err := ended.Await(ctx); got != test.want || err != nil {
				t.Errorf("the logger heard %q (%v), want %q", got, err, test.want)
			}
			wantNoPermits(t, client)
		})
	}
}

// What may be a secret in an address is in no error about it.
func TestSecretsInAddresses(t *testing.T) {
	for _, base := range []string{
		"https://user:geheim@example.com", "https://geheim@example.com", "https://:geheim@example.com",
		"https://example.com/?key=geheim", "https://example.com?geheim", "https://example.com/#geheim", "https://example.com/gateway?key=geheim#x",
		"//user:geheim@example.com", "user:geheim@example.com", "https:user:geheim@example.com", "ftp://user:geheim@example.com",
		"http://user:geheim@example.com", "https://user:geheim@example.com:99999", "https://user:geheim@example.com/v1",
		"https://user:geheim@", "https://user:ge%zzheim-geheim@example.com", "https://user: geheim@example.com",
		"https://exa mple.com/?key=geheim", "https://example.com/%zz?key=geheim", "https://[::1?key=geheim", "https://example.com:port?key=geheim",
		"?key=geheim", "#geheim", "https://?key=geheim", "mailto:geheim@example.com",
	} {
		config := fast
		config.APIKey, config.BaseURL = secretKey, base
		_, err := ratelimited.New(config)
		config.BaseURL, config.HTTPClient = "", stubClient
		_, called := start(t.Context(), newClient(t, config), ratelimited.WithBaseURL(base))
		for field, err := range map[string]error{"BaseURL": err, "WithBaseURL": called} {
			var invalid *ratelimited.ConfigError
			if !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s %q: error is %v, want a ConfigError of it", field, base, err)
				continue
			}
			if text := fmt.Sprintf("%v %+v %#v %v", err, *invalid, *invalid, invalid.Value); strings.Contains(text, "geheim") {
				t.Errorf("%s %q: the error shows a secret: %s", field, base, text)
			}
		}
	}
}

// A key that a server sends back in a header is in no error, and in no copy of the
// response.
func TestKeyInAHeader(t *testing.T) {
	echo := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			w.Header().Set("Mistral-Correlation-Id", key)
			w.Header().Set("X-Debug", "Authorization: Bearer "+key)
			answer(w, status, body)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"400": echo(400, `{"message":"no"}`), "429": echo(429, tooMany), "unusable": echo(200, "{"), "a success": echo(200, reply("fine", 30)),
	} {
		inBubble(t, ratelimited.Config{MaxRetries: ratelimited.NoRetries}, handler, func(t *testing.T, client *ratelimited.Client) {
			var response *http.Response
			_, err := start(t.Context(), client, ratelimited.WithResponseInto(&response))
			var api *ratelimited.APIError
			shown := fmt.Sprint(err, response.Header)
			if errors.As(err, &api) {
				shown += fmt.Sprintf(" %+v %s", *api, api.RequestID)
			}
			if strings.Contains(shown, "SECRET") || !strings.Contains(shown, "REDACTED") {
				t.Errorf("%s: %s", name, shown)
			}
		})
	}
}
