package emulator

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Config says how an emulator behaves. The zero value has no limits, takes any key
// and answers at once. What it keeps is bounded, in number and in bytes: see
// [MaxConversations] and its like.
type Config struct {
	// APIKey is the bearer token that requests must carry; "" takes any but an empty one.
	APIKey string

	// RequestsPerSecond limits the requests of each model, and those without a model
	// together; 0 means no limit. It may be a fraction.
	RequestsPerSecond float64
	// TokensPerMinute limits the tokens of each model, prompts and replies; 0 means no limit.
	TokensPerMinute int
	// Limits replaces the two above for the models it names; [NoModel] is the calls
	// without one.
	Limits map[string]Limit
	// ToolLimits limits how often the service's tools are run, by their names, as
	// "web_search". A call that has a tool of which no run is left is refused with 429.
	ToolLimits map[string]ToolLimit
	// Mode is how requests and tokens are counted; TokenBucket by default.
	Mode Mode
	// RetryAfter adds a Retry-After header, in whole seconds rounded up, to a 429. The
	// real API does not send it.
	RetryAfter bool
	// ChatHeaders adds the headers that the real API sends with chat completions, and not
	// with conversations so far, where it sends others, to those: the requests of a minute
	// that a model may have and has left, as x-ratelimit-limit-req-minute and
	// x-ratelimit-remaining-req-minute, and what a call that was admitted has cost, as
	// x-ratelimit-tokens-query-cost. Of a limit that is no whole number a minute, it is the
	// next lower, at least 1; what is left is counted in the way of Mode.
	ChatHeaders bool

	// Latency is the time from the admission of a call to its reply.
	Latency time.Duration
	// TokenDelay is the time between two deltas of a stream, a word or so each. A plain
	// reply comes when a stream of the same would end, as a model is no faster for it; who
	// leaves before is charged nothing.
	TokenDelay time.Duration

	// Model replaces [DefaultModel]. It may be called from many goroutines at once. The
	// context ends when the client goes away.
	Model func(ctx context.Context, p Prompt) Reply

	// Faults are what goes wrong, and when; see [Fault]. [Emulator.SetFaults] changes
	// them while the emulator runs.
	Faults []Fault
	// Seed is what faults with a probability are decided by; any number is good, 0 too.
	Seed uint64

	// Control adds an endpoint, /_emulator/, by which clients in any language look at the
	// emulator and direct it, and has the bodies of requests recorded; see the package
	// comment.
	Control bool

	// AllowedHosts are names, beside those of the loopback interface, that the Host of a
	// request may have: host names and IP addresses without a port, such as "emulator" in a
	// network of containers; "*" allows any. Loopback names are localhost, *.localhost,
	// 127.0.0.0/8 and ::1. A server also accepts the host of the address that [Listen] was
	// given. All other requests are refused with 403, because a web page whose name resolves
	// to this machine could send them.
	AllowedHosts []string
	// AllowedOrigins are the origins of web pages that may send requests, of the form
	// "http://localhost:3000". A page of the emulator's own origin is always allowed. A request
	// with another Origin, or with a Sec-Fetch-Site other than same-origin and none, is
	// refused with 403, whatever its method.
	AllowedOrigins []string

	// Intercept, when set, is called with every request of the API whose Host and Origin are
	// allowed, before any other check. It passes a request on with next.ServeHTTP, or answers it in its own
	// way: with a fault, a cut connection (panic(http.ErrAbortHandler)), or nothing.
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)

	// OnViolation, when set, is called, from any goroutine, with everything in which a
	// response or an event that the emulator sends differs from the OpenAPI document.
	OnViolation func(error)
}

// Limit is the limits of one model; 0 means no limit.
type Limit struct {
	// RequestsPerSecond may be a fraction.
	RequestsPerSecond float64 `json:"requests_per_second"`
	// TokensPerMinute is of prompts and replies together.
	TokensPerMinute int `json:"tokens_per_minute"`
}

// NoModel is the name under which the calls that run no model are counted.
const NoModel = ""

// The most that an emulator keeps; see the package comment.
const (
	MaxConversations = 10_000
	MaxAgents        = 10_000
	MaxVersions      = 1_000
	MaxEntries       = 10_000
	// MaxKeptBytes is the most memory that all conversations together may take; all agents
	// together may take as much again. It is estimated from the requests that made them and
	// from the outputs: the bytes of the JSON, 80 bytes for each value, and 2 KiB for each
	// request.
	MaxKeptBytes = 256 << 20

	// MaxInFlight is how many requests may be served at once, MaxInFlightBytes how much
	// memory their content and their outputs may take, estimated likewise. Requests beyond
	// these bounds get status 503. A stream that waits for its client takes about 64 KiB more.
	MaxInFlight      = 10_000
	MaxInFlightBytes = 512 << 20
)

func (c Config) limit(model string) Limit {
	if limit, ok := c.Limits[model]; ok {
		return limit
	}
	return Limit{RequestsPerSecond: c.RequestsPerSecond, TokensPerMinute: c.TokensPerMinute}
}

func (c Config) validate() error {
	if err := (Limit{c.RequestsPerSecond, c.TokensPerMinute}).validate(); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	for model, limit := range c.Limits {
		if err := limit.validate(); err != nil {
			return fmt.Errorf("emulator: Limits[%q]: %w", model, err)
		}
	}
	for tool, limit := range c.ToolLimits {
		if err := limit.validate(); err != nil {
			return fmt.Errorf("emulator: ToolLimits[%q]: %w", tool, err)
		}
	}
	if err := validateFaults(c.Faults); err != nil {
		return err
	}
	if err := validateAccess(c); err != nil {
		return err
	}
	switch {
	case c.Mode > SlidingWindow:
		return fmt.Errorf("emulator: Mode is %d: want TokenBucket, FixedWindow or SlidingWindow", c.Mode)
	case c.Latency < 0:
		return fmt.Errorf("emulator: Latency is %s: want 0 or more", c.Latency)
	case c.TokenDelay < 0:
		return fmt.Errorf("emulator: TokenDelay is %s: want 0 or more", c.TokenDelay)
	}
	return nil
}

// slowest keeps the time of one request, in nanoseconds, within an int64.
const slowest = 1e-9

func (l Limit) validate() error {
	rps := l.RequestsPerSecond
	if math.IsNaN(rps) || math.IsInf(rps, 0) || rps < 0 || 0 < rps && rps < slowest {
		return fmt.Errorf("RequestsPerSecond is %v: want 0 or a number from 1e-9", rps)
	}
	if l.TokensPerMinute < 0 {
		return fmt.Errorf("TokensPerMinute is %d: want 0 or more", l.TokensPerMinute)
	}
	return nil
}
