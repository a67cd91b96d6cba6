package redislimiter

import (
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Config says how limits are shared. A zero field means its default. All processes
// that share limits must have the same, but for Patience, Fallback and Timeout.
type Config struct {
	// Prefix begins the names of all keys. Accounts that share a Redis need one
	// each. Default: "mistral-limits".
	Prefix string

	// Jitter is how much closer together calls may arrive at the server than they
	// were admitted: see [limiter.Guarded]. At least 0, at most a minute.
	// Default: 50 ms.
	Jitter time.Duration

	// BaseDelay and MaxDelay bound the pause after a 429 that does not say how long to
	// wait: see [limiter.Backoff]. Where the client's differ from the default they
	// should be the same here. Default: 1 s and 32 s.
	BaseDelay, MaxDelay time.Duration

	// Lease is for how long the calls in flight of a process are held that is not
	// heard of any more; a process that lives renews them three times as often. From
	// a second to a minute. Default: 15 s.
	Lease time.Duration

	// Timeout bounds one command. A Redis that takes longer counts as away. At least
	// a millisecond, at most a minute. Default: 1 s.
	Timeout time.Duration

	// Patience is for how long a call that waits puts up with a Redis that is away.
	// Once it has been away for longer, calls fail at once until it is back. At least
	// a millisecond. Default: 5 s.
	Patience time.Duration

	// LearnLimits makes the configured limits a beginning instead of a ceiling: see
	// [limiter.LearnLimits]. Of processes that differ, the latest to begin decides.
	// Default: false, only limits below the configured ones are learned.
	LearnLimits bool

	// Fallback is the share of each limit within which this process goes on by itself
	// while Redis is away, in place of failing: above 0, at most 1. The shares of all
	// processes should add up to 1 or less. A call that needs more tokens than the
	// share of a minute fails. Default: 0, calls fail.
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
		name              string
		value, least, top time.Duration
	}{
		{"Jitter", c.Jitter, 0, time.Minute},
		{"MaxDelay", c.MaxDelay, time.Millisecond, time.Hour},
		{"BaseDelay", c.BaseDelay, time.Millisecond, c.MaxDelay},
		{"Lease", c.Lease, time.Second, time.Minute},
		{"Timeout", c.Timeout, time.Millisecond, time.Minute},
		{"Patience", c.Patience, time.Millisecond, 24 * time.Hour},
	} {
		if f.value < f.least || f.value > f.top {
			return c, fmt.Errorf("redislimiter: %s is %v: must be from %v to %v", f.name, f.value, f.least, f.top)
		}
	}
	if !(c.Fallback >= 0 && c.Fallback <= 1) { // NaN too
		return c, fmt.Errorf("redislimiter: Fallback is %v: must be from 0 to 1", c.Fallback)
	}
	return c, nil
}
