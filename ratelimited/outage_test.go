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

// An outageTest is a client whose queue is full when its server goes down.
type outageTest struct {
	*testing.T
	server    *memnet.Server
	transport *http.Transport
	emulator  *emulator.Emulator
	client    *ratelimited.Client
	begin     time.Time

	mu       sync.Mutex
	requests []outageRequest
	serving  int                         // requests at the same time
	failing  map[string]http.HandlerFunc // by model
	dial     func(context.Context) error // before a connection; nil: nothing
}

type outageRequest struct {
	at      time.Duration
	call    int // -1: none of the queue
	serving int // requests that were served when it came
}

const outageRPS = 20

// inOutage runs a test in virtual time.
func inOutage(t *testing.T, config ratelimited.Config, test func(t *outageTest)) {
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
		transport.DialTLSContext = transport.DialContext // the handshake is not what is tested
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

func (o *outageTest) now() time.Duration { return time.Since(o.begin) }

func (o *outageTest) intercept(w http.ResponseWriter, r *http.Request, next http.Handler) {
	call := -1
	_, _ = fmt.Sscan(r.Header.Get("X-Call"), &call) // other calls have none
	o.mu.Lock()
	o.requests = append(o.requests, outageRequest{o.now(), call, o.serving})
	o.serving++
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.serving--
	}()
	body, _ := io.ReadAll(r.Body) // the client may have gone
	r.Body = io.NopCloser(bytes.NewReader(body))
	var request struct{ Model string }
	_ = json.Unmarshal(body, &request) // some have no body
	o.mu.Lock()
	fail := o.failing[request.Model]
	o.mu.Unlock()
	if fail != nil {
		fail(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// dials has something done before each connection is made.
func (o *outageTest) dials(before func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dial = before
}

// fail has all requests for a model handled, or none with nil.
func (o *outageTest) fail(model string, handler http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing == nil {
		o.failing = map[string]http.HandlerFunc{}
	}
	o.failing[model] = handler
}

// A queued call is one of those that wait when the outage begins.
type queuedCall struct {
	err  error
	took time.Duration // since the beginning of the test
}

// queue makes n calls, in order, and returns them when all have ended.
func (o *outageTest) queue(ctx context.Context, n int, model func(i int) string) (calls []queuedCall, wait func()) {
	calls = make([]queuedCall, n)
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() {
			_, err := o.client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model(i), Inputs: ratelimited.Text("Hello!")},
				ratelimited.WithHeader("X-Call", fmt.Sprint(i)))
			calls[i] = queuedCall{err, o.now()}
		})
		synctest.Wait() // it is in the queue before the next
	}
	return calls, running.Wait
}

func oneModel(int) string { return "m" }

// alive makes the host one that has answered.
func (o *outageTest) alive() {
	o.Helper()
	if _, err := start(o.Context(), o.client); err != nil {
		o.Fatal(err)
	}
}

// between returns the requests that came in a span of time.
func (o *outageTest) between(from, to time.Duration) []outageRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	var some []outageRequest
	for _, r := range o.requests {
		if r.at >= from && r.at < to {
			some = append(some, r)
		}
	}
	return some
}

const (
	outageBegin = 2 * time.Second
	outageCalls = 200
)

