package ratelimited_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// inThreeSeconds is a handler that responds after 3 s.
func inThreeSeconds(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(3 * time.Second):
		ok(w, r)
	case <-r.Context().Done():
	}
}

// Shutdown fails waiting calls and new calls at once. It waits for calls in flight.
func TestShutdown(t *testing.T) {
	var w eventRecorder
	config := ratelimited.Config{RequestsPerSecond: 2, TokensPerMinute: 500_000, BareBuckets: true, Observer: w.observe}
	handler := handlersInOrder(inThreeSeconds, streaming(started+hello+"~~"+done))
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		plain := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		stream := callAsync(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		var waiting []*ratelimited.Future[timedResult]
		for range 5 {
			waiting = append(waiting, callAsync(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(100 * time.Millisecond)

		shut := callAsync(begin, func() error { return client.Shutdown(t.Context()) })
		synctest.Wait()
		for _, f := range waiting {
			wantResult(t, "waiting", f, 100*time.Millisecond, ratelimited.ErrShuttingDown)
		}
		var wait *ratelimited.WaitError
		if _, err := start(t.Context(), client); !errors.Is(err, ratelimited.ErrShuttingDown) || !errors.As(err, &wait) {
			t.Errorf("a new call returns %v", err)
		}
		wantResult(t, "a stream", stream, 2*time.Second)
		wantResult(t, "a call", plain, 3*time.Second)
		wantResult(t, "Shutdown", shut, 3*time.Second)
		if err := client.Shutdown(t.Context()); err != nil {
			t.Errorf("a second Shutdown returns %v", err)
		}
		if s := snapshot(client); s.Admitted != 2 || s.Settled != 2 || s.Abandoned != 5 {
			t.Errorf("%d calls admitted, %d settled, %d abandoned", s.Admitted, s.Settled, s.Abandoned)
		}
		for i, call := range w.calls {
			if _, isEnd := call[len(call)-1].(ratelimited.Ended); !isEnd {
				t.Errorf("the last event of call %d is not Ended", i)
			}
		}
	})
}

// When the context of Shutdown ends, the client cancels and settles calls in flight.
func TestShutdownCancels(t *testing.T) {
	var w eventRecorder
	config := fast
	config.Observer = w.observe
	runWithHandler(t, config, handlersInOrder(inThreeSeconds, stallAfter(started+hello), stallAfter("")), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		plain := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		read := callAsync(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		opening := callAsync(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.Shutdown(ctx)
		if took := time.Since(begin); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "calls cancelled: 3:") {
			t.Errorf("Shutdown returns %v after %v", err, took)
		}
		wantNoPermits(t, client) // without a wait
		wantResult(t, "a call", plain, time.Second, ratelimited.ErrShuttingDown)
		wantResult(t, "a stream", read, time.Second, ratelimited.ErrShuttingDown)
		wantResult(t, "a stream without events", opening, time.Second, ratelimited.ErrShuttingDown)
		for i, call := range w.calls {
			settled := 0
			for _, event := range call {
				if s, ok := event.(ratelimited.Settled); ok && !s.Cancelled && s.Used+s.UnconfirmedTokens > 0 {
					settled++
				}
			}
			if settled != 1 {
				t.Errorf("call %d has %d settlements, want 1", i, settled)
			}
		}
	})
}

// Streams that the program does not read are also calls in flight.
func TestShutdownWithIdleStreams(t *testing.T) {
	runWithHandler(t, fast, stallAfter(started+hello), func(t *testing.T, client *ratelimited.Client) {
		held := startStream(t.Context(), t, client)
		closed := startStream(t.Context(), t, client)
		time.AfterFunc(time.Second, func() { _ = closed.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := client.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "calls cancelled: 1:") {
			t.Errorf("Shutdown returns %v", err)
		}
		wantNoPermits(t, client)
		if _, err := collect(held); !errors.Is(err, ratelimited.ErrShuttingDown) {
			t.Errorf("the stream ends with %v", err)
		}
	})
}

// A shutdown ends all kinds of waits and prevents retries.
func TestShutdownEndsWaits(t *testing.T) {
	const at = 500 * time.Millisecond
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		at      time.Duration
		kinds   []error
	}{
		"before a retry":                {status(500, `{}`), at, []error{ratelimited.ErrShuttingDown, ratelimited.ErrServer}},
		"in a pause":                    {status(429, rateLimitBody, "Retry-After", "7"), at, []error{ratelimited.ErrShuttingDown, ratelimited.ErrRateLimited}},
		"a retryable failure after 3 s": {unavailableInThreeSeconds, 3 * time.Second, []error{ratelimited.ErrShuttingDown, ratelimited.ErrServer}},
		"a permanent failure after 3 s": {badRequestInThreeSeconds, 3 * time.Second, []error{ratelimited.ErrInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, test.handler, func(t *testing.T, client *ratelimited.Client) {
				begin := time.Now()
				call := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
				time.Sleep(at)
				if err := client.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				wantResult(t, "the call", call, test.at, test.kinds...)
				if s := snapshot(client); s.Retried != 0 {
					t.Errorf("%d retries, want 0", s.Retried)
				}
			})
		})
	}
}

// unavailableInThreeSeconds is a handler that responds with a 503 after 3 s.
func unavailableInThreeSeconds(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(3 * time.Second)
	writeJSON(w, 503, `{}`)
}

// badRequestInThreeSeconds is a handler that responds with a 400 after 3 s.
func badRequestInThreeSeconds(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(3 * time.Second)
	writeJSON(w, 400, `{}`)
}

// A shutdown also ends calls that an outage holds.
func TestShutdownInAnOutage(t *testing.T) {
	runWithHandler(t, fast, handlersInOrder(ok, status(503, `{}`)), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		var calls []*ratelimited.Future[timedResult]
		for range 3 {
			calls = append(calls, callAsync(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(10 * time.Second)
		if snapshot(client).OutageSince.IsZero() {
			t.Error("the snapshot does not report an outage")
		}
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, call := range calls {
			wantResult(t, "a call that is held", call, 10*time.Second, ratelimited.ErrShuttingDown)
		}
	})
}

// If a transport ignores its context, its call continues, but Shutdown returns.
func TestShutdownWithATransportThatIgnoresItsContext(t *testing.T) {
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
		time.Sleep(time.Minute)
		return nil, io.ErrUnexpectedEOF
	})
	runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := callAsync(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.Shutdown(ctx)
		if took := time.Since(begin); took != 6*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v after %v", err, took)
		}
		wantResult(t, "the call", call, time.Minute, ratelimited.ErrShuttingDown)
	})
}

