package ratelimited_test

import (
	"encoding/json"
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

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
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
		for _, message := range []string{"acquired", "response", "no response", "retry", "settled"} {
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

// If an event that is not JSON contains the key, the error does not.
func TestKeyInInvalidEvent(t *testing.T) {
	for name, event := range map[string]string{
		"error event": "conversation.response.error", "delta": "message.output.delta",
	} {
		t.Run(name, func(t *testing.T) {
			echo := func(w http.ResponseWriter, r *http.Request) {
				streaming(started+frame(event, "bad key "+r.Header.Get("Authorization")))(w, r)
			}
			runWithHandler(t, fast, echo, func(t *testing.T, client *ratelimited.Client) {
				_, err := collect(startStream(t.Context(), t, client))
				if out := printed(err); strings.Contains(out, "SECRET") {
					t.Errorf("the error contains the key: %v", err)
				}
			})
		})
	}
}

// If a server returns the key with JSON escapes, the error does not contain it.
func TestEscapedKey(t *testing.T) {
	const key = `sk-<THE&SECRET/KEY>"\`
	for name, body := range map[string]func(string) string{
		"Go": func(a string) string {
			b, _ := json.Marshal(map[string]string{"message": "bad key " + a})
			return string(b)
		},
		"slashes": func(a string) string {
			return `{"message":"bad key ` + strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(a, `\`, `\\`), `"`, `\"`), "/", `\/`) + `"}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := memnet.Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Accept") == "application/json" {
						writeJSON(w, 401, body(r.Header.Get("Authorization")))
						return
					}
					streaming(started+frame("conversation.response.error", `{"code":"x","detail":`+strings.TrimPrefix(body(r.Header.Get("Authorization")), `{"message":`)))(w, r)
				}))
				defer server.Close()
				client := newClient(t, ratelimited.Config{APIKey: key, BaseURL: server.URL(), HTTPClient: server.Client()})
				_, err := start(t.Context(), client)
				var api *ratelimited.APIError
				if !errors.As(err, &api) || strings.Contains(api.Message, key) || strings.Contains(string(api.Body), "SECRET") {
					t.Errorf("the error contains the key: %v; message %q, body %q", err, api.Message, api.Body)
				}
				_, err = collect(startStream(t.Context(), t, client))
				if strings.Contains(err.Error(), "SECRET") {
					t.Errorf("the error contains the key: %v", err)
				}
			})
		})
	}
}

// If the media type of a response contains the key, the error does not.
func TestKeyInMediaType(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/"+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		_, _ = io.WriteString(w, "hello")
	}
	runWithHandler(t, fast, echo, func(t *testing.T, client *ratelimited.Client) {
		_, err := openStream(t.Context(), client)
		if strings.Contains(strings.ToUpper(err.Error()), "SECRET") {
			t.Errorf("the error contains the key: %v", err)
		}
	})
}

// If a value of the wrong type contains the key, the error does not.
func TestKeyInInvalidValue(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 200, strings.ReplaceAll(agentJSON, "2026-01-02T03:04:05Z", r.Header.Get("Authorization")))
	}
	runWithHandler(t, fast, echo, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
		t.Log(err)
		if err != nil && strings.Contains(printed(err), "SECRET") {
			t.Errorf("the error contains the key: %v", err)
		}
	})
	echo2 := func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 200, `{"conversation_id":"c","outputs":[],"usage":{"total_tokens":1e400,"connectors":{"`+r.Header.Get("Authorization")+`":"x"}}}`)
	}
	runWithHandler(t, fast, echo2, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		t.Log(err)
		if err != nil && strings.Contains(printed(err), "SECRET") {
			t.Errorf("the error contains the key: %v", err)
		}
	})
}

// If the size limit truncates a body within the key, the stored body does not contain the rest of the key.
func TestTruncatedKey(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		a := r.Header.Get("Authorization")
		writeJSON(w, 400, strings.Repeat("x", 1<<20-len(a)+1)+a)
	}
	runWithHandler(t, fast, echo, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var api *ratelimited.APIError
		if errors.As(err, &api); strings.Contains(string(api.Body), "SECRET") {
			t.Errorf("the body ends with %q", api.Body[len(api.Body)-30:])
		}
	})
}