// Two hundred calls wait when the server goes down, in whatever way and for however
// long: none fails, they keep their order, at most one request at a time looks whether
// the server is back, and when it is they go on at full pace.
func TestNothingQueuedIsLost(t *testing.T) {
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
			inOutage(t, ratelimited.Config{}, func(o *outageTest) {
				o.alive()
				calls, wait := o.queue(o.Context(), outageCalls, oneModel)
				time.Sleep(outageBegin - o.now())
				outage(o)
				end := o.now()
				wait()
				o.wantAllDone(calls)
				o.wantProbes(outageBegin+500*time.Millisecond, end)
				o.wantFullPace(end)
				o.wantOrder(end)
				o.wantTokens()
			})
		})
	}
	t.Run("no handshake", func(t *testing.T) {
		t.Parallel()
		inOutage(t, ratelimited.Config{BaseURL: "https://127.0.0.1"}, func(o *outageTest) {
			o.alive()
			calls, wait := o.queue(o.Context(), outageCalls, oneModel)
			time.Sleep(outageBegin - o.now())
			o.dials(func(context.Context) error {
				return &tls.CertificateVerificationError{Err: errors.New("certificate has expired")}
			})
			closed(0)(o)
			time.Sleep(10 * time.Second)
			if s := snapshot(o.client); !strings.Contains(s.OutageCause, "certificate has expired") || s.Held < outageCalls/2 {
				o.Errorf("the cause of the outage is %q, and it holds %d calls", s.OutageCause, s.Held)
			}
			o.dials(nil)
			end := o.now()
			wait()
			o.wantAllDone(calls)
			o.wantFullPace(end)
			o.wantOrder(end)
		})
	})
	t.Run("connections hang", func(t *testing.T) {
		t.Parallel()
		inOutage(t, ratelimited.Config{Timeout: 7 * time.Second}, func(o *outageTest) {
			o.alive()
			calls, wait := o.queue(o.Context(), outageCalls, oneModel)
			time.Sleep(outageBegin - o.now())
			o.dials(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
			closed(0)(o)
			time.Sleep(30 * time.Second)
			o.dials(nil)
			end := o.now()
			wait()
			o.wantAllDone(calls)
			o.wantFullPace(end)
			o.wantTokens()
		})
	})
	t.Run("flapping", func(t *testing.T) {
		t.Parallel()
		inOutage(t, ratelimited.Config{}, func(o *outageTest) {
			o.alive()
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

// wantProbes checks what came in the middle of an outage.
func (o *outageTest) wantProbes(from, to time.Duration) {
	o.Helper()
	probes := o.between(from, to)
	last := from
	for _, p := range probes {
		if p.serving > 0 {
			o.Errorf("at %v a probe came while %d others were under way", p.at, p.serving)
		}
		if p.at-last > 5*time.Second+100*time.Millisecond {
			o.Errorf("a probe at %v, and the next at %v", last, p.at)
		}
		last = p.at
	}
}

// wantFullPace checks that within a request window of the first sign of life calls go on
// as if nothing had been.
func (o *outageTest) wantFullPace(end time.Duration) {
	o.Helper()
	after := o.between(end, time.Hour)
	if len(after) == 0 {
		return // all had been done before
	}
	first := after[0].at
	if first-end > 5*time.Second+100*time.Millisecond {
		o.Errorf("the server is back at %v and hears of it at %v", end, first)
	}
	const window = time.Second
	done := first + window + time.Duration(len(after))*(window+50*time.Millisecond)/outageRPS
	if last := after[len(after)-1].at; last > done {
		o.Errorf("%d requests from %v to %v, want them at %d a second until %v", len(after), first, last, outageRPS, done)
	}
}

// wantOrder checks that the calls that were held arrive in the order of the queue. Those
// that the limiter admits at the same time may arrive in any.
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
		o.Errorf("calls arrive in the order %+v", requests)
	}
}

// wantTokens checks that the client counts what the server does, beside what attempts
// without a response may have used.
func (o *outageTest) wantTokens() {
	o.Helper()
	synctest.Wait()
	s := snapshot(o.client)
	if charged := int64(o.emulator.Stats().Total().Tokens); s.TokensSettled < charged {
		o.Errorf("%d tokens are settled, the server charged %d", s.TokensSettled, charged)
	}
	if s.Admitted != s.Settled+s.Cancelled {
		o.Errorf("%d calls admitted, %d settled and %d cancelled", s.Admitted, s.Settled, s.Cancelled)
	}
}

// An outage of more than MaxOutage ends all waits at once. Afterwards a call looks
// whether the server is back, and all others fail at once.
func TestOutageTooLong(t *testing.T) {
	inOutage(t, ratelimited.Config{MaxOutage: time.Minute}, func(o *outageTest) {
		o.alive()
		calls, wait := o.queue(o.Context(), outageCalls, oneModel)
		time.Sleep(outageBegin - o.now())
		o.server.SetDown(true)
		wait()
		for i, c := range calls {
			if c.took < outageBegin && c.err == nil {
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
			if c.took < outageBegin+time.Minute || c.took > outageBegin+time.Minute+time.Second {
				t.Errorf("call %d fails at %v", i, c.took)
			}
		}
		for range 3 {
			var err error
			if took := elapsed(func() { _, err = start(o.Context(), o.client) }); took != 0 || !errors.Is(err, ratelimited.ErrOutage) {
				t.Errorf("after %v: %v, want an OutageError at once", took, err)
			}
		}
		o.server.SetDown(false)
		o.alive()
		if s := snapshot(o.client); !s.OutageSince.IsZero() {
			t.Errorf("the outage since %v is not over", s.OutageSince)
		}
	})
}

// The address of a server that has never answered is wrong, most likely: the error comes
// within the retries, and names it.
func TestServerThatWasNeverThere(t *testing.T) {
	inOutage(t, ratelimited.Config{}, func(o *outageTest) {
		o.server.SetDown(true)
		calls, wait := o.queue(o.Context(), 5, oneModel)
		wait()
		for _, c := range calls {
			var transport *ratelimited.TransportError
			if !errors.As(c.err, &transport) || transport.Attempts != 4 || errors.Is(c.err, ratelimited.ErrOutage) || !strings.Contains(c.err.Error(), "dial mem mem: connection refused") {
				t.Errorf("error %v, want a TransportError after 4 attempts", c.err)
			}
			if c.took > 14*time.Second {
				t.Errorf("it comes after %v", c.took)
			}
		}
	})
}

// What was never sent is held whatever MaxRetries says. What was sent is not sent again
// with MaxRetries 0.
func TestOutageWithoutRetries(t *testing.T) {
	inOutage(t, ratelimited.Config{MaxRetries: ratelimited.NoRetries}, func(o *outageTest) {
		o.alive()
		o.server.SetDown(true)
		synctest.Wait() // the connection that was kept is gone
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
				t.Errorf("call %d was sent twice", r.call)
			}
			seen[r.call] = true
		}
	})
}

// A context ends a wait as always, its deadline does not before its time, and the next
// in line looks whether the server is back.
func TestContextEndsInOutage(t *testing.T) {
	inOutage(t, ratelimited.Config{}, func(o *outageTest) {
		o.alive()
		o.server.SetDown(true)
		ctx, cancel := context.WithTimeout(o.Context(), 7*time.Second)
		defer cancel()
		impatient, waitImpatient := o.queue(ctx, 3, oneModel)
		patient, wait := o.queue(o.Context(), 3, oneModel)
		waitImpatient()
		for _, c := range impatient {
			var waited *ratelimited.WaitError
			if !errors.Is(c.err, context.DeadlineExceeded) || c.took < 7*time.Second || c.took > 7100*time.Millisecond {
				t.Errorf("after %v: %v, want the deadline after 7 s", c.took, c.err)
			}
			if held := errors.As(c.err, &waited); held && waited.Outage == nil || held && !strings.Contains(c.err.Error(), o.server.URL()+" has been down since") || !strings.Contains(c.err.Error(), "connection refused") { // the probe may have been under way
				t.Errorf("error %v does not say what is down and why", c.err)
			}
		}
		o.server.SetDown(false)
		back := o.now()
		wait()
		o.wantAllDone(patient)
		if took := patient[2].took - back; took > 5500*time.Millisecond {
			t.Errorf("the others go on %v after the server is back", took)
		}
	})
}

// One model that fails holds its own calls; the others go on as if nothing was, also
// where they share its limit. When another one fails, too, it is the host.
func TestOutageOfOneModel(t *testing.T) {
	for name, test := range map[string]struct {
		down    string // models
		failed  string // an outage that the observer hears of
		held    string // models
		current string // what the snapshot says is down
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
			inOutage(t, config, func(o *outageTest) {
				o.alive()
				for model := range strings.FieldsSeq(test.down) {
					o.fail(model, status(503, "busy"))
				}
				calls, wait := o.queue(o.Context(), 60, func(i int) string { return []string{"a", "b", "c"}[i%3] })
				time.Sleep(30*time.Second - o.now())
				synctest.Wait()
				s := snapshot(o.client)
				if s.OutageSince.IsZero() || !strings.Contains(s.OutageCause, "busy") || !strings.HasPrefix(strings.TrimPrefix(s.OutageCause, o.server.URL()), test.current) {
					t.Errorf("the snapshot says %v %q", s.OutageSince, s.OutageCause)
				}
				for i, c := range calls {
					model := string("abc"[i%3])
					if held := strings.Contains(test.held, model); held && c.took > 0 || !held && (c.took == 0 || c.took > 3*time.Second) {
						t.Errorf("call %d of %s has ended: %v, after %v", i, model, c.took > 0, c.took)
					}
				}
				o.fail("a", nil)
				o.fail("b", nil)
				wait()
				o.wantAllDone(calls)
			})
			slices.Sort(began)
			slices.Sort(ended)
			if !slices.Contains(began, test.failed) || !slices.Equal(began, ended) {
				t.Errorf("outages of %q began, of %q ended, want one of %q", began, ended, test.failed)
			}
		})
	}
}

