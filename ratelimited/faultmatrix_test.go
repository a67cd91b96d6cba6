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

// Everything that can go wrong happens to each of the 23 operations, once and always.
// Each time the outcome is what its row says, within a bounded time; the limiter's
// books balance to the token; and the next call succeeds, over the same connection if
// that is whole.
func TestFaultMatrix(t *testing.T) {
	rows := afflictions()
	missing := map[emulator.FaultKind]bool{}
	for _, kind := range emulator.FaultKinds() {
		missing[kind] = true
	}
	delete(missing, emulator.FaultRefuse)    // It needs a listener of the system, and has a test of its own.
	delete(missing, emulator.FaultLostReply) // A call that is repeated runs twice: TestLostReply in package emulatortest.
	var table outcomes
	t.Cleanup(func() { t.Logf("kind of fault, struck once / always → outcome·attempts\n%s", table.String()) })
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
					table.add(row, classOf(step.operation), strike(t, row, i, times))
				}
			}
		})
	}
	if len(missing) > 0 {
		t.Errorf("no row has the kinds %v", slices.Sorted(maps.Keys(missing)))
	}
}

// class is the operations that a fault does the same to.
type class int

const (
	getting  class = iota // a GET
	changing              // another request with a reply that no model writes
	asking                // one with a model's reply
	deleting              // a reply without a body
	streams
	classes
)

func classOf(operation string) class {
	switch {
	case strings.HasSuffix(operation, "Stream"):
		return streams
	case strings.HasPrefix(operation, "Delete"):
		return deleting
	case strings.HasPrefix(operation, "Get"), strings.HasPrefix(operation, "List"):
		return getting
	case strings.HasSuffix(operation, "Conversation"):
		return asking
	}
	return changing
}

// verdict is what becomes of a call that a fault strikes.
type verdict struct {
	spared  bool                  // the fault does not match it
	retried bool                  // up to MaxRetries times
	waits   bool                  // again and again, up to MaxOutage
	wrong   func(err error) error // nil: the call succeeds at once; else what is wrong with an error
}

var (
	spared = verdict{spared: true}
	fine   = verdict{}
)

func retried(wrong func(error) error) verdict { return verdict{retried: true, wrong: wrong} }
func final(wrong func(error) error) verdict   { return verdict{wrong: wrong} }
func waiting(wrong func(error) error) verdict {
	return verdict{retried: true, waits: true, wrong: wrong}
}

// An affliction is a fault and what it does to the classes of operations.
type affliction struct {
	note   string // tells apart the rows of one kind
	fault  emulator.Fault
	reply  verdict // of calls whose reply has a body
	model  verdict // of those whose reply a model writes, if that differs
	empty  verdict // of those whose reply has none
	stream verdict

	stale  bool          // it breaks a connection before a response: one that was used before is replaced at once
	lost   bool          // a struck attempt may have been carried out: it costs its estimate
	whole  bool          // the connection carries the next request
	takes  time.Duration // of one struck attempt, at most
	silent bool          // the reply does not say what was used
	only   []string      // operations; nil is all. For what takes long and differs in nothing else
}

func (a affliction) name() string {
	if a.note == "" {
		return string(a.fault.Kind)
	}
	return string(a.fault.Kind) + " " + a.note
}

// times are the values of [emulator.Fault.Times] to try.
func (a affliction) times() []int {
	if a.only != nil {
		return []int{0}
	}
	return []int{1, 0}
}

func (a affliction) verdict(of class) verdict {
	switch of {
	case streams:
		return a.stream
	case deleting:
		return a.empty
	case asking:
		if a.model.wrong != nil {
			return a.model
		}
	default:
	}
	return a.reply
}

func everywhere(v verdict, a affliction) affliction {
	a.reply, a.empty, a.stream = v, v, v
	return a
}

// butNotModels is a verdict for all operations but those that ask a model, which are
// not repeated.
func butNotModels(v verdict, a affliction) affliction {
	a = everywhere(v, a)
	a.model, a.stream = final(v.wrong), final(v.wrong)
	return a
}

func onStreams(v verdict, a affliction) affliction {
	a.reply, a.empty, a.stream = spared, spared, v
	return a
}

