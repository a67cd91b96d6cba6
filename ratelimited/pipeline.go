package ratelimited

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

// operation describes one of the 23 operations of the API to the pipeline.
type operation struct {
	name    string                                                           // such as "Conversations.Start"
	invalid *RequestError                                                    // the first invalid argument; nil without one
	prompt  *prompt                                                          // content for the model; nil for calls that do not use a model
	stream  bool                                                             // the response is an event stream
	result  any                                                              // pointer to the decoded content; nil for streams and without content
	body    json.Marshaler                                                   // of the request; nil without one
	send    func(context.Context, *generated.Client) (*http.Response, error) // makes the request without its body
}

const (
	jsonType        = "application/json"
	streamType      = "text/event-stream"
	maxErrorBody    = 1 << 20  // bytes of an error response that are kept
	maxResponseBody = 64 << 20 // bytes of a success response that are read
)

// call is the state of one call from its checks to its settlement. It holds at most one permit at a time
// and ends each permit exactly once, even if the HTTP client or the observer panics.
type call struct {
	client     *Client
	op         operation
	options    callOptions
	ctx        context.Context // derived from the caller's, also by the observer; Shutdown can cancel it
	cancel     context.CancelCauseFunc
	sending    bool            // a request is in flight; guarded by the mutex of client.calls
	stopCause  error           // set when the context of WithStop has ended; guarded likewise
	cancelStop func() bool     // unregisters from the context of WithStop; nil without one
	notify     func(CallEvent) // the observer; nil without one
	began      time.Time
	api        generated.Client // makes the request
	request    *http.Request    // each attempt sends a copy of it
	body       []byte

	model, agentID string          // empty if not known
	learned        *estimate.Model // statistics about the model's calls; nil without learning
	ownPrompt      callEstimate    // the part of the prompt that is in the request
	expected       callEstimate
	limiter        limiter.Backend
	place          limiter.Place
	outage         *outage.Call
	permit         limiter.Admission // nil if the call is not admitted
	queued         bool              // the call was admitted before

	latest   *attempt // nil before the first
	attempts int      // number of attempts, including those without a connection
	sent     int      // number of attempts that the server may have received
	retries
	reached     bool        // the server may have received an attempt of the current permit
	unconfirmed int         // tokens of attempts without a response that the server may have carried out
	unusable    int         // tokens that an unusable response counts as
	ended       atomic.Bool // the permit has ended
}

// complete runs a call whose response is read as a whole.
func complete[T any](ctx context.Context, c *Client, op operation, options []CallOption) (result T, err error) {
	if _, ok := any(result).(noContent); !ok {
		op.result = &result
	}
	call, err := c.start(ctx, op, options)
	if err != nil {
		return result, err
	}
	err = errUnfinished // in case of a panic
	defer func() { call.finish(err) }()
	defer func() { call.settleAndClose(call.expected.total) }()
	c.memory.record(result, c.counter)
	if response, ok := any(result).(*generated.ConversationResponse); ok && isReadable(response.Usage, response.Mismatches()) {
		call.settle(usage{conversationID: response.ConversationID, reported: &response.Usage})
	}
	return result, nil
}

// noContent is the result type of an operation whose response has no content.
type noContent struct{}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBuffer bounds the size of the buffers that are pooled.
const maxPooledBuffer = 1 << 20

// start runs a call until an attempt succeeds. The body of its response is still to be read. The caller
// must settle and finish the call; on an error, start has done both.
func (c *Client) start(ctx context.Context, op operation, options []CallOption) (_ *call, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	call := &call{client: c, op: op, ctx: ctx, options: c.defaults, began: time.Now()}
	if err := call.check(options); err != nil {
		return nil, err
	}
	call.startObserving()
	succeeded := false
	defer func() {
		if !succeeded {
			defer func() { call.finish(cmp.Or(err, errUnfinished)) }()
			call.settleAndClose(call.unusable)
		}
	}()
	if err := c.calls.begin(call); err != nil {
		return nil, &WaitError{Operation: op.name, Err: err}
	}
	call.prepare()
	defer call.outage.Leave()
	for {
		if err := call.admit(); err != nil {
			return nil, err
		}
		failure := call.attempt()
		if failure == nil {
			succeeded = true
			return call, nil
		}
		c.calls.markWaiting(call)
		call.learnInterrupted()
		if err := call.prepareRetry(failure); err != nil {
			return nil, err
		}
	}
}

const contextRule = "must be a context such as context.Background(), got nil"

// check rejects invalid arguments and options. Afterwards the call does not refer to its arguments, so the
// caller may change them.
func (c *call) check(options []CallOption) error {
	if c.ctx == nil {
		return &RequestError{Operation: c.op.name, Field: "ctx", Value: nil, Rule: contextRule}
	}
	for i, option := range options {
		if option == nil {
			return &ConfigError{Field: fmt.Sprintf("options[%d]", i), Value: nil, Rule: "must be a CallOption, got nil"}
		}
		if err := option(&c.options); err != nil {
			return err
		}
	}
	if err := c.checkClass(); err != nil {
		return err
	}
	if c.op.invalid != nil {
		c.op.invalid.Operation = c.op.name
		return c.op.invalid
	}
	if err := c.build(); err != nil {
		return err
	}
	if c.ctx.Err() != nil {
		return &WaitError{Operation: c.op.name, Err: contextError(c.ctx)}
	}
	return nil
}

