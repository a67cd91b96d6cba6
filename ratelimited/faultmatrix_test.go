package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The test injects every fault into each of the 23 operations, once and permanently. The outcome must
// match the row of the fault, within a maximum duration. The limiter's tokens must balance exactly.
// The next call must succeed, over the same connection if the fault keeps the connection usable.
func TestFaultMatrix(t *testing.T) {
	rows := faultCases()
	missing := map[emulator.FaultKind]bool{}
	for _, kind := range emulator.FaultKinds() {
		missing[kind] = true
	}
	delete(missing, emulator.FaultRefuse)    // needs a TCP listener: see TestConnectionRefused
	delete(missing, emulator.FaultLostReply) // runs a retried call twice: see TestLostResponse in package emulatortest
	var table outcomes
	t.Cleanup(func() { t.Logf("kind of fault, injected once / always → outcome·attempts\n%s", table.String()) })
	for _, row := range rows {
		if row.only == nil { // all operations
			delete(missing, row.fault.Kind)
		}
		t.Run(row.name(), func(t *testing.T) {
			t.Parallel()
			for i, step := range steps {
				if row.only != nil && !slices.Contains(row.only, step.operation) {
					continue
				}
				for _, times := range row.times() {
					table.add(row, classOf(step.operation), runFaultCase(t, row, i, times))
				}
			}
		})
	}
	if len(missing) > 0 {
		t.Errorf("the matrix does not contain the fault kinds %v", slices.Sorted(maps.Keys(missing)))
	}
}

// class is a group of operations on which a fault has the same effect.
type class int

const (
	getting    class = iota // GET requests
	changing                // other requests without a model, except deletions
	modelCall               // calls of a model without streaming
	deleting                // requests whose response does not have a body
	streams                 // calls of a model with streaming
	classCount              // the number of classes
)

// classOf returns the class of an operation.
func classOf(operation string) class {
	switch {
	case strings.HasSuffix(operation, "Stream"):
		return streams
	case strings.HasPrefix(operation, "Delete"):
		return deleting
	case strings.HasPrefix(operation, "Get"), strings.HasPrefix(operation, "List"):
		return getting
	case strings.HasSuffix(operation, "Conversation"):
		return modelCall
	}
	return changing
}

// expectation is the expected outcome of a call with an injected fault.
type expectation struct {
	unaffected bool                  // the fault does not apply to the call
	retried    bool                  // the client retries the call, up to MaxRetries times
	waits      bool                  // the retries continue up to MaxOutage
	check      func(err error) error // reports how the call's error differs; nil if the call succeeds at once
}

// These are the expectations of the matrix: unaffected, an immediate success, retries up to MaxRetries, an
// immediate failure, and retries up to MaxOutage.
var (
	unaffected = expectation{unaffected: true}
	succeeds   = expectation{}
)

func retried(check func(error) error) expectation { return expectation{retried: true, check: check} }
func fails(check func(error) error) expectation   { return expectation{check: check} }
func waitsForLimit(check func(error) error) expectation {
	return expectation{retried: true, waits: true, check: check}
}

// faultCase is one row of the matrix: a fault and its effect on each class of operations.
type faultCase struct {
	note        string // distinguishes the rows of one kind of fault
	fault       emulator.Fault
	withBody    expectation // for responses with a body
	ofModel     expectation // for calls of a model without streaming; if its check is nil, withBody applies
	withoutBody expectation // for responses without a body
	stream      expectation

	breaksConnection bool          // the fault breaks the connection before a response; the client replaces a reused connection at once
	unconfirmed      bool          // the server may have processed the request, so the attempt is charged its estimate
	keepsConnection  bool          // the connection carries the next request
	maxDuration      time.Duration // the maximum duration of one attempt with the fault
	noUsage          bool          // the response does not report its usage
	only             []string      // the operations to test; nil means all
}

