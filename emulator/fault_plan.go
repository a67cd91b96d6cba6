package emulator

import (
	"slices"
	"sync"
)

// plan decides which requests are struck by which fault.
type plan struct {
	seed uint64

	mu   sync.Mutex
	list []*planned
}

// planned is one fault and how far it has come.
type planned struct {
	Fault
	target target
	only   calls
	seen   int // requests that match
	struck int
}

func newPlan(cfg Config) *plan {
	p := &plan{seed: cfg.Seed}
	p.set(cfg.Faults)
	return p
}

// set puts valid faults in place of those there were; all begin anew.
func (p *plan) set(faults []Fault) {
	list := make([]*planned, len(faults))
	for i, f := range faults {
		to, err := parseTarget(f.Operation)
		if err != nil {
			panic("emulator: " + err.Error()) // validate lets none pass.
		}
		list[i] = &planned{Fault: f.clone(), target: to, only: kinds[f.Kind].only}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

func (p *plan) faults() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Fault, len(p.list))
	for i, f := range p.list {
		list[i] = f.clone()
	}
	return list
}

func (p *plan) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list) == 0
}

// pick counts a request and returns the fault that strikes it, if one does.
func (p *plan) pick(x *exchange) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hit *planned
	for i, f := range p.list {
		if f.only == plainCall && x.stream || f.only == streamedCall && !x.stream || !f.target.matches(x) {
			continue
		}
		f.seen++
		if hit == nil && f.due() && (f.Probability == 0 || draw(p.seed, i, f.seen) < f.Probability) {
			hit = f
		}
	}
	if hit == nil {
		return Fault{}, false
	}
	hit.struck++
	return hit.Fault, true
}

// due reports whether the request seen last is one to strike, chance apart.
func (f *planned) due() bool {
	return (f.Nth == 0 || f.seen == f.Nth) && (f.Every == 0 || f.seen%f.Every == 0) && (f.Times == 0 || f.struck < f.Times)
}

// draw returns a number from 0 up to 1, without 1, that depends on its arguments alone.
func draw(seed uint64, fault, request int) float64 {
	x := scramble(scramble(seed+uint64(fault)) + uint64(request)) //nolint:gosec // Neither is negative.
	return float64(x>>11) / (1 << 53)
}

// scramble is the step of the generator splitmix64, by Sebastiano Vigna.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (f Fault) clone() Fault {
	f.Fields = slices.Clone(f.Fields)
	if f.Header != nil {
		header := make(map[string]string, len(f.Header))
		for name, value := range f.Header {
			header[name] = value
		}
		f.Header = header
	}
	return f
}

// Faults returns the faults that are in force.
func (e *Emulator) Faults() []Fault {
	if e.isZero() {
		return nil
	}
	return e.plan.faults()
}

// SetFaults puts other faults in place of those in force, for requests that come from
// now on; none leaves the emulator without. Their counts begin at 0. It changes
// nothing when one makes no sense.
func (e *Emulator) SetFaults(list ...Fault) error {
	if e.isZero() {
		return errNoEmulator
	}
	if err := validateFaults(list); err != nil {
		return err
	}
	if err := e.door.fit(list); err != nil {
		return err
	}
	e.plan.set(list)
	return nil
}