// A model that has too much to do holds its own calls, whatever the words, and nobody
// else's: the others have the throughput that they have without it.
func TestOverloadedModel(t *testing.T) {
	for name, body := range map[string]string{
		"message": `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","code":null}`,
		"code":    `{"object":"error","message":"Try again later.","type":"x","code":"3505"}`,
		"number":  `{"message":"Try again later.","code":3505}`,
		"type":    `{"message":"Try again later.","type":"service_tier_capacity_exceeded"}`,
	} {
		t.Run(name, func(t *testing.T) {
			throughput := func(overloaded bool) (others int) {
				inOutage(t, ratelimited.Config{}, func(o *outageTest) {
					o.alive()
					if overloaded {
						o.fail("a", status(429, body))
					}
					calls, wait := o.queue(o.Context(), 300, func(i int) string { return []string{"a", "b"}[i%2] })
					time.Sleep(10*time.Second - o.now())
					synctest.Wait()
					for i, c := range calls {
						if i%2 == 1 && c.took > 0 {
							others++
						}
					}
					o.fail("a", nil)
					wait()
					o.wantAllDone(calls)
				})
				return others
			}
			if with, without := throughput(true), throughput(false); with < without {
				t.Errorf("of 150 calls of the other model %d are done in 10 s, %d where no model is overloaded", with, without)
			}
		})
	}
	t.Run("for too long", func(t *testing.T) {
		inOutage(t, ratelimited.Config{MaxOutage: time.Minute}, func(o *outageTest) {
			o.fail("m", status(429, `{"message":"Service tier capacity exceeded for this model."}`))
			_, err := start(o.Context(), o.client)
			if !errors.Is(err, ratelimited.ErrOutage) || !errors.Is(err, ratelimited.ErrRateLimited) || o.now() < 50*time.Second || o.now() > 61*time.Second {
				t.Errorf("after %v: %v, want an OutageError with the 429", o.now(), err)
			}
			if n := len(o.between(0, time.Hour)); n > 31 {
				t.Errorf("%d requests in a minute", n)
			}
		})
	})
}

// Two calls that always fail look like an outage, but not for ever: the others go on, and
// the two fail.
func TestCallsThatAlwaysFail(t *testing.T) {
	inOutage(t, ratelimited.Config{RequestsPerSecond: 1}, func(o *outageTest) {
		o.alive()
		sent := map[string]int{}
		o.fail("m", func(w http.ResponseWriter, r *http.Request) {
			if call := r.Header.Get("X-Call"); call == "0" || call == "1" {
				o.mu.Lock()
				sent[call]++
				o.mu.Unlock()
				answer(w, 504, `{"message":"too heavy"}`)
				return
			}
			ok(w, r)
		})
		calls, wait := o.queue(o.Context(), 30, oneModel)
		wait()
		o.wantAllDone(calls[2:])
		for i, c := range calls[:2] {
			if !errors.Is(c.err, ratelimited.ErrServer) {
				o.Errorf("call %d: %v, want its own failure", i, c.err)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if sent["0"] > 40 || sent["1"] > 40 {
			o.Errorf("they were sent %v times", sent)
		}
	})
}

// A conversation whose model is not known is held by itself, and so are calls that ask no
// model.
func TestOutageOfWhatHasNoModel(t *testing.T) {
	overloaded := status(429, `{"message":"Service tier capacity exceeded for this model."}`)
	fine := func(w http.ResponseWriter, r *http.Request) {
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
	inBubble(t, config, fine, func(t *testing.T, client *ratelimited.Client) {
		request := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
		appending := func(id string) error {
			_, err := client.Beta.Conversations.Append(t.Context(), id, request)
			return err
		}
		if err := appending("conv_up"); err != nil {
			t.Fatal(err)
		}
		down := ratelimited.Async(func() (int, error) { return 0, appending("conv_down") })
		listing := ratelimited.Gather(t.Context(), make([]int, 2), func(ctx context.Context, _ int) (int, error) {
			_, err := client.Beta.Agents.List(ctx, generated.ListAgentsParams{})
			return 0, err
		})
		if took := elapsed(func() {
			if err := appending("conv_up"); err != nil {
				t.Error(err)
			}
		}); took > 50*time.Millisecond {
			t.Errorf("another conversation waits for %v", took)
		}
		_, err := down.Await(t.Context())
		for what, err := range map[string]error{"conv_down": err, "calls without a model": listing[0].Err} {
			var outage *ratelimited.OutageError
			if !errors.As(err, &outage) || outage.Model != what {
				t.Errorf("error %v, want an outage of %s", err, what)
			}
		}
	})
}

// What ends a call between its admission and its sending leaves no request spent.
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
	inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		_, err := start(ctx, client)
		s := snapshot(client)
		if !errors.Is(err, context.Canceled) || requests.Load() != 0 || s.Admitted+s.Retried-s.ReturnedRequests != 0 || s.TokensSettled != 0 {
			t.Errorf("%v after %d requests, with %d tokens settled and %+v", err, requests.Load(), s.TokensSettled, s)
		}
	})
}

// An observer that panics when an outage ends has the call's reply charged.
func TestObserverPanicsAtTheEndOfAnOutage(t *testing.T) {
	config := ratelimited.Config{Observer: func(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			if _, ended := event.(ratelimited.OutageEnded); ended {
				panic("broken observer")
			}
		}
	}}
	inOutage(t, config, func(o *outageTest) {
		o.alive()
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
			o.Error("no tokens are settled, want the estimate")
		}
	})
}

// Where the transport bounds the number of connections, one that cannot be made is an
// outage all the same, and a wait for one that is in use is not.
func TestOutageWithFewConnections(t *testing.T) {
	for name, dialing := range map[string]bool{"nobody answers": true, "all are in use": false} {
		t.Run(name, func(t *testing.T) {
			inOutage(t, ratelimited.Config{Timeout: 7 * time.Second}, func(o *outageTest) {
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
					o.dials(func(ctx context.Context) error {
						httptrace.ContextClientTrace(ctx).ConnectStart("tcp", "x") // as net.Dialer does
						select {
						case <-ctx.Done():
						case <-back:
						}
						return errors.New("no answer")
					})
					o.server.SetDown(true)
					o.server.SetDown(false)
				} else {
					o.fail("m", slow)
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
					t.Errorf("an outage is noticed: %v", held)
				}
				o.dials(nil)
				close(back)
				calls.Wait()
			})
		})
	}
}

// The log has a warning of each 429, and of the beginning and the end of an outage, and
// of nothing else; none shows what the server wrote.
func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	config := ratelimited.Config{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	inOutage(t, config, func(o *outageTest) {
		o.alive()
		o.fail("m", inTurn(status(429, tooMany, "Retry-After", "1"), ok, status(503, "SERVERTEXT"), status(503, "SERVERTEXT"), ok))
		o.alive()
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
