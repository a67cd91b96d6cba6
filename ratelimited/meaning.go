package ratelimited

import (
	"net/http"
	"strconv"
	"strings"
)

// meaning returns the HTTP status code equivalent to an error in a 2xx response or in a
// stream; 0 if it is unknown. Without a numeric code it searches code, type and message for
// known words.
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

// meaningInside returns the meaning of an error inside a success.
func (e *APIError) meaningInside() int {
	if len(e.Fields) > 0 {
		return http.StatusUnprocessableEntity
	}
	return meaning(e.Code, e.Type, e.Message)
}

// meaningOfCode is meaning for a numeric code. Codes from 100 to 599 are status codes, larger
// ones are Mistral's: 1300 is a rate limit and 3505 an overloaded model, both sent with
// status 429; 1500 and the other codes from 3000 to 3999 report an invalid request.
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

// wordsOfErrors maps parts of types and messages, in lower case, to status codes.
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

// status returns the status code that decides the kind of the error.
func (e *APIError) status() int {
	if e.meaning != 0 {
		return e.meaning
	}
	return e.StatusCode
}
