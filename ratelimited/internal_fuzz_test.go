package ratelimited

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// FuzzRetryAfter gives a server any two headers to ask for a wait with: the wait is
// never negative, whole seconds are taken at their word, and so is a date.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "2", " 2 ", "1.5", "-1", "+3", "1e3", "1e400", "NaN", "-Inf", "0x1p4", "1_000", "9223372036", "9223372037",
		"Wed, 21 Oct 2015 07:28:00 GMT", "Wednesday, 21-Oct-15 07:28:00 GMT", "Wed Oct 21 07:28:00 2015",
		"Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 0001 00:00:00 GMT", "soon", "2, 3", "\x00", "٣",
	} {
		f.Add(value, "", int64(0))
		f.Add("1", value, int64(90))
	}
	f.Add("7", "0", int64(-1))
	f.Add("7", "1500", int64(1<<40))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, seconds, ms string, offset int64) {
		header := http.Header{"Retry-After": {seconds}, "Retry-After-Ms": {ms}}
		if wait := retryAfter(header, now); wait < 0 {
			t.Errorf("Retry-After %q and retry-after-ms %q: %v", seconds, ms, wait)
		}
		delete(header, "Retry-After-Ms")
		wait := retryAfter(header, now)
		if n, err := strconv.Atoi(strings.TrimSpace(seconds)); err == nil && n <= 1_000_000 && wait != time.Duration(max(0, n))*time.Second {
			t.Errorf("Retry-After %q: %v", seconds, wait)
		}
		offset %= 200 * 365 * 24 * 60 * 60 // a duration has room for that
		date := now.Add(time.Duration(offset) * time.Second)
		header.Set("Retry-After", date.Format(http.TimeFormat))
		if wait := retryAfter(header, now); wait != time.Duration(max(0, offset))*time.Second {
			t.Errorf("Retry-After %q, %d s from now: %v", header.Get("Retry-After"), offset, wait)
		}
	})
}

// FuzzServerState gives a server any figures to state: what is read of them is never
// negative, a limiter that is told them never has more than it did, and a call is given
// up only for one of the reasons there are.
func FuzzServerState(f *testing.F) {
	for _, value := range []string{
		"", "0", "1", "-1", "500000", " 12 ", "+7", "007", "1.5", "1e9", "9223372036854775807", "9223372036854775808", "0x10", "NaN", "none", "\x00",
	} {
		f.Add(value, "0", "60", "12", "1", "tokens")
		f.Add("500000", value, "60", value, value, "web_search")
		f.Add("500000", "500000", value, "", "0", "requests")
	}
	f.Add("0", "0", "0", "0", "0", "")
	f.Add("10", "10", "", "", "", "tokens\r\nX: y")
	f.Fuzz(func(t *testing.T, limitTokens, remainingTokens, limitRequests, remainingRequests, day, limitType string) {
		header := http.Header{
			"X-Ratelimit-Limit-Tokens-Minute": {limitTokens}, "X-Ratelimit-Remaining-Tokens-Minute": {remainingTokens},
			"X-Ratelimit-Limit-Req-Minute": {limitRequests}, "X-Ratelimit-Remaining-Requests-Minute": {remainingRequests},
			"X-Ratelimit-Tokens-Query-Cost": {day}, "X-Ratelimit-Remaining-Web-Search-Day": {day},
			"X-Ratelimit-Remaining-Tokens-Month": {day},
		}
		state, found := serverState(header)
		some := false
		for name, field := range map[string]*int{
			limitTokens: state.LimitTokens, remainingTokens: state.RemainingTokens, limitRequests: state.LimitRequests,
			remainingRequests: state.RemainingRequests, day: state.QueryCost,
		} {
			some = some || field != nil
			if field != nil && *field < 0 {
				t.Errorf("%q is read as %d", name, *field)
			}
		}
		if some != found {
			t.Errorf("%+v is found: %v", state, found)
		}
		reason := hopeless(header, limitType)
		switch reason {
		case "",
			"the account's limit is 0: its plan does not have this model",
			"this call alone is larger than the account's limit of tokens a minute",
			"the day's limit is used up",
			"the month's limit is used up":
		default:
			t.Errorf("given up because %q", reason)
		}
		if none := hopeless(http.Header{}, limitType); none != "" {
			t.Errorf("a reply without headers is given up because %q", none)
		}
		l, err := limiter.New(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}, limiter.Guarded(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		l.Observe(state)
		if s := l.Snapshot(); !(s.AvailableTokens <= 1000 && s.AvailableRequests <= 1) || s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("told %v, a limiter has %v requests and %v tokens", header, s.AvailableRequests, s.AvailableTokens)
		}
	})
}

