package limiter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The first call of a run assigns the place of all its calls, even if the run is part of another run and
// its calls start concurrently.
func TestPlaceOfARun(t *testing.T) {
	run := limiter.WithPlace(limiter.WithPlace(t.Context()))
	before := limiter.PlaceOf(t.Context())
	places := make([]limiter.Place, 8)
	var calls sync.WaitGroup
	for i := range places {
		calls.Go(func() { places[i] = limiter.PlaceOf(run) })
	}
	calls.Wait()
	after := limiter.PlaceOf(t.Context())
	for _, place := range places {
		if place != places[0] || !before.Before(place) || !place.Before(after) || place.Before(place) {
			t.Errorf("places of a run are %v, want one, between %v and %v", places, before, after)
		}
	}
}

// A run that continues with another model keeps its place there.
func TestPlaceOrdersEveryLimiter(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}
	runVirtual(t, limit, func(first *testLimiter) {
		l, err := limiter.New(limit)
		if err != nil {
			t.Fatal(err)
		}
		second := &testLimiter{first.T, l, first.start}
		run := limiter.WithPlace(context.Background())
		if _, err := first.Acquire(run, 1); err != nil {
			t.Fatal(err)
		}
		second.acquire(1)
		late := second.goAcquire(context.Background(), 1)
		early := second.goAcquire(run, 1)
		later := second.goAcquire(context.Background(), 1)
		second.until(3 * time.Second)
		early.admittedAt(1 * time.Second)
		late.admittedAt(2 * time.Second)
		later.admittedAt(3 * time.Second)
	})
}
