package redislimiter_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// Two limiters share one limit, as two processes would. For a client of package ratelimited, set
// Config.Limiter to Store.Limiter.
func Example() {
	server, err := miniredis.Run() // replaces your Redis here
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	ctx := context.Background()
	var limiters []limiter.Backend
	for range 2 {
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
		defer rdb.Close() //nolint:errcheck // the program ends
		store, err := redislimiter.Open(ctx, rdb, redislimiter.Config{Prefix: "our-account"})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer store.Close()
		l, err := store.Limiter("mistral-small-latest", limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 1000})
		if err != nil {
			fmt.Println(err)
			return
		}
		limiters = append(limiters, l)
	}
	permit, err := limiters[0].Acquire(ctx, limiter.Call{Prompt: 800})
	if err != nil {
		fmt.Println(err)
		return
	}
	permit.Settle(600)
	for _, l := range limiters {
		fmt.Println(l.Snapshot().AvailableTokens)
	}
	// Output:
	// 400
	// 400
}
