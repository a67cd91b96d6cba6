// Package emulatortest connects a client to an emulator of the API, for use in tests. It
// checks every request and response against the OpenAPI document: each violation fails the
// test.
//
//	func TestGreeting(t *testing.T) {
//		client, _ := emulatortest.New(t)
//		response, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
//			Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
//		})
//		if err != nil || response.OutputText() != "hello" {
//			t.Errorf("%v, %v", response, err)
//		}
//	}
//
// [Run] does the same in virtual time, where hours pass in milliseconds. The package closes
// the client and the emulator when the test ends. If the test fails, the package logs the
// requests and responses.
package emulatortest

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Key is the API key of the client.
const Key = "emulatortest-key"

// Option configures the client and the emulator of a test.
type Option func(*settings)

type settings struct {
	server emulator.Config
	client ratelimited.Config

	unchecked bool
	script    *emulator.Script
}

// WithServer sets the emulator's configuration. The client uses the same API key and the
// same limits, except the limit of [emulator.NoModel], unless [WithClient] sets others.
// The Control field is always on. Each call of OnViolation also fails the test.
func WithServer(cfg emulator.Config) Option {
	return func(s *settings) { s.server = cfg }
}

// WithClient changes the client's configuration. By default, it sets only the API key and,
// with [New], short retry delays. BaseURL and HTTPClient must not be set, because they
// connect the client to the emulator.
func WithClient(change func(*ratelimited.Config)) Option {
	return func(s *settings) { change(&s.client) }
}

// WithScript makes the emulator's model follow a script. Each step is one response, in
// order, unless a rule matches the request; see [emulator.NewScript]. The test fails if a
// step or rule is never used, or if a request matches none of them. The Model of
// [WithServer] must not be set.
func WithScript(turns ...emulator.Turn) Option {
	return func(s *settings) { s.script = emulator.NewScript(turns...) }
}

// Unchecked disables the client's check against the document. Use it with faults whose
// responses violate the document.
func Unchecked() Option { return func(s *settings) { s.unchecked = true } }

// New returns a client and an emulator on a free port of 127.0.0.1. If the emulator's
// configuration does not set limits, those of the client are too high to matter. Retry
// delays are 1–10 ms.
func New(t testing.TB, options ...Option) (*ratelimited.Client, *emulator.Server) {
	t.Helper()
	return start(t, emulator.Start, new(net.Dialer).DialContext, append([]Option{WithClient(func(c *ratelimited.Config) {
		c.BaseDelay, c.MaxDelay = time.Millisecond, 10*time.Millisecond
	})}, options...))
}

// Run calls f with a client and an emulator that are connected in memory. f runs under
// [synctest], so limits, delays and retries take virtual time. Retries use the client's
// default delays. f must not use real connections, and must end all goroutines that it
// starts.
func Run(t *testing.T, f func(t *testing.T, client *ratelimited.Client, server *emulator.Server), options ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		var network memnet.Network
		client, server := start(t, func(cfg emulator.Config) (*emulator.Server, error) {
			return emulator.Serve(network.Listen, "127.0.0.1:80", cfg)
		}, network.Dial, options)
		f(t, client, server)
	})
}

func start(t testing.TB, serve func(emulator.Config) (*emulator.Server, error),
	dial func(ctx context.Context, network, address string) (net.Conn, error), options []Option,
) (*ratelimited.Client, *emulator.Server) {
	t.Helper()
	s := settings{client: ratelimited.Config{APIKey: Key}}
	for _, option := range options {
		option(&s)
	}
	switch {
	case s.client.BaseURL != "" || s.client.HTTPClient != nil:
		t.Fatal("emulatortest: WithClient: BaseURL and HTTPClient must not be set")
	case s.script != nil && s.server.Model != nil:
		t.Fatal("emulatortest: WithScript: Model of WithServer must not be set")
	}
	if s.server.APIKey != "" && s.client.APIKey == Key {
		s.client.APIKey = s.server.APIKey
	}
	if s.script != nil {
		s.server.Model = s.script.Reply
	}
	s.server.Control = true // The emulator then records request bodies.
	report := s.server.OnViolation
	s.server.OnViolation = func(err error) {
		t.Errorf("emulatortest: the emulator violated the document: %v", err)
		if report != nil {
			report(err)
		}
	}
	server, err := serve(s.server)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 100}
	exchanges := &recorder{base: transport, key: s.client.APIKey}
	setLimits(&s)
	s.client.BaseURL = server.URL()
	s.client.HTTPClient = contract.Client(t, exchanges)
	if s.unchecked {
		s.client.HTTPClient = &http.Client{Transport: exchanges}
	}
	client, err := ratelimited.New(s.client)
	if err != nil {
		_ = server.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		exchanges.closeBodies()
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if s.script != nil {
			if err := s.script.Check(); err != nil {
				t.Errorf("%v", err)
			}
		}
		if t.Failed() {
			t.Log(exchanges)
		}
	})
	return client, server
}

// setLimits copies the emulator's limits, including per-model limits, to the client where
// the client's are not set. If the emulator's are not set either, setLimits uses limits that
// are too high to matter.
func setLimits(s *settings) {
	const requests, tokens = 1_000_000, 1_000_000_000_000
	s.client.RequestsPerSecond = cmp.Or(s.client.RequestsPerSecond, s.server.RequestsPerSecond, requests)
	s.client.TokensPerMinute = cmp.Or(s.client.TokensPerMinute, s.server.TokensPerMinute, tokens)
	all := maps.Clone(s.client.Limits) // The test owns the original.
	for model, limit := range s.server.Limits {
		if _, set := all[model]; set || model == emulator.NoModel {
			continue // The client uses its default limit for calls without a model.
		}
		if all == nil {
			all = map[string]limiter.Limit{}
		}
		all[model] = limiter.Limit{
			RequestsPerSecond: cmp.Or(limit.RequestsPerSecond, requests), TokensPerMinute: cmp.Or(limit.TokensPerMinute, tokens),
		}
	}
	s.client.Limits = all
}
