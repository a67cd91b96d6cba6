// Package emulatortest gives a test a client and an emulator of the API, with the contract
// between them: each request and response that differs from the OpenAPI document is an error
// of the test.
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
// [Run] does the same in virtual time, in which hours pass in milliseconds. Everything is
// closed when the test ends. A test that fails prints what was exchanged.
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

// Option changes the configurations of a test.
type Option func(*settings)

type settings struct {
	server emulator.Config
	client ratelimited.Config

	unchecked bool
	script    *emulator.Script
}

// WithServer sets the emulator's configuration. Its limits, except for that of [emulator.NoModel],
// and its API key are those of the client, too, unless [WithClient] sets others. Control is always on, and what OnViolation is
// called with is an error of the test, too.
func WithServer(cfg emulator.Config) Option {
	return func(s *settings) { s.server = cfg }
}

// WithClient changes the client's configuration, which has only the API key and the delays of
// retries set. BaseURL and HTTPClient lead to the emulator and must not be set.
func WithClient(change func(*ratelimited.Config)) Option {
	return func(s *settings) { change(&s.client) }
}

// WithScript has the emulator's model answer by a script: each step is one reply, in their
// order, but where a rule fits; see [emulator.NewScript]. A step or rule that is never used
// fails the test, as does a request that nothing fits. The Model of [WithServer] must not be
// set beside it.
func WithScript(turns ...emulator.Turn) Option {
	return func(s *settings) { s.script = emulator.NewScript(turns...) }
}

// Unchecked has no contract between client and emulator, for faults whose responses differ
// from the document.
func Unchecked() Option { return func(s *settings) { s.unchecked = true } }

// New returns a client and an emulator on a free port of 127.0.0.1. Without limits in the
// emulator's configuration the client has practically none. Retries wait milliseconds.
func New(t testing.TB, options ...Option) (*ratelimited.Client, *emulator.Server) {
	t.Helper()
	return start(t, emulator.Start, new(net.Dialer).DialContext, append([]Option{WithClient(func(c *ratelimited.Config) {
		c.BaseDelay, c.MaxDelay = time.Millisecond, 10*time.Millisecond
	})}, options...))
}

// Run calls f in a [synctest] bubble with a client and an emulator, connected in memory.
// Limits, delays and retries take virtual time, and the retries are the client's usual ones.
// f must not use real connections, and must end all goroutines that it starts.
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
		t.Fatal("emulatortest: WithClient: BaseURL and HTTPClient must not be set: they lead to the emulator")
	case s.script != nil && s.server.Model != nil:
		t.Fatal("emulatortest: WithScript: must not be used with a Model of WithServer")
	}
	if s.server.APIKey != "" && s.client.APIKey == Key {
		s.client.APIKey = s.server.APIKey
	}
	if s.script != nil {
		s.server.Model = s.script.Reply
	}
	s.server.Control = true // which records the bodies of requests
	report := s.server.OnViolation
	s.server.OnViolation = func(err error) {
		t.Errorf("the emulator sends %v", err)
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
	limits(&s)
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

// limits gives the client the limits of the emulator, those of single models too, where it has
// none. Where the emulator has none, they are practically none.
func limits(s *settings) {
	const requests, tokens = 1_000_000, 1_000_000_000_000
	s.client.RequestsPerSecond = cmp.Or(s.client.RequestsPerSecond, s.server.RequestsPerSecond, requests)
	s.client.TokensPerMinute = cmp.Or(s.client.TokensPerMinute, s.server.TokensPerMinute, tokens)
	all := maps.Clone(s.client.Limits) // It is the test's.
	for model, limit := range s.server.Limits {
		if _, set := all[model]; set || model == emulator.NoModel {
			continue // The client has one limit for the calls that run no model: the default.
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
