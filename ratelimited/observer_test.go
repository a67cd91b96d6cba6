package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// eventRecorder is an observer that records the events of each call.
type eventRecorder struct {
	mu    sync.Mutex
	calls [][]ratelimited.CallEvent
	names []string
}

// spanKey is the context key for the index of a call.
type spanKey struct{}

// observe is the observer. It stores the index of the call in the context.
func (w *eventRecorder) observe(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.calls)
	w.calls, w.names = append(w.calls, nil), append(w.names, operation)
	return context.WithValue(ctx, spanKey{}, n), func(event ratelimited.CallEvent) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls[n] = append(w.calls[n], event)
	}
}

// summary returns the events of the only call as one line.
func (w *eventRecorder) summary(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) != 1 {
		t.Fatalf("the observer received %d calls, want 1: %v", len(w.calls), w.names)
	}
	parts := []string{w.names[0]}
	for _, event := range w.calls[0] {
		switch e := event.(type) {
		case ratelimited.Acquired:
			parts = append(parts, fmt.Sprintf("acquired %s %d %v", e.Model, e.Tokens, e.WaitDuration))
		case ratelimited.Attempted:
			parts = append(parts, fmt.Sprintf("attempt %d %d %s %v %v", e.Number, e.Status, e.RequestID, e.Reached, e.Duration))
		case ratelimited.Retrying:
			parts = append(parts, fmt.Sprintf("retrying %v", e.Wait))
		case ratelimited.Settled:
			parts = append(parts, fmt.Sprintf("settled %d %d %d %v", e.Estimated, e.Used, e.UnconfirmedTokens, e.Cancelled))
		case ratelimited.Ended:
			parts = append(parts, fmt.Sprintf("ended %v %d %v", kindOf(e.Err), e.Attempts, e.Duration))
		}
	}
	return strings.Join(parts, "; ")
}

// kindOf returns the type of an error, or "nil".
func kindOf(err error) string {
	if err == nil {
		return "nil"
	}
	return fmt.Sprintf("%T", err)
}

// The observer receives the events of each outcome of a call, with exact tokens and durations.
func TestObserver(t *testing.T) {
	slowly := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Second)
		ok(w, r)
	}
	busy := status(503, "{}", "Mistral-Correlation-Id", "id-1")
	closeConnection := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	events := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, text)
		}
	}
	const estimate = 100
	plain := func(ctx context.Context, client *ratelimited.Client) error {
		_, err := start(ctx, client, ratelimited.WithTokenEstimate(estimate))
		return err
	}
	stream := func(leave bool) func(context.Context, *ratelimited.Client) error {
		return func(ctx context.Context, client *ratelimited.Client) error {
			s, err := openStream(ctx, client, ratelimited.WithTokenEstimate(estimate))
			if err != nil {
				return err
			}
			for _, err := range s.Events() {
				if err != nil {
					return err
				}
				if leave {
					break
				}
			}
			return s.Close()
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		call    func(context.Context, *ratelimited.Client) error
		want    string
	}{
		"a success": {slowly, plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 200  true 2s; settled 100 30 0 false; ended nil 1 2s"},
		"retried": {handlersInOrder(busy, ok), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 503 id-1 true 0s; retrying 1s; attempt 2 200  true 0s; settled 100 30 0 false; ended nil 2 1s"},
		"retries exhausted": {busy, plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 503 id-1 true 0s; retrying 1s; attempt 2 503 id-1 true 0s; settled 100 0 0 false; ended *ratelimited.APIError 2 1s"},
		"no response": {handlersInOrder(closeConnection, ok), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 0  true 0s; retrying 1s; attempt 2 200  true 0s; settled 100 30 100 false; ended nil 2 1s"},
		"bad request": {status(400, "{}"), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 400  true 0s; settled 100 0 0 false; ended *ratelimited.APIError 1 0s"},
		"not JSON": {status(200, "{"), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended *ratelimited.APIError 1 0s"},
		"a stream": {events(started + hello + done), stream(false),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 15 0 false; ended nil 1 0s"},
		"a stream left early": {events(started + hello + done), stream(true),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended nil 1 0s"},
		"a stream that breaks": {events(started + hello), stream(false),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended *ratelimited.StreamError 1 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			var w eventRecorder
			config := ratelimited.Config{BareBuckets: true, RequestsPerSecond: 100, MaxRetries: 1, BaseDelay: time.Second, MaxDelay: time.Second, Observer: w.observe}
			runWithHandler(t, config, test.handler, func(t *testing.T, client *ratelimited.Client) {
				err := test.call(t.Context(), client)
				if got := w.summary(t); got != test.want {
					t.Errorf("events are\n%s, want\n%s", got, test.want)
				}
				ended, _ := w.calls[0][len(w.calls[0])-1].(ratelimited.Ended)
				if !errors.Is(err, ended.Err) {
					t.Errorf("the error of Ended is %v, but the call returned %v", ended.Err, err)
				}
			})
		})
	}
}

// For a call that the limiter does not admit, the observer receives only Ended. A call that is not sent
// is settled as cancelled. For invalid input, the observer receives nothing.
func TestObserverOfCallsThatAreNotSent(t *testing.T) {
	var w eventRecorder
	config := ratelimited.Config{RequestsPerSecond: 0.01, TokensPerMinute: 1000, MaxRetries: ratelimited.NoRetries, Observer: w.observe}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		if _, err := client.Beta.Conversations.Get(t.Context(), ""); err == nil || len(w.calls) != 0 {
			t.Errorf("invalid input: %v, %d calls observed, want an error and 0 calls", err, len(w.calls))
		}
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(5000)); err == nil {
			t.Error("a call that is too large succeeds")
		}
		if _, err := start(t.Context(), client); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := start(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		var ends []string
		for _, events := range w.calls {
			e, _ := events[len(events)-1].(ratelimited.Ended)
			ends = append(ends, fmt.Sprintf("%d events, %s, %v", len(events), kindOf(e.Err), e.Duration))
		}
		want := []string{"1 events, *ratelimited.RequestError, 0s", "4 events, nil, 0s", "1 events, *ratelimited.WaitError, 1s"}
		if !slices.Equal(ends, want) {
			t.Errorf("calls end with %q, want %q", ends, want)
		}
	})
	w = eventRecorder{}
	config.Observer = w.observe
	unreachable := func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch }
	runWithTransport(t, config, roundTripperFunc(unreachable), func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(7)); err == nil {
			t.Error("a call without a server succeeds")
		}
		if got := w.summary(t); !strings.Contains(got, "attempt 1 0  false") || !strings.Contains(got, "settled 7 0 0 true; ended *ratelimited.TransportError 1") {
			t.Errorf("events are %s", got)
		}
	})
}

// The client sends requests with the context that the observer returns. If the observer returns nil, the
// client uses the caller's context.
func TestObserversContext(t *testing.T) {
	var spans []any
	transport := func(r *http.Request) (*http.Response, error) {
		spans = append(spans, r.Context().Value(spanKey{}))
		return newResponse(200, "application/json", responseJSON("fine", 30)), nil
	}
	var w eventRecorder
	for _, observer := range []ratelimited.Observer{
		w.observe,
		func(context.Context, string) (context.Context, func(ratelimited.CallEvent)) { return nil, nil },
	} {
		config := fast
		config.Observer = observer
		runWithTransport(t, config, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
	if !slices.Equal(spans, []any{0, nil}) {
		t.Errorf("the contexts of the requests have the values %v, want 0 and nil", spans)
	}
	if len(w.calls) != 1 || len(w.calls[0]) != 4 {
		t.Errorf("the observer received %v, want one call with four events", w.calls)
	}
}

// If the transport panics, the client releases the permit and the observer receives Ended once.
func TestObserverOfAPanic(t *testing.T) {
	var w eventRecorder
	config := fast
	config.Observer = w.observe
	runWithTransport(t, config, roundTripperFunc(func(*http.Request) (*http.Response, error) { panic("broken transport") }), func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(7)) // it panics
		}()
		wantNoPermits(t, client)
		if got := w.summary(t); !strings.Contains(got, "settled 7 0 7 false; ended *errors.errorString 1") {
			t.Errorf("events are %s", got)
		}
	})
}

// If the observer panics after a response, the call is charged, because the server has processed it.
func TestObserverPanicsAfterAResponse(t *testing.T) {
	config := fast
	config.Observer = func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(e ratelimited.CallEvent) {
			if _, ok := e.(ratelimited.Attempted); ok {
				panic("broken observer")
			}
		}
	}
	runWithHandler(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(100)) // it panics
		}()
		if n := snapshot(client).TokensSettled; n != 100 {
			t.Errorf("%d tokens settled, want the estimate of 100", n)
		}
	})
}

