package ratelimited_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// outageTest is a client and an emulator whose connections and responses can be made to fail.
type outageTest struct {
	*testing.T
	server    *memnet.Server
	transport *http.Transport
	emulator  *emulator.Emulator
	client    *ratelimited.Client
	begin     time.Time

	mu       sync.Mutex
	requests []outageRequest
	serving  int                         // requests that the server handles now
	failing  map[string]http.HandlerFunc // replaces the emulator, by model
	dial     func(context.Context) error // called before each connection; can be nil
}

// outageRequest is a request that the server received.
type outageRequest struct {
	at      time.Duration // since the beginning of the test
	call    int           // the index of the queued call, or -1
	serving int           // other requests in progress at the time of arrival
}

// outageRPS is the default rate of the client, and the rate of the emulator.
const outageRPS = 20

// runOutageTest runs a test in virtual time.
func runOutageTest(t *testing.T, config ratelimited.Config, test func(t *outageTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &outageTest{T: t, begin: time.Now()}
		o.emulator = emulator.New(emulator.Config{RequestsPerSecond: outageRPS, TokensPerMinute: 1e9, Latency: 40 * time.Millisecond, Intercept: o.intercept})
		o.server = memnet.Start(checked(t, o.emulator.ServeHTTP))
		defer o.server.Close()
		config.APIKey, config.HTTPClient = secretKey, o.server.Client()
		setDefault(&config.BaseURL, o.server.URL())
		transport := config.HTTPClient.Transport.(*http.Transport)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			o.mu.Lock()
			before := o.dial
			o.mu.Unlock()
			if before != nil {
				if err := before(ctx); err != nil {
					return nil, err
				}
			}
			return dial(ctx, network, address)
		}
		o.transport = transport
		transport.DialTLSContext = transport.DialContext // without a TLS handshake
		if config.RequestsPerSecond == 0 {
			config.RequestsPerSecond = outageRPS
		}
		config.TokensPerMinute = 1e9
		o.client = newClient(t, config)
		test(o)
		synctest.Wait()
		wantNoPermits(t, o.client)
	})
}

// now returns the time since the beginning of the test.
func (o *outageTest) now() time.Duration { return time.Since(o.begin) }

// intercept records a request and handles it with the handler of its model, or with the emulator.
func (o *outageTest) intercept(w http.ResponseWriter, r *http.Request, next http.Handler) {
	call := -1
	_, _ = fmt.Sscan(r.Header.Get("X-Call"), &call) // other calls do not have the field
	o.mu.Lock()
	o.requests = append(o.requests, outageRequest{o.now(), call, o.serving})
	o.serving++
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.serving--
	}()
	body, _ := io.ReadAll(r.Body) // the client may have disconnected
	r.Body = io.NopCloser(bytes.NewReader(body))
	var request struct{ Model string }
	_ = json.Unmarshal(body, &request) // some requests do not have a body
	o.mu.Lock()
	handler := o.failing[request.Model]
	o.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

// setDefault sets a field that is empty.
func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// setDial sets a function that is called before each connection. Its error makes the connection fail.
func (o *outageTest) setDial(before func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dial = before
}

// setHandler sets the handler of all requests for a model. A nil handler restores the emulator.
func (o *outageTest) setHandler(model string, handler http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing == nil {
		o.failing = map[string]http.HandlerFunc{}
	}
	o.failing[model] = handler
}

// queuedCall is the result of a call that queue has made.
type queuedCall struct {
	err     error
	endedAt time.Duration // since the beginning of the test; 0 before the call has ended
}

// queue makes n calls in order. The calls are complete when wait returns.
func (o *outageTest) queue(ctx context.Context, n int, model func(i int) string) (calls []queuedCall, wait func()) {
	calls = make([]queuedCall, n)
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() {
			_, err := o.client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model(i), Inputs: ratelimited.Text("Hello!")},
				ratelimited.WithHeader("X-Call", fmt.Sprint(i)))
			calls[i] = queuedCall{err, o.now()}
		})
		synctest.Wait() // the call is in the queue before the next call
	}
	return calls, running.Wait
}

// oneModel is a model function for queue that always returns the same model.
func oneModel(int) string { return "m" }

