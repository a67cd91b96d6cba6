package retry

import (
	"net/http"
	"strings"
	"time"
)

// What a 429 may be about. Other values of [Throttle.LimitType] are names of tools.
const (
	LimitRequests = "requests"
	LimitTokens   = "tokens"

	LimitConcurrency = "concurrency" // of requests in flight
)

// A Scope says which calls wait after a failure, beside the one that failed.
type Scope int

// The scopes.
const (
	OneCall  Scope = iota // no others
	OneModel              // the calls of the same model
	OneLimit              // all calls that share the rate limit
)

// A Throttle is what a response with status 429 says.
type Throttle struct {
	RetryAfter time.Duration // 0 if the server does not say
	LimitType  string        // [LimitRequests], [LimitTokens], the name of a tool, or "" if the server does not say
	Reason     string        // why no later attempt can succeed; "" if one may
	Shared     Scope
}

// A Response is a response with status 429, and what is known of its call.
type Response struct {
	Header              http.Header
	Message, Type, Code string // of its body
	Prompt, Estimate    int    // tokens of the call: those that were counted, and all that it is expected to use
}

// ReasonTooLarge is the reason of a call that no account of this size admits. Other reasons hold for
// all calls.
const ReasonTooLarge = "this call alone is larger than the account's limit of tokens a minute"

// ReadRefusal reads a response with status 429.
func ReadThrottle(response Response, now time.Time) Throttle {
	r := Throttle{RetryAfter: After(response.Header, now), LimitType: limitType(response.Header, response.Message)}
	r.Reason = response.permanent(r.LimitType)
	switch {
	case r.Reason != "":
	case response.isOverload():
		r.Shared = OneModel
	case r.LimitType == "", r.LimitType == LimitRequests, r.LimitType == LimitTokens, r.LimitType == LimitConcurrency:
		r.Shared = OneLimit
	}
	return r
}

// isOverload reports whether a refusal is about the load of one model, not about the
// account's limits.
func (r Response) isOverload() bool {
	const capacity = "service tier capacity exceeded"
	return r.Code == "3505" || strings.Contains(strings.ToLower(r.Message), capacity) ||
		strings.EqualFold(r.Type, strings.ReplaceAll(capacity, " ", "_"))
}

// limitType returns which limit a 429 is about. The message says so: "Concurrent request limit
// reached", "Token rate limit reached.", "Requests rate limit exceeded", "web_search rate limit reached.".
// Where it names no limit, "Rate limit exceeded", a limit of which nothing remains
// is taken.
func limitType(header http.Header, message string) string {
	if strings.Contains(strings.ToLower(message), "concurrent request") {
		return LimitConcurrency
	}
	before, _, found := strings.Cut(strings.ToLower(message), " rate limit ")
	words := strings.Fields(before)
	if found && len(words) > 0 {
		switch name := words[len(words)-1]; name {
		case "token", "tokens":
			return LimitTokens
		case "request", "requests":
			return LimitRequests
		case "account", "api", "global", "key", "model", "organization", "overall", "project", "the", "total", "user", "workspace", "your":
		default:
			return name
		}
	}
	s, _ := ServerState(header)
	switch {
	case equals(s.RemainingRequests, 0):
		return LimitRequests
	case equals(s.RemainingTokens, 0):
		return LimitTokens
	}
	return ""
}

// permanent returns why a refusal will not pass soon, or never; "" if it may. That a
// call is larger than the limit is certain if its prompt is, or if it was refused
// although nothing of the limit was used.
func (r Response) permanent(limitType string) string {
	s, _ := ServerState(r.Header)
	usedUp := func(window string) bool {
		left := r.Header.Get("X-Ratelimit-Remaining-" + strings.ReplaceAll(limitType, "_", "-") + "-" + window)
		return limitType != "" && strings.TrimSpace(left) == "0"
	}
	tooLarge := func(limit int) bool {
		unused := equals(s.RemainingTokens, limit)
		return limitType == LimitTokens && unused ||
			(limitType == LimitTokens || limitType == "") && (r.Prompt > limit || unused && r.Estimate > limit)
	}
	switch {
	case equals(s.LimitTokens, 0), equals(s.LimitRequests, 0):
		return "the account's limit is 0: its plan does not have this model"
	case s.LimitTokens != nil && tooLarge(*s.LimitTokens):
		return ReasonTooLarge
	case usedUp("Day"):
		return "the day's limit is used up"
	case usedUp("Month"):
		return "the month's limit is used up"
	}
	return ""
}
