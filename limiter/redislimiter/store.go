package redislimiter

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Store gives a process access to the limits that it shares with other processes. It is safe
// for concurrent use. The zero value is not usable: call [Open].
type Store struct {
	client redis.UniversalClient
	config Config
	name   string // The name of this process in the shared state.
	ctx    context.Context
	cancel context.CancelCauseFunc

	goroutines sync.WaitGroup

	mu       sync.Mutex // Guards the fields below; locked before the mutex of a limiter.
	limiters map[string]*Limiter
	closed   bool
}

var errClosed = errors.New("the store is closed")

// Open returns a store that keeps its state in the given Redis: a single server, a Cluster, or
// a server managed by Sentinel. It sends a PING and returns the client's error if that fails.
// The store does not close the client, which must stay open until Close returns.
func Open(ctx context.Context, client redis.UniversalClient, config Config) (*Store, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("redislimiter: cannot reach Redis: %w", err)
	}
	s := &Store{client: client, config: config, name: rand.Text(), limiters: map[string]*Limiter{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.goroutines.Go(s.renewLeases)
	return s, nil
}

// Close ends the store: waiting calls fail, and so do later ones. Settle or cancel all calls in
// flight before; otherwise they count as used once their lease expires. Close reports the
// settled calls if Redis is reachable. It returns after all goroutines of the store have ended.
// If Redis does not respond to a command, that is after the client's timeout.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	var closing sync.WaitGroup
	for _, l := range s.all() {
		closing.Go(l.close)
	}
	closing.Wait()
	s.cancel(errClosed)
	s.goroutines.Wait()
}

// Limiter returns the limiter of a model and sets the model's configured limit for every
// process; the latest call decides. The rates that other processes have learned stay in force
// if their configured limit is the same. Limiter is a [limiter.Factory]. The error is a
// [*limiter.LimitError] if the limit is not valid, otherwise an [*UnavailableError].
func (s *Store) Limiter(model string, limit limiter.Limit) (limiter.Backend, error) {
	if err := limit.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	l, known := s.limiters[model]
	if s.closed {
		s.mu.Unlock()
		return nil, &UnavailableError{Err: errClosed}
	}
	if !known {
		l = newLimiter(s, model, limit)
		s.limiters[model] = l
	}
	s.mu.Unlock()
	if err := l.set("configure", limit); err != nil {
		return nil, err
	}
	return l, nil
}

// all returns the limiters of all models.
func (s *Store) all() []*Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.limiters))
}

// renewLeases renews the leases of all calls in flight until the store is closed.
func (s *Store) renewLeases() {
	ticker := time.NewTicker(s.config.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		for _, l := range s.all() {
			s.goroutines.Go(l.renewLeases) // concurrently: one may be slow
		}
	}
}

var (
	//go:embed state.lua
	stateSource string
	//go:embed operations.lua
	operationsSource string

	script = redis.NewScript(stateSource + operationsSource)
)

// eval runs the script within Config.Timeout, even if the client's timeout is longer.
// s.goroutines must count the caller.
func (s *Store) eval(keys []string, args ...any) ([]string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
	defer cancel()
	type result struct {
		values []string
		err    error
	}
	done := make(chan result, 1)
	s.goroutines.Go(func() {
		values, err := script.Run(ctx, s.client, keys, args...).StringSlice()
		done <- result{values, err}
	})
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		r.err = context.DeadlineExceeded
	}
	switch {
	case s.ctx.Err() != nil:
		return nil, errClosed
	case errors.Is(r.err, context.DeadlineExceeded): // do not return a caller's error
		return nil, fmt.Errorf("no response within Config.Timeout (%v)", s.config.Timeout)
	}
	return r.values, r.err
}