// makeFirstCall makes a call that succeeds. Before it, the client does not hold calls in an outage.
func (o *outageTest) makeFirstCall() {
	o.Helper()
	if _, err := start(o.Context(), o.client); err != nil {
		o.Fatal(err)
	}
}

// between returns the requests that arrived in a time span.
func (o *outageTest) between(from, to time.Duration) []outageRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	var requests []outageRequest
	for _, r := range o.requests {
		if r.at >= from && r.at < to {
			requests = append(requests, r)
		}
	}
	return requests
}

const (
	outageBegin = 2 * time.Second // since the beginning of the test
	outageCalls = 200             // calls in the queue
)

// 200 calls wait when the server goes down for different reasons and times. No call may fail, and the
// calls must keep their order. During the outage, at most one probe may run at a time. After the outage,
// the calls must continue at the full rate.
func TestQueuedCallsSurviveAnOutage(t *testing.T) {
	closed := func(d time.Duration) func(o *outageTest) {
		return func(o *outageTest) {
			o.server.SetDown(true)
			time.Sleep(d)
			o.server.SetDown(false)
		}
	}
	failing := func(kind emulator.FaultKind, d time.Duration) func(o *outageTest) {
		return func(o *outageTest) {
			if err := o.emulator.SetFaults(emulator.Fault{Kind: kind}); err != nil {
				o.Error(err)
			}
			time.Sleep(d)
			if err := o.emulator.SetFaults(); err != nil {
				o.Error(err)
			}
		}
	}
	for name, outage := range map[string]func(o *outageTest){
		"port closed for 0.2 s":       closed(200 * time.Millisecond),
		"port closed for 2 s":         closed(2 * time.Second),
		"port closed for 10 s":        closed(10 * time.Second),
		"port closed for a minute":    closed(time.Minute),
		"port closed for 4 minutes":   closed(4 * time.Minute),
		"503 for 10 s":                failing(emulator.FaultUnavailable, 10*time.Second),
		"502 for 10 s":                failing(emulator.FaultBadGateway, 10*time.Second),
		"504 for 2 s":                 failing(emulator.FaultGatewayTimeout, 2*time.Second),
		"reset for 10 s":              failing(emulator.FaultReset, 10*time.Second),
		"closed connections for 10 s": failing(emulator.FaultClose, 10*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runOutageTest(t, ratelimited.Config{}, func(o *outageTest) {
				o.makeFirstCall()
				calls, wait := o.queue(o.Context(), outageCalls, oneModel)
				time.Sleep(outageBegin - o.now())
				outage(o)
				end := o.now()
				wait()
				o.wantAllDone(calls)
				o.wantProbes(outageBegin+500*time.Millisecond, end)
				o.wantFullRate(end)
				o.wantOrder(end)
				o.wantTokens()
			})
		})
	}
	t.Run("invalid certificate", func(t *testing.T) {
		t.Parallel()
		runOutageTest(t, ratelimited.Config{BaseURL: "https://127.0.0.1"}, func(o *outageTest) {
			o.makeFirstCall()
			calls, wait := o.queue(o.Context(), outageCalls, oneModel)
			time.Sleep(outageBegin - o.now())
			o.setDial(func(context.Context) error {
				return &tls.CertificateVerificationError{Err: errors.New("certificate has expired")}
			})
			closed(0)(o)
			time.Sleep(10 * time.Second)
			if s := snapshot(o.client); !strings.Contains(s.OutageCause, "certificate has expired") || s.Held < outageCalls/2 {
				o.Errorf("the cause of the outage is %q, and it holds %d calls", s.OutageCause, s.Held)
			}
			o.setDial(nil)
			end := o.now()
			wait()
			o.wantAllDone(calls)
			o.wantFullRate(end)
			o.wantOrder(end)
		})
	})
	t.Run("connections hang", func(t *testing.T) {
		t.Parallel()
		runOutageTest(t, ratelimited.Config{Timeout: 7 * time.Second}, func(o *outageTest) {
			o.makeFirstCall()
			calls, wait := o.queue(o.Context(), outageCalls, oneModel)
			time.Sleep(outageBegin - o.now())
			o.setDial(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
			closed(0)(o)
			time.Sleep(30 * time.Second)
			o.setDial(nil)
			end := o.now()
			wait()
			o.wantAllDone(calls)
			o.wantFullRate(end)
			o.wantTokens()
		})
	})
	t.Run("flapping", func(t *testing.T) {
		t.Parallel()
		runOutageTest(t, ratelimited.Config{}, func(o *outageTest) {
			o.makeFirstCall()
			calls, wait := o.queue(o.Context(), outageCalls, oneModel)
			for range 20 { // a second up, two seconds down
				time.Sleep(time.Second)
				closed(2 * time.Second)(o)
			}
			wait()
			o.wantAllDone(calls)
			o.wantTokens()
		})
	})
}

