package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/limitertest"
)

func TestConformance(t *testing.T) {
	for name, options := range map[string][]limiter.Option{"bare": nil, "guarded": {limiter.Guarded(time.Millisecond)}} {
		factory := limiter.InProcess(options...)
		for _, c := range limitertest.Cases() {
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
