// Package quota counts requests, tokens and runs of tools against limits, by model.
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

// Config is the limits and the way they are counted.
type Config struct {
	Mode    Mode
	Default Limit            // of each model that Models does not name
	Models  map[string]Limit // by name; "" is the calls that run no model
	Tools   map[string]ToolLimit
}

// Mode is a way to count: one of the constants.
type Mode uint8

// The modes; see package emulator.
const (
	TokenBucket Mode = iota
	FixedWindow
	SlidingWindow
)

// Limit is the limits of one model; 0 means no limit.
type Limit struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	TokensPerMinute   int     `json:"tokens_per_minute"`
}

// ToolLimit is how often a tool may be run; 0 means no limit.
type ToolLimit struct {
	PerMinute int `json:"per_minute"`
	PerDay    int `json:"per_day"`
}

// Validate reports a limit that is out of range.
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
	const least = 1e-9 // keeps the time of one request, in nanoseconds, within an int64
	rps := l.RequestsPerSecond
	if math.IsNaN(rps) || math.IsInf(rps, 0) || rps < 0 || 0 < rps && rps < least {
		return fmt.Errorf("RequestsPerSecond is %v: must be 0 or a number from 1e-9", rps)
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

// counters are those of one model; nil without a limit.
type counters struct {
	requests, tokens counter
	limit            Limit

	// The count of requests that headers report. It refuses none.
	perMinute int
	minute    counter
}

// Refusal says why a call is refused and after how long it would be admitted.
type Refusal struct {
	Tokens bool   // rather than requests
	Tool   string // the tool that may not be run, if that is the reason
	Wait   time.Duration
}

// Failure returns the response to the call, in the forms that were seen on the wire.
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

// RetryAfter returns the wait in whole seconds, rounded up, for a header.
func (r *Refusal) RetryAfter() string {
	return strconv.FormatInt(int64((r.Wait+time.Second-1)/time.Second), 10)
}

// New returns a limiter for limits that are valid.
func New(cfg Config) *Limiter {
	l := &Limiter{cfg: cfg}
	l.Reset()
	return l
}

// Reset forgets all that was counted.
func (l *Limiter) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.models = time.Now(), map[string]*counters{}
	l.tools = newToolCounters(l.cfg, l.start)
}

// MaxModels bounds the names that are counted one by one, because clients choose them.
// Other models are counted together, as OtherModels.
const (
	MaxModels   = 1_000
	OtherModels = "(other models)"
)

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

// Admit takes a request, or returns why not. A call that runs no model, which is "", needs
// no token; tools are those that it may run.
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

// Charge takes the tokens that a call used, and the runs of tools, by name.
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

// Left is what a model has left; nil without a limit.
type Left struct {
	Limit
	Requests *int `json:"requests_left"`
	Tokens   *int `json:"tokens_left"`
}

// Left returns what each model that was called has left.
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

// Headers sets the headers that the service sends with conversations that are not
// streamed. With requests, it adds those about requests, which it sends with chat
// completions.
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