// name returns the name of the row.
func (c faultCase) name() string {
	if c.note == "" {
		return string(c.fault.Kind)
	}
	return string(c.fault.Kind) + " " + c.note
}

// times returns the values of [emulator.Fault.Times] to test.
func (c faultCase) times() []int {
	if c.only != nil {
		return []int{0}
	}
	return []int{1, 0}
}

// expectation returns the expected outcome for a class of operations.
func (c faultCase) expectation(of class) expectation {
	switch of {
	case streams:
		return c.stream
	case deleting:
		return c.withoutBody
	case modelCall:
		if c.ofModel.check != nil {
			return c.ofModel
		}
	default:
	}
	return c.withBody
}

// onAll sets one expected outcome for all operations.
func onAll(v expectation, c faultCase) faultCase {
	c.withBody, c.withoutBody, c.stream = v, v, v
	return c
}

// onAllWithoutModelRetry sets one expected outcome for all operations. Calls of a model fail without a retry.
func onAllWithoutModelRetry(v expectation, c faultCase) faultCase {
	c = onAll(v, c)
	c.ofModel, c.stream = fails(v.check), fails(v.check)
	return c
}

// onStreams sets the expected outcome for streams. The fault does not apply to other operations.
func onStreams(v expectation, c faultCase) faultCase {
	c.withBody, c.withoutBody, c.stream = unaffected, unaffected, v
	return c
}

