package ratelimited_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// If the transport panics, the request may have been sent, so the call is charged its estimate.
func TestPanicIsCharged(t *testing.T) {
	transport := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		panic("broken transport")
	})
	runWithTransport(t, small, transport, func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client)
		}()
		if s := snapshot(client); s.Settled != 1 || s.TokensSettled != 508 {
			t.Errorf("%d tokens settled in %d calls, want the estimate of 508 in one call", s.TokensSettled, s.Settled)
		}
	})
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

// If the logger panics while a stream settles, the stream still closes its body.
func TestPanickingLoggerDoesNotLeaveTheBodyOpen(t *testing.T) {
	closed := 0
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
		resp := newResponse(200, "text/event-stream", "")
		resp.Body = closeCounter{strings.NewReader(started + hello + done), &closed}
		return resp, nil
	})
	config := fast
	config.Logger = slog.New(logFunc(func(r slog.Record) {
		if r.Message == "mistral: settled" {
			panic("broken logger")
		}
	}))
	runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		stream, err := openStream(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			for _, err := range stream.Events() {
				if err != nil {
					t.Error(err)
				}
				break
			}
		}()
		_ = stream.Close()
		if closed != 1 {
			t.Errorf("the body was closed %d times, want once", closed)
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