// wantAllDone checks that all calls succeeded.
func (o *outageTest) wantAllDone(calls []queuedCall) {
	o.Helper()
	failed := 0
	for i, c := range calls {
		if c.err != nil {
			if failed++; failed <= 3 {
				o.Errorf("call %d: %v", i, c.err)
			}
		}
	}
	if failed > 0 {
		o.Errorf("%d of %d calls failed", failed, len(calls))
	}
}

// wantProbes checks the requests during an outage: the client sends at most
// one at a time, and at least one every 5 s.
func (o *outageTest) wantProbes(from, to time.Duration) {
	o.Helper()
	probes := o.between(from, to)
	last := from
	for _, p := range probes {
		if p.serving > 0 {
			o.Errorf("a probe arrived at %v while the server handled %d requests", p.at, p.serving)
		}
		if p.at-last > 5*time.Second+100*time.Millisecond {
			o.Errorf("a probe arrived at %v, and the next at %v, want at most 5 s between them", last, p.at)
		}
		last = p.at
	}
}

// wantFullRate checks that the client probes the server soon after the outage, and that the calls then
// continue at the configured rate within one window.
func (o *outageTest) wantFullRate(end time.Duration) {
	o.Helper()
	after := o.between(end, time.Hour)
	if len(after) == 0 {
		return // all calls ended before
	}
	first := after[0].at
	if first-end > 5*time.Second+100*time.Millisecond {
		o.Errorf("the server was back at %v, but the first request arrived at %v", end, first)
	}
	const window = time.Second
	done := first + window + time.Duration(len(after))*(window+50*time.Millisecond)/outageRPS
	if last := after[len(after)-1].at; last > done {
		o.Errorf("%d requests arrived from %v to %v, want %d requests/s until %v", len(after), first, last, outageRPS, done)
	}
}

// wantOrder checks that the held calls arrive in the order of the queue. Calls that the limiter admits at
// the same time can arrive in any order.
func (o *outageTest) wantOrder(end time.Duration) {
	o.Helper()
	requests := o.between(end, time.Hour)
	slices.SortStableFunc(requests, func(a, b outageRequest) int {
		if a.at == b.at {
			return a.call - b.call
		}
		return 0
	})
	if !slices.IsSortedFunc(requests, func(a, b outageRequest) int { return a.call - b.call }) {
		o.Errorf("the calls arrived in the order %+v", requests)
	}
}

// wantTokens checks that the client settled at least the tokens that the server counted. Attempts without a
// response may have added to them.
func (o *outageTest) wantTokens() {
	o.Helper()
	synctest.Wait()
	s := snapshot(o.client)
	if charged := int64(o.emulator.Stats().Total().Tokens); s.TokensSettled < charged {
		o.Errorf("%d tokens settled, but the server counted %d", s.TokensSettled, charged)
	}
	if s.Admitted != s.Settled+s.Cancelled {
		o.Errorf("%d calls admitted, %d settled, and %d cancelled", s.Admitted, s.Settled, s.Cancelled)
	}
}

