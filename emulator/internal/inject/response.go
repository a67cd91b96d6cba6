package inject

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/quota"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// response is the response of a kind.
type response struct {
	failure *wire.Failure
	refusal *quota.Refusal // the refusal to count; nil for other failures
}

var responses = map[fault.Kind]response{
	fault.Unauthorized: {failure: wire.ErrUnauthorized},
	fault.Payment: {failure: wire.APIError(http.StatusPaymentRequired,
		"No payment method is set up for this organization", "payment_required", "1910")},
	fault.Forbidden: {failure: wire.GuardrailBlock([]any{map[string]any{
		"type": "moderation_llm_v1", "categories": []string{"dangerous_and_criminal_content"}, "blocked": true,
	}})},
	fault.RateLimit:    {wire.ErrRequestLimit, new(quota.Refusal)},
	fault.TokenLimit:   {wire.ErrTokenLimit.With("X-Ratelimit-Remaining-Tokens-Minute", "0"), &quota.Refusal{Tokens: true}},
	fault.RequestLimit: {tooMany(map[string]string{"message": "Requests rate limit exceeded"}), new(quota.Refusal)},
	fault.ToolLimit: {
		wire.ErrToolLimit("web_search").With("X-Ratelimit-Remaining-Web-Search-Minute", "0"), &quota.Refusal{Tool: "web_search"},
	},
	fault.Capacity: {tooMany(map[string]any{
		"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "invalid_request_error",
		"param": nil, "code": nil, "raw_status_code": http.StatusTooManyRequests,
	}), new(quota.Refusal)},
	fault.Quota: {wire.ErrTokenLimit.With("X-Ratelimit-Limit-Tokens-Minute", "0").
		With("X-Ratelimit-Remaining-Tokens-Minute", "0"), &quota.Refusal{Tokens: true}},
	fault.Internal: {failure: wire.APIError(http.StatusInternalServerError, "Internal server error", "internal_server_error", "3000")},
	fault.BadGateway: {failure: (&wire.Failure{
		Status: http.StatusBadGateway,
		Body:   "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n",
	}).With("Content-Type", "text/html")},
	fault.Unavailable: {failure: (&wire.Failure{
		Status: http.StatusServiceUnavailable, Body: "no healthy upstream",
	}).With("Content-Type", "text/plain")},
	fault.GatewayTimeout: {failure: &wire.Failure{
		Status: http.StatusGatewayTimeout, Body: map[string]string{"message": "The upstream server is timing out"},
	}},
}

func tooMany(body any) *wire.Failure {
	return &wire.Failure{Status: http.StatusTooManyRequests, Body: body}
}

// Response returns the failure to send instead of running the call, and the refusal to
// count, or nil. The failure is nil for kinds that do not respond with an error status.
func (i *Injection) Response() (*wire.Failure, *quota.Refusal) {
	r := responses[i.Kind]
	for name, value := range i.Header {
		r.failure = r.failure.With(name, value)
	}
	return r.failure, r.refusal
}

// Writer returns the writer for the response, with the fault applied.
func (i *Injection) Writer(ctx context.Context, w http.ResponseWriter) http.ResponseWriter {
	if i.Is(fault.SlowBody) {
		return &slowWriter{ResponseWriter: w, ctx: ctx, fault: i.Fault}
	}
	return w
}

// slowWriter implements [fault.SlowBody].
type slowWriter struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // Write cannot take a context.
	fault fault.Fault
	begun bool
}

// Unwrap supports [http.ResponseController].
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes and flushes p in pieces, with the fault's delay between them.
func (w *slowWriter) Write(p []byte) (int, error) {
	size := cmp.Or(w.fault.Bytes, 1)
	written := 0
	for written < len(p) {
		if w.begun {
			if err := wire.Sleep(w.ctx, w.fault.Delay); err != nil {
				return written, err
			}
		}
		w.begun = true
		n, err := w.ResponseWriter.Write(p[written:min(written+size, len(p))])
		written += n
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
	}
	return written, nil
}
