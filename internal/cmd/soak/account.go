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

// account is one emulator and one client, which several workers share.
type account struct {
	plan
	server     *emulator.Server
	client     *ratelimited.Client
	transport  *http.Transport
	beta       ratelimited.Beta
	reconciler *reconciler
	pool       *pool
	counter    *tokens.Counter
	down       atomic.Bool // New connections fail.
}

// plan is the configuration of an account's client and server.
type plan struct {
	name string
	mode emulator.Mode
	bare bool // Two token buckets and fixed estimates; otherwise the defaults.

	// estimate is the estimate of calls that use a model; 0: the client's estimate. A stream
	// that is closed early is charged the estimate of the prompt plus the received text. The
	// test cannot know that estimate if the client learns. The calls then have a fixed estimate
	// above their usage, and such a stream is charged all of it.
	estimate int

	// maxShare is the maximum share of the server's limits that the client's limits reach. It
	// is below 1, because a delayed request and the next one may reach the server close together.
	maxShare float64
}

var plans = []plan{
	{name: "guard, sliding window", mode: emulator.SlidingWindow, estimate: 400, maxShare: 0.9},
	{name: "buckets, token bucket", mode: emulator.TokenBucket, bare: true, maxShare: 0.75},
}

// The server's limits: for each model, and for calls without a model.
const (
	modelRPS   = 40
	modelTPM   = 100_000
	managedRPS = 80
)

// minShare is the minimum share of the server's limits that the client's limits reach.
const minShare = 0.2

// jitter is the jitter that the client tolerates. The race detector delays callers on a small machine.
const jitter = 500 * time.Millisecond

const attemptTimeout = 5 * time.Second

// open starts the emulator and the client of an account.
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
		limits[model] = a.limit(model, p.maxShare)
	}
	a.client, err = ratelimited.New(ratelimited.Config{
		APIKey: "soak", BaseURL: a.server.URL(), HTTPClient: &http.Client{Transport: a.transport}, Logger: slog.New(logHandler{}),
		RequestsPerSecond: managedRPS * p.maxShare, TokensPerMinute: modelTPM, Limits: limits, Jitter: jitter,
		BareBuckets: p.bare, FixedEstimates: p.bare,
		BaseDelay: 50 * time.Millisecond, MaxDelay: time.Second, Timeout: attemptTimeout, StreamIdleTimeout: attemptTimeout,
	})
	if err != nil {
		_ = a.server.Close() // the first error matters
		return nil, err
	}
	a.beta = a.client.Beta
	return a, nil
}

// dialer returns a dial function. It fails every tenth time, and always while the server is down.
func dialer(down *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	var dials atomic.Int64
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1)%10 == 0 || down.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// outages makes the server unreachable every 10–15 s, for up to 2 s.
func (a *account) outages(ctx context.Context, random *rand.Rand) {
	for wait(ctx, 10*time.Second+time.Duration(random.Int64N(int64(5*time.Second)))) {
		a.down.Store(true)
		a.transport.CloseIdleConnections()
		wait(ctx, time.Duration(random.Int64N(int64(2*time.Second))))
		a.down.Store(false)
	}
}

// limit returns a share of the server's limit for a model, or for calls without a model.
func (a *account) limit(model string, share float64) limiter.Limit {
	rps := float64(modelRPS)
	if model == emulator.NoModel {
		rps = managedRPS
	}
	return limiter.Limit{RequestsPerSecond: rps * share, TokensPerMinute: int(modelTPM * share)}
}

// faultShare is the share of requests with a fault.
const faultShare = 0.2

// faults returns faults of all kinds with equal probability, with two exceptions. The dialer injects
// refused connections. A 429 response for the token limit pauses a guarded model for half a minute
// and is therefore a tenth as likely.
func faults() []emulator.Fault {
	kinds := slices.DeleteFunc(emulator.FaultKinds(), func(k emulator.FaultKind) bool { return k == emulator.FaultRefuse })
	chance := 1 - math.Pow(1-faultShare, 1/float64(len(kinds)-8)) // eight kinds apply only to streams or only to plain responses
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
			f.Events = i % 4 // 0: before the first event
		default:
		}
		list[i] = f
	}
	return list
}

