package redislimiter_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/limitertest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// conforms checks limiters in the Redis of a client: those that learn limits up to the configured ones,
// and those that go beyond them.
func conforms(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	open := func(learnLimits bool) limitertest.Open {
		return func(t *testing.T, limit limiter.Limit) limiter.Backend {
			t.Helper()
			return newLimiter(t, openStore(t, client, redislimiter.Config{Jitter: time.Millisecond, LearnLimits: learnLimits}), limit)
		}
	}
	limitertest.Run(t, open(false), append(limitertest.Cases(), limitertest.Learning()...)...)
	limitertest.Run(t, open(true), limitertest.Climbing()...)
}

// Against a real server where there is one.
func TestConformance(t *testing.T) { conforms(t, newClient(t)) }

// The stand-in, which the tests of the script rely on, is good for the same.
func TestConformanceOfTheStandIn(t *testing.T) {
	if shared == "" {
		t.Skip("TestConformance ran against it")
	}
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	conforms(t, client)
}
