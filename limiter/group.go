package limiter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// maxModels is how many models get a limiter by what they use or what the server says, so that
// what a Group keeps is bounded. Others share the default.
const maxModels = 64

// A Group holds a limiter for each model that has a limit of its own, and one
// that all other models share. It is safe for concurrent use; the zero value is
// not usable: call [NewGroup].
type Group struct {
	def     Backend
	factory Factory

	setting   sync.Mutex // held while a limit is set, which may have to ask a server; For does not wait for it
	mu        sync.RWMutex
	byModel   map[string]Backend
	defLimit  Limit // configured
	separate  bool
	freeSlots int                // how many of maxModels are left
	byDefault map[string]Backend // those of byModel that have the default limit
}

// NewGroup returns a group of limiters, which factory makes: those that Set adds
// later too. The errors name the model, and wrap a [*LimitError] where its limit is
// not valid. "" does not name a model: its limit is def.
func NewGroup(def Limit, byModel map[string]Limit, factory Factory) (*Group, error) {
	d, err := factory.make("", def)
	if err != nil {
		return nil, fmt.Errorf("default limit: %w", err)
	}
	g := &Group{def: d, defLimit: def, freeSlots: maxModels, factory: factory, byModel: make(map[string]Backend, len(byModel)), byDefault: map[string]Backend{}}
	for _, model := range slices.Sorted(maps.Keys(byModel)) { // so that the same error is reported every time
		if model == "" {
			return nil, errors.New(`limiter: model "" cannot have a limit of its own: it has the default`)
		}
		if g.byModel[model], err = factory.make(model, byModel[model]); err != nil {
			return nil, modelError(model, err)
		}
	}
	return g, nil
}

// Separate has For make a limiter with the default limit for each model that has none, instead of
// letting those models share one: for the first 64 of them. It is for limiters that learn what the
// server allows each model.
func (g *Group) Separate() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.separate = true
}

// For returns the limiter of a model: its own if it has one, otherwise the
// default, which every unknown model and "" share. See [Group.Separate] for models that share
// nothing.
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

// Observe tells the limiter of a model what the server said in a reply to a call to that model. If
// the server names a token limit of a model without a limit of its own, and it is lower than the default,
// the model's calls have to keep to both from now on: the model does not slow others down, and
// all of them together keep to the default. The limit follows what the server names, up to the
// default. [Group.For] then returns another limiter than before; a call that waits for the default
// may go on waiting, or give up and wait for the new one in its place.
func (g *Group) Observe(model string, s ServerState) {
	l := g.For(model)
	if _, tokens := s.Remaining(); tokens >= 0 && s.LimitTokens != nil {
		switch n, isNested := l.(*nested); {
		case isNested:
			g.updateNested(model, n, min(*s.LimitTokens, g.defaultLimit().TokensPerMinute))
		case l == g.def && *s.LimitTokens < g.defaultLimit().TokensPerMinute:
			if l = g.addNested(model, *s.LimitTokens); l == g.def {
				s.LimitTokens, s.RemainingTokens = nil, nil // they are not those of all models
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

// addNested makes the limiter of a model that has the given token limit and shares the default too. It
// returns what the model has if that cannot be made.
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

// updateNested changes the token limit of a nested limiter, unless Set has replaced that.
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

// Set changes the limit of a model, or the default for "", which [Group.Separate] has given to several
// limiters. A model that shared the default until now gets a limiter, with full buckets; its calls
// that are waiting or in flight stay with the default.
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

// setDefault requires that g.setting is held. A limiter that For makes meanwhile has the new limit.
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

// Snapshot returns the state of every limiter by model, the default as "". Each
// is exact for its instant; they are taken one after the other.
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

// backends returns every limiter by model, the default as "".
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
