package redislimiter_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/limitertest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// checkConformance runs all conformance cases against the Redis of a client, without and with LearnLimits.
func checkConformance(t *testing.T, client redis.UniversalClient) {
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

// TestConformance uses a real server if one is installed.
func TestConformance(t *testing.T) {
	t.Parallel()
	checkConformance(t, newClient(t))
}

// miniredis, on which the tests of the script rely, passes the same cases, in virtual time.
func TestConformanceOfMiniredis(t *testing.T) {
	check := func(cases []limitertest.Case, learnLimits bool) {
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := dial(t, miniredis.NewMiniRedis())
					c.Run(t, func(t *testing.T, limit limiter.Limit) limiter.Backend {
						t.Helper()
						return newLimiter(t, openStore(t, client, redislimiter.Config{Jitter: time.Millisecond, LearnLimits: learnLimits}), limit)
					})
				})
			})
		}
	}
	check(append(limitertest.Cases(), limitertest.Learning()...), false)
	check(limitertest.Climbing(), true)
}

// dial returns a client that reaches a server without a network, so that both work under synctest.
func dial(t testing.TB, server *miniredis.Miniredis) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr:   "127.0.0.1:1", // an address: name resolution does not work under synctest
		Dialer: func(context.Context, string, string) (net.Conn, error) { return server.Dial() },
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}
