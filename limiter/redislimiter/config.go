package redislimiter

import (
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Config configures a [Store]. A zero field means its default. Processes that share limits
// must use the same values, except for Patience, Fallback and Timeout.
type Config struct {
	// Prefix is the first part of every key name. Each account needs its own prefix if
	// several accounts share a Redis. Default: "mistral-limits".
	Prefix string

	// Jitter is the network jitter that the limiter tolerates: see [limiter.Guarded].
	// From 0 to 1 minute. Default: 50 ms.
	Jitter time.Duration

	// BaseDelay and MaxDelay bound the pause after a 429 response without Retry-After:
	// see [limiter.Backoff]. If the client's delays differ from the default, use the
	// client's delays here too. Default: 1 s and 32 s.
	BaseDelay, MaxDelay time.Duration

	// Lease is how long Redis holds the in-flight calls of a process that sends no
	// commands. A running process renews its leases three times as often. From 1 second
	// to 1 minute. Default: 15 s.
	Lease time.Duration

	// Timeout bounds one command. After it the limiter treats Redis as unreachable.
	// From 1 millisecond to 1 minute. Default: 1 s.
	Timeout time.Duration

	// Patience is how long calls wait for an unreachable Redis. After that, calls fail at
	// once until Redis is reachable again. At least 1 millisecond. Default: 5 s.
	Patience time.Duration

	// LearnLimits lets the limiter raise its rates above the configured limits: see
	// [limiter.LearnLimits]. If processes differ, the setting of the latest process to
	// start applies. Default: false, the limiter only lowers its rates.
	LearnLimits bool

	// Fallback is the share of each limit that this process may use on its own while
	// Redis is unreachable, above 0 and at most 1. The shares of all processes should add
	// up to 1 or less. A call fails if it needs more tokens than the share of one minute.
	// Default: 0, calls fail.
	Fallback float64
}

func (c Config) withDefaults() (Config, error) {
	if c.Prefix == "" {
		c.Prefix = "mistral-limits"
	}
	set := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.Jitter, limiter.DefaultJitter)
	set(&c.MaxDelay, 32*time.Second)
	set(&c.BaseDelay, min(time.Second, c.MaxDelay))
	set(&c.Lease, 15*time.Second)
	set(&c.Timeout, time.Second)
	set(&c.Patience, 5*time.Second)
	for _, f := range []struct {
		name            string
		value, min, max time.Duration
	}{
		{"Jitter", c.Jitter, 0, time.Minute},
		{"MaxDelay", c.MaxDelay, time.Millisecond, time.Hour},
		{"BaseDelay", c.BaseDelay, time.Millisecond, c.MaxDelay},
		{"Lease", c.Lease, time.Second, time.Minute},
		{"Timeout", c.Timeout, time.Millisecond, time.Minute},
		{"Patience", c.Patience, time.Millisecond, 24 * time.Hour},
	} {
		if f.value < f.min || f.value > f.max {
			return c, fmt.Errorf("redislimiter: %s: must be from %v to %v, got %v", f.name, f.min, f.max, f.value)
		}
	}
	if !(c.Fallback >= 0 && c.Fallback <= 1) { // also rejects NaN
		return c, fmt.Errorf("redislimiter: Fallback: must be from 0 to 1, got %v", c.Fallback)
	}
	return c, nil
}
