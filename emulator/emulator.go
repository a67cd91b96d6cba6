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

// Emulator is the API as an [http.Handler]. It is safe for concurrent use. Make one
// with [New]. The zero value responds to each request with status 500 and the reason.
type Emulator struct {
	cfg      Config            // without its key
	isKey    func(string) bool // a function, because printers do not look into one; nil accepts any key
	access   access
	contract *contract.Contract
	routes   http.Handler
	store    *state.Store
	quota    *quota.Limiter
	engine   engine.Engine
	faults   *inject.Plan
	journal  *journal
	inFlight *inFlight
	listener *listener // nil for a handler

	completer *completer
}

// New returns an emulator. It panics when a field of the configuration makes no
// sense, and for [FaultRefuse]; [Start] returns the former as an error, and can do the
// latter.
func New(cfg Config) *Emulator {
	if err := cfg.validate(); err != nil {
		panic(err)
	}
	if err := checkFaults(cfg.Faults, nil); err != nil {
		panic(err)
	}
	return newEmulator(cfg, nil)
}

// newEmulator is New for a configuration that is right.
func newEmulator(cfg Config, l *listener) *Emulator {
	cfg.Faults = slices.Clone(cfg.Faults) // Reset returns to them.
	if cfg.Model == nil {
		cfg.Model = DefaultModel
	}
	isKey := cfg.redact()
	e := &Emulator{
		cfg:      cfg,
		isKey:    isKey,
		access:   newAccess(cfg, l.names()...),
		contract: contract.Lenient(),
		store:    state.New(MaxKeptBytes),
		quota:    quota.New(cfg.quota()),
		faults:   inject.NewPlan(cfg.Seed, cfg.Faults),
		journal:  newJournal(),
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

// Reset makes an emulator as new: it forgets what it keeps, what it has counted and
// what it has seen, and the faults are those of [Config.Faults] again. A request that is
// being served is not disturbed; what it stores is gone, what it uses counts anew.
func (e *Emulator) Reset() {
	if e.isZero() {
		return
	}
	e.store.Reset()
	e.quota.Reset()
	e.journal.reset()
	e.faults.Set(e.cfg.Faults)
}

// redact takes the key out of a Config and returns a function that compares another key
// with it; nil if there is none.
func (c *Config) redact() func(string) bool {
	key := c.APIKey
	if key == "" {
		return nil
	}
	c.APIKey = "REDACTED"
	return func(other string) bool { return other == key }
}

// printable is a Config without methods and without its key.
func (c Config) printable() any {
	type config Config
	_ = c.redact() // The function is not needed here.
	return config(c)
}

// Format implements [fmt.Formatter]; no verb for values prints the key. Package fmt itself
// prints fields where a verb is wrong, as %p and, outside [fmt.Errorf], %w are: go vet reports
// that.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.printable())
}

// MarshalText implements [encoding.TextMarshaler], which encoding/json and
// log/slog use; the key is not printed.
func (c Config) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", c.printable()), nil
}

// Format prints the configuration, without the key; for a [Server] too.
func (e Emulator) Format(f fmt.State, verb rune) { e.cfg.Format(f, verb) }
