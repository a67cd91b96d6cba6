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
	jsonType     = "application/json"
	streamType   = "text/event-stream"
	maxErrorBody = 1 << 20  // what is kept of a failure's body
	maxReplyBody = 64 << 20 // what is read of a success's body
)

// flight is a call under way. It holds a permit from each admission until that is
// settled or given back, and ends it exactly once, whatever happens in between.
type flight struct {
	client  *Client
	op      operation
	options callOptions
	ctx     context.Context // the caller's, or what the observer made of it, which Shutdown can cancel
	cancel  context.CancelCauseFunc
	sending bool            // or sent; guarded by the mutex of the client's calls
	stopped error           // why WithStop has ended the call; guarded likewise
	unwatch func() bool     // ends the watch of WithStop's context; nil without one
	hear    func(CallEvent) // nil: nobody does
	began   time.Time
	api     generated.Client // makes the request
	request *http.Request    // each attempt sends a copy
	body    []byte

	model, agentID string          // empty: not known
	learned        *estimate.Model // what is known of the model's calls; nil where nothing is learned
	ownPrompt      guess           // of what the call itself has of its prompt
	guess          guess
	limiter        limiter.Backend
	place          limiter.Place
	gate           *outage.Call
	permit         limiter.Admission // nil: not admitted, or given back
	queued         bool              // it was admitted before

	latest   *attempt // nil before the first
	attempts int      // made, also those that got no connection
	sent     int      // of these, those that the server may have seen
	retries
	reached bool        // the server may have seen one that the permit was for
	lost    int         // tokens of attempts that the server may have carried out, though no reply came
	used    int         // tokens that a response counts as which cannot be used
	ended   atomic.Bool // so is the permit
}

// complete carries out a call whose reply is read as a whole.
func complete[T any](ctx context.Context, c *Client, op operation, options []CallOption) (result T, err error) {
	if _, ok := any(result).(nothing); !ok {
		op.result = &result
	}
	f, err := c.launch(ctx, op, options)
	if err != nil {
		return result, err
	}
	err = errUnfinished // unless it does finish
	defer func() { f.finish(err) }()
	defer func() { f.land(f.guess.total) }()
	c.memory.note(result, c.counter)
	if response, ok := any(result).(*generated.ConversationResponse); ok && isReadable(response.Usage, response.Mismatches()) {
		f.settle(response.ConversationID, response.Usage)
	}
	return result, nil
}

// nothing is the result of an operation whose reply has no body.
type nothing struct{}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBuffer bounds the buffers that are kept for the next response.
const maxPooledBuffer = 1 << 20

// launch takes a call to the reply of an attempt that succeeded, whose body is
// still to be read. The caller lands the flight; on an error it has been landed.
func (c *Client) launch(ctx context.Context, op operation, options []CallOption) (_ *flight, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	f := &flight{client: c, op: op, ctx: ctx, options: c.defaults, began: time.Now()}
	if err := f.check(options); err != nil {
		return nil, err
	}
	f.watch()
	launched := false
	defer func() {
		if !launched {
			defer func() { f.finish(cmp.Or(err, errUnfinished)) }()
			f.land(f.used)
		}
	}()
	if err := c.calls.begin(f); err != nil {
		return nil, &WaitError{Operation: op.name, Err: err}
	}
	f.prepare()
	defer f.gate.Leave()
	for {
		if err := f.admit(); err != nil {
			return nil, err
		}
		failure := f.attempt()
		if failure == nil {
			launched = true
			return f, nil
		}
		c.calls.wait(f)
		f.learnCutOff()
		if err := f.prepareRetry(failure); err != nil {
			return nil, err
		}
	}
}

const contextRule = "must be a context, such as context.Background()"

// check refuses bad input before anything is waited for. From then on the call does not
// refer to its arguments, which the caller may change.
func (f *flight) check(options []CallOption) error {
	if f.ctx == nil {
		return &RequestError{Operation: f.op.name, Field: "ctx", Value: nil, Rule: contextRule}
	}
	for i, option := range options {
		if option == nil {
			return &ConfigError{Field: fmt.Sprintf("options[%d]", i), Value: nil, Rule: "must be a CallOption"}
		}
		if err := option(&f.options); err != nil {
			return err
		}
	}
	if err := f.checkClass(); err != nil {
		return err
	}
	if f.op.invalid != nil {
		f.op.invalid.Operation = f.op.name
		return f.op.invalid
	}
	if err := f.build(); err != nil {
		return err
	}
	if f.ctx.Err() != nil {
		return &WaitError{Operation: f.op.name, Err: contextError(f.ctx)}
	}
	return nil
}

