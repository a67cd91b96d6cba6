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

// A Store is a process's access to the limits that it shares with others. It is
// safe for concurrent use; the zero value is not usable: call [Open].
type Store struct {
	client redis.UniversalClient
	config Config
	name   string // of this process, in the books
	ctx    context.Context
	cancel context.CancelCauseFunc

	goroutines sync.WaitGroup

	mu       sync.Mutex // taken before that of a limiter
	limiters map[string]*Limiter
	closed   bool
}

var errClosed = errors.New("the store is closed")

// Open returns a store that keeps its books in the given Redis: a single server, a
// Cluster or a Sentinel's. It asks whether that is there, and fails if not, with what
// the client says. The store does not close the client, and needs it until Close.
func Open(ctx context.Context, client redis.UniversalClient, config Config) (*Store, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, fmt.Errorf("redislimiter: Redis cannot be reached: %w", err)
	}
	s := &Store{client: client, config: config, name: rand.Text(), limiters: map[string]*Limiter{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.goroutines.Go(s.beat)
	return s, nil
}

// Close ends the store: calls that wait fail, and so do those that come later. Calls
// in flight should have been settled before; those that have not count as used when
// their lease runs out. Close tells Redis of those that have, if it is there, and
// returns when nothing runs any more: a command that Redis does not answer ends when
// the client's own timeout says so.
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

// Limiter returns the limiter of a model, whose configured limit becomes the given one,
// for every process: the latest to say so decides. What others have learned stays in force
// if it is their configured limit too. It is a [limiter.Factory]. The error
// is a [*limiter.LimitError] if the limit is not valid, and else an
// [*UnavailableError].
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

// all returns the limiters that there are.
func (s *Store) all() []*Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.limiters))
}

// beat renews the leases of all calls in flight.
func (s *Store) beat() {
	ticker := time.NewTicker(s.config.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		for _, l := range s.all() {
			s.goroutines.Go(l.beat) // one that is slow keeps no other
		}
	}
}

var (
	//go:embed books.lua
	booksSource string
	//go:embed operations.lua
	operationsSource string

	script = redis.NewScript(booksSource + operationsSource)
)

// eval runs the script, within the timeout even where the client has another. It
// requires that s.goroutines counts the caller.
func (s *Store) eval(keys []string, args ...any) ([]string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
	defer cancel()
	type result struct {
		reply []string
		err   error
	}
	done := make(chan result, 1)
	s.goroutines.Go(func() {
		reply, err := script.Run(ctx, s.client, keys, args...).StringSlice()
		done <- result{reply, err}
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
	case errors.Is(r.err, context.DeadlineExceeded): // not that of any caller
		return nil, fmt.Errorf("no answer within the Timeout of %v", s.config.Timeout)
	}
	return r.reply, r.err
}