func afflictions() []affliction {
	const retries = 32 * time.Second // a Retry-After up to MaxDelay is obeyed
	kind := func(k emulator.FaultKind) emulator.Fault { return emulator.Fault{Kind: k} }
	later := func(k emulator.FaultKind) emulator.Fault {
		return emulator.Fault{Kind: k, Header: map[string]string{"Retry-After": "7"}}
	}
	after := func(k emulator.FaultKind, events int) emulator.Fault { return emulator.Fault{Kind: k, Events: events} }
	server := func(status int) verdict { return retried(anAPIError(status, ratelimited.ErrServer, true)) }
	unusable := final(anAPIError(http.StatusOK, nil, false))
	silence := retried(aTransportError(true, context.DeadlineExceeded))
	tooSlow := final(silence.wrong)
	cut := retried(aTransportError(true))
	return []affliction{
		everywhere(cut, affliction{fault: kind(emulator.FaultClose), lost: true, stale: true}),
		everywhere(cut, affliction{fault: kind(emulator.FaultReset), lost: true, stale: true}),
		butNotModels(silence, affliction{fault: kind(emulator.FaultStall), lost: true, takes: time.Minute}),

		everywhere(final(anAPIError(401, ratelimited.ErrUnauthorized, false)), affliction{fault: kind(emulator.FaultUnauthorized), whole: true}),
		everywhere(final(anAPIError(402, nil, false)), affliction{fault: kind(emulator.FaultPayment), whole: true}),
		everywhere(final(anAPIError(403, ratelimited.ErrForbidden, false)), affliction{fault: kind(emulator.FaultForbidden), whole: true}),
		everywhere(waiting(aRateLimit("", "")), affliction{fault: kind(emulator.FaultRateLimit), whole: true}),
		everywhere(waiting(aRateLimit("", "")), affliction{note: "with Retry-After", fault: later(emulator.FaultRateLimit), whole: true}),
		everywhere(waiting(aRateLimit("tokens", "")), affliction{fault: kind(emulator.FaultTokenLimit), whole: true}),
		everywhere(waiting(aRateLimit("requests", "")), affliction{fault: kind(emulator.FaultRequestLimit), whole: true}),
		everywhere(retried(aRateLimit("web_search", "")), affliction{fault: kind(emulator.FaultToolLimit), whole: true}),
		everywhere(waiting(aRateLimit("", "")), affliction{fault: kind(emulator.FaultCapacity), whole: true}),
		everywhere(final(aRateLimit("tokens", "limit is 0")), affliction{fault: kind(emulator.FaultQuota), whole: true}),
		everywhere(final(aRateLimit("requests", "limit is 0")), affliction{
			note: "of the plan", whole: true,
			fault: emulator.Fault{Kind: emulator.FaultRequestLimit, Header: map[string]string{"X-RateLimit-Limit-Req-Minute": "0"}},
		}),
		everywhere(final(aRateLimit("tokens", "larger than")), affliction{
			note: "of one call", whole: true,
			fault: emulator.Fault{Kind: emulator.FaultTokenLimit, Header: map[string]string{
				"X-RateLimit-Limit-Tokens-Minute": "1000", "X-RateLimit-Remaining-Tokens-Minute": "1000",
			}},
		}),
		everywhere(final(aRateLimit("web_search", "the day's")), affliction{
			note: "of the day", whole: true,
			fault: emulator.Fault{Kind: emulator.FaultToolLimit, Header: map[string]string{"X-RateLimit-Remaining-Web-Search-Day": "0"}},
		}),
		everywhere(final(aRateLimit("tokens", "the month's")), affliction{
			note: "of the month", whole: true,
			fault: emulator.Fault{Kind: emulator.FaultTokenLimit, Header: map[string]string{"X-RateLimit-Remaining-Tokens-Month": "0"}},
		}),
		everywhere(final(anAPIError(503, ratelimited.ErrServer, true)), affliction{
			note: "for long", whole: true,
			fault: emulator.Fault{Kind: emulator.FaultUnavailable, Header: map[string]string{"Retry-After": "33"}},
		}),
		everywhere(server(500), affliction{fault: kind(emulator.FaultInternal), whole: true}),
		everywhere(server(502), affliction{fault: kind(emulator.FaultBadGateway), whole: true}),
		everywhere(server(503), affliction{fault: kind(emulator.FaultUnavailable), whole: true}),
		everywhere(server(503), affliction{note: "with Retry-After", fault: later(emulator.FaultUnavailable), whole: true, takes: retries}),
		everywhere(server(504), affliction{fault: kind(emulator.FaultGatewayTimeout), whole: true}),

		everywhere(fine, affliction{
			fault: emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 59 * time.Second}, whole: true, takes: time.Minute,
		}),
		butNotModels(silence, affliction{
			note: "for too long", fault: emulator.Fault{Kind: emulator.FaultSlowHeaders, Delay: 61 * time.Second}, lost: true, takes: time.Minute,
		}),
		everywhere(fine, affliction{
			fault: emulator.Fault{Kind: emulator.FaultSlowBody, Delay: 10 * time.Millisecond, Bytes: 7}, whole: true, takes: time.Minute,
		}),
		{ // The timeout is that of the whole reply; of a stream, that of the silence.
			note: "for too long", fault: emulator.Fault{Kind: emulator.FaultSlowBody, Delay: 59 * time.Second, Bytes: 20},
			reply: final(aTransportError(true, context.DeadlineExceeded)), empty: fine, stream: fine, takes: 24 * time.Hour,
		},
		{fault: kind(emulator.FaultResetAfterHeaders), reply: unusable, empty: fine, stream: cut, lost: true},
		{fault: kind(emulator.FaultContentType), reply: fine, empty: fine, stream: unusable, whole: true},
		everywhere(fine, affliction{fault: kind(emulator.FaultUnknownFields), whole: true}),
		everywhere(fine, affliction{fault: kind(emulator.FaultMissingFields), whole: true, silent: true}),
		everywhere(fine, affliction{
			fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 64 << 10}, whole: true,
		}),
		{ // more than the 16 MiB of an event
			note: "at once", fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 16 << 20}, stream: final(aTransportError(false)),
			only: []string{"StartConversationStream"}, lost: true,
		},
		{
			note: "after 2 events", fault: emulator.Fault{Kind: emulator.FaultOversize, Bytes: 16 << 20, Events: 2}, stream: final(aStreamError(2, nil)),
			only: []string{"AppendConversationStream"},
		},
		{fault: kind(emulator.FaultTruncated), reply: unusable, empty: fine, stream: spared, whole: true},

		onStreams(cut, affliction{fault: kind(emulator.FaultResetStream), lost: true}),
		onStreams(final(aStreamError(2, nil)), affliction{note: "after 2 events", fault: after(emulator.FaultResetStream, 2)}),
		onStreams(tooSlow, affliction{fault: kind(emulator.FaultStallStream), lost: true, takes: time.Minute}),
		onStreams(final(aStreamError(2, context.DeadlineExceeded)), affliction{
			note: "after 2 events", fault: after(emulator.FaultStallStream, 2), takes: time.Minute,
		}),
		onStreams(final(aStreamError(0, nil)), affliction{fault: kind(emulator.FaultMalformedEvent)}),
		onStreams(final(aStreamError(2, nil)), affliction{note: "after 2 events", fault: after(emulator.FaultMalformedEvent, 2)}),
		onStreams(fine, affliction{fault: kind(emulator.FaultUnknownEvent), whole: true}),
		onStreams(fine, affliction{note: "after 2 events", fault: after(emulator.FaultUnknownEvent, 2), whole: true}),
		onStreams(fine, affliction{fault: kind(emulator.FaultDuplicateEvent), whole: true}),
		onStreams(fine, affliction{note: "after 2 events", fault: after(emulator.FaultDuplicateEvent, 2), whole: true}),
		onStreams(final(aStreamError(0, nil)), affliction{fault: kind(emulator.FaultMissingBlankLine)}),
		onStreams(final(aStreamError(2, nil)), affliction{note: "after 2 events", fault: after(emulator.FaultMissingBlankLine, 2)}),
		onStreams(fine, affliction{fault: kind(emulator.FaultStrayLines), whole: true}),
		onStreams(fine, affliction{note: "after 2 events", fault: after(emulator.FaultStrayLines, 2), whole: true}),
	}
}