// faultCases returns the rows of the matrix.
func faultCases() []faultCase {
	const retries = 32 * time.Second // the client waits for a Retry-After of up to MaxDelay
	kind := func(k emulator.FaultKind) emulator.Fault { return emulator.Fault{Kind: k} }
	withRetryAfter := func(k emulator.FaultKind) emulator.Fault {
		return emulator.Fault{Kind: k, Header: map[string]string{"Retry-After": "7"}}
	}
	after := func(k emulator.FaultKind, events int) emulator.Fault { return emulator.Fault{Kind: k, Events: events} }
	serverError := func(status int) expectation { return retried(anAPIError(status, ratelimited.ErrServer, true)) }
	unusableResponse := fails(anAPIError(http.StatusOK, nil, false))
	timeout := retried(aTransportError(true, context.DeadlineExceeded))
	finalTimeout := fails(timeout.check)
	brokenConnection := retried(aTransportError(true))
	return []faultCase{
		onAll(brokenConnection, faultCase{fault: kind(emulator.FaultClose), unconfirmed: true, breaksConnection: true}),
		onAll(brokenConnection, faultCase{fault: kind(emulator.FaultReset), unconfirmed: true, breaksConnection: true}),
		onAllWithoutModelRetry(timeout, faultCase{fault: kind(emulator.FaultStall), unconfirmed: true, maxDuration: time.Minute}),

		onAll(fails(anAPIError(401, ratelimited.ErrUnauthorized, false)), faultCase{fault: kind(emulator.FaultUnauthorized), keepsConnection: true}),
		onAll(fails(anAPIError(402, nil, false)), faultCase{fault: kind(emulator.FaultPayment), keepsConnection: true}),
		onAll(fails(anAPIError(403, ratelimited.ErrForbidden, false)), faultCase{fault: kind(emulator.FaultForbidden), keepsConnection: true}),
		onAll(waitsForLimit(aRateLimit("", "")), faultCase{fault: kind(emulator.FaultRateLimit), keepsConnection: true}),
		onAll(waitsForLimit(aRateLimit("", "")), faultCase{note: "with Retry-After", fault: withRetryAfter(emulator.FaultRateLimit), keepsConnection: true}),
		onAll(waitsForLimit(aRateLimit("tokens", "")), faultCase{fault: kind(emulator.FaultTokenLimit), keepsConnection: true}),
		onAll(waitsForLimit(aRateLimit("requests", "")), faultCase{fault: kind(emulator.FaultRequestLimit), keepsConnection: true}),
		onAll(retried(aRateLimit("web_search", "")), faultCase{fault: kind(emulator.FaultToolLimit), keepsConnection: true}),
		onAll(waitsForLimit(aRateLimit("", "")), faultCase{fault: kind(emulator.FaultCapacity), keepsConnection: true}),
		onAll(fails(aRateLimit("tokens", "limit is 0")), faultCase{fault: kind(emulator.FaultQuota), keepsConnection: true}),
		onAll(fails(aRateLimit("requests", "limit is 0")), faultCase{
			note: "of the plan", keepsConnection: true,
			fault: emulator.Fault{Kind: emulator.FaultRequestLimit, Header: map[string]string{"X-RateLimit-Limit-Req-Minute": "0"}},
		}),
		onAll(fails(aRateLimit("tokens", "larger than")), faultCase{
			note: "of one call", keepsConnection: true,
			fault: emulator.Fault{Kind: emulator.FaultTokenLimit, Header: map[string]string{
				"X-RateLimit-Limit-Tokens-Minute": "1000", "X-RateLimit-Remaining-Tokens-Minute": "1000",
			}},
		}),
		onAll(fails(aRateLimit("web_search", "the day's")), faultCase{
			note: "of the day", keepsConnection: true,
			fault: emulator.Fault{Kind: emulator.FaultToolLimit, Header: map[string]string{"X-RateLimit-Remaining-Web-Search-Day": "0"}},
		}),
		onAll(fails(aRateLimit("tokens", "the month's")), faultCase{
			note: "of the month", keepsConnection: true,
			fault: emulator.Fault{Kind: emulator.FaultTokenLimit, Header: map[string]string{"X-RateLimit-Remaining-Tokens-Month": "0"}},
		}),
		onAll(fails(anAPIError(503, ratelimited.ErrServer, true)), faultCase{
			note: "with a long Retry-After", keepsConnection: true,
			fault: emulator.Fault{Kind: emulator.FaultUnavailable, Header: map[string]string{"Retry-After": "33"}},
		}),
		onAll(serverError(500), faultCase{fault: kind(emulator.FaultInternal), keepsConnection: true}),
		onAll(serverError(502), faultCase{fault: kind(emulator.FaultBadGateway), keepsConnection: true}),
		onAll(serverError(503), faultCase{fault: kind(emulator.FaultUnavailable), keepsConnection: true}),
		onAll(serverError(503), faultCase{note: "with Retry-After", fault: withRetryAfter(emulator.FaultUnavailable), keepsConnection: true, maxDuration: retries}),
		onAll(serverError(504), faultCase{fault: kind(emulator.FaultGatewayTimeout), keepsConnection: true}),

		onAll(succeeds, faultCase{
			fault: emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 59 * time.Second}, keepsConnection: true, maxDuration: time.Minute,
		}),
		onAllWithoutModelRetry(timeout, faultCase{
			note: "for too long", fault: emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 61 * time.Second}, unconfirmed: true, maxDuration: time.Minute,
		}),
		onAll(succeeds, faultCase{
			fault: emulator.Fault{Kind: emulator.FaultSlowBody, Delay: 10 * time.Millisecond, Bytes: 7}, keepsConnection: true, maxDuration: time.Minute,
		}),
		{ // The timeout applies to the whole response, but for streams to the time without events.
			note: "for too long", fault: emulator.Fault{Kind: emulator.FaultSlowBody, Delay: 59 * time.Second, Bytes: 20},
			withBody: fails(aTransportError(true, context.DeadlineExceeded)), withoutBody: succeeds, stream: succeeds, maxDuration: 24 * time.Hour,
		},
		{fault: kind(emulator.FaultResetAfterHeaders), withBody: unusableResponse, withoutBody: succeeds, stream: brokenConnection, unconfirmed: true},
		{fault: kind(emulator.FaultContentType), withBody: succeeds, withoutBody: succeeds, stream: unusableResponse, keepsConnection: true},
		onAll(succeeds, faultCase{fault: kind(emulator.FaultUnknownFields), keepsConnection: true}),
		onAll(succeeds, faultCase{fault: kind(emulator.FaultMissingFields), keepsConnection: true, noUsage: true}),
		onAll(succeeds, faultCase{
			fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 64 << 10}, keepsConnection: true,
		}),
		{ // larger than the limit of 16 MiB for an event
			note: "at once", fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 16 << 20}, stream: fails(aTransportError(false)),
			only: []string{"StartConversationStream"}, unconfirmed: true,
		},
		{
			note: "after 2 events", fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 16 << 20, Events: 2}, stream: fails(aStreamError(2, nil)),
			only: []string{"AppendConversationStream"},
		},
		{fault: kind(emulator.FaultTruncated), withBody: unusableResponse, withoutBody: succeeds, stream: unaffected, keepsConnection: true},

		onStreams(brokenConnection, faultCase{fault: kind(emulator.FaultResetStream), unconfirmed: true}),
		onStreams(fails(aStreamError(2, nil)), faultCase{note: "after 2 events", fault: after(emulator.FaultResetStream, 2)}),
		onStreams(finalTimeout, faultCase{fault: kind(emulator.FaultStallStream), unconfirmed: true, maxDuration: time.Minute}),
		onStreams(fails(aStreamError(2, context.DeadlineExceeded)), faultCase{
			note: "after 2 events", fault: after(emulator.FaultStallStream, 2), maxDuration: time.Minute,
		}),
		onStreams(fails(aStreamError(0, nil)), faultCase{fault: kind(emulator.FaultMalformedEvent)}),
		onStreams(fails(aStreamError(2, nil)), faultCase{note: "after 2 events", fault: after(emulator.FaultMalformedEvent, 2)}),
		onStreams(succeeds, faultCase{fault: kind(emulator.FaultUnknownEvent), keepsConnection: true}),
		onStreams(succeeds, faultCase{note: "after 2 events", fault: after(emulator.FaultUnknownEvent, 2), keepsConnection: true}),
		onStreams(succeeds, faultCase{fault: kind(emulator.FaultDuplicateEvent), keepsConnection: true}),
		onStreams(succeeds, faultCase{note: "after 2 events", fault: after(emulator.FaultDuplicateEvent, 2), keepsConnection: true}),
		onStreams(fails(aStreamError(0, nil)), faultCase{fault: kind(emulator.FaultMissingBlankLine)}),
		onStreams(fails(aStreamError(2, nil)), faultCase{note: "after 2 events", fault: after(emulator.FaultMissingBlankLine, 2)}),
		onStreams(succeeds, faultCase{fault: kind(emulator.FaultStrayLines), keepsConnection: true}),
		onStreams(succeeds, faultCase{note: "after 2 events", fault: after(emulator.FaultStrayLines, 2), keepsConnection: true}),
	}
}

