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

// Config is the configuration of an emulator. The zero value does not limit requests, accepts any nonempty
// API key and responds without delay.
type Config struct {
	// APIKey is the bearer token that requests must carry; "" accepts any nonempty key.
	APIKey string

	// RequestsPerSecond is the rate limit of each model, in requests/s. All calls without a
	// model share one more limit of this rate. It may be a fraction; 0 means unlimited.
	RequestsPerSecond float64
	// TokensPerMinute is the limit of each model's prompt and completion tokens per minute;
	// 0 means unlimited.
	TokensPerMinute int
	// Limits overrides the two limits above, by model name. The key [NoModel] stands for calls
	// without a model.
	Limits map[string]Limit
	// ToolLimits limits how often the service's tools run, by tool name, such as
	// "web_search". A call with a tool whose limit is used up is refused with status 429.
	ToolLimits map[string]ToolLimit
	// Mode is the way in which requests and tokens are counted; TokenBucket by default.
	Mode Mode
	// RetryAfter adds a Retry-After header, in whole seconds rounded up, to responses with
	// status 429. The real API does not send it.
	RetryAfter bool
	// ChatHeaders adds three headers that the real API currently sends only with chat
	// completions: x-ratelimit-limit-req-minute, x-ratelimit-remaining-req-minute and, for
	// admitted calls, x-ratelimit-tokens-query-cost. Requests are rounded down.
	ChatHeaders bool

	// Latency is the time from the admission of a call to its response. If LatencySpread is
	// set, the latency of each call is random within Latency ± LatencySpread; see Seed.
	Latency       time.Duration
	LatencySpread time.Duration
	// TokenDelay is the time between two deltas of a stream; a delta is about one word. A
	// plain response takes as long as the same response streamed. A client that disconnects
	// earlier is not charged.
	TokenDelay time.Duration
	// TokensPerSecond, used instead of TokenDelay, makes the time between two deltas
	// proportional to their tokens.
	TokensPerSecond float64

	// Model replaces [DefaultModel]. It must be safe for concurrent use. Its context ends
	// when the client disconnects.
	Model func(ctx context.Context, p Prompt) Reply

	// Models lists the names of the available models; requests for others receive status
	// 400. An empty list allows any name.
	Models []string

	// Faults is the list of faults to inject. [Emulator.SetFaults] replaces it while the
	// emulator runs.
	Faults []Fault
	// Seed is the seed of the random choices: faults with a probability, and the latency of
	// each call.
	Seed uint64

	// Control enables the control endpoint, /_emulator/, with which clients in any language
	// inspect and control the emulator. It also records the content of requests; see the
	// package comment.
	Control bool

	// AllowedHosts lists additional host names and IP addresses, without a port, that the
	// Host of a request may name, such as "emulator" in a container network. "*" allows any.
	// The loopback interface and the host passed to [Listen] are always allowed. Other
	// requests receive status 403, because a web page whose name resolves to this machine
	// could send them.
	AllowedHosts []string
	// AllowedOrigins lists the origins of web pages that may send requests, in the form
	// "http://localhost:3000". The emulator's own origin is always allowed. A request with
	// another Origin receives status 403, as does one whose Sec-Fetch-Site is neither
	// same-origin nor none.
	AllowedOrigins []string

	// Intercept, if set, is called with every API request whose Host and Origin are allowed,
	// before any other check. It either passes the request on with next.ServeHTTP or
	// responds itself. To close the connection it calls panic(http.ErrAbortHandler).
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)

	// OnViolation, if set, is called with each difference between a response or event that
	// the emulator sends and the OpenAPI document. It must be safe for concurrent use.
	OnViolation func(error)
}

// ToolLimit is the limits on the runs of one of the service's tools; 0 means unlimited.
type ToolLimit struct {
	// PerMinute and PerDay are the maximum numbers of runs, counted according to
	// [Config.Mode].
	PerMinute int `json:"per_minute"`
	PerDay    int `json:"per_day"`
}

// Limit is the limits of one model; 0 means unlimited.
type Limit struct {
	// RequestsPerSecond is the request rate; it may be a fraction.
	RequestsPerSecond float64 `json:"requests_per_second"`
	// TokensPerMinute is the number of prompt and completion tokens per minute.
	TokensPerMinute int `json:"tokens_per_minute"`
}

// NoModel is the name under which calls that do not run a model are counted.
const NoModel = ""

// The bounds of what an emulator keeps in memory; see the package comment.
const (
	MaxConversations = state.MaxConversations
	MaxAgents        = state.MaxAgents
	MaxVersions      = state.MaxVersions
	MaxEntries       = state.MaxEntries
	// MaxKeptBytes bounds the memory of all conversations together, and separately that of
	// all agents. The emulator estimates it from the requests and the outputs: the bytes of
	// the JSON, 80 bytes for each value, and 2 KiB for each request.
	MaxKeptBytes = state.MaxKeptBytes

	// MaxInFlight bounds the number of requests in flight, and MaxInFlightBytes the memory
	// of their content and outputs, estimated in the same way. Requests beyond these bounds
	// receive status 503. A stream that waits for its client uses about 64 KiB more.
	MaxInFlight      = 10_000
	MaxInFlightBytes = 512 << 20
)

// quota converts the limits to the configuration of package quota.
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
		return fmt.Errorf("emulator: TokensPerSecond is %v: must be 0 or at least 0.001", c.TokensPerSecond)
	case c.TokensPerSecond > 0 && c.TokenDelay > 0:
		return fmt.Errorf("emulator: TokensPerSecond is %v: must be 0 if TokenDelay is set", c.TokensPerSecond)
	case c.TokenDelay < 0:
		return fmt.Errorf("emulator: TokenDelay is %s: must be 0 or more", c.TokenDelay)
	}
	return validateAccess(c)
}
