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

// witness is an observer that writes down what it hears, a call's events in one line.
type witness struct {
	mu    sync.Mutex
	calls [][]ratelimited.CallEvent
	names []string
}

type spanKey struct{}

func (w *witness) observe(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
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

// heard is what the only call was, in short.
func (w *witness) heard(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) != 1 {
		t.Fatalf("%d calls were observed, want one: %v", len(w.calls), w.names)
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

func kindOf(err error) string {
	if err == nil {
		return "well"
	}
	return fmt.Sprintf("%T", err)
}

// Each outcome of a call, and what an observer hears of it, to the token and the
// nanosecond.
func TestObserver(t *testing.T) {
	slowly := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Second)
		ok(w, r)
	}
	busy := status(503, "{}", "Mistral-Correlation-Id", "id-1")
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
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
			s, err := openedStream(ctx, client, ratelimited.WithTokenEstimate(estimate))
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
			"Conversations.Start; acquired m 100 0s; attempt 1 200  true 2s; settled 100 30 0 false; ended well 1 2s"},
		"tried again": {inTurn(busy, ok), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 503 id-1 true 0s; retrying 1s; attempt 2 200  true 0s; settled 100 30 0 false; ended well 2 1s"},
		"given up": {busy, plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 503 id-1 true 0s; retrying 1s; attempt 2 503 id-1 true 0s; settled 100 0 0 false; ended *ratelimited.APIError 2 1s"},
		"no reply": {inTurn(cut, ok), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 0  true 0s; retrying 1s; attempt 2 200  true 0s; settled 100 30 100 false; ended well 2 1s"},
		"refused": {status(400, "{}"), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 400  true 0s; settled 100 0 0 false; ended *ratelimited.APIError 1 0s"},
		"no JSON": {status(200, "{"), plain,
			"Conversations.Start; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended *ratelimited.APIError 1 0s"},
		"a stream": {events(started + hello + done), stream(false),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 15 0 false; ended well 1 0s"},
		"a stream that is left": {events(started + hello + done), stream(true),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended well 1 0s"},
		"a stream that breaks": {events(started + hello), stream(false),
			"Conversations.StartStream; acquired m 100 0s; attempt 1 200  true 0s; settled 100 100 0 false; ended *ratelimited.StreamError 1 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			var w witness
			config := ratelimited.Config{BareBuckets: true, RequestsPerSecond: 100, MaxRetries: 1, BaseDelay: time.Second, MaxDelay: time.Second, Observer: w.observe}
			inBubble(t, config, test.handler, func(t *testing.T, client *ratelimited.Client) {
				err := test.call(t.Context(), client)
				if got := w.heard(t); got != test.want {
					t.Errorf("heard\n%s, want\n%s", got, test.want)
				}
				ended, _ := w.calls[0][len(w.calls[0])-1].(ratelimited.Ended)
				if !errors.Is(err, ended.Err) {
					t.Errorf("Ended has %v, the caller got %v", ended.Err, err)
				}
			})
		})
	}
}

// What the limiter never admitted has its end alone, and what was not sent is
// cancelled; bad input does not make a call.
func TestObserverOfWhatIsNotSent(t *testing.T) {
	var w witness
	config := ratelimited.Config{RequestsPerSecond: 0.01, TokensPerMinute: 1000, MaxRetries: ratelimited.NoRetries, Observer: w.observe}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		if _, err := client.Beta.Conversations.Get(t.Context(), ""); err == nil || len(w.calls) != 0 {
			t.Errorf("bad input: %v, %d calls observed", err, len(w.calls))
		}
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(5000)); err == nil {
			t.Error("a call that is too large passes")
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
		want := []string{"1 events, *ratelimited.RequestError, 0s", "4 events, well, 0s", "1 events, *ratelimited.WaitError, 1s"}
		if !slices.Equal(ends, want) {
			t.Errorf("calls end with %q, want %q", ends, want)
		}
	})
	w = witness{}
	config.Observer = w.observe
	unreachable := func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch }
	overTransport(t, config, tripper(unreachable), func(t *testing.T, client *ratelimited.Client) {
		if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(7)); err == nil {
			t.Error("a call without a server succeeds")
		}
		if got := w.heard(t); !strings.Contains(got, "attempt 1 0  false") || !strings.Contains(got, "settled 7 0 0 true; ended *ratelimited.TransportError 1") {
			t.Errorf("heard %s", got)
		}
	})
}

