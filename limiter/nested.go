package limiter

import (
	"context"
	"sync/atomic"
	"time"
)

// nested is the limiter of a model whose token limit, named by the server, is lower than the limit that
// it shares with other models. A call must fit into both limiters. In shared it waits for its turn among
// the calls to all models; tokens limits only the model's tokens.
type nested struct {
	shared, tokens Backend
	tokenLimit     atomic.Int64 // tokens per minute; 0 if setting it failed
	maxInFlight    int          // the configured bound of tokens, restored by detach

	// The model's calls and retries that wait for either limiter.
	waiting, abandoned atomic.Int64
	totalWait          atomic.Int64 // nanoseconds
}

// newNested returns a nested limiter with a new limiter for the model's tokens.
func newNested(shared Backend, factory Factory, model string, perMinute int) (*nested, error) {
	tokens, err := factory.make(model, tokensOnly(perMinute))
	if err != nil {
		return nil, err
	}
	n := &nested{shared: shared, tokens: tokens}
	if l, ok := tokens.(inProcess); ok {
		n.maxInFlight, l.concurrency.configured = l.concurrency.configured, 0 // shared bounds the calls in flight
		if l.learner != nil {
			l.learner.ownUntil = maxWindow // calls that only shared has admitted so far
		}
	}
	n.tokenLimit.Store(int64(perMinute))
	return n, nil
}

// tokensOnly returns a limit of the given tokens per minute and the highest possible request rate.
func tokensOnly(perMinute int) Limit {
	return Limit{RequestsPerSecond: MaxRequests, TokensPerMinute: perMinute}
}

// detach returns the limiter of the model's tokens, which is used without shared from now on.
func (n *nested) detach() Backend {
	if l, ok := n.tokens.(inProcess); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.concurrency.configured = n.maxInFlight
	}
	return n.tokens
}

// setTokenLimit changes the model's token limit.
func (n *nested) setTokenLimit(perMinute int) {
	if before := n.tokenLimit.Swap(int64(perMinute)); before == int64(perMinute) {
		return
	}
	if err := n.tokens.SetLimit(tokensOnly(perMinute)); err != nil {
		n.tokenLimit.Store(0) // so that the next response tries again
	}
}

// Acquire implements [Backend]. A call first waits in shared, among the calls to all models. If it then
// does not fit into tokens, it returns its admission, waits in tokens, and acquires from shared again,
// in its old place.
func (n *nested) Acquire(ctx context.Context, call Call) (_ Admission, err error) {
	if call, err = call.WithDefaults(ctx); err != nil {
		return nil, err
	}
	if waiting := int(n.waiting.Load()); call.MaxQueue > 0 && waiting >= call.MaxQueue {
		n.abandoned.Add(1)
		return nil, newQueueFull(call.Tokens(), waiting)
	}
	call.MaxQueue = 0
	p := &nestedPermit{limiter: n}
	defer p.wait()(&err)
	admitted := false
	defer func() {
		if !admitted { // also if Estimate or OnQueue panics
			p.cancelBoth()
		}
	}()
	if n.mayFit(call) {
		if p.shared, err = n.shared.Acquire(ctx, call); err != nil {
			return nil, err
		}
		if call.Estimate != nil {
			call.Prompt, call.Reply = call.Estimate()
		}
		now := call
		now.MaxWait = NoWait
		if p.tokens, err = n.tokens.Acquire(ctx, now); err == nil {
			admitted = true
			return p, nil
		}
		if call.MaxWait > 0 {
			call.MaxWait = max(1, call.MaxWait-p.shared.WaitDuration())
		}
		p.cancelBoth()
	}
	if p.tokens, err = n.tokens.Acquire(ctx, call); err != nil {
		return nil, err
	}
	call.MaxWait = min(0, call.MaxWait) // NoWait still applies; a positive MaxWait was checked before
	if p.shared, err = n.shared.Acquire(ctx, call); err != nil {
		return nil, err
	}
	admitted = true
	return p, nil
}

// cancelBoth cancels the admissions that the call has so far.
func (p *nestedPermit) cancelBoth() {
	for _, half := range []*Admission{&p.shared, &p.tokens} {
		if *half != nil {
			(*half).Cancel()
			*half = nil
		}
	}
}

// mayFit reports whether the model's tokens suffice for the call, within its MaxWait.
func (n *nested) mayFit(call Call) bool {
	if call.MaxWait != 0 {
		return n.tokens.WaitTime(call.Tokens()) <= max(0, call.MaxWait)
	}
	return call.Tokens() <= n.tokens.Limit().TokenBurst
}

// WaitTime implements [Backend].
func (n *nested) WaitTime(tokens int) time.Duration {
	return max(n.shared.WaitTime(tokens), n.tokens.WaitTime(tokens))
}