// anAPIError checks for an APIError with a status and a kind. The error must have a cause if the
// status is 2xx, and otherwise not.
func anAPIError(status int, kind error, retryable bool) func(error) error {
	return func(err error) error {
		var api *ratelimited.APIError
		switch {
		case !errors.As(err, &api) || api.StatusCode != status:
			return fmt.Errorf("want an APIError with status %d", status)
		case kind != nil && !errors.Is(err, kind):
			return fmt.Errorf("want an error that matches %w", kind)
		case errors.Is(err, ratelimited.ErrRetryable) != retryable:
			return fmt.Errorf("matches ErrRetryable: %v, want %v", !retryable, retryable)
		case (api.Err != nil) != (status < 300):
			return fmt.Errorf("the cause is %w", api.Err)
		}
		return nil
	}
}

// aRateLimit checks for a RateLimitError with a limit type and a reason.
func aRateLimit(limitType, reason string) func(error) error {
	return func(err error) error {
		var limited *ratelimited.RateLimitError
		switch {
		case !errors.As(err, &limited) || !errors.Is(err, ratelimited.ErrRateLimited):
			return errors.New("want a RateLimitError")
		case limited.LimitType != limitType || !strings.Contains(limited.Reason, reason) || (limited.Reason == "") != (reason == ""):
			return fmt.Errorf("the limit type is %q and the reason %q, want %q and %q", limited.LimitType, limited.Reason, limitType, reason)
		case errors.Is(err, ratelimited.ErrRetryable) != (reason == ""):
			return errors.New("want an error that matches ErrRetryable exactly if it does not have a reason")
		}
		return nil
	}
}

