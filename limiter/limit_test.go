package limiter_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func TestValidate(t *testing.T) {
	ok := limiter.Limit{RequestsPerSecond: 1.2, TokensPerMinute: 1000}
	with := func(change func(*limiter.Limit)) limiter.Limit {
		l := ok
		change(&l)
		return l
	}
	rps := func(x float64) limiter.Limit { return with(func(l *limiter.Limit) { l.RequestsPerSecond = x }) }
	tpm := func(n int) limiter.Limit { return with(func(l *limiter.Limit) { l.TokensPerMinute = n }) }
	requests := func(x float64) limiter.Limit { return with(func(l *limiter.Limit) { l.RequestBurst = x }) }
	tokens := func(n int) limiter.Limit { return with(func(l *limiter.Limit) { l.TokenBurst = n }) }

	for _, l := range []limiter.Limit{ok, rps(0.08), rps(1e-9), rps(limiter.MaxRequests), tpm(1), tpm(2_000_000_000),
		requests(1), requests(1.5), requests(limiter.MaxRequests), tokens(1), tokens(2_000_000_000)} {
		if _, err := limiter.New(l); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, c := range []struct {
		field string
		limit limiter.Limit
		value any
	}{
		{"RequestsPerSecond", rps(0), 0.0},
		{"RequestsPerSecond", rps(-1), -1.0},
		{"RequestsPerSecond", rps(math.NaN()), math.NaN()},
		{"RequestsPerSecond", rps(math.Inf(1)), math.Inf(1)},
		{"RequestsPerSecond", rps(math.Inf(-1)), math.Inf(-1)},
		{"RequestsPerSecond", rps(limiter.MaxRequests * 1.001), limiter.MaxRequests * 1.001},
		{"TokensPerMinute", tpm(0), 0},
		{"TokensPerMinute", tpm(-1), -1},
		{"RequestBurst", requests(0.999), 0.999},
		{"RequestBurst", requests(-1), -1.0},
		{"RequestBurst", requests(math.NaN()), math.NaN()},
		{"RequestBurst", requests(math.Inf(1)), math.Inf(1)},
		{"RequestBurst", requests(limiter.MaxRequests + 1), limiter.MaxRequests + 1.0},
		{"TokenBurst", tokens(-1), -1},
	} {
		_, err := limiter.New(c.limit)
		var e *limiter.LimitError
		if !errors.As(err, &e) {
			t.Errorf("%+v: error %v, want a LimitError", c.limit, err)
			continue
		}
		same := fmt.Sprintf("%T %v", e.Value, e.Value) == fmt.Sprintf("%T %v", c.value, c.value) // as text, because NaN != NaN
		if e.Field != c.field || !same || e.Rule == "" {
			t.Errorf("%+v: %+v, want field %s and value %v", c.limit, e, c.field, c.value)
		}
	}
	equal(t, "text", rps(-1).Validate().Error(), "limiter: RequestsPerSecond must be above 0 and at most 1000000, got -1")
}
