package ratelimited_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// gzipBomb responds with a small compressed body that decompresses to a large one: head, followed
// by size bytes of filling.
func gzipBomb(t *testing.T, status int, mediaType, head, filling string, size int) http.HandlerFunc {
	t.Helper()
	var body bytes.Buffer
	compressor := gzip.NewWriter(&body)
	_, _ = io.WriteString(compressor, head)
	for block := []byte(strings.Repeat(filling, 1+(1<<20)/len(filling))); size > 0; size -= len(block) {
		_, _ = compressor.Write(block)
	}
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		_, _ = w.Write(body.Bytes()) // the client may have closed the connection
	}
}

// The size limits apply to the decompressed body.
func TestDecompressionBombs(t *testing.T) {
	t.Parallel()
	t.Run("response", func(t *testing.T) {
		runWithHandler(t, fast, gzipBomb(t, 200, "application/json", `{"object":"`, " ", 65<<20), func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client)
			var api *ratelimited.APIError
			if !errors.As(err, &api) || !strings.Contains(err.Error(), "the response is larger than 67108864 bytes") || len(api.Body) != 1<<20 {
				t.Errorf("error is %.300v", err)
			}
		})
	})
	t.Run("error", func(t *testing.T) {
		runWithHandler(t, fast, gzipBomb(t, 400, "application/json", `{"message":"`, "x", 2<<20), func(t *testing.T, client *ratelimited.Client) {
			_, err := start(t.Context(), client)
			var api *ratelimited.APIError
			if !errors.As(err, &api) || api.StatusCode != 400 || len(api.Body) != 1<<20 {
				t.Errorf("error is %.300v", err)
			}
			wantOneLine(t, err, 2000)
		})
	})
	t.Run("event", func(t *testing.T) {
		runWithHandler(t, fast, gzipBomb(t, 200, "text/event-stream", started+"data: ", "x", 17<<20), func(t *testing.T, client *ratelimited.Client) {
			events, err := collect(startStream(t.Context(), t, client))
			if !errors.As(err, new(*sse.FrameTooLargeError)) || len(events) != 1 {
				t.Errorf("after %d events: %.300v", len(events), err)
			}
		})
	})
}

// The client ends a stream that exceeds its size limit, with or without events.
func TestEndlessStream(t *testing.T) {
	for name, test := range map[string]struct {
		head   string
		events int
	}{"after an event": {started, 1}, "without an event": {"", 0}} {
		t.Run(name, func(t *testing.T) {
			requests, body := 0, endlessBody{}
			transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
				requests++
				resp := newResponse(200, "text/event-stream", "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(test.head), commentLines{&body}))
				return resp, nil
			})
			runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
				var events []sse.Event
				stream, err := openStream(t.Context(), client)
				if err == nil {
					events, err = collect(stream)
				}
				if err == nil || !strings.Contains(err.Error(), "the stream is larger than 268435456 bytes") || len(events) != test.events || requests != 1 {
					t.Errorf("after %d events and %d requests: %.300v", len(events), requests, err)
				}
				if body.read < 255<<20 || body.read > 257<<20 {
					t.Errorf("%d bytes were read, want about 256 MiB", body.read)
				}
			})
		})
	}
}

