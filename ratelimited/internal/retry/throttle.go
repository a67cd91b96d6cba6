package retry

import (
	"net/http"
	"strings"
	"time"
)

// Values of [Throttle.LimitType]. Other values are names of tools.
const (
	LimitRequests = "requests"
	LimitTokens   = "tokens"

	LimitConcurrency = "concurrency" // of requests in flight
)

// A Scope says which calls wait after a failure, in addition to the failed one.
type Scope int

// The scopes.
const (
	OneCall  Scope = iota // no other calls
	OneModel              // the calls of the same model
	OneLimit              // all calls that share the rate limit
)

// A Throttle is the information in a response with status 429.
type Throttle struct {
	RetryAfter time.Duration // requested by the server; 0 without one
	LimitType  string        // one of the constants, the name of a tool, or "" if unknown
	Reason     string        // why no later attempt can succeed; "" if one may
	Shared     Scope
}

// A Response is a response with status 429, with the token counts of its call.
type Response struct {
	Header              http.Header
	Message, Type, Code string // decoded from its body
	Prompt, Estimate    int    // counted tokens, and total estimate, of the call
}

// ReasonTooLarge is the reason for a call that exceeds the account's limit by itself. All other reasons apply to
// every call.
const ReasonTooLarge = "this call alone is larger than the account's limit of tokens a minute"

// ReadThrottle reads a response with status 429.
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

// isOverload reports whether the response is about the load of one model, not about the account's limits.
func (r Response) isOverload() bool {
	const capacity = "service tier capacity exceeded"
	return r.Code == "3505" || strings.Contains(strings.ToLower(r.Message), capacity) ||
		strings.EqualFold(r.Type, strings.ReplaceAll(capacity, " ", "_"))
}

// limitType returns the limit that a 429 is about. The message usually names it: "Concurrent request limit
// reached", "Token rate limit reached.", "Requests rate limit exceeded", "web_search rate limit reached.". If it
// does not, as in "Rate limit exceeded", the result is a limit of which nothing remains.
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

// permanent returns why a later attempt cannot succeed soon; "" if it may. A call certainly exceeds the limit if its
// prompt does, or if it was rejected although the limit was unused.
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
