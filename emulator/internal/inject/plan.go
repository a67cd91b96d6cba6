// Package inject selects the fault of each request and injects it.
package inject

import (
	"maps"
	"slices"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// Plan selects the fault of each request. It is safe for concurrent use.
type Plan struct {
	seed uint64

	mu   sync.Mutex
	list []*planned
}

// planned is a fault with its counts.
type planned struct {
	fault.Fault
	matches  func(fault.Call) bool
	matched  int // number of matching requests
	injected int // number of injections
}

// NewPlan returns a plan with valid faults.
func NewPlan(seed uint64, faults []fault.Fault) *Plan {
	p := &Plan{seed: seed}
	p.Set(faults)
	return p
}

// Set replaces the faults. The new faults must be valid; their counts start at 0.
func (p *Plan) Set(faults []fault.Fault) {
	list := make([]*planned, len(faults))
	for i, f := range faults {
		matches, err := f.Matcher()
		if err != nil {
			panic("emulator: " + err.Error()) // Validate reports this error.
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

// Empty reports whether the list of faults is empty.
func (p *Plan) Empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list) == 0
}

// Pick counts a call and returns the fault to inject into it, or nil.
func (p *Plan) Pick(call fault.Call) *Injection {
	p.mu.Lock()
	defer p.mu.Unlock()
	var picked *planned
	for i, f := range p.list {
		if !f.matches(call) {
			continue
		}
		f.matched++
		if picked == nil && f.due() && (f.Probability == 0 || wire.Sample(p.seed, i, f.matched) < f.Probability) {
			picked = f
		}
	}
	if picked == nil {
		return nil
	}
	picked.injected++
	return &Injection{Fault: picked.Fault}
}

// due reports whether the last matching request meets Nth, Every and Times.
func (f *planned) due() bool {
	return (f.Nth == 0 || f.matched == f.Nth) && (f.Every == 0 || f.matched%f.Every == 0) && (f.Times == 0 || f.injected < f.Times)
}

func clone(f fault.Fault) fault.Fault {
	f.Fields, f.Header = slices.Clone(f.Fields), maps.Clone(f.Header)
	return f
}