// The number of entries and chunks of a response is limited, because each takes more memory than its event.
func TestManyParts(t *testing.T) {
	for name, data := range map[string]string{
		"entries":  `{"type":"message.output.delta","id":"%d","content":""}`,
		"calls":    `{"type":"function.call.delta","id":"%d","name":"f","arguments":""}`,
		"chunks":   `{"type":"message.output.delta","id":"m","content_index":%d,"content":{"type":"text","text":""}}`,
		"thoughts": `{"type":"message.output.delta","id":"m","content":{"type":"thinking","thinking":[{"type":"reference","reference_ids":[%d]}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			body := func(yield func([]byte) bool) {
				yield([]byte(started))
				for i := 0; ; i++ {
					if !yield(fmt.Appendf(nil, "data: "+data+"\n\n", i)) {
						return
					}
				}
			}
			transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
				resp := newResponse(200, "text/event-stream", "")
				next, stop := iter.Pull(body)
				resp.Body = sequenceBody{next, stop}
				return resp, nil
			})
			runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				before, events := heapBytes(), 0
				var failed error
				for _, err := range stream.Events() {
					events++
					failed = err
				}
				kept := heapBytes() - before
				runtime.KeepAlive(stream)
				var broken *ratelimited.StreamError
				if !errors.As(failed, &broken) || !strings.Contains(failed.Error(), "too many parts") || errors.Is(failed, ratelimited.ErrRetryable) {
					t.Errorf("after %d events: %v", events, failed)
				}
				if events < 9_000 || events > 20_010 || kept > 48<<20 {
					t.Errorf("%d events were delivered, want 9,000 to 20,010; %d bytes are kept, want at most 48 MiB", events, kept)
				}
			})
		})
	}
}

// The limit on chunks also applies to the chunks of one event.
func TestManyPartsInOneEvent(t *testing.T) {
	for name, content := range map[string]string{
		"chunks":   `[` + strings.Repeat(`{},`, 1<<20) + `{}]`,
		"thoughts": `{"type":"thinking","thinking":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			event := frame("message.output.delta", `{"type":"message.output.delta","id":"m","content":`+content+`}`)
			runWithHandler(t, fast, streaming(started+event), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				before := heapBytes()
				_, err := collect(stream)
				kept := heapBytes() - before
				runtime.KeepAlive(stream)
				if err == nil || !strings.Contains(err.Error(), "too many parts") || kept > 48<<20 {
					t.Errorf("%d bytes are kept, want at most 48 MiB; error %v", kept, err)
				}
			})
		})
	}
}

// sequenceBody is a body whose Read returns the next element of a sequence.
type sequenceBody struct {
	next func() ([]byte, bool)
	stop func()
}

func (s sequenceBody) Read(b []byte) (int, error) {
	part, ok := s.next()
	if !ok {
		return 0, io.EOF
	}
	return copy(b, part), nil
}

func (s sequenceBody) Close() error {
	s.stop()
	return nil
}

// commentLines is an endless event stream that consists of comments.
type commentLines struct{ *endlessBody }

func (c commentLines) Read(p []byte) (int, error) {
	n, err := c.endlessBody.Read(p)
	copy(p, ":")
	p[n-1] = '\n'
	return n, err
}

// The client limits the size of a response's header. A transport in Config.HTTPClient has its
// separate limit.
func TestHugeHead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Filling", strings.Repeat("x", 2<<20))
		ok(w, r)
	}))
	defer server.Close()
	client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: server.URL})
	defer client.Close()
	_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
	if !errors.As(err, new(*ratelimited.TransportError)) {
		t.Errorf("error is %.300v, want a TransportError", err)
	}
	wantOneLine(t, err, 2000)
}

// The client does not follow redirects of any kind to any URL, even if its HTTP client would.
func TestNoRedirectIsFollowed(t *testing.T) {
	redirected := 0
	other, err := emulator.Start(emulator.Config{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		redirected++
		next.ServeHTTP(w, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	requests, status, to := 0, 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}))
	defer server.Close()
	followsRedirects := server.Client()
	followsRedirects.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
	client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: server.URL, HTTPClient: followsRedirects, RequestsPerSecond: 1e6, TokensPerMinute: 1e9})
	for _, status = range []int{301, 302, 303, 307, 308} {
		for _, to = range []string{"/v1/conversations", server.URL + "/v1/agents", other.URL() + "/v1/conversations", "//" + strings.TrimPrefix(other.URL(), "http://")} {
			for name, call := range map[string]func() error{
				"GET": func() error {
					_, err := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
					return err
				},
				"POST":   func() error { _, err := start(t.Context(), client); return err },
				"stream": func() error { _, err := openStream(t.Context(), client); return err },
				"DELETE": func() error { return client.Beta.Agents.Delete(t.Context(), "ag_1") },
			} {
				before := requests
				var api *ratelimited.APIError
				if err := call(); !errors.As(err, &api) || api.StatusCode != status || requests != before+1 || redirected != 0 {
					t.Errorf("%s, %d to %s: %d requests, %d redirected, %v", name, status, to, requests-before, redirected, err)
				} else if !strings.Contains(api.Message, "a redirect to http://127.0.0.1:") {
					t.Errorf("%s, %d to %s: the message is %q", name, status, to, api.Message)
				}
			}
		}
	}
}

