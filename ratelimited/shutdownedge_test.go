package ratelimited_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Shutdown waits until the body of a stream is closed.
func TestShutdownWaitsForBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
			resp := newResponse(200, "text/event-stream", "")
			resp.Body = blockingCloser{strings.NewReader(started + hello), closed}
			return resp, nil
		})
		config := fast
		config.APIKey, config.HTTPClient = secretKey, &http.Client{Transport: transport}
		client := newClient(t, config)
		begin := time.Now()
		stream := startStream(t.Context(), t, client)
		closeCall := callAsync(begin, stream.Close)
		shutdown := callAsync(begin, func() error { return client.Shutdown(t.Context()) })
		time.Sleep(2 * time.Second)
		close(closed)
		wantResult(t, "Close", closeCall, 2*time.Second)
		wantResult(t, "Shutdown", shutdown, 2*time.Second)
	})
}

// blockingCloser is a body whose Close blocks until the channel is closed.
type blockingCloser struct {
	io.Reader
	closed chan struct{}
}

func (b blockingCloser) Close() error { <-b.closed; return nil }

// If one of two concurrent calls of Shutdown cancels the calls in flight, both return an error.
func TestTwoShutdowns(t *testing.T) {
	runWithHandler(t, fast, inThreeSeconds, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		other := callAsync(begin, func() error { return client.Shutdown(t.Context()) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := client.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v", err)
		}
		wantResult(t, "the call", call, time.Second, ratelimited.ErrShuttingDown)
		wantResult(t, "the other Shutdown", other, time.Second, ratelimited.ErrShuttingDown)
	})
}

// If a shutdown or the context of a call ends an error response early, the error contains both the reason and
// the received part.
func TestErrorResponseEndedEarly(t *testing.T) {
	transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		resp := newResponse(400, "application/json", "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"message":"x`), untilDone{r.Context()}))
		return resp, nil
	})
	runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := start(short, client)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("error is %v, want context.DeadlineExceeded and ErrInvalid", err)
		}
		call := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := client.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v", err)
		}
		wantResult(t, "the call", call, 2*time.Second, ratelimited.ErrShuttingDown, ratelimited.ErrInvalid)
	})
}

// untilDone is a reader that blocks until a context ends.
type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) { <-u.ctx.Done(); return 0, u.ctx.Err() }

// If the limiter reports a cancelled wait as unavailability, the error still contains ErrShuttingDown.
func TestShutdownWithAnUnavailableLimiter(t *testing.T) {
	config := fast
	config.Limiter = func(_ string, limit limiter.Limit) (limiter.Backend, error) {
		l, err := limiter.InProcess()("", limit)
		return unavailableLimiter{l}, err
	}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wantResult(t, "the call", call, 0, ratelimited.ErrShuttingDown)
	})
}

// unavailableLimiter is a limiter whose Acquire waits for its context and then fails.
type unavailableLimiter struct{ limiter.Backend }

func (unavailableLimiter) Acquire(ctx context.Context, _ limiter.Call) (limiter.Admission, error) {
	<-ctx.Done()
	return nil, errors.Join(limiter.ErrUnavailable, ctx.Err())
}

// During a shutdown, Each takes no further inputs and waits for the running calls. It yields a result for every
// input that it has taken.
func TestEachStopsInAShutdown(t *testing.T) {
	runWithHandler(t, fast, inThreeSeconds, func(t *testing.T, client *ratelimited.Client) {
		taken := 0
		endless := func(yield func(int) bool) {
			for more := true; more; {
				if taken == 10 {
					time.Sleep(time.Second) // the client shuts down during this sleep
				}
				taken++
				more = yield(taken)
			}
		}
		time.AfterFunc(500*time.Millisecond, func() { _ = client.Shutdown(t.Context()) })
		results, rejected := 0, 0
		for _, r := range ratelimited.Each(t.Context(), endless, func(ctx context.Context, _ int) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		}) {
			switch results++; {
			case errors.Is(r.Err, ratelimited.ErrShuttingDown):
				rejected++
			case r.Err != nil:
				t.Error(r.Err)
			}
		}
		if results-rejected != 10 || rejected == 0 || results != taken || taken > 1010 {
			t.Errorf("%d results for %d inputs, %d of them rejected; want 10 successes", results, taken, rejected)
		}
	})
}

// If the logger panics for an unreachable stream, the program continues and the client releases the permit.
func TestDroppedStreamWithPanickingLogger(t *testing.T) {
	t.Parallel()
	server := memnet.Start(checked(t, stallAfter(started+hello)))
	defer server.Close()
	config := large
	config.APIKey, config.BaseURL, config.HTTPClient = secretKey, server.URL(), server.Client()
	config.Logger = slog.New(slog.NewTextHandler(panickingWriter{}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	client := newClient(t, config)
	startStream(t.Context(), t, client)
	for snapshot(client).InFlight > 0 {
		runtime.GC()
		runtime.Gosched()
	}
	wantNoPermits(t, client)
}

// panickingWriter is a writer that panics.
type panickingWriter struct{}

func (panickingWriter) Write([]byte) (int, error) { panic("the logger panics") }