// aTransportError checks for a TransportError that wraps the given causes.
func aTransportError(retryable bool, causes ...error) func(error) error {
	return func(err error) error {
		var transport *ratelimited.TransportError
		if !errors.As(err, &transport) || errors.Is(err, ratelimited.ErrRetryable) != retryable {
			return fmt.Errorf("want a TransportError, and matches ErrRetryable: %v", retryable)
		}
		return wantCauses(err, causes...)
	}
}

// aStreamError checks for a StreamError after the given number of events.
func aStreamError(events int, cause error) func(error) error {
	return func(err error) error {
		var stream *ratelimited.StreamError
		switch {
		case !errors.As(err, &stream) || stream.Err == nil:
			return errors.New("want a StreamError with a cause")
		case stream.Events != events:
			return fmt.Errorf("the stream ended after %d events, want %d", stream.Events, events)
		case cause == nil:
			return nil
		}
		return wantCauses(err, cause)
	}
}

// wantCauses checks that an error wraps all causes.
func wantCauses(err error, causes ...error) error {
	for _, cause := range causes {
		if !errors.Is(err, cause) {
			return fmt.Errorf("want an error that wraps %w", cause)
		}
	}
	return nil
}

// tokenLog is a log handler that reads the estimated tokens of admitted calls from the log.
type tokenLog struct {
	held int64 // the sum of all calls
	last int64 // the tokens of the last call
}

func (*tokenLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *tokenLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *tokenLog) WithGroup(string) slog.Handler          { return l }

func (l *tokenLog) Handle(_ context.Context, record slog.Record) error {
	if record.Message != "mistral: acquired" {
		return nil
	}
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "tokens" {
			l.last = attr.Value.Int64()
			l.held += l.last
		}
		return true
	})
	return nil
}

// faultTest is a client and its emulator in one synctest bubble.
type faultTest struct {
	*emulator.Emulator
	client   *ratelimited.Client
	tokenLog tokenLog
	dials    int
	scenario
}

// runFaultCase runs the i-th step with a fault and returns its outcome.
func runFaultCase(t *testing.T, row faultCase, i, times int) (outcome string) {
	t.Helper()
	at := fmt.Sprintf("%s, %d times, on %s", row.name(), times, steps[i].method)
	synctest.Test(t, func(t *testing.T) {
		f := &faultTest{Emulator: emulator.New(emulator.Config{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})}
		server := newCountingServer(f.ServeHTTP, &f.dials)
		defer server.Close()
		f.client = newClient(t, ratelimited.Config{
			APIKey: secretKey, BaseURL: server.URL(), HTTPClient: server.client, Logger: slog.New(&f.tokenLog),
			RequestsPerSecond: 1000, TokensPerMinute: 1_000_000, MaxRetries: matrixRetries,
		})
		f.conversations, f.agents = f.client.Beta.Conversations, f.client.Beta.Agents
		for _, step := range steps[:i] {
			if err := step.call(t.Context(), &f.scenario); err != nil {
				t.Fatalf("%s: the earlier step %s fails: %v", at, step.method, err)
			}
		}
		outcome = f.runStep(t, at, row, steps[i], times, i > 0)

		if err := f.SetFaults(); err != nil {
			t.Fatal(err)
		}
		if _, err := start(t.Context(), f.client); err != nil {
			t.Errorf("%s: the next call fails: %v", at, err)
		}
		f.wantBalance(t, at)
		if row.keepsConnection && f.dials != 1 {
			t.Errorf("%s: the client opened %d connections, want 1", at, f.dials)
		}
	})
	return outcome
}

