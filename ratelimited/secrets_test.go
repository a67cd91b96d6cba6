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

// WithResponseInto stores the response of the last attempt, or nil if that attempt did not receive one.
func TestResponseIsOfTheLastAttempt(t *testing.T) {
	runWithHandler(t, fast, handlersInOrder(status(503, ""), reset), func(t *testing.T, client *ratelimited.Client) {
		resp := new(http.Response)
		_, err := start(t.Context(), client, ratelimited.WithMaxRetries(1), ratelimited.WithResponseInto(&resp))
		var transport *ratelimited.TransportError
		if !errors.As(err, &transport) || resp != nil {
			t.Errorf("response is %v and error %v, want nil and a TransportError", resp, err)
		}
	})
	runWithHandler(t, fast, handlersInOrder(reset, status(403, "", "X-Trace", "abc")), func(t *testing.T, client *ratelimited.Client) {
		var resp *http.Response
		_, err := start(t.Context(), client, ratelimited.WithResponseInto(&resp))
		if err == nil || resp == nil || resp.StatusCode != 403 || resp.Header.Get("X-Trace") != "abc" {
			t.Fatalf("response is %v and error %v, want the 403 of the second attempt", resp, err)
		}
		if resp.Request == nil || resp.Request.Header.Get("User-Agent") == "" || resp.Request.Header.Get("Authorization") != "" {
			t.Errorf("the response's request is %v, want it without the key", resp.Request)
		}
		if text := fmt.Sprintf("%+v %+v", resp, resp.Request); strings.Contains(text, "SECRET") {
			t.Errorf("the response contains the key: %s", text)
		}
	})
}

// Changes to the header of one request do not affect the next request.
func TestHeadersAreNotShared(t *testing.T) {
	var mu sync.Mutex
	var seen []string // the header fields of each request
	record := func(w http.ResponseWriter, r *http.Request) {
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
		server := memnet.Start(http.HandlerFunc(record))
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
		config.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
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
				t.Errorf("request %d has the header fields %s, want %s", i, got, want)
			}
		}
	})
}

// Changes that the caller makes to a response of WithResponseInto do not affect the next request.
func TestCallerCanChangeItsResponse(t *testing.T) {
	var agents, keys []string
	record := func(w http.ResponseWriter, r *http.Request) {
		agents, keys = append(agents, r.UserAgent()), append(keys, r.Header.Get("Authorization"))
		ok(w, r)
	}
	runWithHandler(t, fast, record, func(t *testing.T, client *ratelimited.Client) {
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

// printed returns all text that a program is likely to print of an error.
func printed(err error) string {
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

// If a server returns the key with escapes, or in the name of a header field, the error does not contain it.
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
				runWithHandler(t, config, test, func(t *testing.T, client *ratelimited.Client) {
					for _, stream := range []bool{false, true} {
						err := callOrStream(t.Context(), client, "Hello!", stream)
						if err == nil {
							t.Fatal("no error")
						}
						out := printed(err)
						if api := (*ratelimited.APIError)(nil); errors.As(err, &api) {
							out += string(api.Body) + fmt.Sprint(api.Header)
						}
						if strings.Contains(out, key) || strings.Contains(out, "SECRET") || strings.Contains(out, "Secret") {
							t.Errorf("the error contains the key:\n%s", out)
						}
					}
				})
			}
		})
	}
}

