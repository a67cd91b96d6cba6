package emulator

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/engine"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/inject"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/quota"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/server"
)

// Emulator is an [http.Handler] that implements the API. It is safe for concurrent use.
// Create one with [New]. The zero value responds to each request with status 500 and the
// reason.
type Emulator struct {
	cfg      Config            // without its key
	isKey    func(string) bool // a function, so that printing the Emulator does not reveal the key; nil accepts any nonempty key
	access   access
	contract *contract.Contract
	routes   http.Handler
	store    *state.Store
	quota    *quota.Limiter
	engine   engine.Engine
	faults   *inject.Plan
	log      *requestLog
	inFlight *inFlight
	listener *listener // nil for a handler

	completer *completer
}

// New returns an emulator. It panics if the configuration is invalid or contains
// [FaultRefuse], which needs a listener. [Start] supports [FaultRefuse], and returns an
// error for an invalid configuration.
func New(cfg Config) *Emulator {
	if err := cfg.validate(); err != nil {
		panic(err)
	}
	if err := checkFaults(cfg.Faults, nil); err != nil {
		panic(err)
	}
	return newEmulator(cfg, nil)
}

// newEmulator returns an emulator for a valid configuration. l is nil for a handler.
func newEmulator(cfg Config, l *listener) *Emulator {
	cfg.Faults = slices.Clone(cfg.Faults) // Reset restores them.
	if cfg.Model == nil {
		cfg.Model = DefaultModel
	}
	isKey := cfg.redact()
	e := &Emulator{
		cfg:      cfg,
		isKey:    isKey,
		access:   newAccess(cfg, l.hostNames()...),
		contract: contract.Lenient(),
		store:    state.New(MaxKeptBytes),
		quota:    quota.New(cfg.quota()),
		faults:   inject.NewPlan(cfg.Seed, cfg.Faults),
		log:      newRequestLog(),
		inFlight: newInFlight(),
		listener: l,

		completer: defaultCompleter(),
	}
	e.engine = engine.Engine{Model: cfg.Model, Store: e.store, Quota: e.quota, TokenDelay: cfg.TokenDelay, TokensPerSecond: cfg.TokensPerSecond}
	e.routes = server.HandlerWithOptions(api{e}, server.StdHTTPServerOptions{
		ErrorHandlerFunc: func(_ http.ResponseWriter, r *http.Request, err error) {
			e.fail(callOf(r), wire.Unprocessable(err))
		},
	})
	return e
}

// Reset restores the emulator's initial state. It deletes all conversations, agents,
// counters and recorded requests, and restores the faults of [Config.Faults]. Requests in
// flight continue: data that they have stored is deleted, and tokens that they use later
// count anew.
func (e *Emulator) Reset() {
	if e.isZero() {
		return
	}
	e.store.Reset()
	e.quota.Reset()
	e.log.reset()
	e.faults.Set(e.cfg.Faults)
}

// redact removes the key from c. It returns a function that compares a key with the
// removed one, or nil if the key is empty.
func (c *Config) redact() func(string) bool {
	key := c.APIKey
	if key == "" {
		return nil
	}
	c.APIKey = "REDACTED"
	return func(other string) bool { return other == key }
}

// printable returns c without its key, as a type without methods.
func (c Config) printable() any {
	type config Config
	_ = c.redact()
	return config(c)
}

// Format implements [fmt.Formatter] and omits the key for every verb that formats values.
// For an invalid verb, such as %p, package fmt prints the fields itself; go vet reports
// these verbs. The verb %w is invalid outside of [fmt.Errorf].
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.printable())
}

// MarshalText implements [encoding.TextMarshaler] for encoding/json and log/slog. The
// result does not contain the key.
func (c Config) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", c.printable()), nil
}

// Format implements [fmt.Formatter], for a [Server] too. It prints the configuration without
// the key.
func (e Emulator) Format(f fmt.State, verb rune) { e.cfg.Format(f, verb) }
