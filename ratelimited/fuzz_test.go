package ratelimited_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// FuzzNew calls New with any configuration. New must return either a client with a valid state, or an
// error that names a field and does not contain the key.
func FuzzNew(f *testing.F) {
	f.Setenv("MISTRAL_API_KEY", "")
	f.Add(secretKey, "", 0.0, 0, 0, int64(0), int64(0), int64(0), int64(0), int64(0), "", 0.0, 0, 0.0, 0)
	f.Add(secretKey, "https://127.0.0.1:8080/proxy", 0.08, 500_000, 3, int64(time.Second), int64(time.Minute), int64(1), int64(1), int64(1), "m", 1.5, 1, 2.0, 7)
	f.Add("", "http://localhost", 1.0, 1, 100, int64(1), int64(1), int64(1), int64(1), int64(1), "m", 1.0, 1, 0.0, 0)
	f.Add("two words", "http://example.com", -1.0, -1, -2, int64(-1), int64(-1), int64(-1), int64(-1), int64(-1), "", -1.0, -1, -1.0, -1)
	f.Add(secretKey, "https://u:p@h/?q#f", math.NaN(), math.MinInt, 101, int64(math.MaxInt64), int64(1), int64(1), int64(1), int64(1), "\n", math.NaN(), 1, 1.0, 1)
	f.Add(secretKey, "https://h:99999", math.Inf(1), math.MaxInt, -1, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(1), "m", math.SmallestNonzeroFloat64, math.MaxInt, 0.5, 1)
	f.Add("sk-\x7f", "%zz", 1e6, 1_000_000_000_000, 1, int64(1), int64(1), int64(1), int64(1), int64(1), "m", 1e6, 1, 1e6, 1)
	f.Add(secretKey, "https://[::1]/v1", 1e7, 1, 1, int64(2), int64(1), int64(1), int64(1), int64(1), "m", 1.0, 1, 1.0, 1)
	f.Fuzz(func(t *testing.T, key, base string, rps float64, tpm, retries int, baseDelay, maxDelay, timeout, idle, jitter int64,
		model string, modelRPS float64, modelTPM int, requestBurst float64, tokenBurst int) {
		config := ratelimited.Config{
			APIKey: key, BaseURL: base, RequestsPerSecond: rps, TokensPerMinute: tpm, MaxRetries: retries,
			BaseDelay: time.Duration(baseDelay), MaxDelay: time.Duration(maxDelay), Timeout: time.Duration(timeout),
			StreamIdleTimeout: time.Duration(idle), Jitter: time.Duration(jitter),
		}
		if model != "" || modelRPS != 0 {
			config.Limits = map[string]limiter.Limit{
				model: {RequestsPerSecond: modelRPS, TokensPerMinute: modelTPM, RequestBurst: requestBurst, TokenBurst: tokenBurst},
			}
		}
		client, err := ratelimited.New(config)
		if err == nil {
			for name, s := range client.Snapshot() {
				if !(s.AvailableRequests > 0) || !(s.AvailableTokens > 0) || s.Limit.Validate() != nil {
					t.Errorf("limiter %q starts with %v requests and %v tokens of %+v", name, s.AvailableRequests, s.AvailableTokens, s.Limit)
				}
				if wait := client.WaitTime(name, 1); wait < 0 || wait > time.Minute {
					t.Errorf("limiter %q: the first call would wait for %v", name, wait)
				}
			}
			client.Close()
			return
		}
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) {
			t.Fatalf("error is %v (%T), want a ConfigError", err, err)
		}
		if !isField(invalid.Field) || !strings.Contains(err.Error(), invalid.Field) || invalid.Rule == "" {
			t.Errorf("error %v has the field %q and the rule %q", err, invalid.Field, invalid.Rule)
		}
		number := strings.Trim(key, "+-.e0123456789") == "" // the error may contain it as a limit
		if len(key) >= 12 && !number && !strings.Contains(base+model, key) && strings.Contains(err.Error(), key) {
			t.Errorf("the error contains the key: %v", err)
		}
		wantLine(t, err)
	})
}

// isField reports whether name is a field of Config or of one of its limits.
func isField(name string) bool {
	if rest, ok := strings.CutPrefix(name, "Limits["); ok && rest != `""]` {
		_, name, _ = strings.Cut(rest[strings.LastIndex(rest, `"`)+1:], ".")
	}
	switch name {
	case "APIKey", "BaseURL", "RequestsPerSecond", "TokensPerMinute", `Limits[""]`, "Jitter", "MaxRetries", "BaseDelay", "MaxDelay",
		"Timeout", "StreamIdleTimeout", "RequestBurst", "TokenBurst":
		return true
	}
	return false
}

