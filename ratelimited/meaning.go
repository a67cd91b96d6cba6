package ratelimited

import (
	"net/http"
	"strconv"
	"strings"
)

// meaning returns the HTTP status code that an error stands for which came inside a
// response with a success status, or in a stream: 0 if that is not known. A code of 100
// to 599 is a status code; larger ones are the API's own. Without a code, the type and the
// words of the message tell.
func meaning(code, typ, message string) int {
	if n, err := strconv.Atoi(code); err == nil {
		return meaningOfCode(n)
	}
	words := strings.ToLower(code + " " + typ + " " + message)
	for _, known := range wordsOfErrors {
		if strings.Contains(words, known.words) {
			return known.status
		}
	}
	return 0
}

// meaningOfCode is meaning for a numeric code. 1300 is the rate limit, 3505 a model that is
// overloaded, which the API sends with status 429, too. 1500 and the other codes from 3000
// to 3999 are about the request.
func meaningOfCode(code int) int {
	switch {
	case code >= 100 && code <= 599:
		return code
	case code == 1300, code == 3505:
		return http.StatusTooManyRequests
	case code == 1500, code >= 3000 && code <= 3999:
		return http.StatusBadRequest
	}
	return 0
}

// wordsOfErrors are parts of types and messages, in lower case.
var wordsOfErrors = []struct {
	words  string
	status int
}{
	{"rate limit", http.StatusTooManyRequests},
	{"rate_limit", http.StatusTooManyRequests},
	{"tier capacity exceeded", http.StatusTooManyRequests},
	{"tier_capacity_exceeded", http.StatusTooManyRequests},
	{"too many requests", http.StatusTooManyRequests},
	{"invalid_request", http.StatusBadRequest},
	{"not found", http.StatusNotFound},
	{"not_found", http.StatusNotFound},
	{"unauthorized", http.StatusUnauthorized},
	{"invalid api key", http.StatusUnauthorized},
	{"overloaded", http.StatusServiceUnavailable},
	{"busy", http.StatusServiceUnavailable},
	{"unavailable", http.StatusServiceUnavailable},
	{"timeout", http.StatusGatewayTimeout},
	{"timed out", http.StatusGatewayTimeout},
	{"internal_server_error", http.StatusInternalServerError},
	{"internal server error", http.StatusInternalServerError},
	{"server_error", http.StatusInternalServerError},
}

// status returns the status code that the error stands for.
func (e *APIError) status() int {
	if e.meaning != 0 {
		return e.meaning
	}
	return e.StatusCode
}
