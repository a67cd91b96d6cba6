// Package quota enforces limits on requests, tokens and tool runs.
package quota

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// Config is the configuration of a [Limiter].
type Config struct {
	Mode    Mode
	Default Limit                // the limits of each model that is not in Models
	Models  map[string]Limit     // limits by model; "" stands for calls without a model
	Tools   map[string]ToolLimit // limits by tool
}

// Mode is the way in which units are counted.
type Mode uint8

// The modes; see package emulator.
const (
	TokenBucket Mode = iota
	FixedWindow
	SlidingWindow
)

// Limit is the limits of one model; 0 means unlimited.
type Limit struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	TokensPerMinute   int     `json:"tokens_per_minute"`
}

// ToolLimit is the maximum numbers of runs of a tool; 0 means unlimited.
type ToolLimit struct {
	PerMinute int `json:"per_minute"`
	PerDay    int `json:"per_day"`
}

// Validate reports an invalid limit or mode.
func (c Config) Validate() error {
	if err := c.Default.validate(); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	for model, limit := range c.Models {
		if err := limit.validate(); err != nil {
			return fmt.Errorf("emulator: Limits[%q]: %w", model, err)
		}
	}
	for tool, limit := range c.Tools {
		if limit.PerMinute < 0 || limit.PerDay < 0 {
			return fmt.Errorf("emulator: ToolLimits[%q]: PerMinute is %d and PerDay is %d: must be 0 or more", tool, limit.PerMinute, limit.PerDay)
		}
	}
	if c.Mode > SlidingWindow {
		return fmt.Errorf("emulator: Mode is %d: must be TokenBucket, FixedWindow or SlidingWindow", c.Mode)
	}
	return nil
}

func (l Limit) validate() error {
	const minRate = 1e-9 // requests/s; keeps the interval between two requests, in nanoseconds, within an int64
	rps := l.RequestsPerSecond
	if math.IsNaN(rps) || math.IsInf(rps, 0) || rps < 0 || 0 < rps && rps < minRate {
		return fmt.Errorf("RequestsPerSecond is %v: must be 0 or at least 1e-9", rps)
	}
	if l.TokensPerMinute < 0 {
		return fmt.Errorf("TokensPerMinute is %d: must be 0 or more", l.TokensPerMinute)
	}
	return nil
}

// Limiter admits calls and counts their tokens. It is safe for concurrent use.
type Limiter struct {
	cfg Config

	mu     sync.Mutex
	start  time.Time
	models map[string]*counters
	tools  []toolCounter
}

// counters is the counters of one model.
type counters struct {
	requests, tokens counter // nil if unlimited
	limit            Limit

	// perMinute and minute are the limit and the counter of requests per minute. The
	// limiter only reports them in headers.
	perMinute int
	minute    counter
}

// Refusal is the reason why a call is refused: the limit on requests, unless Tokens or Tool
// is set.
type Refusal struct {
	Tokens bool          // whether the limit on tokens is the reason
	Tool   string        // the tool whose limit is the reason, or ""
	Wait   time.Duration // the time until the call would be admitted
}

// Failure returns the response to the call. It matches the responses of the real API.
func (r *Refusal) Failure() *wire.Failure {
	switch {
	case r.Tokens:
		return wire.ErrTokenLimit
	case r.Tool != "":
		return wire.ErrToolLimit(r.Tool)
	default:
		return wire.ErrRequestLimit
	}
}

// RetryAfter returns the value of the Retry-After header: the wait in whole seconds,
// rounded up.
func (r *Refusal) RetryAfter() string {
	return strconv.FormatInt(int64((r.Wait+time.Second-1)/time.Second), 10)
}

// New returns a limiter. The configuration must be valid.
func New(cfg Config) *Limiter {
	l := &Limiter{cfg: cfg}
	l.Reset()
	return l
}

// Reset resets all counters.
func (l *Limiter) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.models = time.Now(), map[string]*counters{}
	l.tools = newToolCounters(l.cfg, l.start)
}