// panickingBody is a body whose Read panics.
type panickingBody struct{}

func (panickingBody) Read([]byte) (int, error) { panic("broken body") }
func (panickingBody) Close() error             { return nil }

// If reading the response panics, the observer receives Ended with an error.
func TestObserverOfABrokenBody(t *testing.T) {
	var w eventRecorder
	config := fast
	config.Observer = w.observe
	transport := func(*http.Request) (*http.Response, error) {
		r := newResponse(200, "application/json", "")
		r.Body = panickingBody{}
		return r, nil
	}
	runWithTransport(t, config, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(7)) // it panics
		}()
		if got := w.summary(t); !strings.Contains(got, "settled 7 7 0 false; ended *errors.errorString 1") {
			t.Errorf("events are %s", got)
		}
	})
}

// blockingLimiter is a limiter whose Settle blocks until release is closed.
type blockingLimiter struct {
	limiter.Backend
	entered, release chan struct{}
}

func (l blockingLimiter) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	permit, err := l.Backend.Acquire(ctx, call)
	return blockingPermit{permit, l}, err
}

// blockingPermit is an admission of a blockingLimiter.
type blockingPermit struct {
	limiter.Admission
	limiter blockingLimiter
}

func (p blockingPermit) Settle(actual int) {
	close(p.limiter.entered)
	<-p.limiter.release
	p.Admission.Settle(actual)
}

// If a stream is closed while another goroutine settles it, the observer receives Ended after Settled.
func TestObserverOfAStreamClosedMeanwhile(t *testing.T) {
	var w eventRecorder
	l := blockingLimiter{entered: make(chan struct{}), release: make(chan struct{})}
	config := ratelimited.Config{Observer: w.observe, Limiter: func(model string, limit limiter.Limit) (_ limiter.Backend, err error) {
		l.Backend, err = limiter.InProcess()(model, limit)
		return l, err
	}}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, started+hello+done)
	}
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		stream, err := openStream(t.Context(), client, ratelimited.WithTokenEstimate(100))
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for _, err := range stream.Events() {
				if err != nil {
					break // the stream is closed
				}
			}
		}()
		<-l.entered
		_ = stream.Close()
		close(l.release)
		<-read
		if got := w.summary(t); !strings.HasSuffix(got, "settled 100 15 0 false; ended nil 1 0s") {
			t.Errorf("events are %s", got)
		}
	})
}
