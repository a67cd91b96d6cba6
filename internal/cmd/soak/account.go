package main

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// An account is one emulator, one client, and the callers that share it.
type account struct {
	plan
	server     *emulator.Server
	client     *ratelimited.Client
	transport  *http.Transport
	beta       ratelimited.Beta
	reconciler *reconciler
	pool       *pool
	counter    *tokens.Counter
	down       atomic.Bool // no connection can be made
}

// A plan says how an account's client and server count.
type plan struct {
	name string
	mode emulator.Mode
	bare bool // two token buckets and estimates that learn nothing; otherwise, as by default

	// given is the estimate of calls that ask a model; 0: the client's own. Where the
	// client learns, nobody else knows what it guesses for the prompt alone, which is
	// what a stream that is left early is charged, with what it brought. So there the
	// calls bring their estimate, which is more than any of them uses, and such a stream
	// is charged all of it.
	given int

	// most is the share of the server's limits that the client's go up to. Not all of
	// them: a request may reach the server late, and another one soon after it.
	most float64
}

var plans = []plan{
	{name: "guard, sliding window", mode: emulator.SlidingWindow, given: 400, most: 0.9},
	{name: "buckets, token bucket", mode: emulator.TokenBucket, bare: true, most: 0.75},
}

// The server's limits: for each model, and for the calls that have none.
const (
	modelRPS   = 40
	modelTPM   = 100_000
	managedRPS = 80
)

// least is the smallest share of the limits that the client's are set to.
const least = 0.2

// jitter is the guard's: the race detector makes callers on a small machine late.
const jitter = 500 * time.Millisecond

const attemptTimeout = 5 * time.Second

// open starts an account.
func open(p plan, seed uint64) (*account, error) {
	a := &account{plan: p, reconciler: newReconciler(attemptTimeout), pool: newPool()}
	var err error
	if a.counter, err = tokens.NewCounter(tokens.DefaultEncoding); err != nil {
		return nil, err
	}
	a.server, err = emulator.Start(emulator.Config{
		RequestsPerSecond: modelRPS, TokensPerMinute: modelTPM, Mode: p.mode,
		Limits:  map[string]emulator.Limit{emulator.NoModel: {RequestsPerSecond: managedRPS}},
		Latency: 10 * time.Millisecond, TokenDelay: time.Millisecond,
		Faults: faults(), Seed: seed, Intercept: a.reconciler.intercept,
	})
	if err != nil {
		return nil, err
	}
	a.transport = &http.Transport{MaxIdleConnsPerHost: 100, DialContext: dialer(&a.down)}
	limits := map[string]limiter.Limit{}
	for _, model := range models {
		limits[model] = a.limit(model, p.most)
	}
	a.client, err = ratelimited.New(ratelimited.Config{
		APIKey: "soak", BaseURL: a.server.URL(), HTTPClient: &http.Client{Transport: a.transport}, Logger: slog.New(listener{}),
		RequestsPerSecond: managedRPS * p.most, TokensPerMinute: modelTPM, Limits: limits, Jitter: jitter,
		BareBuckets: p.bare, FixedEstimates: p.bare,
		BaseDelay: 50 * time.Millisecond, MaxDelay: time.Second, Timeout: attemptTimeout, StreamIdleTimeout: attemptTimeout,
	})
	if err != nil {
		_ = a.server.Close() // the other error is the one that matters
		return nil, err
	}
	a.beta = a.client.Beta
	return a, nil
}

// dialer fails every tenth time, and always while the server is down: the requests that
// wait for such a connection reach nobody.
func dialer(down *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	var dials atomic.Int64
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1)%10 == 0 || down.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// blackouts has the server go down every ten seconds or so, for up to two.
func (a *account) blackouts(ctx context.Context, random *rand.Rand) {
	for wait(ctx, 10*time.Second+time.Duration(random.Int64N(int64(5*time.Second)))) {
		a.down.Store(true)
		a.transport.CloseIdleConnections()
		wait(ctx, time.Duration(random.Int64N(int64(2*time.Second))))
		a.down.Store(false)
	}
}

// limit is a share of the server's limit for a model, or for calls without one.
func (a *account) limit(model string, share float64) limiter.Limit {
	rps := float64(modelRPS)
	if model == emulator.NoModel {
		rps = managedRPS
	}
	return limiter.Limit{RequestsPerSecond: rps * share, TokensPerMinute: int(modelTPM * share)}
}

// faultShare is how many of the requests are struck.
const faultShare = 0.2

// faults are all kinds, equally likely, but for refused connections, which are the
// dialer's, and for the 429 for want of tokens, which stops a guarded model for half a
// minute: it is a tenth as likely.
func faults() []emulator.Fault {
	kinds := slices.DeleteFunc(emulator.FaultKinds(), func(k emulator.FaultKind) bool { return k == emulator.FaultRefuse })
	chance := 1 - math.Pow(1-faultShare, 1/float64(len(kinds)-8)) // eight are for streams or plain replies alone
	list := make([]emulator.Fault, len(kinds))
	for i, kind := range kinds {
		f := emulator.Fault{Kind: kind, Probability: chance}
		switch kind {
		case emulator.FaultTokenLimit:
			f.Probability /= 10
		case emulator.FaultSlowHeaders:
			f.Delay = 200 * time.Millisecond
		case emulator.FaultSlowBody:
			f.Delay, f.Bytes = time.Millisecond, 64
		case emulator.FaultOversize:
			f.Bytes = 64 << 10
		case emulator.FaultResetStream, emulator.FaultStallStream, emulator.FaultMalformedEvent, emulator.FaultUnknownEvent,
			emulator.FaultDuplicateEvent, emulator.FaultMissingBlankLine, emulator.FaultStrayLines:
			f.Events = i % 4 // some before the first event
		default:
		}
		list[i] = f
	}
	return list
}

