// Package inject decides which requests have which fault, and carries the faults out.
package inject

import (
	"maps"
	"slices"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// Plan decides which requests have which fault. It is safe for concurrent use.
type Plan struct {
	seed uint64

	mu   sync.Mutex
	list []*planned
}

// planned is one fault and its counts.
type planned struct {
	fault.Fault
	matches  func(fault.Call) bool
	seen     int // requests that match
	injected int
}

// NewPlan returns a plan of faults that are valid.
func NewPlan(seed uint64, faults []fault.Fault) *Plan {
	p := &Plan{seed: seed}
	p.Set(faults)
	return p
}

// Set replaces the faults with others that are valid; all counts begin at 0.
func (p *Plan) Set(faults []fault.Fault) {
	list := make([]*planned, len(faults))
	for i, f := range faults {
		matches, err := f.Matcher()
		if err != nil {
			panic("emulator: " + err.Error()) // Validate reports those.
		}
		list[i] = &planned{Fault: clone(f), matches: matches}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

// Faults returns a copy of the faults.
func (p *Plan) Faults() []fault.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]fault.Fault, len(p.list))
	for i, f := range p.list {
		list[i] = clone(f.Fault)
	}
	return list
}

// Empty reports whether no fault is left.
func (p *Plan) Empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list) == 0
}

// Pick counts a call and returns the fault to inject into it; nil for none.
func (p *Plan) Pick(call fault.Call) *Injection {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hit *planned
	for i, f := range p.list {
		if !f.matches(call) {
			continue
		}
		f.seen++
		if hit == nil && f.due() && (f.Probability == 0 || wire.Sample(p.seed, i, f.seen) < f.Probability) {
			hit = f
		}
	}
	if hit == nil {
		return nil
	}
	hit.injected++
	return &Injection{Fault: hit.Fault}
}

// due reports whether the request seen last is one to inject the fault into, chance apart.
func (f *planned) due() bool {
	return (f.Nth == 0 || f.seen == f.Nth) && (f.Every == 0 || f.seen%f.Every == 0) && (f.Times == 0 || f.injected < f.Times)
}

func clone(f fault.Fault) fault.Fault {
	f.Fields, f.Header = slices.Clone(f.Fields), maps.Clone(f.Header)
	return f
}
