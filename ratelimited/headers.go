package ratelimited

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// serverState reads what the headers of a reply say about the account's limits,
// and reports whether that is anything. They are called
// x-ratelimit-(limit|remaining)-<what>-<window>. Which of them come depends on
// the endpoint, and their names have varied: "req" is "requests" elsewhere.
// Numbers that are none, or negative, are left out. Other windows than the minute
// (a day's web searches, a month's tokens) are no business of the limiter.
func serverState(header http.Header) (s limiter.ServerState, found bool) {
	for name, values := range header {
		field := stateField(&s, name)
		if field == nil || len(values) == 0 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(values[0]))
		if err == nil && n >= 0 && (*field == nil || n < **field) { // of two names for it the lower
			*field, found = &n, true
		}
	}
	return s, found
}

func stateField(s *limiter.ServerState, name string) **int {
	switch name {
	case "X-Ratelimit-Limit-Tokens-Minute":
		return &s.LimitTokens
	case "X-Ratelimit-Remaining-Tokens-Minute":
		return &s.RemainingTokens
	case "X-Ratelimit-Tokens-Query-Cost":
		return &s.QueryCost
	case "X-Ratelimit-Limit-Req-Minute", "X-Ratelimit-Limit-Requests-Minute":
		return &s.LimitRequests
	case "X-Ratelimit-Remaining-Req-Minute", "X-Ratelimit-Remaining-Requests-Minute":
		return &s.RemainingRequests
	}
	return nil
}

// hopeless says why a 429 about the given limit will not pass soon, or never, so
// that trying again is no use; empty if it may pass.
func hopeless(header http.Header, limitType string) string {
	s, _ := serverState(header)
	is := func(n *int, value int) bool { return n != nil && *n == value }
	usedUp := func(window string) bool {
		left := header.Get("X-Ratelimit-Remaining-" + strings.ReplaceAll(limitType, "_", "-") + "-" + window)
		return limitType != "" && strings.TrimSpace(left) == "0"
	}
	switch {
	case is(s.LimitTokens, 0), is(s.LimitRequests, 0):
		return "the account's limit is 0: its plan does not have this model"
	case limitType == "tokens" && s.LimitTokens != nil && is(s.RemainingTokens, *s.LimitTokens):
		return "this call alone is larger than the account's limit of tokens a minute"
	case usedUp("Day"):
		return "the day's limit is used up"
	case usedUp("Month"):
		return "the month's limit is used up"
	}
	return ""
}