// FuzzAPIError gives a server any reply to fail with, also one in which it sends the
// key back: the error's text is a line for a log and shows no key.
func FuzzAPIError(f *testing.F) {
	const key = `sk-"THE"/SECRET\KEY`
	for _, body := range []string{
		"", "null", "[]", "{}", "no healthy upstream", "<html><h1>502</h1></html>",
		`{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`,
		`{"detail":"Token rate limit reached."}`, `{"message":"web_search rate limit reached."}`,
		`{"message":{"detail":[{"type":"missing","loc":["body","inputs",0],"msg":"Field required"}]}}`,
		`{"error":{"message":{"detail":{"message":"deep"}},"type":"guardrail_violation","code":1920}}`,
		`{"detail":[{"loc":["sk-\"THE\"","KEY"],"msg":"` + `sk-\"THE\"\/SECRET\\KEY"}]}`,
		`{"message":"bad key sk-\u0022THE\u0022/SECRET\u005cKEY","code":"sk-\"the\"/secret\\key"}`,
		"bad key " + key, "line\nbreak\x1b[31m\u202e\u2028\xff\xfe", strings.Repeat("é", 10_000),
		`{"message":"` + strings.Repeat("x", 10_000), `{"message":"a","message":"b","detail":7,"code":true,"type":1e999}`,
		`{"detail":[` + strings.Repeat(`{"loc":["a"],"msg":"b"},`, 100) + `{}]}`,
	} {
		f.Add(429, "application/json", "id-1", "", []byte(body))
		f.Add(502, "text/html; charset=utf-8", "", "/v1/agents/\n", []byte(body))
		f.Add(200, "", strings.Repeat("\xff", 1000), strings.Repeat("/", 1000), []byte(body))
	}
	f.Add(-1, "\x00", "\r\n", "%", []byte(`{"code":-0}`))
	f.Fuzz(func(t *testing.T, status int, contentType, id, path string, body []byte) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}, "X-Kong-Request-Id": {id}}}
		call := &flight{
			client: &Client{secret: newSecret(key)}, op: operation{method: http.MethodPost}, path: path, attempts: 2, latest: &attempt{resp: resp},
		}
		for _, err := range []error{call.apiError(body), call.unusable(body, errors.New("is of no use:\n"+contentType))} {
			text := err.Error()
			if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(text) || len(text) > 10_000 {
				t.Errorf("%d bytes that are no line for a log: %q", len(text), text)
			}
			if !strings.HasPrefix(text, "mistral: POST ") {
				t.Errorf("the error does not say what failed: %q", text)
			}
			var api *APIError
			if !errors.As(err, &api) || len(api.Body) > maxErrorBody {
				t.Fatalf("%T is no APIError, or keeps too much", err)
			}
			if bytes.Contains(bytes.ToLower(api.Body), []byte(strings.ToLower(key))) {
				t.Errorf("the body shows the key: %q", api.Body)
			}
			shown := []string{api.Message, api.Type, api.Code, api.Param}
			if !strings.Contains(id+path+contentType, "sk-") { // these are no part of the body
				shown = append(shown, text)
			}
			for _, finding := range api.Fields {
				shown = append(shown, finding.Location, finding.Type, finding.Message)
			}
			for _, text := range shown {
				if strings.Contains(strings.ToLower(text), strings.ToLower(key)) {
					t.Errorf("the error shows the key: %q", text)
				}
			}
		}
	})
}
