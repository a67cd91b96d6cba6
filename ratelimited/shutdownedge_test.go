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

// A stream is in flight until its body is closed.
func TestShutdownWaitsForBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		transport := tripper(func(*http.Request) (*http.Response, error) {
			resp := canned(200, "text/event-stream", "")
			resp.Body = slowToClose{strings.NewReader(started + hello), closing}
			return resp, nil
		})
		config := fast
		config.APIKey, config.HTTPClient = secretKey, &http.Client{Transport: transport}
		client := newClient(t, config)
		begin := time.Now()
		stream := startStream(t.Context(), t, client)
		closed := ended(begin, stream.Close)
		shut := ended(begin, func() error { return client.Shutdown(t.Context()) })
		time.Sleep(2 * time.Second)
		close(closing)
		wantEnding(t, "Close", closed, 2*time.Second)
		wantEnding(t, "Shutdown", shut, 2*time.Second)
	})
}

type slowToClose struct {
	io.Reader
	closing chan struct{}
}

func (s slowToClose) Close() error { <-s.closing; return nil }

// Of two Shutdowns, that whose context has not ended does not say that all went well.
func TestTwoShutdowns(t *testing.T) {
	inBubble(t, fast, inThreeSeconds, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		patient := ended(begin, func() error { return client.Shutdown(t.Context()) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := client.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v", err)
		}
		wantEnding(t, "the call", call, time.Second, ratelimited.ErrShuttingDown)
		wantEnding(t, "the other Shutdown", patient, time.Second, ratelimited.ErrShuttingDown)
	})
}

// A call whose error response is cut off by a shutdown, or by its context, says so beside
// what has come.
func TestErrorResponseCutOff(t *testing.T) {
	transport := tripper(func(r *http.Request) (*http.Response, error) {
		resp := canned(400, "application/json", "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"message":"x`), untilDone{r.Context()}))
		return resp, nil
	})
	overTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := start(short, client)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("error %v", err)
		}
		call := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := client.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v", err)
		}
		wantEnding(t, "the call", call, 2*time.Second, ratelimited.ErrShuttingDown, ratelimited.ErrInvalid)
	})
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) { <-u.ctx.Done(); return 0, u.ctx.Err() }

// A limiter that reports the end of a wait as its own failure does not hide why it ended.
func TestShutdownWithAnUnavailableLimiter(t *testing.T) {
	config := fast
	config.Limiter = func(_ string, limit limiter.Limit) (limiter.Backend, error) {
		l, err := limiter.InProcess()("", limit)
		return goneLimiter{l}, err
	}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wantEnding(t, "the call", call, 0, ratelimited.ErrShuttingDown)
	})
}

type goneLimiter struct{ limiter.Backend }

func (goneLimiter) Acquire(ctx context.Context, _ limiter.Call) (limiter.Admission, error) {
	<-ctx.Done()
	return nil, errors.Join(limiter.ErrUnavailable, ctx.Err())
}

// Each takes no more of its inputs when the client shuts down; calls under way end. Each input
// that it has taken has a result.
func TestEachStopsInAShutdown(t *testing.T) {
	inBubble(t, fast, inThreeSeconds, func(t *testing.T, client *ratelimited.Client) {
		taken := 0
		endless := func(yield func(int) bool) {
			for more := true; more; {
				if taken == 10 {
					time.Sleep(time.Second) // meanwhile the client shuts down
				}
				taken++
				more = yield(taken)
			}
		}
		time.AfterFunc(500*time.Millisecond, func() { _ = client.Shutdown(t.Context()) })
		results, refused := 0, 0
		for _, r := range ratelimited.Each(t.Context(), endless, func(ctx context.Context, _ int) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		}) {
			switch results++; {
			case errors.Is(r.Err, ratelimited.ErrShuttingDown):
				refused++
			case r.Err != nil:
				t.Error(r.Err)
			}
		}
		if results-refused != 10 || refused == 0 || results != taken || taken > 1010 {
			t.Errorf("%d results, %d of them refused, of %d inputs", results, refused, taken)
		}
	})
}

// A logger that panics does not end the program when a stream is dropped, nor keep its permit.
func TestDroppedStreamWithPanickingLogger(t *testing.T) {
	t.Parallel()
	server := memnet.Start(checked(t, silent(started+hello)))
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

type panickingWriter struct{}

func (panickingWriter) Write([]byte) (int, error) { panic("the logger panics") }
