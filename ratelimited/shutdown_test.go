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
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// inThreeSeconds responds after three seconds.
func inThreeSeconds(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(3 * time.Second):
		ok(w, r)
	case <-r.Context().Done():
	}
}

// An ending is when a call ended, and how.
type ending struct {
	at  time.Duration
	err error
}

// ended makes a call in a goroutine and notes its end.
func ended(begin time.Time, call func() error) *ratelimited.Future[ending] {
	return ratelimited.Async(func() (ending, error) {
		err := call()
		return ending{time.Since(begin), err}, nil
	})
}

func wantEnding(t *testing.T, what string, f *ratelimited.Future[ending], at time.Duration, kinds ...error) {
	t.Helper()
	e, err := f.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.at != at || len(kinds) == 0 && e.err != nil {
		t.Errorf("%s: ended at %v with %v, want at %v", what, e.at, e.err, at)
	}
	for _, kind := range kinds {
		if !errors.Is(e.err, kind) {
			t.Errorf("%s: error %v, want %v", what, e.err, kind)
		}
	}
	if errors.Is(e.err, context.Canceled) {
		t.Errorf("%s: error %v matches context.Canceled, and nobody has cancelled its context", what, e.err)
	}
}

// Calls that wait fail at once and new ones too; calls in flight end by themselves.
func TestShutdown(t *testing.T) {
	var w witness
	config := ratelimited.Config{RequestsPerSecond: 2, TokensPerMinute: 500_000, BareBuckets: true, Observer: w.observe}
	handler := inTurn(inThreeSeconds, streaming(started+hello+"~~"+done))
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		plain := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		stream := ended(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		var waiting []*ratelimited.Future[ending]
		for range 5 {
			waiting = append(waiting, ended(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(100 * time.Millisecond)

		shut := ended(begin, func() error { return client.Shutdown(t.Context()) })
		synctest.Wait()
		for _, f := range waiting {
			wantEnding(t, "waiting", f, 100*time.Millisecond, ratelimited.ErrShuttingDown)
		}
		var wait *ratelimited.WaitError
		if _, err := start(t.Context(), client); !errors.Is(err, ratelimited.ErrShuttingDown) || !errors.As(err, &wait) {
			t.Errorf("a new call returns %v", err)
		}
		wantEnding(t, "a stream", stream, 2*time.Second)
		wantEnding(t, "a call", plain, 3*time.Second)
		wantEnding(t, "Shutdown", shut, 3*time.Second)
		if err := client.Shutdown(t.Context()); err != nil {
			t.Errorf("a second Shutdown returns %v", err)
		}
		if s := snapshot(client); s.Admitted != 2 || s.Settled != 2 || s.Abandoned != 5 {
			t.Errorf("%d calls admitted, %d settled, %d abandoned", s.Admitted, s.Settled, s.Abandoned)
		}
		for i, call := range w.calls {
			if _, isEnd := call[len(call)-1].(ratelimited.Ended); !isEnd {
				t.Errorf("call %d has no end", i)
			}
		}
	})
}

// When the context of Shutdown ends, calls in flight are cancelled and settled.
func TestShutdownCancels(t *testing.T) {
	var w witness
	config := fast
	config.Observer = w.observe
	inBubble(t, config, inTurn(inThreeSeconds, silent(started+hello), silent("")), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		plain := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		read := ended(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		opening := ended(begin, func() error { return callOrStream(t.Context(), client, "Hello!", true) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.Shutdown(ctx)
		if took := time.Since(begin); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "calls cancelled: 3:") {
			t.Errorf("Shutdown returns %v after %v", err, took)
		}
		wantNoPermits(t, client) // at once
		wantEnding(t, "a call", plain, time.Second, ratelimited.ErrShuttingDown)
		wantEnding(t, "a stream", read, time.Second, ratelimited.ErrShuttingDown)
		wantEnding(t, "a stream without events", opening, time.Second, ratelimited.ErrShuttingDown)
		for i, call := range w.calls {
			settled := 0
			for _, event := range call {
				if s, ok := event.(ratelimited.Settled); ok && !s.Cancelled && s.Used+s.UnconfirmedTokens > 0 {
					settled++
				}
			}
			if settled != 1 {
				t.Errorf("call %d has %d settlements", i, settled)
			}
		}
	})
}

// Streams that nobody reads are calls in flight, too.
func TestShutdownWithIdleStreams(t *testing.T) {
	inBubble(t, fast, silent(started+hello), func(t *testing.T, client *ratelimited.Client) {
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

// A shutdown ends every kind of wait, and lets no attempt be repeated.
func TestShutdownEndsWaits(t *testing.T) {
	const at = 500 * time.Millisecond
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		at      time.Duration
		kinds   []error
	}{
		"before a retry":             {status(500, `{}`), at, []error{ratelimited.ErrShuttingDown, ratelimited.ErrServer}},
		"in a pause":                 {status(429, tooMany, "Retry-After", "7"), at, []error{ratelimited.ErrShuttingDown, ratelimited.ErrRateLimited}},
		"an attempt fails meanwhile": {failsInThreeSeconds, 3 * time.Second, []error{ratelimited.ErrShuttingDown, ratelimited.ErrServer}},
		"and will not be repeated":   {refusesInThreeSeconds, 3 * time.Second, []error{ratelimited.ErrInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, test.handler, func(t *testing.T, client *ratelimited.Client) {
				begin := time.Now()
				call := ended(begin, func() error { _, err := start(t.Context(), client); return err })
				time.Sleep(at)
				if err := client.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				wantEnding(t, "the call", call, test.at, test.kinds...)
				if s := snapshot(client); s.Retried != 0 {
					t.Errorf("%d retries", s.Retried)
				}
			})
		})
	}
}

func failsInThreeSeconds(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(3 * time.Second)
	answer(w, 503, `{}`)
}

func refusesInThreeSeconds(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(3 * time.Second)
	answer(w, 400, `{}`)
}

// Calls that an outage holds wait, too.
func TestShutdownInAnOutage(t *testing.T) {
	inBubble(t, fast, inTurn(ok, status(503, `{}`)), func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		if _, err := start(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		var calls []*ratelimited.Future[ending]
		for range 3 {
			calls = append(calls, ended(begin, func() error { _, err := start(t.Context(), client); return err }))
		}
		time.Sleep(10 * time.Second)
		if snapshot(client).OutageSince.IsZero() {
			t.Error("there is no outage")
		}
		if err := client.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, call := range calls {
			wantEnding(t, "a call that is held", call, 10*time.Second, ratelimited.ErrShuttingDown)
		}
	})
}

// A transport that ignores its context keeps a call, but not Shutdown.
func TestShutdownWithADeafTransport(t *testing.T) {
	transport := tripper(func(*http.Request) (*http.Response, error) {
		time.Sleep(time.Minute)
		return nil, io.ErrUnexpectedEOF
	})
	overTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
		begin := time.Now()
		call := ended(begin, func() error { _, err := start(t.Context(), client); return err })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.Shutdown(ctx)
		if took := time.Since(begin); took != 6*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returns %v after %v", err, took)
		}
		wantEnding(t, "the call", call, time.Minute, ratelimited.ErrShuttingDown)
	})
}

// A client without calls is shut down at once, whatever the context is.
func TestShutdownOfAnIdleClient(t *testing.T) {
	inBubble(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
		if err := client.Shutdown(nil); !errors.Is(err, ratelimited.ErrInvalid) { //nolint:staticcheck // this is the point
			t.Errorf("without a context Shutdown returns %v", err)
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

// While calls of all kinds begin, wait and end, a shutdown leaves no permit and no call.
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