// wantLine checks that the text of an error is one line.
func wantLine(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("the error is not one line: %q", text)
	}
}

// FuzzPath calls operations with any ID and any base URL. The request line of an accepted call must
// have the same path segments as a call with a plain ID, except for the ID, and no query.
func FuzzPath(f *testing.F) {
	for _, id := range []string{
		"conv_1", "", ".", "..", "...", "a/b", "../agents", "/", "%2F", "%2e%2e", "?x=1", "#x", ";", "a b", "+", "\\", "\x00", "\n",
		"é", "\xff", "pages", "pages/", "*", "{id}", ":", "//", "@", "&", "\u2028", "\u202e", ".\u200d.", "a%", strings.Repeat("x", 5000),
	} {
		f.Add(id, "0", "https://api.mistral.ai")
		f.Add("x", id, "http://localhost:8080/a/b/")
		f.Add(id, id, "https://h/"+id)
	}
	f.Add("x", "y", "https://h/a/../b/./c//")
	f.Add("x", "y", "HTTP://127.0.0.1")
	f.Add("x", "y", "https://[::1%25zone]:1")
	f.Add("x", "y", "https://::")
	f.Fuzz(func(t *testing.T, id, second, base string) {
		if base == "" {
			base = ratelimited.DefaultBaseURL
		}
		var wire []*http.Request
		transport := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			var sent bytes.Buffer
			if err := req.Write(&sent); err != nil {
				return nil, err
			}
			got, err := http.ReadRequest(bufio.NewReader(&sent))
			if err != nil {
				t.Errorf("a server cannot read %q: %v", sent.String(), err)
				return nil, err
			}
			if u, _ := url.Parse(base); req.URL.Hostname() != u.Hostname() || req.URL.Port() != u.Port() || req.URL.Scheme != u.Scheme {
				t.Errorf("%s goes to %s", base, req.URL)
			}
			wire = append(wire, got)
			return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
		})
		if u, err := url.Parse(base); err == nil && strings.Contains(u.Host, "%") {
			return // Request.Write does not preserve every zone of an IPv6 address
		}
		client, err := ratelimited.New(ratelimited.Config{
			APIKey: secretKey, BaseURL: base, HTTPClient: &http.Client{Transport: transport},
			RequestsPerSecond: 1e6, BareBuckets: true, MaxRetries: ratelimited.NoRetries,
		})
		if err != nil {
			return
		}
		ctx, agents, conversations := t.Context(), client.Beta.Agents, client.Beta.Conversations
		more := generated.AppendConversationRequest{Inputs: ratelimited.Text("x")}
		for name, call := range map[string]func(id, second string) error{
			"Agents.Get":        func(id, _ string) error { _, err := agents.Get(ctx, id, generated.GetAgentParams{}); return err },
			"Agents.GetVersion": func(id, second string) error { _, err := agents.GetVersion(ctx, id, second); return err },
			"Agents.Delete":     func(id, _ string) error { return agents.Delete(ctx, id) },
			"Conversations.Get": func(id, _ string) error { _, err := conversations.Get(ctx, id); return err },
			"Conversations.GetHistory": func(id, _ string) error {
				_, err := conversations.GetHistory(ctx, id)
				return err
			},
			"Conversations.Append": func(id, _ string) error { _, err := conversations.Append(ctx, id, more); return err },
		} {
			wire = nil
			plain := call("IDENTIFIER", "SECOND")
			if len(wire) != 1 {
				t.Fatalf("%s at %q sends %d requests for a plain ID: %v", name, base, len(wire), plain)
			}
			plainRequest := wire[0]
			wire = nil
			err := call(id, second)
			if len(wire) == 0 {
				if !errors.As(err, new(*ratelimited.RequestError)) {
					t.Errorf("%s(%q, %q) sends no request and returns %v, want a RequestError", name, id, second, err)
				}
				continue
			}
			got := wire[0]
			if got.Method != plainRequest.Method || got.URL.RawQuery != "" || got.URL.ForceQuery || got.URL.Fragment != "" {
				t.Errorf("%s(%q, %q) sends %s %s", name, id, second, got.Method, got.URL)
			}
			want := strings.Split(plainRequest.URL.EscapedPath(), "/")
			segments := strings.Split(got.RequestURI, "/")
			if len(segments) != len(want) {
				t.Fatalf("%s(%q, %q): %s has %d segments, want %d", name, id, second, got.RequestURI, len(segments), len(want))
			}
			for i, segment := range segments {
				text, err := url.PathUnescape(segment)
				arguments := map[string]string{"IDENTIFIER": id, "SECOND": second}
				wantText, _ := url.PathUnescape(want[i])
				if argument, ok := arguments[wantText]; ok {
					wantText = argument
				}
				if err != nil || text != wantText {
					t.Errorf("%s(%q, %q): segment %d of %s is %q, want %q", name, id, second, i, got.RequestURI, text, wantText)
				}
			}
			if last := segments[len(segments)-1]; last == "." || last == ".." || last == "" {
				t.Errorf("%s(%q, %q): %s ends with the segment %q", name, id, second, got.RequestURI, last)
			}
		}
	})
}

