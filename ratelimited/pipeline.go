package ratelimited

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// operation is what the pipeline needs to know of a call. The 23 operations
// differ in nothing else.
type operation struct {
	name         string        // such as "Conversations.Start"
	method, path string        // as in the document
	invalid      *RequestError // what is wrong with the arguments; nil if nothing
	prompt       *prompt       // what it asks of a model; nil for calls that manage things
	stream       bool          // the reply is an event stream
	send         func(context.Context, *generated.Client, generated.RequestEditorFn) (*http.Response, error)
}

const (
	maxErrorBody = 1 << 20  // what is kept of a failure's body
	maxReplyBody = 64 << 20 // what is read of a success's body
)

// flight is a call under way. It holds a permit from its making to its landing,
// and ends it exactly once, whatever happens in between.
type flight struct {
	client   *Client
	op       operation
	options  callOptions
	model    string // empty: not known
	estimate estimate
	limiter  *limiter.Limiter
	permit   *limiter.Permit

	path     string // of the request, as sent
	attempts int    // requests sent
	arrived  bool   // the server may have seen one of them
	lost     int    // tokens of attempts that the server may have carried out, though no reply came

	// Of the latest attempt.
	resp   *http.Response
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // ends ctx after Config.Timeout
}

// complete carries out a call whose reply is read as a whole.
func complete[T any](ctx context.Context, c *Client, op operation, options []CallOption) (T, error) {
	var result T
	f, err := c.launch(ctx, op, options)
	if err != nil {
		return result, err
	}
	defer f.land(f.estimate.total)

	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(f.resp.Body, maxReplyBody+1)); err != nil {
		if ctx.Err() != nil || f.timedOut() {
			return result, f.transportError(ctx, err)
		}
		return result, f.unusable(buffer.Bytes(), fmt.Errorf("the reply breaks off: %w", err))
	}
	body := buffer.Bytes()
	if len(body) > maxReplyBody {
		return result, f.unusable(body, fmt.Errorf("the reply is larger than %d bytes", maxReplyBody))
	}
	if _, ok := any(result).(nothing); ok {
		return result, nil
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return result, f.unusable(body, fmt.Errorf("the reply is not what the API documents: %w", err))
	}
	if string(bytes.TrimSpace(body)) == "null" {
		return result, f.unusable(body, errors.New("the reply is empty"))
	}
	if response, ok := any(result).(*generated.ConversationResponse); ok {
		f.settle(response.ConversationID, response.Usage)
	}
	return result, nil
}

// nothing is the result of an operation whose reply has no body.
type nothing struct{}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// launch takes a call to the reply of an attempt that succeeded, whose body is
// still to be read. The caller lands the flight; on an error it has been landed.
func (c *Client) launch(ctx context.Context, op operation, options []CallOption) (*flight, error) {
	f := &flight{client: c, op: op, path: op.path, options: c.defaults}
	for _, option := range options {
		if err := option(&f.options); err != nil {
			return nil, err
		}
	}
	if op.invalid != nil {
		op.invalid.Operation = op.name
		return nil, op.invalid
	}
	if err := f.acquire(ctx); err != nil {
		return nil, err
	}
	launched := false
	defer func() {
		if !launched {
			f.land(0)
		}
	}()
	for {
		failure := f.attempt(ctx)
		if failure == nil {
			launched = true
			return f, nil
		}
		wait, again := f.next(ctx, failure)
		if !again {
			return nil, failure
		}
		f.log(ctx, "retry", slog.Duration("wait", wait), slog.Any("error", failure))
		if err := f.waitToRetry(ctx, wait, failure); err != nil {
			return nil, fmt.Errorf("%w; gave up waiting to try again: %w", failure, err)
		}
	}
}

// acquire estimates the call and waits for its permit.
func (f *flight) acquire(ctx context.Context) error {
	history := 0
	if p := f.op.prompt; p != nil {
		f.model = p.model
		if p.conversationID != "" {
			known := f.client.conversations.recall(p.conversationID)
			f.model, history = known.model, known.tokens
		}
	}
	f.limiter = f.client.limits.For(f.model)
	var err error
	if f.estimate, err = f.client.estimate(f.op, f.options, history, f.limiter.Limit().TokenBurst); err != nil {
		return err
	}
	f.permit, err = f.limiter.Acquire(ctx, f.estimate.total)
	if tooLarge := (*limiter.TooLargeError)(nil); errors.As(err, &tooLarge) {
		return f.tooLarge(tooLarge.Tokens, tooLarge.Capacity)
	}
	if err != nil {
		return fmt.Errorf("mistral: %s: %w", f.op.name, err)
	}
	f.log(ctx, "acquired", slog.Int("tokens", f.estimate.total), slog.Duration("waited", f.permit.Waited()))
	return nil
}