// anAPIError demands a status and a kind, and a cause exactly where the status is that
// of a success.
func anAPIError(status int, kind error, retryable bool) func(error) error {
	return func(err error) error {
		var api *ratelimited.APIError
		switch {
		case !errors.As(err, &api) || api.StatusCode != status:
			return fmt.Errorf("want an APIError of status %d", status)
		case kind != nil && !errors.Is(err, kind):
			return fmt.Errorf("want one that is %w", kind)
		case errors.Is(err, ratelimited.ErrRetryable) != retryable:
			return fmt.Errorf("want one for which ErrRetryable is %v", retryable)
		case (api.Err != nil) != (status < 300):
			return fmt.Errorf("has the cause %w", api.Err)
		}
		return nil
	}
}

func aRateLimit(limitType, reason string) func(error) error {
	return func(err error) error {
		var limited *ratelimited.RateLimitError
		switch {
		case !errors.As(err, &limited) || !errors.Is(err, ratelimited.ErrRateLimited):
			return errors.New("want a RateLimitError")
		case limited.LimitType != limitType || !strings.Contains(limited.Reason, reason) || (limited.Reason == "") != (reason == ""):
			return fmt.Errorf("is about %q because %q, want %q and %q", limited.LimitType, limited.Reason, limitType, reason)
		case errors.Is(err, ratelimited.ErrRetryable) != (reason == ""):
			return errors.New("want one that is retryable if nothing speaks against it")
		}
		return nil
	}
}