// When an outage exceeds MaxOutage, all held calls fail at once. Afterwards, the client still probes the
// server with a call at times, and all other calls fail at once.
func TestOutageLongerThanMaxOutage(t *testing.T) {
	runOutageTest(t, ratelimited.Config{MaxOutage: time.Minute}, func(o *outageTest) {
		o.makeFirstCall()
		calls, wait := o.queue(o.Context(), outageCalls, oneModel)
		time.Sleep(outageBegin - o.now())
		o.server.SetDown(true)
		wait()
		for i, c := range calls {
			if c.endedAt < outageBegin && c.err == nil {
				continue
			}
			var outage *ratelimited.OutageError
			if !errors.Is(c.err, ratelimited.ErrOutage) || !errors.Is(c.err, ratelimited.ErrRetryable) || !errors.As(c.err, &outage) {
				t.Fatalf("call %d: %v, want an OutageError", i, c.err)
			}
			if outage.Duration < time.Minute || outage.Duration > time.Minute+time.Second || outage.Operation != "Conversations.Start" ||
				outage.Host != o.server.URL() || !strings.Contains(outage.Error(), "has been down for 1m0") {
				t.Errorf("call %d: %+v: %v", i, outage, outage)
			}
			if c.endedAt < outageBegin+time.Minute || c.endedAt > outageBegin+time.Minute+time.Second {
				t.Errorf("call %d fails at %v, want one minute after the outage began", i, c.endedAt)
			}
		}
		for range 3 {
			var err error
			if took := elapsed(func() { _, err = start(o.Context(), o.client) }); took != 0 || !errors.Is(err, ratelimited.ErrOutage) {
				t.Errorf("after %v: %v, want ErrOutage at once", took, err)
			}
		}
		o.server.SetDown(false)
		o.makeFirstCall()
		if s := snapshot(o.client); !s.OutageSince.IsZero() {
			t.Errorf("the snapshot still reports an outage since %v", s.OutageSince)
		}
	})
}

// A server that has never responded probably has a wrong address. So calls fail after their retries, and
// the error contains the address.
func TestServerThatHasNeverResponded(t *testing.T) {
	runOutageTest(t, ratelimited.Config{}, func(o *outageTest) {
		o.server.SetDown(true)
		calls, wait := o.queue(o.Context(), 5, oneModel)
		wait()
		for _, c := range calls {
			var transport *ratelimited.TransportError
			if !errors.As(c.err, &transport) || transport.Attempts != 4 || errors.Is(c.err, ratelimited.ErrOutage) || !strings.Contains(c.err.Error(), "dial mem mem: connection refused") {
				t.Errorf("error %v, want a TransportError after 4 attempts", c.err)
			}
			if c.endedAt > 14*time.Second {
				t.Errorf("the call fails after %v, want at most 14 s", c.endedAt)
			}
		}
	})
}

// Without retries, an outage still holds calls that have not been sent. It fails calls that have been sent.
func TestOutageWithoutRetries(t *testing.T) {
	runOutageTest(t, ratelimited.Config{MaxRetries: ratelimited.NoRetries}, func(o *outageTest) {
		o.makeFirstCall()
		o.server.SetDown(true)
		synctest.Wait() // the idle connection is closed
		calls, wait := o.queue(o.Context(), 50, oneModel)
		time.Sleep(10 * time.Second)
		o.server.SetDown(false)
		wait()
		o.wantAllDone(calls)

		if err := o.emulator.SetFaults(emulator.Fault{Kind: emulator.FaultUnavailable}); err != nil {
			t.Fatal(err)
		}
		before := len(o.between(0, time.Hour))
		calls, wait = o.queue(o.Context(), 5, oneModel)
		wait()
		for _, c := range calls {
			if c.err == nil {
				t.Error("a call succeeds in an outage")
			}
		}
		seen := map[int]bool{}
		for _, r := range o.between(0, time.Hour)[before:] {
			if seen[r.call] {
				t.Errorf("call %d was sent twice, want once", r.call)
			}
			seen[r.call] = true
		}
	})
}

// The deadline of a context ends the wait of a held call, and not earlier. The next call in the queue then
// probes the server.
func TestContextEndsInOutage(t *testing.T) {
	runOutageTest(t, ratelimited.Config{}, func(o *outageTest) {
		o.makeFirstCall()
		o.server.SetDown(true)
		ctx, cancel := context.WithTimeout(o.Context(), 7*time.Second)
		defer cancel()
		withDeadline, waitForDeadline := o.queue(ctx, 3, oneModel)
		others, wait := o.queue(o.Context(), 3, oneModel)
		waitForDeadline()
		for _, c := range withDeadline {
			var waited *ratelimited.WaitError
			if !errors.Is(c.err, context.DeadlineExceeded) || c.endedAt < 7*time.Second || c.endedAt > 7100*time.Millisecond {
				t.Errorf("after %v: %v, want the deadline after 7 s", c.endedAt, c.err)
			}
			if held := errors.As(c.err, &waited); held && waited.Outage == nil || held && !strings.Contains(c.err.Error(), o.server.URL()+" has been down since") || !strings.Contains(c.err.Error(), "connection refused") { // the call whose probe runs may have another error type
				t.Errorf("error %v does not contain the host and the cause of the outage", c.err)
			}
		}
		o.server.SetDown(false)
		back := o.now()
		wait()
		o.wantAllDone(others)
		if took := others[2].endedAt - back; took > 5500*time.Millisecond {
			t.Errorf("the other calls continue %v after the server is back, want at most 5.5 s", took)
		}
	})
}

