package ratelimited

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// meaning returns the HTTP status code that is equivalent to an error in a 2xx response or in a stream; 0 if
// it is unknown. It tries the error code, then the status code in the content, then the type, and finally,
// if all of them are missing, the words of the message.
func meaning(code, status, typ, message string) int {
	for _, number := range []string{code, status} {
		if n, err := strconv.Atoi(number); err == nil && meaningOfCode(n) != 0 {
			return meaningOfCode(n)
		}
	}
	for _, name := range []string{typ, code} {
		if known, ok := errorTypes[strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(name))]; ok {
			return known
		}
	}
	if code == "" && typ == "" || typ == errorEvent {
		for _, known := range errorPhrases {
			if known.words.MatchString(message) {
				return known.status
			}
		}
	}
	return 0
}

// errorTypes maps error types of this API and of others to status codes.
var errorTypes = map[string]int{
	"rate_limited": http.StatusTooManyRequests, "rate_limit_error": http.StatusTooManyRequests, "rate_limit_exceeded": http.StatusTooManyRequests,
	"too_many_requests": http.StatusTooManyRequests, "service_tier_capacity_exceeded": http.StatusTooManyRequests,
	"invalid_request_error": http.StatusBadRequest, "invalid_request": http.StatusBadRequest, "invalid_model": http.StatusBadRequest,
	"validation_error": http.StatusUnprocessableEntity,
	"unauthorized":     http.StatusUnauthorized, "authentication_error": http.StatusUnauthorized, "invalid_api_key": http.StatusUnauthorized,
	"forbidden": http.StatusForbidden, "permission_error": http.StatusForbidden,
	"not_found": http.StatusNotFound, "not_found_error": http.StatusNotFound,
	"server_error": http.StatusInternalServerError, "internal_server_error": http.StatusInternalServerError, "internal_error": http.StatusInternalServerError,
	"api_error": http.StatusInternalServerError, "overloaded": http.StatusServiceUnavailable, "overloaded_error": http.StatusServiceUnavailable,
	"service_unavailable": http.StatusServiceUnavailable, "timeout": http.StatusGatewayTimeout, "timeout_error": http.StatusGatewayTimeout,
}

// errorPhrases maps words in messages without a code and a type to status codes.
var errorPhrases = []struct {
	words  *regexp.Regexp
	status int
}{
	{regexp.MustCompile(`(?i)\brate limit (exceeded|reached)\b|\btoo many requests\b|\btier capacity exceeded\b`), http.StatusTooManyRequests},
	{regexp.MustCompile(`(?i)\b(busy|overloaded|unavailable)\b`), http.StatusServiceUnavailable},
	{regexp.MustCompile(`(?i)\btimed out\b`), http.StatusGatewayTimeout},
	{regexp.MustCompile(`(?i)\binternal server error\b`), http.StatusInternalServerError},
	{regexp.MustCompile(`(?i)\bnot found\b`), http.StatusNotFound},
	{regexp.MustCompile(`(?i)\b(unauthorized|invalid api key)\b`), http.StatusUnauthorized},
}

// meaningInside returns the equivalent status code of an error in a success response.
func (e *APIError) meaningInside() int {
	if len(e.Fields) > 0 {
		return http.StatusUnprocessableEntity
	}
	return meaning(e.Code, e.namedStatus, e.Type, e.Message)
}

// meaningOfCode returns the equivalent status code of a numeric error code; 0 if it is unknown. Codes from 100 to
// 599 are status codes, larger codes are Mistral's. 1300 is a rate limit and 3505 an overloaded model, both
// sent with status 429. 1500 and the other codes from 3000 to 3999 report an invalid request.
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

// status returns the status code that decides the kind of the error.
func (e *APIError) status() int {
	if e.meaning != 0 {
		return e.meaning
	}
	return e.StatusCode
}