// matrixRetries is the MaxRetries of the client.
const matrixRetries = 2

// runStep runs a step with a fault and compares the outcome with the expected one.
func (f *faultTest) runStep(t *testing.T, at string, row faultCase, step step, times int, reused bool) (outcome string) {
	t.Helper()
	class := classOf(step.operation)
	want := row.expectation(class)
	fault := row.fault
	fault.Operation, fault.Times = step.operation, times
	if err := f.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	before, earlier := f.Stats(), snapshot(f.client)
	var err error
	took := elapsed(func() { err = step.call(t.Context(), &f.scenario) })
	synctest.Wait()
	after, later := f.Stats(), snapshot(f.client)

	requests := after.Operations[step.operation] - before.Operations[step.operation]
	injected := after.Faults[fault.Kind] - before.Faults[fault.Kind]
	tokens := int64(after.Total().Tokens - before.Total().Tokens)
	settled := later.TokensSettled - earlier.TokensSettled

	attempts, maxAttempts := row.attempts(want, times, reused)
	if requests < attempts || requests > maxAttempts {
		t.Errorf("%s: %d requests arrived, want %d to %d", at, requests, attempts, maxAttempts)
	}
	if admitted := int(later.Admitted - earlier.Admitted + later.Retried - earlier.Retried); admitted != after.Requests-before.Requests {
		t.Errorf("%s: %d requests were admitted, %d arrived", at, admitted, after.Requests-before.Requests)
	}
	wantInjected := requests
	if times == 1 {
		wantInjected = 1
	}
	if want.unaffected {
		wantInjected = 0
	}
	if injected != wantInjected {
		t.Errorf("%s: the fault was injected %d times, want %d", at, injected, wantInjected)
	}
	maxDuration := time.Duration(attempts)*row.maxDuration + 10*time.Second
	if want.waits && times == 0 { // after MaxOutage, the retries up to MaxRetries follow
		maxDuration = ratelimited.DefaultMaxOutage + matrixRetries*ratelimited.DefaultMaxDelay + time.Second
	}
	if took > maxDuration {
		t.Errorf("%s: the call took %v, want at most %v", at, took, maxDuration)
	}
	failed := want.check != nil && (times == 0 || !want.retried)
	f.wantError(t, at, err, want, failed, requests, row.noUsage)

	wantSettled, estimate := int64(-1), f.tokenLog.last
	switch {
	case !failed && row.noUsage && step.tokens:
		wantSettled = estimate
	case !failed && !want.retried:
		wantSettled = tokens
	case fault.Kind.Replaces() || fault.Kind == emulator.FaultSlowHeaders:
		wantSettled = tokens
		if row.unconfirmed {
			wantSettled += int64(injected) * estimate
		}
	case failed && !errors.As(err, new(*ratelimited.StreamError)):
		wantSettled = int64(injected) * estimate
	}
	switch {
	case wantSettled >= 0 && settled != wantSettled:
		t.Errorf("%s: %d tokens were settled, want %d", at, settled, wantSettled)
	case wantSettled < 0 && step.tokens && settled <= 0:
		t.Errorf("%s: %d tokens were settled, want the received tokens", at, settled)
	}
	return outcomeOf(err, want, attempts)
}

// attempts returns the minimum and maximum number of requests of a call.
func (c faultCase) attempts(want expectation, times int, reused bool) (minimum, maximum int) {
	switch {
	case !want.retried:
		return 1, 1
	case times == 1:
		return 2, 2
	case want.waits:
		return 1 + matrixRetries + 1, int(ratelimited.DefaultMaxOutage / ratelimited.DefaultBaseDelay)
	case c.breaksConnection && reused:
		return 1 + matrixRetries + 1, 1 + matrixRetries + 1
	}
	return 1 + matrixRetries, 1 + matrixRetries
}