// The outage of one model holds only the calls of that model, even if other models share its limit. If a
// second model fails too, the client treats it as an outage of the host.
func TestOutageOfOneModel(t *testing.T) {
	for name, test := range map[string]struct {
		down     string // the models that fail
		observed string // the model of an outage that the observer receives
		held     string // the models whose calls are held
		current  string // the model and a colon in the snapshot's cause
	}{
		"one model":  {"a", "a", "a", " a:"},
		"two models": {"a b", "", "a b c", ":"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var began, ended []string
			config := ratelimited.Config{Observer: func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
				return ctx, func(event ratelimited.CallEvent) {
					mu.Lock()
					defer mu.Unlock()
					switch e := event.(type) {
					case ratelimited.OutageBegan:
						began = append(began, e.Model)
					case ratelimited.OutageEnded:
						ended = append(ended, e.Model)
					}
				}
			}}
			runOutageTest(t, config, func(o *outageTest) {
				o.makeFirstCall()
				for model := range strings.FieldsSeq(test.down) {
					o.setHandler(model, status(503, "busy"))
				}
				calls, wait := o.queue(o.Context(), 60, func(i int) string { return []string{"a", "b", "c"}[i%3] })
				time.Sleep(30*time.Second - o.now())
				synctest.Wait()
				s := snapshot(o.client)
				if s.OutageSince.IsZero() || !strings.Contains(s.OutageCause, "busy") || !strings.HasPrefix(strings.TrimPrefix(s.OutageCause, o.server.URL()), test.current) {
					t.Errorf("the snapshot has the outage %v %q", s.OutageSince, s.OutageCause)
				}
				for i, c := range calls {
					model := string("abc"[i%3])
					if held := strings.Contains(test.held, model); held && c.endedAt > 0 || !held && (c.endedAt == 0 || c.endedAt > 3*time.Second) {
						t.Errorf("call %d of model %s has ended: %v, after %v", i, model, c.endedAt > 0, c.endedAt)
					}
				}
				o.setHandler("a", nil)
				o.setHandler("b", nil)
				wait()
				o.wantAllDone(calls)
			})
			slices.Sort(began)
			slices.Sort(ended)
			if !slices.Contains(began, test.observed) || !slices.Equal(began, ended) {
				t.Errorf("outages of the models %q began and of %q ended, want one of %q", began, ended, test.observed)
			}
		})
	}
}

// A 429 for an overloaded model, in any form, holds only the calls of that model. The other models keep
// their throughput.
func TestOverloadedModel(t *testing.T) {
	for name, body := range map[string]string{
		"message": `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","code":null}`,
		"code":    `{"object":"error","message":"Try again later.","type":"x","code":"3505"}`,
		"number":  `{"message":"Try again later.","code":3505}`,
		"type":    `{"message":"Try again later.","type":"service_tier_capacity_exceeded"}`,
	} {
		t.Run(name, func(t *testing.T) {
			throughput := func(overloaded bool) (others int) {
				runOutageTest(t, ratelimited.Config{}, func(o *outageTest) {
					o.makeFirstCall()
					if overloaded {
						o.setHandler("a", status(429, body))
					}
					calls, wait := o.queue(o.Context(), 300, func(i int) string { return []string{"a", "b"}[i%2] })
					time.Sleep(10*time.Second - o.now())
					synctest.Wait()
					for i, c := range calls {
						if i%2 == 1 && c.endedAt > 0 {
							others++
						}
					}
					o.setHandler("a", nil)
					wait()
					o.wantAllDone(calls)
				})
				return others
			}
			if with, without := throughput(true), throughput(false); with < without {
				t.Errorf("%d of 150 calls of the other model end in 10 s, but %d without the overload", with, without)
			}
		})
	}
	t.Run("for too long", func(t *testing.T) {
		runOutageTest(t, ratelimited.Config{MaxOutage: time.Minute}, func(o *outageTest) {
			o.setHandler("m", status(429, `{"message":"Service tier capacity exceeded for this model."}`))
			_, err := start(o.Context(), o.client)
			if !errors.Is(err, ratelimited.ErrOutage) || !errors.Is(err, ratelimited.ErrRateLimited) || o.now() < 50*time.Second || o.now() > 61*time.Second {
				t.Errorf("after %v: %v, want an OutageError with the 429", o.now(), err)
			}
			if n := len(o.between(0, time.Hour)); n > 31 {
				t.Errorf("%d requests in a minute, want at most 31", n)
			}
		})
	})
}