// Pause implements [Backend].
func (n *nested) Pause(until time.Time) { n.shared.Pause(until) }

// Observe implements [Backend]. The server's token count is that of the model.
func (n *nested) Observe(s ServerState) {
	n.tokens.Observe(s)
	s.LimitTokens, s.RemainingTokens = nil, nil
	n.shared.Observe(s)
}

// Limit implements [Backend].
func (n *nested) Limit() Limit {
	limit, tokens := n.shared.Limit(), n.tokens.Limit()
	limit.TokensPerMinute = min(limit.TokensPerMinute, tokens.TokensPerMinute)
	limit.TokenBurst = min(limit.TokenBurst, tokens.TokenBurst)
	return limit
}

// SetLimit implements [Backend].
func (n *nested) SetLimit(limit Limit) error { return n.tokens.SetLimit(limit) }

// Snapshot implements [Backend]. Tokens and counters are those of the model, requests those of shared.
func (n *nested) Snapshot() Snapshot {
	s, shared := n.tokens.Snapshot(), n.shared.Snapshot()
	s.Limit, s.Configured = n.Limit(), shared.Configured
	s.RequestsFrom = shared.RequestsFrom
	if s.TokensFrom == FromConfiguration {
		s.TokensFrom = FromHeaders
	}
	s.Waiting, s.Abandoned, s.TotalWait = int(n.waiting.Load()), n.abandoned.Load(), time.Duration(n.totalWait.Load())
	s.AvailableRequests = shared.AvailableRequests
	s.AvailableTokens = min(s.AvailableTokens, shared.AvailableTokens)
	if shared.NextStart.After(s.NextStart) {
		s.NextStart = shared.NextStart
	}
	if shared.PausedUntil.After(s.PausedUntil) {
		s.PausedUntil = shared.PausedUntil
	}
	return s
}

// A nestedPermit is a call that both limiters admitted.
type nestedPermit struct {
	shared, tokens Admission
	limiter        *nested
	waited         atomic.Int64 // nanoseconds
}

// Tokens implements [Admission].
func (p *nestedPermit) Tokens() int { return p.tokens.Tokens() }

// wait counts the call as waiting until the returned function is called.
func (p *nestedPermit) wait() (end func(*error)) {
	began := time.Now()
	p.limiter.waiting.Add(1)
	return func(err *error) {
		p.limiter.waiting.Add(-1)
		if *err != nil {
			p.limiter.abandoned.Add(1)
			return
		}
		waited := int64(time.Since(began))
		p.waited.Add(waited)
		p.limiter.totalWait.Add(waited)
	}
}

// WaitDuration implements [Admission].
func (p *nestedPermit) WaitDuration() time.Duration { return time.Duration(p.waited.Load()) }

// Sent implements [Admission].
func (p *nestedPermit) Sent() {
	p.shared.Sent()
	p.tokens.Sent()
}

// ReturnRequest implements [Admission].
func (p *nestedPermit) ReturnRequest() {
	p.shared.ReturnRequest()
	p.tokens.ReturnRequest()
}

// Throttled implements [Admission]. A 429 because of the model's token limit pauses only that model.
func (p *nestedPermit) Throttled(r Throttle) time.Duration {
	if r.Tokens || !r.Requests && !r.Concurrent && p.limiter.isUsedUp() {
		return p.tokens.Throttled(r)
	}
	return p.shared.Throttled(r)
}

// isUsedUp reports whether enough of the model's tokens are used to attribute a 429 that names no limit
// to the model's token limit.
func (n *nested) isUsedUp() bool {
	s := n.tokens.Snapshot()
	return s.AvailableTokens <= (1-fullShare)*float64(s.Limit.TokensPerMinute)
}

// Retry implements [Admission].
func (p *nestedPermit) Retry(ctx context.Context) (err error) {
	defer p.wait()(&err)
	if err := p.retryTokens(ctx); err != nil {
		return err
	}
	if err = p.shared.Retry(ctx); err != nil {
		p.tokens.ReturnRequest()
	}
	return err
}

// retryTokens waits in tokens. During that wait the call does not count as in flight in shared.
func (p *nestedPermit) retryTokens(ctx context.Context) error {
	if shared, ok := p.shared.(*Permit); ok {
		shared.setSuspended(true)
		defer shared.setSuspended(false)
	}
	return p.tokens.Retry(ctx)
}

// Settle implements [Admission].
func (p *nestedPermit) Settle(actual int) {
	p.shared.Settle(actual)
	p.tokens.Settle(actual)
}

// Cancel implements [Admission].
func (p *nestedPermit) Cancel() {
	p.shared.Cancel()
	p.tokens.Cancel()
}
