package redislimiter

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
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
	beats  sync.WaitGroup

	mu       sync.Mutex
	limiters map[string]*Limiter
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
	s.beats.Go(s.beat)
	return s, nil
}

// Close ends the store: calls that wait fail, and so do those that come later. Calls
// in flight should have been settled before; those that have not count as used when
// their lease runs out.
func (s *Store) Close() {
	s.cancel(errClosed)
	s.mu.Lock()
	for _, l := range s.limiters {
		l.wake()
	}
	s.mu.Unlock()
	s.beats.Wait()
}

// Limiter returns the limiter of a model, whose limit becomes the given one, for
// every process: the latest to say so decides. It is a [limiter.Factory]. The error
// is a [*limiter.LimitError] if the limit is not valid, and else an
// [*UnavailableError].
func (s *Store) Limiter(model string, limit limiter.Limit) (limiter.Backend, error) {
	if err := limit.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	l, known := s.limiters[model]
	if !known {
		l = newLimiter(s, model, limit)
		s.limiters[model] = l
	}
	s.mu.Unlock()
	if err := l.SetLimit(limit); err != nil {
		return nil, err
	}
	return l, nil
}

// beat renews the leases of all calls in flight, and delivers what could not be
// delivered when it happened.
func (s *Store) beat() {
	ticker := time.NewTicker(s.config.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		limiters := make([]*Limiter, 0, len(s.limiters))
		for _, l := range s.limiters {
			limiters = append(limiters, l)
		}
		s.mu.Unlock()
		var beating sync.WaitGroup
		for _, l := range limiters {
			beating.Go(l.beat) // one that is slow keeps no other
		}
		beating.Wait()
	}
}

var (
	//go:embed books.lua
	booksSource string
	//go:embed operations.lua
	operationsSource string

	script = redis.NewScript(booksSource + operationsSource)
)

// eval runs the script, within the timeout even where the client has another.
func (s *Store) eval(keys []string, args ...any) ([]string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
	defer cancel()
	type result struct {
		reply []string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := script.Run(ctx, s.client, keys, args...).StringSlice()
		done <- result{reply, err}
	}()
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
