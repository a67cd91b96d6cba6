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
	"slices"
	"sync"
	"sync/atomic"
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
	body         any           // of the request, to be sent as JSON; nil if it has none
	send         func(context.Context, *generated.Client, io.Reader, generated.RequestEditorFn) (*http.Response, error)
}

const (
	jsonType     = "application/json"
	streamType   = "text/event-stream"
	maxErrorBody = 1 << 20  // what is kept of a failure's body
	maxReplyBody = 64 << 20 // what is read of a success's body
)

// flight is a call under way. It holds a permit from its making to its landing,
// and ends it exactly once, whatever happens in between.
type flight struct {
	client  *Client
	op      operation
	options callOptions
	ctx     context.Context // the caller's, or what the observer made of it
	hear    func(CallEvent) // nil: nobody does
	began   time.Time
	body    []byte

	model, agentID string // empty: not known
	guess          guess
	limiter        limiter.Backend
	permit         limiter.Admission

	path     string      // of the request, as sent
	latest   *attempt    // nil before the first
	attempts int         // requests sent
	failures []error     // of those before the latest
	reached  bool        // the server may have seen one of them
	lost     int         // tokens of attempts that the server may have carried out, though no reply came
	ended    atomic.Bool // so is the permit
}

// complete carries out a call whose reply is read as a whole.
func complete[T any](ctx context.Context, c *Client, op operation, options []CallOption) (result T, err error) {
	f, err := c.launch(ctx, op, options)
	if err != nil {
		return result, err
	}
	err = errUnfinished // unless it does finish
	defer func() { f.finish(err) }()
	defer func() { f.land(f.guess.total) }()

	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(f.latest.resp.Body, maxReplyBody+1)); err != nil {
		if f.ctx.Err() != nil || f.latest.timedOut() {
			return result, f.transportError(err)
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
	c.memory.note(result, c.counter)
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
func (c *Client) launch(ctx context.Context, op operation, options []CallOption) (_ *flight, err error) {
	f := &flight{client: c, op: op, ctx: ctx, path: op.path, options: c.defaults, began: time.Now()}
	if err := f.check(options); err != nil {
		return nil, err
	}
	f.watch()
	launched := false
	defer func() {
		if !launched {
			defer func() { f.finish(cmp.Or(err, errUnfinished)) }()
			f.land(0)
		}
	}()
	if err := f.acquire(); err != nil {
		return nil, err
	}
	c.retries.call()
	for {
		failure := f.attempt()
		if failure == nil {
			launched = true
			return f, nil
		}
		if err := f.prepareRetry(failure); err != nil {
			return nil, err
		}
		f.failures = append(f.failures, failure)
	}
}

// check refuses bad input before anything is waited for.
func (f *flight) check(options []CallOption) error {
	if f.ctx == nil {
		return &RequestError{Operation: f.op.name, Field: "ctx", Value: nil, Rule: "must be a context, such as context.Background()"}
	}
	for i, option := range options {
		if option == nil {
			return &ConfigError{Field: fmt.Sprintf("options[%d]", i), Value: nil, Rule: "must be a CallOption"}
		}
		if err := option(&f.options); err != nil {
			return err
		}
	}
	if f.op.invalid != nil {
		f.op.invalid.Operation = f.op.name
		return f.op.invalid
	}
	if f.op.body != nil {
		var err error
		if f.body, err = json.Marshal(f.op.body); err != nil {
			return &RequestError{Operation: f.op.name, Field: "request", Value: nil, Rule: "must be something that JSON can express", Err: err}
		}
	}
	if f.ctx.Err() != nil {
		return &WaitError{Operation: f.op.name, Err: contextError(f.ctx)}
	}
	return nil
}

// acquire estimates the call and waits for its permit.
func (f *flight) acquire() error {
	var history conversation
	var own agent
	if f.op.prompt != nil {
		history, own = f.resolve()
	}
	f.limiter = f.client.limits.For(f.model)
	if f.op.prompt != nil {
		var err error
		if f.guess, err = f.estimateCall(history, own, f.limiter.Limit().TokenBurst); err != nil {
			return err
		}
	}
	permit, err := f.limiter.Acquire(f.ctx, limiter.Call{Prompt: f.guess.prompt, Reply: f.guess.total - f.guess.prompt})
	var tooLarge *limiter.TooLargeError
	var waited *limiter.WaitError
	switch {
	case errors.As(err, &tooLarge):
		return f.tooLarge(tooLarge)
	case errors.As(err, &waited):
		return &WaitError{
			Operation: f.op.name, Model: f.model, Limit: f.limiter.Limit(), Tokens: f.guess.total,
			Waited: waited.Waited, Paused: waited.Paused, Err: contextError(f.ctx),
		}
	case errors.Is(err, limiter.ErrUnavailable):
		return &LimiterError{Operation: f.op.name, Err: err}
	case err != nil:
		return &RequestError{Operation: f.op.name, Field: "inputs", Value: f.guess.total, Rule: "must have tokens that can be waited for", Err: err}
	}
	f.permit = permit
	if f.watched() {
		f.tell(Acquired{Model: f.model, Tokens: f.guess.total, Waited: permit.Waited()})
	}
	return nil
}

// attempt sends one request. It returns nil when the reply is a success, whose
// body is then open.
func (f *flight) attempt() error {
	f.attempts++
	a := newAttempt(f.ctx, f.permit, f.options.timeout)
	f.latest = a
	if f.options.responseInto != nil {
		*f.options.responseInto = nil
	}

	// Also if the transport panics, or who is told of the reply: it may have been sent.
	reached, lost := f.reached, f.lost
	f.reached, f.lost = true, lost+f.guess.total
	resp, err := f.op.send(a.ctx, f.api(), bytes.NewReader(f.body), f.edit)
	if err != nil {
		failure := f.transportError(err)
		a.end()
		if !a.reached(err) {
			f.reached, f.lost = reached, lost
			f.permit.Unsent()
		}
		if f.watched() {
			f.tell(Attempted{Number: f.attempts, Reached: a.reached(err), Took: time.Since(a.began)})
		}
		return failure
	}
	a.resp = resp
	if f.options.responseInto != nil {
		*f.options.responseInto = f.client.secret.withoutKey(resp)
	}
	if f.watched() {
		f.tell(Attempted{
			Number: f.attempts, Status: resp.StatusCode, RequestID: f.client.secret.text(requestID(resp.Header)), Reached: true, Took: time.Since(a.began),
		})
	}
	f.lost = lost // there is a reply, and nobody has panicked
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		a.good = !f.op.stream
		return f.open(a)
	}
	defer a.end()
	if resp.StatusCode != http.StatusTooManyRequests {
		f.observe(resp.Header)
	}
	// The status alone is an answer: what cannot be read of the body is left out.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody+longestKey))
	return f.apiError(body)
}

// open checks that a successful reply is of the kind that was asked for, and reads
// a stream's first event: until then the call may be tried again. The timeout of
// a stream bounds the wait for its headers alone.
func (f *flight) open(a *attempt) error {
	if !f.op.stream {
		return nil
	}
	mediaType, _, _ := mime.ParseMediaType(a.resp.Header.Get("Content-Type"))
	if mediaType != streamType {
		defer a.end()
		f.lost += f.guess.total
		body, _ := io.ReadAll(io.LimitReader(a.resp.Body, maxErrorBody+longestKey))
		return f.unusable(body, fmt.Errorf("the reply is %q, not %s", oneLine(mediaType), streamType))
	}
	err := errTimeout
	if a.timer.Stop() {
		f.observe(a.resp.Header)
		a.events = newEventReader(a, f.client.config.StreamIdleTimeout)
		err = a.events.begin()
	}
	if err == nil {
		return nil
	}
	failure := f.transportError(err)
	a.end()
	f.lost += f.guess.total
	return failure
}

// withoutKey is a response as callers may have it: for its status and headers,
// and without the request's key.
func (s secret) withoutKey(resp *http.Response) *http.Response {
	copied := *resp
	copied.Status = s.text(resp.Status)
	copied.Header, copied.Trailer = s.header(resp.Header), nil
	copied.Body = http.NoBody
	if resp.Request != nil {
		copied.Request = resp.Request.Clone(context.Background())
		copied.Request.Header.Del("Authorization")
		copied.Request.Body, copied.Request.GetBody = nil, nil
	}
	return &copied
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
	accept := jsonType
	if f.op.stream {
		accept = streamType
	}
	// The request's own: a transport may change what it is given.
	own := []string{userAgent, accept, f.client.secret.authorization()}
	header := req.Header
	header["User-Agent"], header["Accept"] = own[0:1:1], own[1:2:2]
	for name, values := range f.options.header {
		header[name] = slices.Clone(values)
	}
	header["Authorization"] = own[2:3:3]
	return nil
}

const userAgent = "mistral-ratelimit-go"

// settle ends the permit with what the reply says was used, and learns from it.
func (f *flight) settle(conversationID string, usage generated.ConversationUsageInfo) {
	if f.ended.CompareAndSwap(false, true) {
		f.conclude(f.learn(conversationID, usage))
	}
}

// settleReceived ends the permit of a stream that did not say what it used: the
// prompt was read, and so much of the reply came.
func (f *flight) settleReceived(conversationID string, texts []string) {
	if !f.ended.CompareAndSwap(false, true) {
		return
	}
	used := f.guess.prompt
	for _, text := range texts {
		used += f.client.counter.Text(text)
	}
	if f.guess.given { // by the caller, who did not say how much of it is the prompt
		used = max(used, f.guess.total)
	}
	f.remember(conversationID, used)
	f.conclude(used)
}

// land ends whatever of the flight has not ended yet. used is what the call
// counts as if it was not settled. A call of which the server saw nothing gives
// everything back.
func (f *flight) land(used int) {
	if f.latest != nil {
		f.latest.end()
	}
	switch {
	case f.permit == nil || !f.ended.CompareAndSwap(false, true):
	case f.reached:
		f.conclude(used)
	default:
		f.permit.Cancel()
		if f.watched() {
			f.tell(Settled{Estimated: f.guess.total, Cancelled: true})
		}
	}
}

// conclude settles what the call used, and what attempts without a reply may have
// used. Then comes what the server says, which counts this call. What streams and
// failures brought of that was taken when it came: it is old by now.
func (f *flight) conclude(used int) {
	f.permit.Settle(f.lost + used)
	if f.watched() {
		f.tell(Settled{Estimated: f.guess.total, Used: used, Lost: f.lost})
	}
	if f.latest.good {
		f.observe(f.latest.resp.Header)
	}
}

// observe tells the limiter what the server says of the account's limits.
func (f *flight) observe(header http.Header) {
	if state, found := serverState(header); found {
		f.limiter.Observe(state)
	}
}

// apiError is the failure that the reply of the latest attempt stands for.
func (f *flight) apiError(body []byte) error {
	resp := f.latest.resp
	e := newAPIError(f.op.method, f.path, resp, f.client.secret.head(body, maxErrorBody))
	f.client.secret.clean(e)
	e.Attempts, e.Earlier = f.attempts, slices.Clip(f.failures)
	if e.StatusCode != http.StatusTooManyRequests {
		return e
	}
	return &RateLimitError{APIError: e, RetryAfter: retryAfter(e.Header, time.Now()), LimitType: limitType(e.Message)}
}

// unusable is the failure of a reply that has a success status and cannot be used.
func (f *flight) unusable(body []byte, err error) error {
	resp := f.latest.resp
	e := &APIError{
		Method: f.op.method, Path: f.path, StatusCode: resp.StatusCode, Attempts: f.attempts, Earlier: slices.Clip(f.failures),
		RequestID: requestID(resp.Header), Header: resp.Header,
		Body: f.client.secret.head(body, maxErrorBody), Err: f.client.secret.cause(err),
	}
	f.client.secret.clean(e)
	return e
}

func (f *flight) tooLarge(err *limiter.TooLargeError) error {
	field := "tokens of inputs"
	if f.guess.given {
		field = "WithTokenEstimate"
	}
	return &RequestError{
		Operation: f.op.name, Field: field, Value: err.Tokens,
		Rule: fmt.Sprintf("must be at most %d, which is what the token bucket holds (TokensPerMinute): it could never be sent", err.Capacity), Err: err,
	}
}
