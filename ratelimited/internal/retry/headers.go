package retry

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// ServerState returns the account's limits in the header fields of a response, and reports whether it found any.
// The fields are called x-ratelimit-(limit|remaining)-<unit>-<window>. Which of them are sent depends on the
// endpoint, and their names vary: "req" is "requests" elsewhere. ServerState ignores negative and invalid
// values. It also ignores windows other than the minute, such as web searches per day, because the limiter
// does not count them.
func ServerState(header http.Header) (s limiter.ServerState, found bool) {
	for name, values := range header {
		field := stateField(&s, name)
		if field == nil || len(values) == 0 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(values[0]))
		if err == nil && n >= 0 && (*field == nil || n < **field) { // of two names, the lower value
			*field, found = &n, true
		}
	}
	return s, found
}

// stateField returns the field of s for a header field; nil for other header fields.
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