// attempt sends one request. It returns nil when the reply is a success, whose
// body is then open.
func (f *flight) attempt() error {
	f.attempts++
	a := newAttempt(f.ctx, f.permit, f.takeAgain, f.options.timeout, f.connectTimeout(), f.client.sharesConnections)
	f.latest = a
	if f.options.responseInto != nil {
		*f.options.responseInto = nil
	}

	// Also if the transport panics, or who is told of the reply: it may have been sent.
	reached, lost := f.reached, f.lost
	f.reached, f.lost = true, lost+f.guess.total
	resp, err := f.client.http.Do(f.newRequest(a.ctx))
	if err != nil {
		a.arrived, a.late = a.reached(err, f.client.http.Transport), a.timedOut() || isTimeout(err)
		failure := f.transportError(err)
		a.end()
		if a.arrived {
			f.sent++
		} else {
			f.reached, f.lost = reached, lost
			f.permit.ReturnRequest()
		}
		if f.watched() {
			f.tell(Attempted{Number: f.attempts, Reached: a.arrived, Duration: time.Since(a.began)})
		}
		if !f.isStale() {
			f.report(f.transportOutcome(err), failure)
		}
		return failure
	}
	a.body.ReadCloser = resp.Body
	resp.Body = &a.body
	a.resp, a.arrived = resp, true
	if http2 := resp.ProtoMajor == 2; http2 != f.client.http2.Load() {
		f.client.http2.Store(http2)
	}
	f.sent++
	if f.options.responseInto != nil {
		*f.options.responseInto = f.client.secret.withoutKey(resp)
	}
	if f.watched() {
		f.tell(Attempted{
			Number: f.attempts, Status: resp.StatusCode, RequestID: f.client.secret.text(requestID(resp.Header)), Reached: true, Duration: time.Since(a.began),
		})
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		f.report(outage.Alive, nil)
		f.lost = lost // nobody has panicked
		a.good = !f.op.stream
		return f.open(a)
	}
	f.lost = lost
	defer a.end()
	if resp.StatusCode != http.StatusTooManyRequests {
		f.observe(resp.Header)
	}
	// The status alone is an answer: what cannot be read of the body is left out.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody+longestKey))
	failure := f.apiError(body, err)
	f.report(responseOutcome(resp.StatusCode, failure), failure)
	return failure
}

// open reads a response with a success status, of a stream its first event: until then
// the call may be tried again, and the timeout applies.
func (f *flight) open(a *attempt) error {
	if !f.op.stream {
		failure := f.read(a)
		if failure != nil {
			a.end()
		}
		return failure
	}
	mediaType, _, _ := mime.ParseMediaType(a.resp.Header.Get("Content-Type"))
	if mediaType != streamType {
		defer a.end()
		f.lost += f.guess.total
		body, _ := io.ReadAll(io.LimitReader(a.resp.Body, maxErrorBody+longestKey))
		return f.unusable(body, fmt.Errorf("the response is %q, not %s", oneLine(mediaType), streamType))
	}
	f.observe(a.resp.Header)
	a.events = newEventReader(a, f.client.config.StreamIdleTimeout)
	err := a.events.begin()
	a.timer.Stop()
	if err == nil && a.timedOut() {
		err = errTimeout
	}
	if err == nil {
		failure := f.errorIn(a.events.first)
		if failure == nil {
			return nil
		}
		defer a.end()
		return f.errorInside(a.events.first.Data, failure)
	}
	failure := f.transportError(err)
	a.end()
	f.lost += f.guess.total
	return failure
}

// read reads and decodes the content of a response. One that cannot be used counts as what
// the call was expected to use, and an error inside as nothing.
func (f *flight) read(a *attempt) error {
	buffer := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer func() {
		if buffer.Cap() <= maxPooledBuffer {
			buffers.Put(buffer)
		}
	}()
	f.used = f.guess.total // until the content has proved to be good, also if the body panics
	_, err := buffer.ReadFrom(io.LimitReader(a.resp.Body, maxReplyBody+1))
	body := buffer.Bytes()
	switch {
	case err != nil && (f.ctx.Err() != nil || a.timedOut()):
		return f.transportError(err)
	case err != nil:
		return f.unusable(body, fmt.Errorf("the response breaks off: %w", err))
	case len(body) > maxReplyBody:
		return f.unusable(body, fmt.Errorf("the response is larger than %d bytes", maxReplyBody))
	case f.op.result == nil && !isObject(body):
		f.used = 0
		return nil
	}
	err = generated.DecodeResponse(body, f.op.result)
	isUnexpected := errors.As(err, new(*generated.UnexpectedError))
	switch {
	case err == nil:
		f.used = 0
		return nil
	case isUnexpected && isObject(body):
		f.used = 0
		return f.errorInside(body, err)
	case isUnexpected:
		return f.unusable(body, err)
	}
	return f.unusable(body, fmt.Errorf("the response is not what the API documents: %w", err))
}
