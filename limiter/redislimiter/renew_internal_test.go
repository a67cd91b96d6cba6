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

// newRenewalTest returns a limiter whose renewLeases only the test calls, and a function that
// returns how many calls Redis holds.
func newRenewalTest(t *testing.T) (l *Limiter, held func() int64) {
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

// A command that reports the end of a call does not renew the call's lease. Otherwise Redis would
// hold the call's tokens again until the lease expires.
func TestRenewalSkipsEndedCalls(t *testing.T) {
	for name, end := range map[string]func(limiter.Admission){
		"settled":   func(p limiter.Admission) { p.Settle(40) },
		"cancelled": limiter.Admission.Cancel,
	} {
		l, held := newRenewalTest(t)
		ended, err := l.Acquire(t.Context(), limiter.Call{Prompt: 100})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Acquire(t.Context(), limiter.Call{Prompt: 100}); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		l.polling = true // makes the renewal the next command
		l.mu.Unlock()
		end(ended)
		l.renewLeases()
		l.mu.Lock()
		l.polling = false
		if n := len(l.pending); n != 0 {
			t.Errorf("%s: %d updates are pending after the renewal, want 0", name, n)
		}
		l.mu.Unlock()
		if n := held(); n != 1 {
			t.Errorf("%s: Redis holds %d calls, want 1 in flight", name, n)
		}
	}
}

// The same holds for calls that end at any moment of a renewal.
func TestRenewalDuringCalls(t *testing.T) {
	l, held := newRenewalTest(t)
	done := make(chan struct{})
	var callers, renewals sync.WaitGroup
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
	renewals.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				l.renewLeases()
			}
		}
	})
	callers.Wait()
	close(done)
	renewals.Wait()
	l.Snapshot() // sends the pending updates
	if n := held(); n != 0 {
		t.Errorf("Redis holds %d calls after all have ended, want 0", n)
	}
}
