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

// failingBackend is a limiter whose shared state is unreachable when acquire or retry is set.
type failingBackend struct {
	limiter.Backend
	acquire, retry bool
}

// failingAdmission is an admission of a failingBackend.
type failingAdmission struct {
	limiter.Admission
	backend *failingBackend
}

// errUnreachable is the error of a failingBackend.
var errUnreachable = fmt.Errorf("%w: shared state is unreachable", limiter.ErrUnavailable)

func (b *failingBackend) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	if b.acquire {
		return nil, errUnreachable
	}
	p, err := b.Backend.Acquire(ctx, call)
	if err != nil {
		return nil, err
	}
	return failingAdmission{p, b}, nil
}

func (p failingAdmission) Retry(ctx context.Context) error {
	if p.backend.retry {
		return errUnreachable
	}
	return p.Admission.Retry(ctx)
}

// The client calls Config.Limiter once for each limit, and all calls use the returned limiters.
func TestConfiguredLimiter(t *testing.T) {
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
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
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
		errNew = errUnreachable
		err := client.SetLimit("unreachable", limiter.Limit{RequestsPerSecond: 7, TokensPerMinute: 600})
		if !errors.As(err, new(*ratelimited.LimiterError)) || !errors.Is(err, errUnreachable) {
			t.Errorf("error %v, want a LimiterError", err)
		}
		if want := []string{" 1", "large 0.5", "new 7", "unreachable 7"}; !slices.Equal(models, want) {
			t.Errorf("limiters were created for %q, want %q", models, want)
		}
	})
}

// New fails if Config.Limiter fails, or if a field is set that only the default limiter supports.
func TestNewReturnsTheErrorOfTheLimiterFactory(t *testing.T) {
	for field, config := range map[string]ratelimited.Config{
		"Limiter":     {},
		"Jitter":      {Jitter: time.Second},
		"BareBuckets": {BareBuckets: true},
		"LearnLimits": {LearnLimits: true},
	} {
		config.APIKey = secretKey
		config.Limiter = func(string, limiter.Limit) (limiter.Backend, error) { return nil, errUnreachable }
		_, err := ratelimited.New(config)
		var invalid *ratelimited.ConfigError
		if !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("error %v, want a ConfigError for the field %s", err, field)
		}
		if field == "Limiter" && (!errors.Is(err, limiter.ErrUnavailable) || !strings.Contains(err.Error(), "state is unreachable")) {
			t.Errorf("error %v does not contain its cause", err)
		}
	}
}

// If the limiter is unavailable, the client does not send a call and does not retry a sent call.
func TestUnavailableLimiter(t *testing.T) {
	var backend *failingBackend
	config := ratelimited.Config{Limiter: func(model string, limit limiter.Limit) (limiter.Backend, error) {
		inner, err := limiter.InProcess()(model, limit)
		backend = &failingBackend{Backend: inner}
		return backend, err
	}}
	requests := 0
	busy := func(w http.ResponseWriter, r *http.Request) {
		requests++
		status(503, `{"message":"busy"}`)(w, r)
	}
	runWithHandler(t, config, busy, func(t *testing.T, client *ratelimited.Client) {
		backend.acquire = true
		_, err := start(context.Background(), client)
		var unavailable *ratelimited.LimiterError
		if !errors.As(err, &unavailable) || unavailable.Operation != "Conversations.Start" || !errors.Is(err, errUnreachable) || !errors.Is(err, ratelimited.ErrRetryable) {
			t.Errorf("error %v, want a LimiterError", err)
		}
		if !errors.As(err, new(ratelimited.Error)) || !strings.Contains(err.Error(), "the limiter failed") {
			t.Errorf("error %v, want an Error that contains \"the limiter failed\"", err)
		}

		backend.acquire, backend.retry = false, true
		_, err = start(context.Background(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || api.StatusCode != 503 || !errors.Is(err, errUnreachable) {
			t.Errorf("error %v, want the 503 and the error of the limiter", err)
		}
		if requests != 1 {
			t.Errorf("%d requests were sent, want 1", requests)
		}
	})
}