// Shutdown of a client without calls returns at once, even if its context has ended.
func TestShutdownOfAnIdleClient(t *testing.T) {
	runWithHandler(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
		if err := client.Shutdown(nil); !errors.Is(err, ratelimited.ErrInvalid) { //nolint:staticcheck // the test passes a nil context on purpose
			t.Errorf("without a context, Shutdown returns %v", err)
		}
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		results := ratelimited.Gather(t.Context(), make([]int, 3), func(ctx context.Context, _ int) (*generated.ConversationResponse, error) {
			return start(ctx, client)
		})
		for _, r := range results {
			if !errors.Is(r.Err, ratelimited.ErrShuttingDown) {
				t.Errorf("a call of Gather ends with %v", r.Err)
			}
		}
	})
}

// A shutdown while many calls begin, wait, and end. Afterwards, the client must not hold any permit.
func TestShutdownAmongManyCalls(t *testing.T) {
	t.Parallel()
	for range 5 {
		server, err := emulator.Start(emulator.Config{APIKey: secretKey, RequestsPerSecond: 1e5, TokensPerMinute: 1e9})
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: server.URL(), RequestsPerSecond: 2000, TokensPerMinute: 1e8, BareBuckets: true})
		var calls sync.WaitGroup
		begun := make(chan struct{}, 1000)
		for i := range 50 {
			calls.Go(func() {
				for {
					err := callOrStream(t.Context(), client, "Hello!", i%2 == 0)
					begun <- struct{}{}
					if err == nil {
						continue
					}
					if !errors.Is(err, ratelimited.ErrShuttingDown) {
						t.Error(err)
					}
					return
				}
			})
		}
		for range 100 {
			<-begun
		}
		go func() {
			for range begun {
			}
		}()
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wantNoPermits(t, client)
		calls.Wait()
		close(begun)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

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