// If a server returns the key, errors and log records do not contain it.
func TestEchoedKeyIsNotShown(t *testing.T) {
	for name, test := range map[string]struct {
		code int
		body string // ECHO stands for the Authorization field
	}{
		"message":           {401, `{"message":"no such key: ECHO","type":"ECHO","code":"ECHO","param":"ECHO"}`},
		"detail":            {403, `{"detail":"ECHO is not known"}`},
		"validation errors": {422, `{"detail":[{"loc":["header","ECHO"],"msg":"ECHO is wrong","type":"ECHO"}]}`},
		"nested":            {400, `{"error":{"message":"ECHO","type":"ECHO"}}`},
		"text":              {500, `upstream: bad header Authorization: ECHO`},
		"page":              {502, `<html>ECHO</html>`},
		"rate limit":        {429, `{"message":"ECHO rate limit exceeded"}`},
		"not JSON":          {200, `hello ECHO`},
		"a list":            {200, `["ECHO"]`},
		"an error":          {200, `{"error":{"message":"ECHO","type":"ECHO","code":"ECHO"}}`},
		"truncated":         {200, `{"conversation_id":"ECHO`},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			config := fast
			config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			echo := func(w http.ResponseWriter, r *http.Request) {
				writeJSON(w, test.code, strings.ReplaceAll(test.body, "ECHO", r.Header.Get("Authorization")))
			}
			runWithHandler(t, config, echo, func(t *testing.T, client *ratelimited.Client) {
				for _, stream := range []bool{false, true} {
					err := callOrStream(t.Context(), client, "Hello!", stream)
					var api *ratelimited.APIError
					if !errors.As(err, &api) || !strings.Contains(string(api.Body), "REDACTED") {
						t.Fatalf("error is %v (%T), want an APIError with a redacted body", err, err)
					}
					if out := printed(err); strings.Contains(out, "SECRET") {
						t.Errorf("the error contains the key:\n%s", out)
					}
				}
				if log.Len() == 0 || strings.Contains(log.String(), "SECRET") {
					t.Errorf("the log contains the key, or is empty:\n%s", log.String())
				}
			})
		})
	}
}

// If a server returns the key in an error event, the error and the log do not contain it.
func TestEchoedKeyInStream(t *testing.T) {
	for name, event := range map[string]string{
		"error event":                 `{"type":"conversation.response.error","message":"bad key ECHO","code":1}`,
		"invalid error event":         `{"message":"bad key ECHO","code":"x"}`,
		"error event without message": `{"code":"ECHO"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			config := fast
			config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			echo := func(w http.ResponseWriter, r *http.Request) {
				data := strings.ReplaceAll(event, "ECHO", r.Header.Get("Authorization"))
				streaming(started+hello+frame("conversation.response.error", data))(w, r)
			}
			runWithHandler(t, config, echo, func(t *testing.T, client *ratelimited.Client) {
				_, err := collect(startStream(t.Context(), t, client))
				var broken *ratelimited.StreamError
				if !errors.As(err, &broken) || !strings.Contains(err.Error(), "REDACTED") {
					t.Errorf("error is %v, want a redacted StreamError", err)
				}
				if out := printed(err) + log.String(); strings.Contains(out, "SECRET") {
					t.Errorf("the error or the log contains the key:\n%s", out)
				}
			})
		})
	}
}

// The log does not contain text of prompts or responses.
func TestLogHasNoContents(t *testing.T) {
	var log strings.Builder
	config := fast
	config.Timeout = 5 * time.Second
	config.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	text := strings.ReplaceAll(hello, "Hello", "RESPONSETEXT")
	failed := frame("conversation.response.error", `{"type":"conversation.response.error","message":"RESPONSETEXT","code":1}`)
	handler := handlersInOrder(
		status(429, `{"message":"RESPONSETEXT"}`, "Retry-After", "1"), status(503, "RESPONSETEXT"), reset, status(200, responseJSON("RESPONSETEXT", 30)), // the attempts of one call
		status(422, `{"detail":[{"loc":["RESPONSETEXT"],"msg":"RESPONSETEXT","type":"RESPONSETEXT"}]}`),
		status(200, `{"RESPONSETEXT`),
		noResponse, status(200, "RESPONSETEXT"),
		streaming(started+text+done), streaming(started+text), streaming(started+text+failed),
		streaming(started+frame("message.output.delta", `{"RESPONSETEXT`)),
		status(200, "RESPONSETEXT"),
	)
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
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
		for _, message := range []string{"acquired", "reply", "no reply", "retry", "settled"} {
			if !strings.Contains(log.String(), `"msg":"mistral: `+message+`"`) {
				t.Errorf("the log does not contain the record %q", message)
			}
		}
		for _, text := range []string{"PROMPTTEXT", "RESPONSETEXT", "SECRET"} {
			if strings.Contains(log.String(), text) {
				t.Errorf("the log contains %s:\n%s", text, log.String())
			}
		}
	})
}

