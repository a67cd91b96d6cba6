package wire

import "net/http"

// Failure is a response that reports an error.
type Failure struct {
	Status int
	Header http.Header
	Body   any // encoded as JSON; a string is sent as it is
}

// Detail returns a failure in the form of most errors that the service reports.
func Detail(status int, text string) *Failure {
	return &Failure{Status: status, Body: map[string]string{"detail": text}}
}

// With returns a copy of a failure with one more header.
func (f *Failure) With(name, value string) *Failure {
	more := *f
	if more.Header = f.Header.Clone(); more.Header == nil {
		more.Header = http.Header{}
	}
	more.Header.Set(name, value)
	return &more
}

// Message returns what a failure says, for an event.
func (f *Failure) Message() string {
	if object, ok := f.Body.(ErrorObject); ok {
		return object.Message
	}
	return string(Encode(f.Body))
}

// ErrorObject is the form of the errors that the platform reports.
type ErrorObject struct {
	Object        string  `json:"object"`
	Message       string  `json:"message"`
	Type          string  `json:"type"`
	Param         *string `json:"param"`
	Code          string  `json:"code"`
	RawStatusCode int     `json:"raw_status_code"`
}

// APIError returns a failure in the form of an [ErrorObject].
func APIError(status int, message, kind, code string) *Failure {
	return &Failure{Status: status, Body: ErrorObject{
		Object: "error", Message: message, Type: kind, Code: code, RawStatusCode: status,
	}}
}

// BadRequest returns a 400 of the platform.
func BadRequest(message, code string) *Failure {
	return APIError(http.StatusBadRequest, message, "invalid_request_error", code)
}

// The failures in the forms that were seen on the wire.
var (
	ErrUnauthorized   = Detail(http.StatusUnauthorized, "Unauthorized")
	ErrNotFound       = Detail(http.StatusNotFound, "Not Found")
	ErrNoConversation = Detail(http.StatusNotFound, "Conversation not found")
	ErrNoEntry        = Detail(http.StatusNotFound, "Entry not found")
	ErrNoAgent        = Detail(http.StatusNotFound, "Agent not found")
	ErrNoVersion      = Detail(http.StatusNotFound, "Agent version not found")
	ErrNoAlias        = Detail(http.StatusNotFound, "Agent alias not found")
	ErrRequestLimit   = APIError(http.StatusTooManyRequests, "Rate limit exceeded", "rate_limited", "1300")
	ErrTokenLimit     = Detail(http.StatusTooManyRequests, "Token rate limit reached.")
)

// ErrToolLimit reports that a tool may not be run.
func ErrToolLimit(tool string) *Failure {
	return Detail(http.StatusTooManyRequests, tool+" rate limit reached.")
}

// GuardrailBlock is the response to a call that a guardrail blocks, its error nested.
func GuardrailBlock(verdict any) *Failure {
	return &Failure{Status: http.StatusForbidden, Body: map[string]any{
		"error": ErrorObject{
			Object: "error", Message: "Request was blocked by a guardrail", Type: "guardrail_violation",
			Code: "1920", RawStatusCode: http.StatusForbidden,
		},
		"guardrails": verdict,
	}}
}
