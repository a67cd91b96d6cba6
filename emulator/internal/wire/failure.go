package wire

import "net/http"

// Failure is a response that reports an error.
type Failure struct {
	Status int
	Header http.Header
	Body   any // encoded as JSON; a string is sent unchanged
}

// Detail returns a failure with a {"detail": …} object, the form of most API errors.
func Detail(status int, text string) *Failure {
	return &Failure{Status: status, Body: map[string]string{"detail": text}}
}

// With returns a copy of f with an additional header field.
func (f *Failure) With(name, value string) *Failure {
	more := *f
	if more.Header = f.Header.Clone(); more.Header == nil {
		more.Header = http.Header{}
	}
	more.Header.Set(name, value)
	return &more
}

// Message returns the message of f, for an error event.
func (f *Failure) Message() string {
	if object, ok := f.Body.(ErrorObject); ok {
		return object.Message
	}
	return string(Encode(f.Body))
}

// ErrorObject is the error object of the platform.
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

// BadRequest returns the platform's 400.
func BadRequest(message, code string) *Failure {
	return APIError(http.StatusBadRequest, message, "invalid_request_error", code)
}

// The common failures. They match the responses of the real API.
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

// ErrToolLimit returns the 429 for the limit on a tool.
func ErrToolLimit(tool string) *Failure {
	return Detail(http.StatusTooManyRequests, tool+" rate limit reached.")
}

// GuardrailBlock returns the 403 for a call that a guardrail blocks, with a nested error.
func GuardrailBlock(verdict any) *Failure {
	return &Failure{Status: http.StatusForbidden, Body: map[string]any{
		"error": ErrorObject{
			Object: "error", Message: "Request was blocked by a guardrail", Type: "guardrail_violation",
			Code: "1920", RawStatusCode: http.StatusForbidden,
		},
		"guardrails": verdict,
	}}
}