// The client does not store IDs, models, and agents whose names exceed the maximum length.
func TestLongNamesAreNotStored(t *testing.T) {
	number := 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		number++
		long := fmt.Sprintf("%04d", number) + strings.Repeat("x", 1<<18)
		writeJSON(w, 200, strings.ReplaceAll(`{"id":"LONG","agent_id":"LONG","model":"LONG","conversation_id":"LONG","outputs":[{"type":"message.output","content":"x","agent_id":"LONG","model":"LONG"}],"usage":{"total_tokens":30}}`, "LONG", long))
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		call := func() {
			_, err1 := start(t.Context(), client)
			_, err2 := client.Beta.Conversations.Get(t.Context(), "conv_1")
			_, err3 := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
		}
		call()
		before := heapBytes()
		for range 30 {
			call()
		}
		if kept := heapBytes() - before; kept > 8<<20 {
			t.Errorf("%d bytes are kept after 90 responses, want at most 8 MiB", kept)
		}
		// The client treats a model with a long name as unknown.
		model := strings.Repeat("m", 1000)
		if _, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("x")}); err != nil {
			t.Error(err)
		}
	})
}

// heapBytes returns the size of the live heap in bytes.
func heapBytes() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// If the caller leaves a long stream, the client counts the tokens of a part of the text and estimates
// the rest.
func TestLeavingALongStream(t *testing.T) {
	sentence := "The quick brown fox jumps over the lazy dog, and nobody knows why. "
	long := strings.Repeat(sentence, 1<<20/len(sentence))
	delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`, long))
	runWithHandler(t, large, streaming(started+delta+hello), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		events := 0
		for _, err := range stream.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if events++; events == 2 {
				break
			}
		}
		counter, err := tokens.NewCounter("")
		if err != nil {
			t.Fatal(err)
		}
		want := float64(counter.Text(long))
		if got := float64(snapshot(client).TokensSettled); got < 0.98*want || got > 1.02*want {
			t.Errorf("%v tokens settled, want about %v", got, want)
		}
	})
}

// A body whose Read returns neither bytes nor an error ends the call with [io.ErrNoProgress].
func TestBodyWithoutProgress(t *testing.T) {
	for name, test := range map[string]struct {
		status          int
		mediaType, head string
		stream          bool
	}{
		"success":    {200, "application/json", `{"conversation_id":`, false},
		"stream":     {200, "text/event-stream", "", true},
		"mid-stream": {200, "text/event-stream", started + hello, true},
		"error":      {500, "application/json", `{"message":`, false},
	} {
		t.Run(name, func(t *testing.T) {
			transport := func(*http.Request) (*http.Response, error) {
				r := newResponse(test.status, test.mediaType, "")
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader(test.head), stuckReader{}))
				return r, nil
			}
			runWithTransport(t, fast, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
				err := callOrStream(t.Context(), client, "Hello!", test.stream)
				if err == nil || test.status == 200 && !errors.Is(err, io.ErrNoProgress) {
					t.Errorf("error is %v, want io.ErrNoProgress", err)
				}
			})
		})
	}
}

// stuckReader is a reader that returns neither bytes nor an error.
type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }
