package outage

import (
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Gates are the gates of one client. They are safe for concurrent use.
type Tracker struct {
	ownHost   string                    // host that is never forgotten
	maxOutage time.Duration             // of an outage; with 0 or less gates never close
	backoff   func(n int) time.Duration // before the n-th probe

	mu      sync.Mutex
	hosts   map[string]*host
	counter uint64 // numbers calls, and attempts in the order of sending
}

// MaxProbeInterval is how far apart probes are at most, unless the server asks for
// more or the limiter admits no call.
const MaxProbeInterval = 5 * time.Second

// minProbeInterval is how soon after the beginning of an outage the first probe may
// be sent: most outages are short.
const minProbeInterval = 100 * time.Millisecond

// New returns the gates of a client, most of whose calls are to its own host, all
// open. Calls are held for at most maxOutage; 0 or less means never.
func New(ownHost string, maxOutage time.Duration) *Tracker {
	return &Tracker{
		ownHost:   ownHost,
		maxOutage: maxOutage,
		backoff:   limiter.ExponentialBackoff(minProbeInterval, MaxProbeInterval),
		hosts:     map[string]*host{},
	}
}

// Bounds of what is remembered. What is forgotten counts as never seen.
const (
	maxHosts  = 16
	maxModels = 250
)

// A host is what is known of a server.
type host struct {
	name      string
	wasAlive  bool   // has shown a sign of life
	lastAlive uint64 // number of the latest attempt that got a sign of life
	hold      *hold  // nil: its gate is open
	models    map[string]*model
	waiting   map[*Call]struct{} // for a gate to open
	sleeping  map[*Call]struct{} // between two attempts
}

// A model is what is known of one model of a host.
type model struct {
	lastAlive    uint64  // as host.alive
	firstFailure failure // the first since then
	hold         *hold   // nil: its gate is open
}

// A failure is evidence of an outage.
type failure struct {
	call uint64 // number of the call; 0 without a failure
	sent uint64 // number of the attempt
}

// since reports whether a failure is of an attempt that was sent after the given one.
func (f failure) sentAfter(alive uint64) bool { return f.call != 0 && f.sent > alive }

// host returns the host of a name. It requires that g.mu is held.
func (t *Tracker) host(name string) *host {
	h := t.hosts[name]
	if h == nil {
		idle := func(h *host) bool { return h.name != t.ownHost && len(h.waiting)+len(h.sleeping) == 0 }
		evicted := evict(t.hosts, maxHosts, func(h *host) bool { return idle(h) && h.hold == nil && !h.wasAlive }, func(h *host) bool { return idle(h) && h.hold == nil }, idle)
		if evicted != nil {
			evicted.hold.end() // its timers would keep it, and calls of its models may be in flight
			for _, m := range evicted.models {
				m.hold.end()
			}
		}
		h = &host{name: name, models: map[string]*model{}, waiting: map[*Call]struct{}{}, sleeping: map[*Call]struct{}{}}
		t.hosts[name] = h
	}
	return h
}

// model returns a model of the host.
func (h *host) model(name string) *model {
	m := h.models[name]
	if m == nil {
		evicted := evict(h.models, maxModels,
			func(m *model) bool { return m.hold == nil && !m.firstFailure.sentAfter(m.lastAlive) },
			func(m *model) bool { return m.hold == nil || m.hold.expiredAt != 0 },
			func(m *model) bool { return !h.hasWaiting(m) })
		if evicted != nil {
			evicted.hold.end()
		}
		m = &model{}
		h.models[strings.Clone(name)] = m // it may be a part of a request
	}
	return m
}

// waits reports whether a call waits for the gate of a model.
func (h *host) hasWaiting(m *model) bool {
	for c := range h.waiting {
		if c.model == m {
			return true
		}
	}
	return false
}

// evict makes room in a map for one more entry, if one may go: one of the first kind,
// or else of the next. It returns what has gone, nil if nothing has.
func evict[T any](entries map[string]*T, maxEntries int, kinds ...func(*T) bool) *T {
	if len(entries) < maxEntries {
		return nil
	}
	for _, is := range kinds {
		for name, entry := range entries {
			if is(entry) {
				delete(entries, name)
				return entry
			}
		}
	}
	return nil
}

// An Outage is the time in which a gate is closed.
type Outage struct {
	Host  string    // scheme and authority
	Model string    // empty: all of the host
	Since time.Time // when the gate closed
	Cause error     // latest failure
}

// Held returns how many calls are held, by model.
func (t *Tracker) Held() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[string]int{}
	for _, h := range t.hosts {
		for c := range h.waiting {
			held[c.name]++
		}
	}
	return held
}

// Current returns the outages that there are, in no particular order.
func (t *Tracker) Current() []Outage {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Outage
	for _, h := range t.hosts {
		if h.hold != nil {
			all = append(all, h.hold.Outage)
		}
		for _, m := range h.models {
			if m.hold != nil {
				all = append(all, m.hold.Outage)
			}
		}
	}
	return all
}
