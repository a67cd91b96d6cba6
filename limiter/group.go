package limiter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Group holds a limiter for each model that has a limit of its own, and one
// that all other models share. It is safe for concurrent use; the zero value is
// not usable: call [NewGroup].
type Group struct {
	def     Backend
	factory Factory

	setting sync.Mutex // held by Set, which may have to ask a server; no other method waits for it
	mu      sync.RWMutex
	byModel map[string]Backend
	begin   Limit // of the limiters that For makes
	more    int   // how many limiters For may make yet
}

// NewGroup returns a group of limiters, which factory makes: those that Set adds
// later too. The errors name the model, and wrap a [*LimitError] where its limit is
// not valid. "" is no model: its limit is def.
func NewGroup(def Limit, byModel map[string]Limit, factory Factory) (*Group, error) {
	d, err := factory.make("", def)
	if err != nil {
		return nil, fmt.Errorf("default limit: %w", err)
	}
	g := &Group{def: d, begin: def, factory: factory, byModel: make(map[string]Backend, len(byModel))}
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
// letting those models share one: for the given number of models at most, so that what is kept is
// bounded. It is for limiters that learn what the server allows each model.
func (g *Group) Separate(models int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.more = models
}

// For returns the limiter of a model: its own if it has one, otherwise the
// default, which every unknown model and "" share. See [Group.Separate] for models that share
// nothing.
func (g *Group) For(model string) Backend {
	g.mu.RLock()
	l, ok := g.byModel[model]
	shared := g.more <= 0
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
	l, err := g.factory.make(model, g.begin)
	if err != nil || g.more <= 0 {
		return g.def
	}
	g.more--
	g.byModel[model] = l
	return l
}

// Set changes the limit of a model, or the default for "". A model that had the
// default until now gets a limiter of its own, with full buckets; its calls
// that are waiting or in flight stay with the default.
func (g *Group) Set(model string, limit Limit) error {
	if g == nil || g.def == nil {
		return errZeroGroup
	}
	if model == "" {
		if err := g.def.SetLimit(limit); err != nil {
			return fmt.Errorf("default limit: %w", err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.begin = limit
		return nil
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	if l := g.For(model); l != g.def {
		return modelError(model, l.SetLimit(limit))
	}
	l, err := g.factory.make(model, limit)
	if err != nil {
		return modelError(model, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byModel[model] = l
	return nil
}

// Snapshot returns the state of every limiter by model, the default as "". Each
// is exact for its instant; they are taken one after the other.
func (g *Group) Snapshot() map[string]Snapshot {
	if g == nil || g.def == nil {
		return nil
	}
	g.mu.RLock()
	limiters := maps.Clone(g.byModel)
	g.mu.RUnlock()
	m := make(map[string]Snapshot, len(limiters)+1)
	m[""] = g.def.Snapshot()
	for model, l := range limiters {
		m[model] = l.Snapshot()
	}
	return m
}

func modelError(model string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("model %q: %w", model, err)
}
