package outage

import (
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A Tracker tracks the outages for one client. It is safe for concurrent use.
type Tracker struct {
	ownHost   string                    // host that is never evicted
	maxOutage time.Duration             // maximum duration of a hold; calls are not held if it is 0 or less
	backoff   func(n int) time.Duration // wait before the n-th probe

	mu      sync.Mutex
	hosts   map[string]*host
	counter uint64 // latest number of a call or a sent attempt
}

// MaxProbeInterval is the maximum interval between probes, unless the server requests a longer one or the
// limiter admits no call.
const MaxProbeInterval = 5 * time.Second

// minProbeInterval is the time from the beginning of an outage to the first probe. Most outages are short.
const minProbeInterval = 100 * time.Millisecond

// New returns a tracker for a client that mostly calls ownHost. Calls are held for at most maxOutage; 0 or less
// means that calls are not held.
func New(ownHost string, maxOutage time.Duration) *Tracker {
	return &Tracker{
		ownHost:   ownHost,
		maxOutage: maxOutage,
		backoff:   limiter.ExponentialBackoff(minProbeInterval, MaxProbeInterval),
		hosts:     map[string]*host{},
	}
}

// Maximum numbers of entries that a tracker remembers. Forgotten entries count as new.
const (
	maxHosts  = 16
	maxModels = 250
)

// A host is the state of a server.
type host struct {
	name      string
	wasAlive  bool   // an attempt had an Alive outcome
	lastAlive uint64 // number of the latest attempt with an Alive outcome
	hold      *hold  // nil if the host is not down
	models    map[string]*model
	waiting   map[*Call]struct{} // wait for the end of a hold
	sleeping  map[*Call]struct{} // wait between two attempts
}

// A model is the state of one model of a host.
type model struct {
	lastAlive    uint64  // as in host
	firstFailure failure // the first failure after lastAlive
	hold         *hold   // nil if the model is not down
}

// A failure is evidence of an outage.
type failure struct {
	call uint64 // number of the call; 0 means that there was no failure
	sent uint64 // number of the attempt
}

// sentAfter reports whether f is the failure of an attempt that was sent after the given one.
func (f failure) sentAfter(alive uint64) bool { return f.call != 0 && f.sent > alive }

// host returns the host with a name. It requires that t.mu is held.
func (t *Tracker) host(name string) *host {
	h := t.hosts[name]
	if h == nil {
		idle := func(h *host) bool { return h.name != t.ownHost && len(h.waiting)+len(h.sleeping) == 0 }
		evicted := evict(t.hosts, maxHosts, func(h *host) bool { return idle(h) && h.hold == nil && !h.wasAlive }, func(h *host) bool { return idle(h) && h.hold == nil }, idle)
		if evicted != nil {
			evicted.hold.end() // stops its timers; calls to its models may be in flight
			for _, m := range evicted.models {
				m.hold.end()
			}
		}
		h = &host{name: name, models: map[string]*model{}, waiting: map[*Call]struct{}{}, sleeping: map[*Call]struct{}{}}
		t.hosts[name] = h
	}
	return h
}

// model returns a model of the host. It requires that the mutex is held.
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
		h.models[strings.Clone(name)] = m // name may be part of a request
	}
	return m
}

// hasWaiting reports whether a call waits for the end of a model's hold.
func (h *host) hasWaiting(m *model) bool {
	for c := range h.waiting {
		if c.model == m {
			return true
		}
	}
	return false
}

// evict deletes an entry from a full map. It deletes an entry of the first kind or, without one, of the next.
// It returns the deleted entry; nil without one.
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

// An Outage describes an outage of a host or of one of its models.
type Outage struct {
	Host  string    // scheme and authority
	Model string    // empty for the whole host
	Since time.Time // beginning of the hold
	Cause error     // latest failure
}

// Held returns the number of held calls by model.
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

// Current returns the current outages, in no particular order.
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