func aTransportError(retryable bool, causes ...error) func(error) error {
	return func(err error) error {
		var transport *ratelimited.TransportError
		if !errors.As(err, &transport) || errors.Is(err, ratelimited.ErrRetryable) != retryable {
			return fmt.Errorf("want a TransportError for which ErrRetryable is %v", retryable)
		}
		return wantCauses(err, causes...)
	}
}

func aStreamError(events int, cause error) func(error) error {
	return func(err error) error {
		var stream *ratelimited.StreamError
		switch {
		case !errors.As(err, &stream) || stream.Err == nil:
			return errors.New("want a StreamError with its cause")
		case stream.Events != events:
			return fmt.Errorf("%d events came, want %d", stream.Events, events)
		case cause == nil:
			return nil
		}
		return wantCauses(err, cause)
	}
}

func wantCauses(err error, causes ...error) error {
	for _, cause := range causes {
		if !errors.Is(err, cause) {
			return fmt.Errorf("want one that is %w", cause)
		}
	}
	return nil
}

// ledger keeps what the log says of the tokens that calls were admitted with.
type ledger struct {
	held, last int64
}

func (*ledger) Enabled(context.Context, slog.Level) bool { return true }
func (l *ledger) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *ledger) WithGroup(string) slog.Handler          { return l }

