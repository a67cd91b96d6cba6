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

// operation is what the pipeline needs to know of a call. The 23 operations
// differ in nothing else.
type operation struct {
	name    string                                                           // such as "Conversations.Start"
	invalid *RequestError                                                    // what is wrong with the arguments; nil if nothing
	prompt  *prompt                                                          // what it asks of a model; nil for calls that manage things
	stream  bool                                                             // the response is an event stream
	result  any                                                              // what the content of another response is decoded into; nil if it has none
	body    json.Marshaler                                                   // of the request; nil if it has none
	send    func(context.Context, *generated.Client) (*http.Response, error) // without the body
}

const (
	jsonType        = "application/json"
	streamType      = "text/event-stream"
	maxErrorBody    = 1 << 20  // what is kept of a failure's body
	maxResponseBody = 64 << 20 // what is read of a success's body
)

// flight is a call under way. It holds a permit from each admission until that is
// settled or given back, and ends it exactly once, whatever happens in between.
type call struct {
	client     *Client
	op         operation
	options    callOptions
	ctx        context.Context // the caller's, or what the observer made of it, which Shutdown can cancel
	cancel     context.CancelCauseFunc
	sending    bool            // or sent; guarded by the mutex of the client's calls
	stopCause  error           // why WithStop has ended the call; guarded likewise
	cancelStop func() bool     // ends the watch of WithStop's context; nil without one
	notify     func(CallEvent) // nil: nobody does
	began      time.Time
	api        generated.Client // makes the request
	request    *http.Request    // each attempt sends a copy
	body       []byte

	model, agentID string          // empty: not known
	learned        *estimate.Model // what is known of the model's calls; nil where nothing is learned
	ownPrompt      callEstimate    // of what the call itself has of its prompt
	expected       callEstimate
	limiter        limiter.Backend
	place          limiter.Place
	outage         *outage.Call
	permit         limiter.Admission // nil: not admitted, or given back
	queued         bool              // it was admitted before

	latest   *attempt // nil before the first
	attempts int      // made, also those that got no connection
	sent     int      // of these, those that the server may have seen
	retries
	reached     bool        // the server may have seen one that the permit was for
	unconfirmed int         // tokens of attempts that the server may have carried out, though no reply came
	unusable    int         // tokens that a response counts as which cannot be used
	ended       atomic.Bool // so is the permit
}

// complete carries out a call whose reply is read as a whole.
func complete[T any](ctx context.Context, c *Client, op operation, options []CallOption) (result T, err error) {
	if _, ok := any(result).(noContent); !ok {
		op.result = &result
	}
	call, err := c.start(ctx, op, options)
	if err != nil {
		return result, err
	}
	err = errUnfinished // unless it does finish
	defer func() { call.finish(err) }()
	defer func() { call.land(call.expected.total) }()
	c.memory.record(result, c.counter)
	if response, ok := any(result).(*generated.ConversationResponse); ok && isReadable(response.Usage, response.Mismatches()) {
		call.settle(response.ConversationID, response.Usage)
	}
	return result, nil
}

// nothing is the result of an operation whose reply has no body.
type noContent struct{}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBuffer bounds the buffers that are kept for the next response.
const maxPooledBuffer = 1 << 20

// launch takes a call to the reply of an attempt that succeeded, whose body is
// still to be read. The caller lands the flight; on an error it has been landed.
func (c *Client) start(ctx context.Context, op operation, options []CallOption) (_ *call, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	call := &call{client: c, op: op, ctx: ctx, options: c.defaults, began: time.Now()}
	if err := call.check(options); err != nil {
		return nil, err
	}
	call.startObserving()
	launched := false
	defer func() {
		if !launched {
			defer func() { call.finish(cmp.Or(err, errUnfinished)) }()
			call.land(call.unusable)
		}
	}()
	if err := c.calls.begin(call); err != nil {
		return nil, &WaitError{Operation: op.name, Err: err}
	}
	call.selectPlace()
	defer call.outage.Leave()
	for {
		if err := call.admit(); err != nil {
			return nil, err
		}
		failure := call.attempt()
		if failure == nil {
			launched = true
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

// check refuses bad input before anything is waited for. From then on the call does not
// refer to its arguments, which the caller may change.
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

// attempt sends one request. It returns nil when the reply is a success, whose
// body is then open.
func (c *call) attempt() error {
	c.attempts++
	a := newAttempt(c.ctx, c.permit, c.takeRequest, c.options.timeout, c.connectTimeout(), c.client.sharesConnections)
	c.latest = a
	if c.options.responseInto != nil {
		*c.options.responseInto = nil
	}

	// Also if the transport panics, or who is told of the reply: it may have been sent.
	reached, lost := c.reached, c.unconfirmed
	c.reached, c.unconfirmed = true, lost+c.expected.total
	resp, err := c.client.http.Do(c.newRequest(a.ctx))
	if err != nil {
		a.arrived, a.timedOutLate = a.reached(err, c.client.http.Transport), a.timedOut() || isTimeout(err)
		failure := c.transportError(err)
		a.end()
		if a.arrived {
			c.sent++
		} else {
			c.reached, c.unconfirmed = reached, lost
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
		c.unconfirmed = lost // nobody has panicked
		a.readWhole = !c.op.stream
		return c.open(a)
	}
	c.unconfirmed = lost
	defer a.end()
	if resp.StatusCode != http.StatusTooManyRequests {
		c.observeLimits(resp.Header)
	}
	// The status alone is an answer: what cannot be read of the body is left out.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody+maxEncodedKey))
	failure := c.apiError(body, err)
	c.report(responseOutcome(resp.StatusCode, failure), failure)
	return failure
}

// open reads a response with a success status, of a stream its first event: until then
// the call may be tried again, and the timeout applies.
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
		return c.unusableResponse(body, fmt.Errorf("the response is %q, not %s", oneLine(mediaType), streamType))
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

// read reads and decodes the content of a response. One that cannot be used counts as what
// the call was expected to use, and an error inside as nothing.
func (c *call) read(a *attempt) error {
	buffer := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer func() {
		if buffer.Cap() <= maxPooledBuffer {
			buffers.Put(buffer)
		}
	}()
	c.unusable = c.expected.total // until the content has proved to be good, also if the body panics
	_, err := buffer.ReadFrom(io.LimitReader(a.resp.Body, maxResponseBody+1))
	body := buffer.Bytes()
	switch {
	case err != nil && (c.ctx.Err() != nil || a.timedOut()):
		return c.transportError(err)
	case err != nil:
		return c.unusableResponse(body, fmt.Errorf("the response breaks off: %w", err))
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
	return c.unusableResponse(body, fmt.Errorf("the response is not what the API documents: %w", err))
}