// run runs the workers and changes the limits until ctx is done.
func (a *account) run(ctx context.Context, workers int, seed uint64) {
	var all sync.WaitGroup
	for i := range workers {
		w := &worker{account: a, number: i, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		all.Go(func() { w.run(ctx) })
	}
	all.Go(func() { a.changeLimits(ctx, rand.New(rand.NewPCG(seed, math.MaxUint64))) })
	all.Go(func() { a.outages(ctx, rand.New(rand.NewPCG(seed, math.MaxUint64-1))) })
	all.Go(func() {
		for wait(ctx, 2*time.Second) {
			a.reconciler.collect(a.server.Requests())
			a.reconciler.reconcile(false)
		}
	})
	all.Wait()
}

// changeLimits changes one of the limits every second.
func (a *account) changeLimits(ctx context.Context, random *rand.Rand) {
	names := append([]string{emulator.NoModel}, models...)
	for wait(ctx, time.Second) {
		model := names[random.IntN(len(names))]
		limit := a.limit(model, minShare+(a.maxShare-minShare)*random.Float64())
		if err := a.client.SetLimit(model, limit); err != nil {
			a.reconciler.find("SetLimit(%q, %+v): %v", model, limit, err)
		}
	}
}

// wait waits for the given time. It returns false if ctx is done before.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// close closes the client and the emulator after all callers have returned, and checks the totals.
func (a *account) close() {
	a.client.Close()
	a.transport.CloseIdleConnections()
	if err := a.server.Close(); err != nil {
		a.reconciler.find("closing the emulator: %v", err)
	}
	a.reconciler.collect(a.server.Requests())
	a.reconciler.reconcile(true)
	a.checkTotals()
}

// checkTotals compares the sums over all calls with the counters of the client's limiters and of the
// emulator.
func (a *account) checkTotals() {
	t := a.reconciler.totals
	var sums limiter.Snapshot
	for model, s := range a.client.Snapshot() {
		if s.AvailableRequests > s.Limit.RequestBurst+1e-6 || s.AvailableTokens > float64(s.Limit.TokenBurst) {
			a.reconciler.find("limiter %q: %v requests and %v tokens are available, more than the capacity: %+v", model, s.AvailableRequests, s.AvailableTokens, s.Limit)
		}
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 {
			a.reconciler.find("limiter %q: %d calls in flight with %d tokens and %d waiting after all calls have ended, want 0", model, s.InFlight, s.HeldTokens, s.Waiting)
		}
		sums.Admitted += s.Admitted
		sums.Retried += s.Retried
		sums.Settled += s.Settled
		sums.Cancelled += s.Cancelled
		sums.ReturnedRequests += s.ReturnedRequests
		sums.TokensSettled += s.TokensSettled
		sums.TokensRefunded += s.TokensRefunded
		sums.TokensCharged += s.TokensCharged
	}
	stats := a.server.Stats()
	sum := stats.Total()
	injected, injected429 := 0, 0
	for kind, n := range stats.Faults {
		if injected += n; slices.Contains(rateLimitFaults, kind) {
			injected429 += n
		}
	}
	for _, same := range []struct {
		what      string
		got, want int
	}{
		{"admitted calls by the client's limiters and by the calls", int(sums.Admitted), t.admitted},
		{"settled calls by the limiters and by the calls", int(sums.Settled), t.settled},
		{"cancelled calls by the limiters and by the calls", int(sums.Cancelled), t.cancelled},
		{"admitted calls, and settled or cancelled calls, by the limiters", int(sums.Admitted), int(sums.Settled + sums.Cancelled)},
		{"sent requests by the limiters and by the calls", int(sums.Admitted + sums.Retried - sums.ReturnedRequests), t.sent},
		{"settled tokens by the limiters and by the calls", int(sums.TokensSettled), t.clientTokens()},
		{"held tokens by the limiters and by the estimates of the calls", int(sums.TokensSettled + sums.TokensRefunded - sums.TokensCharged), t.estimates},
		{"requests by the emulator's statistics and by its request log", stats.Requests, t.requests},
		{"accepted requests by the emulator's statistics and by its request log", sum.Admitted, t.accepted},
		{"charged tokens by the emulator's statistics and by its request log", sum.Tokens, t.serverTokens()},
		{"throttled requests and injected 429 responses", sum.Refused(), injected429},
		{"requests in flight at the emulator, want", stats.InFlight, 0},
		{"tokens of complete responses by the client and by the emulator", t.complete.client, t.complete.server},
	} {
		if same.got != same.want {
			a.reconciler.find("%s: %d and %d", same.what, same.got, same.want)
		}
	}
	for _, op := range operations {
		if stats.Operations[op.name] == 0 {
			a.reconciler.find("operation %s: 0 requests, want at least 1", op.name)
		}
	}
	if share := float64(injected) / float64(max(1, stats.Requests)); math.Abs(share-faultShare) > 0.05 {
		a.reconciler.find("faults were injected into %.0f%% of the requests, want about %.0f%%", 100*share, 100*faultShare)
	}
}