// MaxModels bounds the number of models with separate counters, because clients choose the
// names. All other models share the counters of OtherModels.
const (
	MaxModels   = 1_000
	OtherModels = "(other models)"
)

// of returns the counters of a model. The caller must hold mu.
func (l *Limiter) of(model string) *counters {
	c, ok := l.models[model]
	if ok {
		return c
	}
	limit, named := l.cfg.Models[model]
	if len(l.models) >= MaxModels && !named && model != "" && model != OtherModels {
		return l.of(OtherModels)
	}
	if !named {
		limit = l.cfg.Default
	}
	c = &counters{limit: limit}
	if rps := limit.RequestsPerSecond; rps > 0 {
		r := requestRate(rps)
		c.requests = newCounter(l.cfg.Mode, r, l.start)
		c.perMinute = r.perMinute()
		c.minute = newCounter(l.cfg.Mode, windowRate(c.perMinute, time.Minute), l.start)
	}
	if tpm := limit.TokensPerMinute; tpm > 0 {
		c.tokens = newCounter(l.cfg.Mode, windowRate(tpm, time.Minute), l.start)
	}
	l.models[model] = c
	return c
}

// Admit counts a request and returns nil, or returns a refusal. A call without a model ("")
// does not need a token. tools lists the tools that the call may run.
func (l *Limiter) Admit(model string, tools []string, arrived time.Time) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.of(model)
	if c.requests != nil {
		if wait := c.requests.wait(arrived); wait > 0 {
			return &Refusal{Wait: wait}
		}
	}
	if c.tokens != nil && model != "" {
		if wait := c.tokens.wait(arrived); wait > 0 {
			return &Refusal{Tokens: true, Wait: wait}
		}
	}
	if refused := l.toolRefusal(tools, arrived); refused != nil {
		return refused
	}
	if c.requests != nil {
		c.requests.take(arrived, 1)
		c.minute.take(arrived, 1)
	}
	return nil
}

// Charge counts the tokens of a call and its tool runs by tool.
func (l *Limiter) Charge(model string, tokens int, runs map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if c := l.of(model); c.tokens != nil {
		c.tokens.take(now, tokens)
	}
	for _, c := range l.tools {
		if n := runs[c.tool]; n > 0 {
			c.take(now, n)
		}
	}
}

// Left is the limits of a model and the requests and tokens left. The latter are nil if
// unlimited.
type Left struct {
	Limit
	Requests *int `json:"requests_left"`
	Tokens   *int `json:"tokens_left"`
}

// Left returns the requests and tokens left of each model that was called.
func (l *Limiter) Left() map[string]Left {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, list := time.Now(), make(map[string]Left, len(l.models))
	whole := func(c counter) *int {
		if c == nil {
			return nil
		}
		n := max(0, c.left(now))
		return &n
	}
	for name, c := range l.models {
		list[name] = Left{Limit: c.limit, Requests: whole(c.requests), Tokens: whole(c.tokens)}
	}
	return list
}

// Headers sets the rate limit headers that the real API sends with plain conversation
// responses. If requests is true, it also sets the headers about requests, which the real
// API sends only with chat completions.
func (l *Limiter) Headers(header http.Header, model string, tools []string, requests bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, c := time.Now(), l.of(model)
	set := func(name string, limit, left int) {
		header.Set("x-ratelimit-limit-"+name, strconv.Itoa(limit))
		header.Set("x-ratelimit-remaining-"+name, strconv.Itoa(max(0, left)))
	}
	for _, t := range l.tools {
		if t.among(tools) {
			set(strings.ReplaceAll(t.tool, "_", "-")+"-"+t.window, t.limit, t.left(now))
		}
	}
	if c.tokens != nil {
		set("tokens-minute", c.limit.TokensPerMinute, c.tokens.left(now))
	}
	if requests && c.minute != nil {
		set("req-minute", c.perMinute, c.minute.left(now))
	}
}