// attempt sends one request. It returns nil when the reply is a success, whose
// body is then open.
func (f *flight) attempt(ctx context.Context) error {
	f.attempts++
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.timer = time.AfterFunc(f.options.timeout, func() { f.cancel(errTimeout) })

	resp, err := f.op.send(f.ctx, f.api(), f.edit)
	if err != nil {
		failure := f.transportError(ctx, err)
		f.release()
		if mayHaveArrived(err) {
			f.arrived = true
			f.lost += f.estimate.total
		}
		return failure
	}
	f.arrived = true
	f.resp = resp
	if f.options.responseInto != nil {
		*f.options.responseInto = resp
	}
	f.log(ctx, "reply", slog.Int("status", resp.StatusCode), slog.String("request_id", requestID(resp.Header)))
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		if f.op.stream {
			f.timer.Stop() // it bounds the wait for the headers alone
		}
		return nil
	}
	defer f.release()
	// The status alone is an answer: what cannot be read of the body is left out.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return f.apiError(body)
}

// api is the generated client for the call's server.
func (f *flight) api() *generated.Client {
	if f.options.baseURL == "" {
		return f.client.api
	}
	other := *f.client.api
	other.Server = f.options.baseURL
	return &other
}

// edit completes a request that the generated client has made.
func (f *flight) edit(_ context.Context, req *http.Request) error {
	f.path = req.URL.Path
	header := req.Header
	header["User-Agent"] = userAgent
	header["Accept"] = acceptJSON
	if f.op.stream {
		header["Accept"] = acceptEventStream
	}
	for name, values := range f.options.header {
		header[name] = values
	}
	f.client.authorize(header)
	return nil
}

var (
	userAgent         = []string{"mistral-ratelimit-go"}
	acceptJSON        = []string{"application/json"}
	acceptEventStream = []string{"text/event-stream"}
)

// settle ends the permit with what the reply says was used, and remembers the
// size of the conversation. A reply without figures keeps the estimate.
func (f *flight) settle(conversationID string, usage generated.ConversationUsageInfo) {
	used := max(usage.TotalTokens, usage.PromptTokens+usage.CompletionTokens)
	if used <= 0 {
		used = f.estimate.total
	}
	f.finish(used)
	f.client.conversations.remember(conversationID, f.model, used)
}

// finish ends the permit, once: what the call used is added to what attempts
// without a reply may have used.
func (f *flight) finish(used int) {
	f.permit.Settle(f.lost + used)
	f.log(f.ctx, "settled", slog.Int("estimated", f.estimate.total), slog.Int("used", used), slog.Int("lost", f.lost))
}

// land ends whatever of the flight has not ended yet. used is what the call
// counts as if it was not settled. A call of which the server saw nothing gives
// everything back.
func (f *flight) land(used int) {
	f.release()
	if !f.arrived {
		f.permit.Cancel()
		return
	}
	f.permit.Settle(f.lost + used)
}

// release ends the latest attempt: its body, its context and its timer.
func (f *flight) release() {
	if f.cancel == nil {
		return
	}
	if f.resp != nil {
		// The reply has been read as far as it is wanted: an error in closing it changes nothing.
		_ = f.resp.Body.Close()
		f.resp = nil
	}
	f.timer.Stop()
	f.cancel(nil)
}

func (f *flight) log(ctx context.Context, what string, attrs ...slog.Attr) {
	logger := f.client.logger
	if logger == nil || !logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs = append(attrs, slog.String("operation", f.op.name), slog.Int("attempts", f.attempts))
	logger.LogAttrs(ctx, slog.LevelDebug, "mistral: "+what, attrs...)
}

// apiError is the failure that the reply of the latest attempt stands for.
func (f *flight) apiError(body []byte) error {
	e := newAPIError(f.op.method, f.path, f.resp, body)
	e.Attempts = f.attempts
	if e.StatusCode != http.StatusTooManyRequests {
		return e
	}
	return &RateLimitError{APIError: e, RetryAfter: retryAfter(e.Header, time.Now()), LimitType: limitType(e.Message)}
}

// unusable is the failure of a reply that has a success status and cannot be used.
func (f *flight) unusable(body []byte, err error) error {
	return &APIError{
		Method: f.op.method, Path: f.path, StatusCode: f.resp.StatusCode, Attempts: f.attempts,
		RequestID: requestID(f.resp.Header), Header: f.resp.Header,
		Body: bytes.Clone(body[:min(len(body), maxErrorBody)]), Err: err,
	}
}

func (f *flight) tooLarge(tokens, capacity int) error {
	return &RequestError{
		Operation: f.op.name, Field: "inputs", Value: tokens,
		Rule: fmt.Sprintf("the prompt has more tokens than the token bucket holds (%d): it could never be sent", capacity),
		Err:  &limiter.TooLargeError{Tokens: tokens, Capacity: capacity},
	}
}