// FuzzStream streams any response. The loop must end, the call must settle once, and the settled
// tokens must balance. An error must implement ratelimited.Error and not contain the key.
func FuzzStream(f *testing.F) {
	event := func(data string) string { return "data: " + data + "\n\n" }
	for _, text := range []string{
		"", "\n", ":\n\n", "data: [DONE]\n\n", started, started + hello + world + done, started + hello, hello + done, done, done + hello,
		started + hello + hello + done + "data: [DONE]\n\n", strings.ReplaceAll(started+hello+done, "\n", "\r\n"), "\ufeff" + started + done,
		started + frame("conversation.response.error", `{"type":"conversation.response.error","message":"overloaded","code":3000}`),
		started + frame("conversation.response.error", `{"message":{"detail":"`+secretKey+`"},"code":"x"}`),
		started + frame("message.output.delta", `{"content":`),
		started + frame("message.output.delta", "bad key "+secretKey),
		started + frame("hologram", `{"type":"hologram"}`) + done,
		event(`{"type":"conversation.response.started"}`) + event(`{"type":"conversation.response.done"}`),
		event(`{"type":"conversation.response.done","usage":{"total_tokens":9223372036854775807}}`),
		event(`{"type":"conversation.response.done","usage":{"prompt_tokens":-5,"completion_tokens":2e9,"total_tokens":-1}}`),
		event(`{"type":"conversation.response.done","usage":"none"}`),
		event(`{"type":"message.output.delta","output_index":-1,"content_index":9223372036854775807,"id":"","content":null}`),
		event(`{"type":"message.output.delta","output_index":2000000000,"content":[{"type":"text","text":"x"}]}`),
		event(`{"type":"function.call.delta","id":"f","name":"n","tool_call_id":"t","arguments":"{"}`) + done,
		event(`{"type":"tool.execution.started","id":"t","name":"web_search","arguments":"{}"}`) + done,
		event(`{"type":"agent.handoff.started","id":"h","previous_agent_id":"a"}`) + done,
		"event: message.output.delta\nid: 1\nretry: 10\ndata: {\ndata: }\n\n", "event: \x00\ndata: \xff\n\n", "data", strings.Repeat("data: x\n", 100),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		transport := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: req,
			}, nil
		})
		client := newClient(t, ratelimited.Config{
			APIKey: secretKey, HTTPClient: &http.Client{Transport: transport}, RequestsPerSecond: 1e6, BareBuckets: true, MaxRetries: ratelimited.NoRetries,
		})
		const held = 100
		request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}
		stream, err := client.Beta.Conversations.StartStream(t.Context(), request, ratelimited.WithTokenEstimate(held))
		if err == nil {
			var texts strings.Builder
			for event, e := range stream.Events() {
				if (event == nil) == (e == nil) || err != nil {
					t.Errorf("Events yields event %v with error %v, after %v", event, e, err)
				}
				err = e
				if output, ok := event.(generated.MessageOutputEvent); ok {
					texts.WriteString(output.Content.Text())
				}
			}
			if stream.Text() != texts.String() {
				t.Errorf("Text returns %q, and the text of the events is %q", stream.Text(), texts.String())
			}
			var second error
			for _, second = range stream.Events() {
				continue
			}
			if second != err || stream.Close() != nil || stream.Response() == nil {
				t.Errorf("the first loop ends with %v, and the second with %v", err, second)
			}
		}
		if err != nil {
			wantLine(t, err)
			if !errors.As(err, new(ratelimited.Error)) || strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secretKey)) {
				t.Errorf("error is %v (%T), want a ratelimited.Error without the key", err, err)
			}
		}
		s := snapshot(client)
		if s.Admitted != 1 || s.Settled != 1 || s.Cancelled != 0 || s.InFlight != 0 || s.HeldTokens != 0 || s.TokensSettled < 0 ||
			s.TokensSettled+s.TokensRefunded-s.TokensCharged != held {
			t.Errorf("%d calls in flight with %d tokens, counters are %+v; want one settled call", s.InFlight, s.HeldTokens, s.Counters)
		}
	})
}