// wantError checks the error of a call. With lax set, the step may report that the response lacks a
// value.
func (*faultTest) wantError(t *testing.T, at string, err error, want expectation, failed bool, attempts int, lax bool) {
	t.Helper()
	var packageError ratelimited.Error
	switch {
	case failed && err == nil:
		t.Errorf("%s: the call succeeds, want an error", at)
	case failed:
		if mismatch := want.check(err); mismatch != nil {
			t.Errorf("%s: the call fails with %v: %v", at, err, mismatch)
		}
		if n := attemptsOf(err); n != 0 && n != attempts {
			t.Errorf("%s: the error has %d attempts, want %d", at, n, attempts)
		}
	case errors.As(err, &packageError), err != nil && !lax:
		t.Errorf("%s: the call fails: %v", at, err)
	}
}

// attemptsOf returns the number of attempts in an error, or 0.
func attemptsOf(err error) int {
	var api *ratelimited.APIError
	var transport *ratelimited.TransportError
	switch {
	case errors.As(err, &api):
		return api.Attempts
	case errors.As(err, &transport):
		return transport.Attempts
	}
	return 0
}

// wantBalance checks that the limiter has settled, refunded, or charged all tokens that it admitted.
func (f *faultTest) wantBalance(t *testing.T, at string) {
	t.Helper()
	s := snapshot(f.client)
	if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Abandoned != 0 || s.Admitted != s.Settled+s.Cancelled {
		t.Errorf("%s: %d in flight with %d tokens, %d waiting; %+v", at, s.InFlight, s.HeldTokens, s.Waiting, s.Counters)
	}
	if balance := s.TokensSettled + s.TokensRefunded - s.TokensCharged; balance != f.tokenLog.held {
		t.Errorf("%s: the counters account for %d tokens, want the %d that were held; %+v", at, balance, f.tokenLog.held, s.Counters)
	}
}

// outcomeOf returns the table's text for an outcome.
func outcomeOf(err error, want expectation, attempts int) string {
	kind := "ok"
	for _, known := range []struct {
		name string
		is   bool
	}{
		{"RateLimit", errors.As(err, new(*ratelimited.RateLimitError))},
		{"API", errors.As(err, new(*ratelimited.APIError))},
		{"Transport", errors.As(err, new(*ratelimited.TransportError))},
		{"Stream", errors.As(err, new(*ratelimited.StreamError))},
	} {
		if known.is {
			kind = known.name
			break
		}
	}
	if want.waits && err != nil {
		return kind + "·…"
	}
	return fmt.Sprintf("%s·%d", kind, attempts)
}

// outcomes is the table that the test prints.
type outcomes struct {
	mu    sync.Mutex
	cells map[string]*[classCount][]string
}

// add adds an outcome to the cell of a row and a class.
func (o *outcomes) add(row faultCase, of class, outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cells == nil {
		o.cells = map[string]*[classCount][]string{}
	}
	if o.cells[row.name()] == nil {
		o.cells[row.name()] = new([classCount][]string)
	}
	cell := &o.cells[row.name()][of]
	if row.expectation(of).unaffected {
		outcome = "–"
	}
	if !slices.Contains(*cell, outcome) {
		*cell = append(*cell, outcome)
	}
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %-22s %-22s %-22s %-22s %s\n", "", "GET", "other", "model", "DELETE", "stream")
	for _, name := range slices.Sorted(maps.Keys(o.cells)) {
		cells := o.cells[name]
		fmt.Fprintf(&b, "%-32s", name)
		for _, cell := range cells {
			fmt.Fprintf(&b, " %-22s", strings.Join(cell, " / "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