func (l *ledger) Handle(_ context.Context, record slog.Record) error {
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

// trial is a client and an emulator in one bubble.
type trial struct {
	*emulator.Emulator
	client *ratelimited.Client
	ledger ledger
	dials  int
	scenario
}

// strike makes the i-th step with a fault, and says what became of it.
func strike(t *testing.T, row affliction, i, times int) (outcome string) {
	t.Helper()
	at := fmt.Sprintf("%s, %d times, on %s", row.name(), times, steps[i].method)
	synctest.Test(t, func(t *testing.T) {
		w := &trial{Emulator: emulator.New(emulator.Config{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})}
		server := newCountingServer(w.ServeHTTP, &w.dials)
		defer server.Close()
		w.client = newClient(t, ratelimited.Config{
			APIKey: secretKey, BaseURL: server.URL(), HTTPClient: server.client, Logger: slog.New(&w.ledger),
			RequestsPerSecond: 1000, TokensPerMinute: 1_000_000, MaxRetries: matrixRetries,
		})
		w.conversations, w.agents = w.client.Beta.Conversations, w.client.Beta.Agents
		for _, step := range steps[:i] {
			if err := step.call(t.Context(), &w.scenario); err != nil {
				t.Fatalf("%s: %s before it: %v", at, step.method, err)
			}
		}
		outcome = w.suffer(t, at, row, steps[i], times, i > 0)

		if err := w.SetFaults(); err != nil {
			t.Fatal(err)
		}
		if _, err := start(t.Context(), w.client); err != nil {
			t.Errorf("%s: the next call fails: %v", at, err)
		}
		w.wantBalance(t, at)
		if row.whole && w.dials != 1 {
			t.Errorf("%s: %d connections were made, want that one be kept", at, w.dials)
		}
	})
	return outcome
}

const matrixRetries = 2

// suffer makes a step with a fault and compares what happens with what should.
func (w *trial) suffer(t *testing.T, at string, row affliction, step step, times int, reused bool) (outcome string) {
	t.Helper()
	class := classOf(step.operation)
	want := row.verdict(class)
	fault := row.fault
	fault.Operation, fault.Times = step.operation, times
	if err := w.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	before, earlier := w.Stats(), snapshot(w.client)
	var err error
	took := elapsed(func() { err = step.call(t.Context(), &w.scenario) })
	synctest.Wait()
	after, later := w.Stats(), snapshot(w.client)

	asked := after.Operations[step.operation] - before.Operations[step.operation]
	struck := after.Faults[fault.Kind] - before.Faults[fault.Kind]
	tokens := int64(after.Total().Tokens - before.Total().Tokens)
	settled := later.TokensSettled - earlier.TokensSettled

	attempts, maxAttempts := row.attempts(want, times, reused)
	if asked < attempts || asked > maxAttempts {
		t.Errorf("%s: %d requests arrived, want %d to %d", at, asked, attempts, maxAttempts)
	}
	if admitted := int(later.Admitted - earlier.Admitted + later.Retried - earlier.Retried); admitted != after.Requests-before.Requests {
		t.Errorf("%s: %d requests were admitted, %d arrived", at, admitted, after.Requests-before.Requests)
	}
	strikes := asked
	if times == 1 {
		strikes = 1
	}
	if want.spared {
		strikes = 0
	}
	if struck != strikes {
		t.Errorf("%s: it struck %d times, want %d", at, struck, strikes)
	}
	longest := time.Duration(attempts)*row.takes + 10*time.Second
	if want.waits && times == 0 { // then the retries that count, after the longest pauses
		longest = ratelimited.DefaultMaxOutage + matrixRetries*ratelimited.DefaultMaxDelay + time.Second
	}
	if took > longest {
		t.Errorf("%s: it took %v, want at most %v", at, took, longest)
	}
	failed := want.wrong != nil && (times == 0 || !want.retried)
	w.wantError(t, at, err, want, failed, asked, row.silent)

	wantSettled, estimate := int64(-1), w.ledger.last
	switch {
	case !failed && row.silent && step.tokens:
		wantSettled = estimate
	case !failed && !want.retried:
		wantSettled = tokens
	case fault.Kind.Replaces() || fault.Kind == emulator.FaultSlowHeaders:
		wantSettled = tokens
		if row.lost {
			wantSettled += int64(struck) * estimate
		}
	case failed && !errors.As(err, new(*ratelimited.StreamError)):
		wantSettled = int64(struck) * estimate
	}
	switch {
	case wantSettled >= 0 && settled != wantSettled:
		t.Errorf("%s: %d tokens were settled, want %d", at, settled, wantSettled)
	case wantSettled < 0 && step.tokens && settled <= 0:
		t.Errorf("%s: %d tokens were settled, want those that were received", at, settled)
	}
	return outcomeOf(err, want, attempts)
}

// attempts is how many requests a call should send, at least and at most.
func (a affliction) attempts(want verdict, times int, reused bool) (least, most int) {
	switch {
	case !want.retried:
		return 1, 1
	case times == 1:
		return 2, 2
	case want.waits:
		return 1 + matrixRetries + 1, int(ratelimited.DefaultMaxOutage / ratelimited.DefaultBaseDelay)
	case a.stale && reused:
		return 1 + matrixRetries + 1, 1 + matrixRetries + 1
	}
	return 1 + matrixRetries, 1 + matrixRetries
}

func (*trial) wantError(t *testing.T, at string, err error, want verdict, failed bool, attempts int, lax bool) {
	t.Helper()
	var own ratelimited.Error
	switch {
	case failed && err == nil:
		t.Errorf("%s: it succeeds", at)
	case failed:
		if wrong := want.wrong(err); wrong != nil {
			t.Errorf("%s: it fails with %v: %v", at, err, wrong)
		}
		if n := attemptsOf(err); n != 0 && n != attempts {
			t.Errorf("%s: the error speaks of %d attempts, want %d", at, n, attempts)
		}
	case errors.As(err, &own), err != nil && !lax: // a step may miss what it looks for
		t.Errorf("%s: it fails: %v", at, err)
	}
}

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

// wantBalance demands that all that was taken has been accounted for.
func (w *trial) wantBalance(t *testing.T, at string) {
	t.Helper()
	s := snapshot(w.client)
	if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Abandoned != 0 || s.Admitted != s.Settled+s.Cancelled {
		t.Errorf("%s: %d in flight with %d tokens, %d waiting; %+v", at, s.InFlight, s.HeldTokens, s.Waiting, s.Counters)
	}
	if balance := s.TokensSettled + s.TokensRefunded - s.TokensCharged; balance != w.ledger.held {
		t.Errorf("%s: the books have %d tokens, want the %d that were held; %+v", at, balance, w.ledger.held, s.Counters)
	}
}

// outcomeOf is an outcome in the table.
func outcomeOf(err error, want verdict, attempts int) string {
	what := "ok"
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
			what = known.name
			break
		}
	}
	if want.waits && err != nil {
		return what + "·…"
	}
	return fmt.Sprintf("%s·%d", what, attempts)
}

// outcomes is the table that the test prints.
type outcomes struct {
	mu    sync.Mutex
	cells map[string]*[classes][]string
}

func (o *outcomes) add(row affliction, of class, outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cells == nil {
		o.cells = map[string]*[classes][]string{}
	}
	if o.cells[row.name()] == nil {
		o.cells[row.name()] = new([classes][]string)
	}
	cell := &o.cells[row.name()][of]
	if row.verdict(of).spared {
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
	fmt.Fprintf(&b, "%-32s %-22s %-22s %-22s %-22s %s\n", "", "GET", "with a reply", "of a model", "DELETE", "stream")
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