// run lets so many workers work, and the limits change, until ctx ends.
func (a *account) run(ctx context.Context, workers int, seed uint64) {
	var all sync.WaitGroup
	for i := range workers {
		w := &worker{account: a, number: i, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		all.Go(func() { w.run(ctx) })
	}
	all.Go(func() { a.turn(ctx, rand.New(rand.NewPCG(seed, math.MaxUint64))) })
	all.Go(func() { a.blackouts(ctx, rand.New(rand.NewPCG(seed, math.MaxUint64-1))) })
	all.Go(func() {
		for wait(ctx, 2*time.Second) {
			a.reconciler.collect(a.server.Requests())
			a.reconciler.reconcile(false)
		}
	})
	all.Wait()
}

// turn changes one of the limits every second.
func (a *account) turn(ctx context.Context, random *rand.Rand) {
	names := append([]string{emulator.NoModel}, models...)
	for wait(ctx, time.Second) {
		model := names[random.IntN(len(names))]
		limit := a.limit(model, least+(a.most-least)*random.Float64())
		if err := a.client.SetLimit(model, limit); err != nil {
			a.reconciler.find("SetLimit(%q, %+v): %v", model, limit, err)
		}
	}
}

// wait lets time pass, and reports whether ctx has not ended meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// close ends the account, whose callers have all returned, and balances its books.
func (a *account) close() {
	a.client.Close()
	a.transport.CloseIdleConnections()
	if err := a.server.Close(); err != nil {
		a.reconciler.find("closing the emulator: %v", err)
	}
	a.reconciler.collect(a.server.Requests())
	a.reconciler.reconcile(true)
	a.balance()
}

// balance sets the sums of the calls against the totals of the client's limiters and of
// the emulator.
func (a *account) balance() {
	t := a.reconciler.totals
	var books limiter.Snapshot
	for model, s := range a.client.Snapshot() {
		if s.AvailableRequests > s.Limit.RequestBurst+1e-6 || s.AvailableTokens > float64(s.Limit.TokenBurst) {
			a.reconciler.find("limiter %q has %v requests and %v tokens, more than it can hold: %+v", model, s.AvailableRequests, s.AvailableTokens, s.Limit)
		}
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			a.reconciler.find("limiter %q: %d calls in flight with %d tokens, %d waiting, after all calls have ended", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
		books.Admitted += s.Admitted
		books.Retried += s.Retried
		books.Settled += s.Settled
		books.Cancelled += s.Cancelled
		books.ReturnedRequests += s.ReturnedRequests
		books.TokensSettled += s.TokensSettled
		books.TokensRefunded += s.TokensRefunded
		books.TokensCharged += s.TokensCharged
	}
	stats := a.server.Stats()
	sum := stats.Total()
	made, struck := 0, 0
	for kind, n := range stats.Faults {
		if struck += n; slices.Contains(refusals, kind) {
			made += n
		}
	}
	for _, same := range []struct {
		what      string
		got, want int
	}{
		{"calls that the client's limiters admitted, and those of the calls", int(books.Admitted), t.admitted},
		{"calls that they settled, and those of the calls", int(books.Settled), t.settled},
		{"calls that they cancelled, and those of the calls", int(books.Cancelled), t.cancelled},
		{"admitted calls, and those settled or cancelled", int(books.Admitted), int(books.Settled + books.Cancelled)},
		{"requests that they admitted and that were sent, and those of the calls", int(books.Admitted + books.Retried - books.ReturnedRequests), t.sent},
		{"tokens that they settled, and those of the calls", int(books.TokensSettled), t.clientTokens()},
		{"tokens that they took and gave back, and the estimates", int(books.TokensSettled + books.TokensRefunded - books.TokensCharged), t.estimates},
		{"requests in the emulator's statistics and in its record", stats.Requests, t.requests},
		{"requests that it accepted in both", sum.Admitted, t.accepted},
		{"tokens that it charged in both", sum.Tokens, t.serverTokens()},
		{"requests that it refused, and 429s that were faults", sum.Refused(), made},
		{"requests that it serves, and none", stats.InFlight, 0},
		{"tokens of whole replies by the client and by the emulator", t.whole.client, t.whole.server},
	} {
		if same.got != same.want {
			a.reconciler.find("%s: %d and %d", same.what, same.got, same.want)
		}
	}
	for _, op := range operations {
		if stats.Operations[op.name] == 0 {
			a.reconciler.find("no request for %s was made", op.name)
		}
	}
	if share := float64(struck) / float64(max(1, stats.Requests)); math.Abs(share-faultShare) > 0.05 {
		a.reconciler.find("%.0f %% of the requests were struck by a fault, want about %.0f %%", 100*share, 100*faultShare)
	}
}
