package retry

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// ServerState returns what the header fields of a response say about the account's
// limits, and reports whether they say anything. The fields are called
// x-ratelimit-(limit|remaining)-<what>-<window>. The endpoint decides which of them
// are sent, and their names have varied: "req" is "requests" elsewhere. Values that
// are negative or not numbers are left out, and so are windows other than the minute,
// such as a day's web searches, which the limiter does not count.
func ServerState(header http.Header) (s limiter.ServerState, found bool) {
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

func equals(n *int, value int) bool { return n != nil && *n == value }
