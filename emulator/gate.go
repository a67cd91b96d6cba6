package emulator

import (
	"sync"
	"time"
)

// gate admits calls and counts their tokens, by model.
type gate struct {
	cfg   Config
	start time.Time

	mu     sync.Mutex
	models map[string]*meters
	tools  []toolMeter
}

// meters are those of one model; nil without a limit.
type meters struct {
	requests, tokens meter
	limit            Limit

	// What [Config.ChatHeaders] tells of requests, and judges none.
	perMinute int
	minute    meter
}

// refusal says why a call is refused and after how long it would not be.
type refusal struct {
	tokens bool   // rather than requests
	tool   string // that may not be run, if that is why
	wait   time.Duration
}

func newGate(cfg Config) *gate {
	g := &gate{cfg: cfg}
	g.reset()
	return g
}

// maxModels bounds the names that are counted one by one: they are the client's to
// choose. Those beyond are counted as one.
const maxModels = 1_000

const otherModels = "(other models)"

func (g *gate) of(model string) *meters {
	m, ok := g.models[model]
	if ok {
		return m
	}
	if _, named := g.cfg.Limits[model]; len(g.models) >= maxModels && !named && model != NoModel && model != otherModels {
		return g.of(otherModels)
	}
	m = &meters{limit: g.cfg.limit(model)}
	if rps := m.limit.RequestsPerSecond; rps > 0 {
		q := requestQuota(rps)
		m.requests = newMeter(g.cfg.Mode, q, g.start)
		m.perMinute = q.perMinute()
		m.minute = newMeter(g.cfg.Mode, windowQuota(m.perMinute, time.Minute), g.start)
	}
	if tpm := m.limit.TokensPerMinute; tpm > 0 {
		m.tokens = newMeter(g.cfg.Mode, windowQuota(tpm, time.Minute), g.start)
	}
	g.models[model] = m
	return m
}

// admit takes a request, or returns why not. Calls that run no model need no token;
// tools are those that a call has.
func (g *gate) admit(model string, tools []string, arrived time.Time) *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.of(model)
	if m.requests != nil {
		if wait := m.requests.wait(arrived); wait > 0 {
			return &refusal{wait: wait}
		}
	}
	if m.tokens != nil && model != NoModel {
		if wait := m.tokens.wait(arrived); wait > 0 {
			return &refusal{tokens: true, wait: wait}
		}
	}
	if refused := g.toolRefusal(tools, arrived); refused != nil {
		return refused
	}
	if m.requests != nil {
		m.requests.take(arrived, 1)
		m.minute.take(arrived, 1)
	}
	return nil
}

// reset forgets all that was counted.
func (g *gate) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.start, g.models = time.Now(), map[string]*meters{}
	g.tools = newToolMeters(g.cfg, g.start)
}

// left is what a model has left; nil without a limit.
type left struct {
	Limit
	Requests *int `json:"requests_left"`
	Tokens   *int `json:"tokens_left"`
}

// left returns what each model that was called has left.
func (g *gate) left(now time.Time) map[string]left {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make(map[string]left, len(g.models))
	whole := func(m meter) *int {
		if m == nil {
			return nil
		}
		n := max(0, m.left(now))
		return &n
	}
	for name, m := range g.models {
		list[name] = left{Limit: m.limit, Requests: whole(m.requests), Tokens: whole(m.tokens)}
	}
	return list
}

// charge takes tokens that were used.
func (g *gate) charge(model string, now time.Time, tokens int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.of(model); m.tokens != nil {
		m.tokens.take(now, tokens)
	}
}

// tokens returns the token limit of a model and what is left of it; ok is false
// without a limit.
func (g *gate) tokens(model string, now time.Time) (limit, left int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.of(model)
	if m.tokens == nil {
		return 0, 0, false
	}
	return m.limit.TokensPerMinute, max(0, m.tokens.left(now)), true
}

// requests is tokens for the requests of a minute.
func (g *gate) requests(model string, now time.Time) (limit, left int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.of(model)
	if m.minute == nil {
		return 0, 0, false
	}
	return m.perMinute, max(0, m.minute.left(now)), true
}
