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
	def     *Limiter
	options []Option

	mu      sync.RWMutex
	byModel map[string]*Limiter
}

// NewGroup returns a group of limiters. The errors name the model, and wrap a
// [*LimitError] where its limit is not valid. "" is no model: its limit is def.
// All limiters get the options, also those that Set makes later.
func NewGroup(def Limit, byModel map[string]Limit, options ...Option) (*Group, error) {
	d, err := New(def, options...)
	if err != nil {
		return nil, fmt.Errorf("default limit: %w", err)
	}
	g := &Group{def: d, options: options, byModel: make(map[string]*Limiter, len(byModel))}
	for _, model := range slices.Sorted(maps.Keys(byModel)) { // so that the same error is reported every time
		if model == "" {
			return nil, errors.New(`limiter: model "" cannot have a limit of its own: it has the default`)
		}
		if g.byModel[model], err = New(byModel[model], options...); err != nil {
			return nil, modelError(model, err)
		}
	}
	return g, nil
}

// For returns the limiter of a model: its own if it has one, otherwise the
// default, which every unknown model and "" share.
func (g *Group) For(model string) *Limiter {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if l, ok := g.byModel[model]; ok {
		return l
	}
	return g.def
}

// Set changes the limit of a model, or the default for "". A model that had the
// default until now gets a limiter of its own, with full buckets; its calls
// that are waiting or in flight stay with the default.
func (g *Group) Set(model string, limit Limit) error {
	if model == "" {
		if err := g.def.SetLimit(limit); err != nil {
			return fmt.Errorf("default limit: %w", err)
		}
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.byModel[model]; ok {
		return modelError(model, l.SetLimit(limit))
	}
	l, err := New(limit, g.options...)
	if err != nil {
		return modelError(model, err)
	}
	g.byModel[model] = l
	return nil
}

// Snapshot returns the state of every limiter by model, the default as "". Each
// is exact for its instant; they are taken one after the other.
func (g *Group) Snapshot() map[string]Snapshot {
	g.mu.RLock()
	defer g.mu.RUnlock()
	m := make(map[string]Snapshot, len(g.byModel)+1)
	m[""] = g.def.Snapshot()
	for model, l := range g.byModel {
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
