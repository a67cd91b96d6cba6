package retry

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// FuzzRetryAfter tries any values of the two header fields that request a wait. The wait must not be negative, and
// whole seconds and dates must be used exactly.
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
		if wait := After(header, now); wait < 0 {
			t.Errorf("Retry-After %q and retry-after-ms %q: %v", seconds, ms, wait)
		}
		delete(header, "Retry-After-Ms")
		wait := After(header, now)
		if n, err := strconv.Atoi(strings.TrimSpace(seconds)); err == nil && n <= 1_000_000 && wait != time.Duration(max(0, n))*time.Second {
			t.Errorf("Retry-After %q: %v", seconds, wait)
		}
		offset %= 200 * 365 * 24 * 60 * 60 // must fit a duration
		date := now.Add(time.Duration(offset) * time.Second)
		header.Set("Retry-After", date.Format(http.TimeFormat))
		if wait := After(header, now); wait != time.Duration(max(0, offset))*time.Second {
			t.Errorf("Retry-After %q, %d s from now: %v", header.Get("Retry-After"), offset, wait)
		}
	})
}

// FuzzServerState tries any values of the rate limit headers. The decoded values must not be negative. A
// limiter that observes them must not have more available than before. A call may only become permanent
// for one of the documented reasons.
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
		state, found := ServerState(header)
		wantFound := false
		for name, field := range map[string]*int{
			limitTokens: state.LimitTokens, remainingTokens: state.RemainingTokens, limitRequests: state.LimitRequests,
			remainingRequests: state.RemainingRequests, day: state.QueryCost,
		} {
			wantFound = wantFound || field != nil
			if field != nil && *field < 0 {
				t.Errorf("%q is decoded as %d", name, *field)
			}
		}
		if wantFound != found {
			t.Errorf("%+v: found is %v", state, found)
		}
		reason := Response{Header: header, Prompt: 100, Estimate: 200}.permanent(limitType)
		switch reason {
		case "",
			"the account's limit is 0: its plan does not have this model",
			"this call alone is larger than the account's limit of tokens a minute",
			"the day's limit is used up",
			"the month's limit is used up":
		default:
			t.Errorf("unexpected reason %q", reason)
		}
		if reason := (Response{Prompt: 100, Estimate: 200}).permanent(limitType); reason != "" {
			t.Errorf("reason %q for a response without headers, want none", reason)
		}
		l, err := limiter.New(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}, limiter.Guarded(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		l.Observe(state)
		if s := l.Snapshot(); !(s.AvailableTokens <= 1000 && s.AvailableRequests <= 1) || s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("after observing %v, the limiter has %v requests and %v tokens", header, s.AvailableRequests, s.AvailableTokens)
		}
	})
}