// logFunc is a [slog.Handler] that calls a function for each record.
type logFunc func(slog.Record)

func (logFunc) Enabled(context.Context, slog.Level) bool { return true }

func (f logFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }

func (f logFunc) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f logFunc) WithGroup(string) slog.Handler { return f }

// If the logger panics at any record of a call, the client releases the permit.
func TestPanickingLogger(t *testing.T) {
	unreachable := func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch }
	for name, test := range map[string]struct {
		records    []string // the log records of the call, in order
		stream     bool
		transports []roundTripperFunc
	}{
		"plain": {[]string{"acquired", "reply", "retry", "no reply", "retry", "reply", "settled", "ended"}, false, []roundTripperFunc{
			response503, func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			func(*http.Request) (*http.Response, error) {
				return newResponse(200, "application/json", responseJSON("fine", 30)), nil
			},
		}},
		"stream": {[]string{"acquired", "reply", "retry", "reply", "settled", "ended"}, true, []roundTripperFunc{
			response503, func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", started+hello+done), nil
			},
		}},
		"truncated stream": {[]string{"acquired", "reply", "settled", "ended"}, true, []roundTripperFunc{
			func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", started+hello), nil
			},
		}},
		"nothing sent": {[]string{"acquired", "no reply", "cancelled", "ended"}, false, []roundTripperFunc{unreachable}},
	} {
		for i, record := range test.records {
			t.Run(fmt.Sprintf("%s/%d %s", name, i, record), func(t *testing.T) {
				config, next := fast, 0
				config.Logger = slog.New(logFunc(func(r slog.Record) {
					if r.Message != "mistral: "+record && next == i {
						t.Errorf("record %d is %q, want %q", next, r.Message, record)
					}
					if next++; next == i+1 {
						panic("broken logger")
					}
				}))
				runWithTransport(t, config, roundTrippersInOrder(test.transports...), func(t *testing.T, client *ratelimited.Client) {
					defer func() {
						if recover() == nil {
							t.Error("the panic was swallowed")
						}
						if n := snapshot(client).InFlight; n != 0 {
							t.Errorf("%d permits are held, want 0", n)
						}
					}()
					_ = callOrStream(t.Context(), client, "Hello!", test.stream) // it panics
				})
			})
		}
	}
}

// response503 is a transport function that responds with a 503.
func response503(*http.Request) (*http.Response, error) {
	return newResponse(503, "text/plain", "busy"), nil
}

// roundTrippersInOrder handles the n-th request with the n-th function, and all further requests with the last.
func roundTrippersInOrder(functions ...roundTripperFunc) roundTripperFunc {
	next := 0
	return func(req *http.Request) (*http.Response, error) {
		next++
		return functions[min(next, len(functions))-1](req)
	}
}