// attempt sends one request. It returns nil if the response is a success. The body of a stream is then
// still open.
func (c *call) attempt() error {
	c.attempts++
	a := newAttempt(c.ctx, c.permit, c.takeRequest, c.options.timeout, c.connectTimeout(), c.client.sharesConnections)
	c.latest = a
	if c.options.responseInto != nil {
		*c.options.responseInto = nil
	}

	// If the transport or the observer panics, the request may have been sent.
	reached, unconfirmed := c.reached, c.unconfirmed
	c.reached, c.unconfirmed = true, unconfirmed+c.expected.total
	resp, err := c.client.http.Do(c.newRequest(a.ctx))
	if err != nil {
		a.arrived, a.hitTimeout = a.reached(err, c.client.http.Transport), a.timedOut() || isTimeout(err)
		failure := c.transportError(err)
		a.end()
		if a.arrived {
			c.sent++
		} else {
			c.reached, c.unconfirmed = reached, unconfirmed
			c.permit.ReturnRequest()
		}
		if c.isObserved() {
			c.emit(Attempted{Number: c.attempts, Reached: a.arrived, Duration: time.Since(a.began)})
		}
		if !c.isStale() {
			c.report(c.transportOutcome(err), failure)
		}
		return failure
	}
	a.body.ReadCloser = resp.Body
	resp.Body = &a.body
	a.resp, a.arrived = resp, true
	if http2 := resp.ProtoMajor == 2; http2 != c.client.http2.Load() {
		c.client.http2.Store(http2)
	}
	c.sent++
	if c.options.responseInto != nil {
		*c.options.responseInto = c.client.secret.redactResponse(resp)
	}
	if c.isObserved() {
		c.emit(Attempted{
			Number: c.attempts, Status: resp.StatusCode, RequestID: c.client.secret.redactText(requestID(resp.Header)), Reached: true, Duration: time.Since(a.began),
		})
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		c.report(outage.Alive, nil)
		c.unconfirmed = unconfirmed // no panic
		a.readWhole = !c.op.stream
		return c.open(a)
	}
	c.unconfirmed = unconfirmed
	defer a.end()
	if resp.StatusCode != http.StatusTooManyRequests {
		c.observeLimits(resp.Header)
	}
	// The status code is enough: an unreadable body is ignored.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody+maxEncodedKey))
	failure := c.apiError(body, err)
	c.report(responseOutcome(resp.StatusCode, failure), failure)
	return failure
}

// open reads a response with a success status. It reads a stream up to its first event: until then the
// call can be retried, and the timeout applies.
func (c *call) open(a *attempt) error {
	if !c.op.stream {
		failure := c.read(a)
		if failure != nil {
			a.end()
		}
		return failure
	}
	mediaType, _, _ := mime.ParseMediaType(a.resp.Header.Get("Content-Type"))
	if mediaType != streamType {
		defer a.end()
		c.unconfirmed += c.expected.total
		body, _ := io.ReadAll(io.LimitReader(a.resp.Body, maxErrorBody+maxEncodedKey))
		return c.unusableResponse(body, fmt.Errorf("the response has the media type %q instead of %s", oneLine(mediaType), streamType))
	}
	c.observeLimits(a.resp.Header)
	a.events = newEventReader(a, c.client.config.StreamIdleTimeout)
	err := a.events.readFirst()
	a.timer.Stop()
	if err == nil && a.timedOut() {
		err = errTimeout
	}
	if err == nil {
		failure := c.errorIn(a.events.first)
		if failure == nil {
			return nil
		}
		defer a.end()
		return c.errorInside(a.events.first.Data, failure)
	}
	failure := c.transportError(err)
	a.end()
	c.unconfirmed += c.expected.total
	return failure
}

// read reads and decodes the content of a response. Content that cannot be used counts as the estimated
// tokens, and an error in the content counts as 0.
func (c *call) read(a *attempt) error {
	buffer := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer func() {
		if buffer.Cap() <= maxPooledBuffer {
			buffers.Put(buffer)
		}
	}()
	c.unusable = c.expected.total // until the content is decoded, also if reading panics
	_, err := buffer.ReadFrom(io.LimitReader(a.resp.Body, maxResponseBody+1))
	body := buffer.Bytes()
	switch {
	case err != nil && (c.ctx.Err() != nil || a.timedOut()):
		return c.transportError(err)
	case err != nil:
		return c.unusableResponse(body, fmt.Errorf("the response is incomplete: %w", err))
	case len(body) > maxResponseBody:
		return c.unusableResponse(body, fmt.Errorf("the response is larger than %d bytes", maxResponseBody))
	case c.op.result == nil && !isObject(body):
		c.unusable = 0
		return nil
	}
	err = generated.DecodeResponse(body, c.op.result)
	isUnexpected := errors.As(err, new(*generated.UnexpectedError))
	switch {
	case err == nil:
		c.unusable = 0
		return nil
	case isUnexpected && isObject(body):
		c.unusable = 0
		return c.errorInside(body, err)
	case isUnexpected:
		return c.unusableResponse(body, err)
	}
	return c.unusableResponse(body, fmt.Errorf("the response does not match the API's documentation: %w", err))
}