// Two calls that always fail cause an outage at first. Then the other calls continue, and the two fail.
func TestCallsThatAlwaysFail(t *testing.T) {
	runOutageTest(t, ratelimited.Config{RequestsPerSecond: 1}, func(o *outageTest) {
		o.makeFirstCall()
		sent := map[string]int{}
		o.setHandler("m", func(w http.ResponseWriter, r *http.Request) {
			if call := r.Header.Get("X-Call"); call == "0" || call == "1" {
				o.mu.Lock()
				sent[call]++
				o.mu.Unlock()
				writeJSON(w, 504, `{"message":"too heavy"}`)
				return
			}
			ok(w, r)
		})
		calls, wait := o.queue(o.Context(), 30, oneModel)
		wait()
		o.wantAllDone(calls[2:])
		for i, c := range calls[:2] {
			if !errors.Is(c.err, ratelimited.ErrServer) {
				o.Errorf("call %d: %v, want ErrServer", i, c.err)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if sent["0"] > 40 || sent["1"] > 40 {
			o.Errorf("the two calls were sent %v times, want at most 40 times each", sent)
		}
	})
}

// If the model of a conversation is unknown, an outage holds only the calls of that conversation. Calls
// without a model have a separate outage too.
func TestOutageOfCallsWithoutModel(t *testing.T) {
	overloaded := status(429, `{"message":"Service tier capacity exceeded for this model."}`)
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/conv_down"):
			overloaded(w, r)
		case strings.HasPrefix(r.URL.Path, "/v1/agents"):
			status(503, "busy")(w, r)
		default:
			ok(w, r)
		}
	}
	config := fast
	config.MaxOutage = 10 * time.Second
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		request := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
		appendTo := func(id string) error {
			_, err := client.Beta.Conversations.Append(t.Context(), id, request)
			return err
		}
		if err := appendTo("conv_up"); err != nil {
			t.Fatal(err)
		}
		down := ratelimited.Async(func() (int, error) { return 0, appendTo("conv_down") })
		listing := ratelimited.Gather(t.Context(), make([]int, 2), func(ctx context.Context, _ int) (int, error) {
			_, err := client.Beta.Agents.List(ctx, generated.ListAgentsParams{})
			return 0, err
		})
		if took := elapsed(func() {
			if err := appendTo("conv_up"); err != nil {
				t.Error(err)
			}
		}); took > 50*time.Millisecond {
			t.Errorf("the other conversation took %v, want at most 50 ms", took)
		}
		_, err := down.Await(t.Context())
		for model, err := range map[string]error{"conv_down": err, "calls without a model": listing[0].Err} {
			var outage *ratelimited.OutageError
			if !errors.As(err, &outage) || outage.Model != model {
				t.Errorf("error %v, want an OutageError with the model %q", err, model)
			}
		}
	})
}

// If a call ends between its admission and its sending, the client returns its request and tokens.
func TestContextEndsBeforeSending(t *testing.T) {
	var cancel context.CancelFunc
	config := fast
	config.Observer = func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			if _, admitted := event.(ratelimited.Acquired); admitted {
				cancel()
			}
		}
	}
	var requests atomic.Int64
	runWithHandler(t, config, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		_, err := start(ctx, client)
		s := snapshot(client)
		if !errors.Is(err, context.Canceled) || requests.Load() != 0 || s.Admitted+s.Retried-s.ReturnedRequests != 0 || s.TokensSettled != 0 {
			t.Errorf("%v after %d requests, with %d tokens settled and %+v; want context.Canceled and nothing charged", err, requests.Load(), s.TokensSettled, s)
		}
	})
}

