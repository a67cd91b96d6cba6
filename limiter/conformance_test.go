package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/limitertest"
)

func TestConformance(t *testing.T) {
	guarded := limiter.Guarded(time.Millisecond)
	for name, kind := range map[string]struct {
		options []limiter.Option
		more    []limitertest.Case
	}{
		"bare":    {nil, nil},
		"guarded": {[]limiter.Option{guarded}, limitertest.Learning()},
		"climbs":  {[]limiter.Option{guarded, limiter.LearnLimits()}, limitertest.Climbing()},
	} {
		factory := limiter.InProcess(kind.options...)
		for _, c := range append(limitertest.Cases(), kind.more...) {
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.Run(t, func(t *testing.T, limit limiter.Limit) limiter.Backend {
						l, err := factory("", limit)
						if err != nil {
							t.Fatal(err)
						}
						return l
					})
				})
			})
		}
	}
}
