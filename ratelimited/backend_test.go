package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A failing backend is a limiter whose books go away.
type failing struct {
	limiter.Backend
	acquire, retry bool
}

type failingAdmission struct {
	limiter.Admission
	backend *failing
}

var errBooks = fmt.Errorf("%w: the books are on fire", limiter.ErrUnavailable)

func (b *failing) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	if b.acquire {
		return nil, errBooks
	}
	p, err := b.Backend.Acquire(ctx, call)
	if err != nil {
		return nil, err
	}
	return failingAdmission{p, b}, nil
}

func (p failingAdmission) Retry(ctx context.Context) error {
	if p.backend.retry {
		return errBooks
	}
	return p.Admission.Retry(ctx)
}

// All calls go through the limiters that the configuration makes, one for each limit.
func TestLimiterOfTheConfiguration(t *testing.T) {
	var models []string
	var errNew error
	config := ratelimited.Config{
		Limits: map[string]limiter.Limit{"large": {RequestsPerSecond: 0.5, TokensPerMinute: 600}},
		Limiter: func(model string, limit limiter.Limit) (limiter.Backend, error) {
			models = append(models, fmt.Sprint(model, " ", limit.RequestsPerSecond))
			if errNew != nil {
				return nil, errNew
			}
			return limiter.InProcess()(model, limit)
		},
	}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		for range 2 {
			if _, err := start(context.Background(), client); err != nil {
				t.Fatal(err)
			}
		}
		if n := snapshot(client).Settled; n != 2 {
			t.Errorf("%d calls went through the limiter, want 2", n)
		}
		if err := client.SetLimit("new", limiter.Limit{RequestsPerSecond: 7, TokensPerMinute: 600}); err != nil {
			t.Error(err)
		}
		errNew = errBooks
		err := client.SetLimit("away", limiter.Limit{RequestsPerSecond: 7, TokensPerMinute: 600})
		if !errors.As(err, new(*ratelimited.LimiterError)) || !errors.Is(err, errBooks) {
			t.Errorf("error %v, want a LimiterError", err)
		}
		if want := []string{" 1", "large 0.5", "new 7", "away 7"}; !slices.Equal(models, want) {
			t.Errorf("limiters were made of %q, want %q", models, want)
		}
	})
}

func TestLimiterThatCannotBeMade(t *testing.T) {
	for field, config := range map[string]ratelimited.Config{
		"Limiter":     {},
		"Jitter":      {Jitter: time.Second},
		"BareBuckets": {BareBuckets: true},
		"LearnLimits": {LearnLimits: true},
	} {
		config.APIKey = secretKey
		config.Limiter = func(string, limiter.Limit) (limiter.Backend, error) { return nil, errBooks }
		_, err := ratelimited.New(config)
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("error %v, want one of %s", err, field)
		}
		if field == "Limiter" && (!errors.Is(err, limiter.ErrUnavailable) || !strings.Contains(err.Error(), "on fire")) {
			t.Errorf("error %v does not say why", err)
		}
	}
}

// A call whose limiter cannot be asked is not sent, and what was sent is not sent again.
func TestLimiterThatIsAway(t *testing.T) {
	var backend *failing
	config := ratelimited.Config{Limiter: func(model string, limit limiter.Limit) (limiter.Backend, error) {
		inner, err := limiter.InProcess()(model, limit)
		backend = &failing{Backend: inner}
		return backend, err
	}}
	requests := 0
	busy := func(w http.ResponseWriter, r *http.Request) {
		requests++
		status(503, `{"message":"busy"}`)(w, r)
	}
	inBubble(t, config, busy, func(t *testing.T, client *ratelimited.Client) {
		backend.acquire = true
		_, err := start(context.Background(), client)
		var away *ratelimited.LimiterError
		if !errors.As(err, &away) || away.Operation != "Conversations.Start" || !errors.Is(err, errBooks) || !errors.Is(err, ratelimited.ErrRetryable) {
			t.Errorf("error %v, want a LimiterError", err)
		}
		if !errors.As(err, new(ratelimited.Error)) || !strings.Contains(err.Error(), "the limiter failed") {
			t.Errorf("error %v is none of this package", err)
		}

		backend.acquire, backend.retry = false, true
		_, err = start(context.Background(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || api.StatusCode != 503 || !errors.Is(err, errBooks) {
			t.Errorf("error %v, want the 503 and why it is not retried", err)
		}
		if requests != 1 {
			t.Errorf("%d requests were sent, want 1", requests)
		}
	})
}
