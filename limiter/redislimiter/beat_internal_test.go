package redislimiter

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// beating returns a limiter whose beat the test calls, and a function that returns how
// many calls Redis holds.
func beating(t *testing.T) (l *Limiter, held func() int64) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	store, err := Open(t.Context(), client, Config{Lease: time.Minute, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	backend, err := store.Limiter("m", limiter.Limit{RequestsPerSecond: 1e6, TokensPerMinute: 1_000_000_000})
	if err != nil {
		t.Fatal(err)
	}
	l = backend.(*Limiter)
	return l, func() int64 { return client.HLen(context.Background(), l.keys[3]).Val() }
}

// A command that tells Redis that a call has ended does not renew the call's lease: Redis
// would hold the call's tokens again, with nobody left to return them.
func TestBeatDoesNotRenewEndedCalls(t *testing.T) {
	for name, end := range map[string]func(limiter.Admission){
		"settled":   func(p limiter.Admission) { p.Settle(40) },
		"cancelled": limiter.Admission.Cancel,
	} {
		l, held := beating(t)
		ended, err := l.Acquire(t.Context(), limiter.Call{Prompt: 100})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Acquire(t.Context(), limiter.Call{Prompt: 100}); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		l.talking = true // so that the beat is the next command
		l.mu.Unlock()
		end(ended)
		l.beat()
		l.mu.Lock()
		l.talking = false
		if n := len(l.news); n != 0 {
			t.Errorf("%s: the beat has left %d pieces of news", name, n)
		}
		l.mu.Unlock()
		if n := held(); n != 1 {
			t.Errorf("%s: Redis holds %d calls, want the one that is in flight", name, n)
		}
	}
}

// The same, where calls end at any moment of a beat.
func TestBeatBesideCalls(t *testing.T) {
	l, held := beating(t)
	done := make(chan struct{})
	var callers, beats sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 60 {
				p, err := l.Acquire(t.Context(), limiter.Call{Prompt: 10})
				if err != nil {
					t.Error(err)
					return
				}
				p.Settle(10)
			}
		})
	}
	beats.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				l.beat()
			}
		}
	})
	callers.Wait()
	close(done)
	beats.Wait()
	l.Snapshot() // With that, Redis is told.
	if n := held(); n != 0 {
		t.Errorf("Redis holds %d calls after all have ended", n)
	}
}