// The observer's context is the one that the request is sent with, and one that
// makes nothing of a call leaves it as it is.
func TestObserversContext(t *testing.T) {
	var spans []any
	transport := func(r *http.Request) (*http.Response, error) {
		spans = append(spans, r.Context().Value(spanKey{}))
		return canned(200, "application/json", reply("fine", 30)), nil
	}
	var w witness
	for _, observer := range []ratelimited.Observer{
		w.observe,
		func(context.Context, string) (context.Context, func(ratelimited.CallEvent)) { return nil, nil },
	} {
		config := fast
		config.Observer = observer
		overTransport(t, config, tripper(transport), func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
	if !slices.Equal(spans, []any{0, nil}) {
		t.Errorf("the requests carry %v, want that of the first call, and nothing", spans)
	}
	if len(w.calls) != 1 || len(w.calls[0]) != 4 {
		t.Errorf("the first call has %v", w.calls)
	}
}

// An observer that panics, or a transport, leaves no permit behind, and the call ends
// once for the observer all the same.
func TestObserverOfAPanic(t *testing.T) {
	var w witness
	config := fast
	config.Observer = w.observe
	overTransport(t, config, tripper(func(*http.Request) (*http.Response, error) { panic("broken transport") }), func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(7)) // it panics
		}()
		wantNoPermits(t, client)
		if got := w.heard(t); !strings.Contains(got, "settled 7 0 7 false; ended *errors.errorString 1") {
			t.Errorf("heard %s", got)
		}
	})
}

// One that panics when a reply has come: the server has carried the call out.
func TestObserverPanicsAtAReply(t *testing.T) {
	config := fast
	config.Observer = func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(e ratelimited.CallEvent) {
			if _, ok := e.(ratelimited.Attempted); ok {
				panic("broken observer")
			}
		}
	}
	inBubble(t, config, ok, func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(100)) // it panics
		}()
		if n := snapshot(client).TokensSettled; n != 100 {
			t.Errorf("%d tokens are settled, want the estimate of 100", n)
		}
	})
}

type panickingBody struct{}

func (panickingBody) Read([]byte) (int, error) { panic("broken body") }
func (panickingBody) Close() error             { return nil }

// A call that panics when its reply has come has not ended well.
func TestObserverOfABrokenBody(t *testing.T) {
	var w witness
	config := fast
	config.Observer = w.observe
	transport := func(*http.Request) (*http.Response, error) {
		r := canned(200, "application/json", "")
		r.Body = panickingBody{}
		return r, nil
	}
	overTransport(t, config, tripper(transport), func(t *testing.T, client *ratelimited.Client) {
		func() {
			defer func() { _ = recover() }()
			_, _ = start(t.Context(), client, ratelimited.WithTokenEstimate(7)) // it panics
		}()
		if got := w.heard(t); !strings.Contains(got, "settled 7 7 0 false; ended *errors.errorString 1") {
			t.Errorf("heard %s", got)
		}
	})
}

// slowly is a limiter whose settlements take until they are let go.
type slowly struct {
	limiter.Backend
	entered, leave chan struct{}
}

func (l slowly) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	permit, err := l.Backend.Acquire(ctx, call)
	return slowPermit{permit, l}, err
}

type slowPermit struct {
	limiter.Admission
	limiter slowly
}

func (p slowPermit) Settle(actual int) {
	close(p.limiter.entered)
	<-p.limiter.leave
	p.Admission.Settle(actual)
}

// A stream that is closed while another goroutine settles it ends after that.
func TestObserverOfAStreamClosedMeanwhile(t *testing.T) {
	var w witness
	l := slowly{entered: make(chan struct{}), leave: make(chan struct{})}
	config := ratelimited.Config{Observer: w.observe, Limiter: func(model string, limit limiter.Limit) (_ limiter.Backend, err error) {
		l.Backend, err = limiter.InProcess()(model, limit)
		return l, err
	}}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, started+hello+done)
	}
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		stream, err := openedStream(t.Context(), client, ratelimited.WithTokenEstimate(100))
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for _, err := range stream.Events() {
				if err != nil {
					break // it is closed
				}
			}
		}()
		<-l.entered
		_ = stream.Close()
		close(l.leave)
		<-read
		if got := w.heard(t); !strings.HasSuffix(got, "settled 100 15 0 false; ended well 1 0s") {
			t.Errorf("heard %s", got)
		}
	})
}