// If the observer panics when an outage ends, the call is charged, because the server has responded to it.
func TestObserverPanicsAtTheEndOfAnOutage(t *testing.T) {
	config := ratelimited.Config{Observer: func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			if _, ended := event.(ratelimited.OutageEnded); ended {
				panic("broken observer")
			}
		}
	}}
	runOutageTest(t, config, func(o *outageTest) {
		o.makeFirstCall()
		before := snapshot(o.client).TokensSettled
		o.server.SetDown(true)
		synctest.Wait()
		var calls sync.WaitGroup
		calls.Go(func() {
			defer func() {
				if recover() == nil {
					o.Error("the panic was swallowed")
				}
			}()
			_, _ = start(o.Context(), o.client)
		})
		time.Sleep(time.Second)
		o.server.SetDown(false)
		calls.Wait()
		if settled := snapshot(o.client).TokensSettled - before; settled == 0 {
			o.Error("0 tokens settled, want the estimate")
		}
	})
}

// With a transport that limits the number of connections, a failed connection still starts an outage. A wait
// for a connection that is in use does not.
func TestOutageWithFewConnections(t *testing.T) {
	for name, dialing := range map[string]bool{"connections hang": true, "all connections are in use": false} {
		t.Run(name, func(t *testing.T) {
			runOutageTest(t, ratelimited.Config{Timeout: 7 * time.Second}, func(o *outageTest) {
				o.transport.MaxConnsPerHost = 1
				client := newClient(t, ratelimited.Config{
					APIKey: secretKey, BaseURL: o.server.URL(), HTTPClient: &http.Client{Transport: o.transport},
					RequestsPerSecond: outageRPS, TokensPerMinute: 1e9, Timeout: 7 * time.Second,
				})
				if _, err := start(o.Context(), client); err != nil {
					t.Fatal(err)
				}
				back := make(chan struct{})
				if dialing {
					o.setDial(func(ctx context.Context) error {
						httptrace.ContextClientTrace(ctx).ConnectStart("tcp", "x") // as net.Dialer does
						select {
						case <-ctx.Done():
						case <-back:
						}
						return errors.New("no connection")
					})
					o.server.SetDown(true)
					o.server.SetDown(false)
				} else {
					o.setHandler("m", noResponse)
				}
				var calls sync.WaitGroup
				for range 2 {
					calls.Go(func() {
						if _, err := start(o.Context(), client); (err == nil) != dialing {
							t.Errorf("error %v", err)
						}
					})
				}
				time.Sleep(8 * time.Second)
				if held := !snapshot(client).OutageSince.IsZero(); held != dialing {
					t.Errorf("the snapshot reports an outage: %v, want %v", held, dialing)
				}
				o.setDial(nil)
				close(back)
				calls.Wait()
			})
		})
	}
}

// The log contains a warning for each 429, and for the beginning and end of an outage, and no others. The
// warnings do not contain text from the server.
func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	config := ratelimited.Config{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	runOutageTest(t, config, func(o *outageTest) {
		o.makeFirstCall()
		o.setHandler("m", handlersInOrder(status(429, rateLimitBody, "Retry-After", "1"), ok, status(503, "SERVERTEXT"), status(503, "SERVERTEXT"), ok))
		o.makeFirstCall()
		calls, wait := o.queue(o.Context(), 3, oneModel)
		wait()
		o.wantAllDone(calls)
	})
	var messages []string
	for record := range strings.Lines(log.String()) {
		var fields struct {
			Level, Msg, Host, Model, Cause string
			Status                         int
		}
		if err := json.Unmarshal([]byte(record), &fields); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, fmt.Sprint(fields.Level, " ", fields.Msg, " ", fields.Model, " ", fields.Cause, " ", fields.Status))
	}
	want := []string{"WARN mistral: response   429", "WARN mistral: outage began m status 503 0", "WARN mistral: outage ended m  0"}
	if !slices.Equal(messages, want) || strings.Contains(log.String(), "SERVERTEXT") {
		t.Errorf("the log is\n%s", log.String())
	}
}
