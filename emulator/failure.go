package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// failure is a reply that reports an error.
type failure struct {
	status int
	header http.Header
	body   any // marshalled; a string is sent as it is, as JSON
}

func (f *failure) write(e *Emulator, x *exchange) {
	for name, values := range f.header {
		x.out.Header()[name] = values
	}
	e.reply(x, f.status, f.body)
}

// detail is the form of most errors that the service itself reports.
func detail(status int, text string) *failure {
	return &failure{status: status, body: map[string]string{"detail": text}}
}

// with returns a failure with one more header.
func (f *failure) with(name, value string) *failure {
	more := *f
	if more.header = f.header.Clone(); more.header == nil {
		more.header = http.Header{}
	}
	more.header.Set(name, value)
	return &more
}

func notFound(text string) *failure { return detail(http.StatusNotFound, text) }

// The forms are those that were seen on the wire, the line feed included.
var (
	errUnauthorized = detail(http.StatusUnauthorized, "Unauthorized")
	errInvalidKey   = &failure{status: http.StatusUnauthorized, body: `{"detail":"Invalid API Key"}` + "\n"}
	errUnreadable   = detail(http.StatusBadRequest, "There was an error parsing the body")
	errSlow         = detail(http.StatusBadRequest, "The request's content did not come in time")
	errTooLarge     = apiError(http.StatusRequestEntityTooLarge, "Request body is larger than 32 MiB", "invalid_request_error", "3000")

	errTooMany = apiError(http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body has more than %d values", maxValues), "invalid_request_error", "3000")

	errNotFound       = notFound("Not Found")
	errNoConversation = notFound("Conversation not found")
	errNoEntry        = notFound("Entry not found")
	errNoAgent        = notFound("Agent not found")
	errNoVersion      = notFound("Agent version not found")
	errNoAlias        = notFound("Agent alias not found")
	errTooLong        = apiError(http.StatusBadRequest, fmt.Sprintf("Conversation has reached %d entries", MaxEntries), "invalid_request_error", "3051")
	errTooMuch        = apiError(http.StatusBadRequest, fmt.Sprintf("Conversation has reached %d MiB", MaxKeptBytes>>20), "invalid_request_error", "3051")
)

// errorObject is the form of the errors that the platform reports.
type errorObject struct {
	Object        string  `json:"object"`
	Message       string  `json:"message"`
	Type          string  `json:"type"`
	Param         *string `json:"param"`
	Code          string  `json:"code"`
	RawStatusCode int     `json:"raw_status_code"`
}

func apiError(status int, message, kind, code string) *failure {
	return &failure{status: status, body: errorObject{
		Object: "error", Message: message, Type: kind, Code: code, RawStatusCode: status,
	}}
}

func tooManyRequests(body any) *failure {
	return &failure{status: http.StatusTooManyRequests, body: body}
}

var (
	errRequestLimit = apiError(http.StatusTooManyRequests, "Rate limit exceeded", "rate_limited", "1300")
	errTokenLimit   = detail(http.StatusTooManyRequests, "Token rate limit reached.")
)

// toolLimit reports that a tool may not be run.
func toolLimit(tool string) *failure { return detail(http.StatusTooManyRequests, toolLimitText(tool)) }

func toolLimitText(tool string) string { return tool + " rate limit reached." }

// tooMany reports a refusal, in the forms that were seen.
func tooMany(r *refusal, retryAfter bool) *failure {
	f := errRequestLimit
	switch {
	case r.tokens:
		f = errTokenLimit
	case r.tool != "":
		f = toolLimit(r.tool)
	}
	if retryAfter {
		seconds := r.wait / time.Second
		if r.wait%time.Second > 0 {
			seconds++
		}
		return f.with("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	return f
}