// A logger can call methods of the stream whose settlement it logs.
func TestLoggerCallsMethodsOfTheStream(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		early bool // the caller leaves the loop after the second event
		want  string
	}{
		"done":  {started + hello + done, false, "conv_1 Hello true"},
		"early": {started + hello + done, true, "conv_1 Hello false"},
		"error": {started + hello, false, "conv_1 Hello false"},
	} {
		t.Run(name, func(t *testing.T) {
			var stream *ratelimited.Stream
			var logged string
			config := fast
			config.APIKey = secretKey
			config.HTTPClient = &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
				return newResponse(200, "text/event-stream", test.body), nil
			})}
			config.Logger = slog.New(logFunc(func(r slog.Record) {
				if r.Message == "mistral: settled" {
					logged = fmt.Sprint(stream.ConversationID(), " ", stream.Text(), " ", stream.Usage() != nil)
				}
			}))
			client := newClient(t, config)
			ended := ratelimited.Async(func() (string, error) {
				var err error
				if stream, err = openStream(t.Context(), client); err != nil {
					return "", err
				}
				events := 0
				for _, err := range stream.Events() {
					if events++; err != nil || test.early && events == 2 {
						break
					}
				}
				return logged, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a deadlock would block the stream
			defer cancel()
			if got, err := ended.Await(ctx); got != test.want || err != nil {
				t.Errorf("the logger read %q (%v), want %q", got, err, test.want)
			}
			wantNoPermits(t, client)
		})
	}
}

// The error for an invalid URL does not contain parts of the URL that can be secret.
func TestSecretsInAddresses(t *testing.T) {
	for _, base := range []string{
		"https://user:s3cr3t@example.com", "https://s3cr3t@example.com", "https://:s3cr3t@example.com",
		"https://example.com/?key=s3cr3t", "https://example.com?s3cr3t", "https://example.com/#s3cr3t", "https://example.com/gateway?key=s3cr3t#x",
		"//user:s3cr3t@example.com", "user:s3cr3t@example.com", "https:user:s3cr3t@example.com", "ftp://user:s3cr3t@example.com",
		"http://user:s3cr3t@example.com", "https://user:s3cr3t@example.com:99999", "https://user:s3cr3t@example.com/v1",
		"https://user:s3cr3t@", "https://user:s3%zzcr3t-s3cr3t@example.com", "https://user: s3cr3t@example.com",
		"https://exa mple.com/?key=s3cr3t", "https://example.com/%zz?key=s3cr3t", "https://[::1?key=s3cr3t", "https://example.com:port?key=s3cr3t",
		"?key=s3cr3t", "#s3cr3t", "https://?key=s3cr3t", "mailto:s3cr3t@example.com",
	} {
		config := fast
		config.APIKey, config.BaseURL = secretKey, base
		_, err := ratelimited.New(config)
		config.BaseURL, config.HTTPClient = "", stubClient
		_, called := start(t.Context(), newClient(t, config), ratelimited.WithBaseURL(base))
		for field, err := range map[string]error{"BaseURL": err, "WithBaseURL": called} {
			var invalid *ratelimited.ConfigError
			if !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s %q: error is %v, want a ConfigError for the field", field, base, err)
				continue
			}
			if text := fmt.Sprintf("%v %+v %#v %v", err, *invalid, *invalid, invalid.Value); strings.Contains(text, "s3cr3t") {
				t.Errorf("%s %q: the error contains a secret: %s", field, base, text)
			}
		}
	}
}

// If a server returns the key in a header field, the error and the response of WithResponseInto do not contain it.
func TestKeyInAHeader(t *testing.T) {
	echo := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			w.Header().Set("Mistral-Correlation-Id", key)
			w.Header().Set("X-Debug", "Authorization: Bearer "+key)
			writeJSON(w, status, body)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"400": echo(400, `{"message":"no"}`), "429": echo(429, rateLimitBody), "invalid": echo(200, "{"), "a success": echo(200, responseJSON("fine", 30)),
	} {
		runWithHandler(t, ratelimited.Config{MaxRetries: ratelimited.NoRetries}, handler, func(t *testing.T, client *ratelimited.Client) {
			var response *http.Response
			_, err := start(t.Context(), client, ratelimited.WithResponseInto(&response))
			var api *ratelimited.APIError
			text := fmt.Sprint(err, response.Header)
			if errors.As(err, &api) {
				text += fmt.Sprintf(" %+v %s", *api, api.RequestID)
			}
			if strings.Contains(text, "SECRET") || !strings.Contains(text, "REDACTED") {
				t.Errorf("%s: the error and header are not redacted: %s", name, text)
			}
		})
	}
}
