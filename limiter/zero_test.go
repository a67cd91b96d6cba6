package limiter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A limiter that New did not make says so.
func TestZeroLimiter(t *testing.T) {
	t.Parallel()
	for _, l := range []*limiter.Limiter{nil, new(limiter.Limiter)} {
		_, err := l.Acquire(t.Context(), 0)
		errs := map[string]error{"Acquire": err, "SetLimit": l.SetLimit(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1})}
		for name, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "limiter.New") {
				t.Errorf("%s returns %v", name, err)
			}
		}
		l.Pause(time.Now().Add(time.Hour))
		l.Observe(limiter.ServerState{})
		equal(t, "WaitTime", l.WaitTime(0), limiter.Never)
		equal(t, "Limit", l.Limit(), limiter.Limit{})
		equal(t, "Snapshot", l.Snapshot(), limiter.Snapshot{})
	}
}
