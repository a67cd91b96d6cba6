package limiter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// maxModels bounds the number of models that get a limiter by their use or by the server's headers, and
// so the memory of a Group. Other models share the default.
const maxModels = 64

// A Group holds a limiter for each model with a separate limit, and a default limiter that all other
// models share. It is safe for concurrent use. The zero value is not usable: call [NewGroup].
type Group struct {
	def     Backend
	factory Factory

	setting   sync.Mutex // held while a limit is set, which may contact a server; For does not wait for it
	mu        sync.RWMutex
	byModel   map[string]Backend
	defLimit  Limit // configured default limit
	separate  bool
	freeSlots int                // unused part of maxModels
	byDefault map[string]Backend // the limiters in byModel with the default limit
}

// NewGroup returns a group with a default limit and the limits of byModel. factory makes all limiters,
// including those that Set adds later. The name "" is not valid in byModel. An error names the model,
// and wraps a [*LimitError] if its limit is not valid.
func NewGroup(def Limit, byModel map[string]Limit, factory Factory) (*Group, error) {
	d, err := factory.make("", def)
	if err != nil {
		return nil, fmt.Errorf("default limit: %w", err)
	}
	g := &Group{def: d, defLimit: def, freeSlots: maxModels, factory: factory, byModel: make(map[string]Backend, len(byModel)), byDefault: map[string]Backend{}}
	for _, model := range slices.Sorted(maps.Keys(byModel)) { // so that the same error is reported every time
		if model == "" {
			return nil, errors.New(`limiter: byModel: the model name must not be "" (the default limit is a separate argument)`)
		}
		if g.byModel[model], err = factory.make(model, byModel[model]); err != nil {
			return nil, modelError(model, err)
		}
	}
	return g, nil
}

// Separate makes For return a separate limiter with the default limit for each model without a limit,
// instead of the shared one. It does so for the first 64 such models. It is for limiters that learn what
// the server allows each model.
func (g *Group) Separate() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.separate = true
}

// For returns the limiter of a model: its separate limiter, or otherwise the default limiter, which all
// unknown models and "" share. See also [Group.Separate].
func (g *Group) For(model string) Backend {
	g.mu.RLock()
	l, ok := g.byModel[model]
	shared := !g.separate || g.freeSlots == 0
	g.mu.RUnlock()
	switch {
	case ok:
		return l
	case shared || model == "":
		return g.def
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.byModel[model]; ok {
		return l
	}
	l, err := g.factory.make(model, g.defLimit)
	if err != nil || g.freeSlots == 0 {
		return g.def
	}
	g.freeSlots--
	g.byModel[model], g.byDefault[model] = l, l
	return l
}

// Observe passes the server's count, from a response to a call to the given model, to the model's limiter.
//
// The server may name a token limit below the default for a model without a separate limit. The model's
// calls must then fit into both limits from now on. The model then does not slow down others, and all
// models together keep the default. The model's limit follows the server's headers, up to the default.
// [Group.For] then returns a new limiter. A call that waits in the default limiter may continue to wait,
// or give up and acquire from the new one in its old place.
func (g *Group) Observe(model string, s ServerState) {
	l := g.For(model)
	if _, tokens := s.Remaining(); tokens >= 0 && s.LimitTokens != nil {
		switch n, isNested := l.(*nested); {
		case isNested:
			g.updateNested(model, n, min(*s.LimitTokens, g.defaultLimit().TokensPerMinute))
		case l == g.def && *s.LimitTokens < g.defaultLimit().TokensPerMinute:
			if l = g.addNested(model, *s.LimitTokens); l == g.def {
				s.LimitTokens, s.RemainingTokens = nil, nil // the count of one model, not of all
			}
		}
	}
	l.Observe(s)
}

func (g *Group) defaultLimit() Limit {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.defLimit
}

// addNested makes the limiter of a model with the given token limit that also shares the default. It
// returns the model's present limiter if that fails.
func (g *Group) addNested(model string, perMinute int) Backend {
	g.setting.Lock()
	defer g.setting.Unlock()
	l := g.For(model)
	if model == "" || l != g.def {
		return l
	}
	g.mu.RLock()
	full := g.freeSlots == 0
	g.mu.RUnlock()
	if full {
		return l
	}
	n, err := newNested(g.def, g.factory, model, perMinute)
	if err != nil {
		return l
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.freeSlots == 0 {
		return l
	}
	g.freeSlots--
	g.byModel[model] = n
	return n
}

// updateNested changes the token limit of a nested limiter, unless Set has replaced the limiter.
func (g *Group) updateNested(model string, n *nested, perMinute int) {
	if n.tokenLimit.Load() == int64(perMinute) {
		return
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	if g.For(model) == n {
		n.setTokenLimit(perMinute)
	}
}

// Set changes the limit of a model, or of the default if model is "". Limiters that [Group.Separate] made
// have the default limit too. A model that shared the default until now gets a new limiter with full
// buckets. Its calls that wait or are in flight remain in the default limiter.
func (g *Group) Set(model string, limit Limit) error {
	if g == nil || g.def == nil {
		return errZeroGroup
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	if model == "" {
		return g.setDefault(limit)
	}
	l := g.For(model)
	var err error
	switch n, isNested := l.(*nested); {
	case isNested:
		if err = n.SetLimit(limit); err == nil {
			l = n.detach()
		}
	case l != g.def:
		err = l.SetLimit(limit)
	default:
		l, err = g.factory.make(model, limit)
	}
	if err != nil {
		return modelError(model, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byModel[model] = l
	delete(g.byDefault, model)
	return nil
}

// setDefault changes the default limit. The caller must hold g.setting. A limiter that For makes
// meanwhile has the new limit.
func (g *Group) setDefault(limit Limit) error {
	if err := g.def.SetLimit(limit); err != nil {
		return fmt.Errorf("default limit: %w", err)
	}
	g.mu.Lock()
	g.defLimit = limit
	byDefault := maps.Clone(g.byDefault)
	g.mu.Unlock()
	for model, l := range byDefault {
		if err := l.SetLimit(limit); err != nil {
			return modelError(model, err)
		}
	}
	return nil
}

// Snapshot returns the state of every limiter, by model; the default's key is "". The snapshots are taken
// one after the other.
func (g *Group) Snapshot() map[string]Snapshot {
	if g == nil || g.def == nil {
		return nil
	}
	all := g.backends()
	m := make(map[string]Snapshot, len(all))
	for model, l := range all {
		m[model] = l.Snapshot()
	}
	return m
}

// backends returns every limiter, by model; the default's key is "".
func (g *Group) backends() map[string]Backend {
	g.mu.RLock()
	defer g.mu.RUnlock()
	all := maps.Clone(g.byModel)
	all[""] = g.def
	return all
}

func modelError(model string, err error) error {
	return fmt.Errorf("model %q: %w", model, err)
}
