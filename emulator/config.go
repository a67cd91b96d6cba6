package emulator

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/quota"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
)

// Config is the configuration of an emulator. The zero value has no limits, accepts any key
// and responds at once.
type Config struct {
	// APIKey is the bearer token that requests must carry; "" accepts any but an empty one.
	APIKey string

	// RequestsPerSecond limits the requests of each model, and those without a model
	// together; 0 means no limit. It may be a fraction.
	RequestsPerSecond float64
	// TokensPerMinute limits the tokens of each model, prompts and responses; 0 means no limit.
	TokensPerMinute int
	// Limits replaces the two above for the models it names; [NoModel] is the calls without one.
	Limits map[string]Limit
	// ToolLimits limits how often the service's tools are run, by their names, as
	// "web_search". A call with a tool of which no run is left is refused with 429.
	ToolLimits map[string]ToolLimit
	// Mode is how requests and tokens are counted; TokenBucket by default.
	Mode Mode
	// RetryAfter adds a Retry-After header, in whole seconds rounded up, to a 429. The
	// real API does not send it.
	RetryAfter bool
	// ChatHeaders adds the headers that the real API sends with chat completions alone so far:
	// x-ratelimit-limit-req-minute and x-ratelimit-remaining-req-minute, rounded down to whole
	// requests, and, of a call that was admitted, x-ratelimit-tokens-query-cost.
	ChatHeaders bool

	// Latency is the time from the admission of a call to its response. With LatencySpread it
	// is the mean: the time of each call lies up to so much below or above, by Seed.
	Latency       time.Duration
	LatencySpread time.Duration
	// TokenDelay is the time between two deltas of a stream, a word or so each. A plain
	// response takes as long as a stream of the same. A client that leaves before is charged
	// nothing.
	TokenDelay time.Duration
	// TokensPerSecond, in place of TokenDelay, makes that the time of a delta's tokens.
	TokensPerSecond float64

	// Model replaces [DefaultModel]. It may be called from many goroutines at once. The
	// context ends when the client leaves.
	Model func(ctx context.Context, p Prompt) Reply

	// Models are the names of the models that there are; requests for others get 400. Empty
	// allows any.
	Models []string

	// Faults are what goes wrong, and when. [Emulator.SetFaults] changes them while the
	// emulator runs.
	Faults []Fault
	// Seed decides which requests have faults with a probability, and the latency of each.
	Seed uint64

	// Control adds an endpoint, /_emulator/, by which clients in any language inspect and
	// control the emulator, and records the bodies of requests; see the package comment.
	Control bool

	// AllowedHosts are names, beside those of the loopback interface and the host that [Listen]
	// was given, that the Host of a request may have: host names and IP addresses without a
	// port, such as "emulator" in a network of containers; "*" allows any. Other requests get
	// 403, because a web page whose name resolves to this machine could send them.
	AllowedHosts []string
	// AllowedOrigins are the origins of web pages that may send requests, of the form
	// "http://localhost:3000". A page of the emulator's own origin may always. A request
	// with another Origin, or with a Sec-Fetch-Site other than same-origin and none, gets 403.
	AllowedOrigins []string

	// Intercept, when set, is called with every request of the API whose Host and Origin are
	// allowed, before any other check. It passes a request on with next.ServeHTTP, or responds
	// itself: with a fault, a cut connection (panic(http.ErrAbortHandler)), or nothing.
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)

	// OnViolation, when set, is called, from any goroutine, with everything in which a
	// response or an event that the emulator sends differs from the OpenAPI document.
	OnViolation func(error)
}

// ToolLimit is how often a tool of the service may be run; 0 means no limit.
type ToolLimit struct {
	// PerMinute and PerDay are counted in the way of [Config.Mode].
	PerMinute int `json:"per_minute"`
	PerDay    int `json:"per_day"`
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
	MaxConversations = state.MaxConversations
	MaxAgents        = state.MaxAgents
	MaxVersions      = state.MaxVersions
	MaxEntries       = state.MaxEntries
	// MaxKeptBytes is the most memory that all conversations together may take; all agents
	// together may take as much again. It is estimated from the requests that made them and
	// from the outputs: the bytes of the JSON, 80 bytes for each value, and 2 KiB for each
	// request.
	MaxKeptBytes = state.MaxKeptBytes

	// MaxInFlight is how many requests may be served at once, MaxInFlightBytes how much
	// memory their content and their outputs may take, estimated likewise. Requests beyond
	// these bounds get status 503. A stream that waits for its client takes about 64 KiB more.
	MaxInFlight      = 10_000
	MaxInFlightBytes = 512 << 20
)

// quota returns the limits in the form that package quota takes.
func (c Config) quota() quota.Config {
	q := quota.Config{
		Mode: quota.Mode(c.Mode), Default: quota.Limit{RequestsPerSecond: c.RequestsPerSecond, TokensPerMinute: c.TokensPerMinute},
		Models: map[string]quota.Limit{}, Tools: map[string]quota.ToolLimit{},
	}
	for model, limit := range c.Limits {
		q.Models[model] = quota.Limit(limit)
	}
	for tool, limit := range c.ToolLimits {
		q.Tools[tool] = quota.ToolLimit(limit)
	}
	return q
}

func (c Config) validate() error {
	if err := c.quota().Validate(); err != nil {
		return err
	}
	switch {
	case c.Latency < 0:
		return fmt.Errorf("emulator: Latency is %s: must be 0 or more", c.Latency)
	case c.LatencySpread < 0 || c.LatencySpread > c.Latency:
		return fmt.Errorf("emulator: LatencySpread is %s: must be from 0 to Latency, which is %s", c.LatencySpread, c.Latency)
	case math.IsNaN(c.TokensPerSecond) || math.IsInf(c.TokensPerSecond, 0) || c.TokensPerSecond < 0 || 0 < c.TokensPerSecond && c.TokensPerSecond < 1e-3:
		return fmt.Errorf("emulator: TokensPerSecond is %v: must be 0 or a number from 0.001", c.TokensPerSecond)
	case c.TokensPerSecond > 0 && c.TokenDelay > 0:
		return fmt.Errorf("emulator: TokensPerSecond is %v: must be 0 if TokenDelay is set", c.TokensPerSecond)
	case c.TokenDelay < 0:
		return fmt.Errorf("emulator: TokenDelay is %s: must be 0 or more", c.TokenDelay)
	}
	return validateAccess(c)
}
