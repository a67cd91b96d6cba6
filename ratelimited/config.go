package ratelimited

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Defaults of [Config].
const (
	DefaultBaseURL           = "https://api.mistral.ai"
	DefaultRequestsPerSecond = 1.0
	DefaultTokensPerMinute   = 500_000
	DefaultMaxRetries        = 3
	DefaultBaseDelay         = 1 * time.Second
	DefaultMaxDelay          = 32 * time.Second
	DefaultTimeout           = 60 * time.Second
	DefaultStreamIdleTimeout = 60 * time.Second
	DefaultMaxOutage         = 5 * time.Minute
)

// NoRetries disables retries, as [Config.MaxRetries] or as the argument of [WithMaxRetries].
const NoRetries = -1

// apiKeyVariable is the environment variable that is the default of Config.APIKey.
const apiKeyVariable = "MISTRAL_API_KEY"

// Config holds the settings of a [Client]. A zero field means its default. [New] validates all fields.
//
// Printing a Config does not print the API key. Printing a struct that holds a Config in an unexported
// field does, because package fmt calls no methods there. In this case leave APIKey empty and set
// MISTRAL_API_KEY.
type Config struct {
	// APIKey is the account's API key. A key shorter than 8 characters, such as one for an emulator, cannot
	// be redacted, so it is accepted for loopback addresses only. Default: the environment variable
	// MISTRAL_API_KEY.
	APIKey string

	// BaseURL is the server's address without /v1. It must be https, or http on a loopback address; see
	// AllowHTTP. Default: https://api.mistral.ai.
	BaseURL string

	// AllowHTTP allows http addresses that are not loopback in BaseURL and WithBaseURL, such as a gateway
	// in a private network or an emulator in another container. The API key, requests and responses are
	// then sent unencrypted. Default: false.
	AllowHTTP bool

	// RequestsPerSecond is the account's request rate limit. Fractions such as 0.08 are allowed. It must
	// be above 0 and at most 1,000,000. Default: 1.
	RequestsPerSecond float64

	// TokensPerMinute is the account's token rate limit, for prompts and responses together. It must be
	// above 0 and at most 10^12. Default: 500,000.
	TokensPerMinute int

	// Limits holds the limits of single models, by the model name in requests. Each limit needs both
	// rates: zero does not mean the default here. All other models, and calls without a model, share the
	// limit made of RequestsPerSecond and TokensPerMinute.
	Limits map[string]limiter.Limit

	// LearnLimits makes the configured limits a starting point instead of a maximum, for accounts whose
	// limits are not known. The client takes a model's token limit from the headers of its first response.
	// It finds the request limit by sending faster while calls wait, until the server rejects requests: a
	// few in half an hour. Streams do not have these headers, so a program that only streams learns both
	// limits from rejected requests.
	//
	// Each model that is not in Limits has a separate limiter, up to 64 models; further models share one.
	// A call larger than TokensPerMinute fails until a response reports a higher limit. Without
	// LearnLimits, the client only lowers limits below the configured ones.
	//
	// LearnLimits must not be combined with BareBuckets or Limiter. For limits shared through Redis, set
	// redislimiter.Config.LearnLimits instead. Default: false.
	LearnLimits bool

	// Limiter creates the limiter of each model. Use Store.Limiter of the module limiter/redislimiter to
	// share limits between processes. The client calls Limiter once for each entry of Limits, and once for
	// each new model of [Client.SetLimit]. It also calls Limiter once for "", the limit that all other models
	// share. Jitter and BareBuckets must not be set together with Limiter. Default: limiters in this process.
	Limiter limiter.Factory

	// Classes adds call classes with their weights, or changes the weights of [Interactive] (9) and
	// [Batch] (1): see [WithClass]. Weights are 1e-6 to 1e6. Must not be set together with Limiter.
	// Default: no further classes.
	Classes map[string]float64

	// MaxQueue is the maximum number of calls of one class that wait for one model's limit; further calls
	// fail at once with [ErrQueueFull]. With limiter/redislimiter it bounds all waiting calls of the
	// process. Calls that an outage holds do not count, and neither do calls that return to their place
	// in the queue. At least 0. Default: 0, which means unlimited.
	MaxQueue int

	// MaxInFlight is the maximum number of calls in flight for each limit. If the server rejects a request
	// with a 429 because of too many concurrent requests, the client lowers this number. Then it tries one
	// more concurrent call each minute. Must not be set together with Limiter. At least 0. Default: 0,
	// which means unlimited.
	MaxInFlight int

	// StateFile is the path of a file that stores the used and learned values of the client: the balances of
	// its limits, learned limits, the lengths of responses, and the durations of calls. A process that
	// starts shortly after another one continues from this state. The file contains neither the API key
	// nor any text of requests and responses.
	//
	// The client writes the file at most once a second, and a last time in [Client.Close] and
	// [Client.Shutdown]. If a process is killed, the next one assumes that the last second was used in
	// full. Only one client at a time can use the file. If the file cannot be read or belongs to another
	// server, the client ignores it, adds .unread to its name and logs a warning. It also logs failures to
	// write. Together with Limiter, the file stores only the learned durations and lengths.
	// Default: no file, and all limits are unused at first.
	StateFile string

	// Jitter is extra spacing between calls that absorbs network jitter: two calls may arrive at the server
	// closer together than they were sent. 50 ms lower the rate by 5% at one request per second, and by
	// 0.4% at one request in 12 s. Jitter has no effect with BareBuckets. It must be above 0 and at most
	// 1 minute. Default: 50 ms.
	Jitter time.Duration

	// BareBuckets starts calls as soon as the two token buckets allow it, without allowance for jitter and
	// for servers that count by windows. At 1.2 requests/s, calls start at 0, 0.667, 1.5 and 2.333 s. Use
	// it for a server that counts by token bucket, over a network with constant delay. Default: false.
	BareBuckets bool

	// FixedEstimates disables learning. The client then estimates a prompt as its counted tokens, and a
	// response as 500 tokens, or as max_tokens if that is less.
	//
	// By default the client learns about each model. It learns the ratio of real to counted prompt
	// tokens, between 1/4 and 4. It estimates a response as the upper quartile of the model's latest 64
	// responses. Before it has seen three, it takes the lowest of 4,096 tokens, a quarter of the token
	// limit, and an eighth of max_tokens (at least 500). No estimate of a response exceeds max_tokens. It also learns how long calls take, which lets a
	// call whose deadline is too close fail early. Default: false.
	FixedEstimates bool

	// MaxRetries is the maximum number of retries of a call: 1 to 100, or NoRetries. Default: 3.
	//
	// These attempts do not count: attempts that fail in an outage, and attempts that a 429 for all calls
	// rejects, until MaxOutage has passed. If a reused connection turns out to be closed, the client
	// retries immediately, once, and this does not count either. With NoRetries the client sends at most one
	// request. An outage still holds a call that could not be sent.
	MaxRetries int

	// MaxOutage is the maximum duration of an outage, from its first failure. After it, the held calls fail
	// with an [ErrOutage]. MaxOutage also bounds for how long attempts that a 429 for all calls rejects do
	// not count as retries. At least 1 ms, or negative: then the client does not hold calls, and counts all
	// retries. Default: 5 minutes.
	//
	// The server is down if a connection cannot be made, or if two different calls in a row fail. Only the
	// status codes 502, 503, 504, 520–527, 529 and 530 count, and connections that break before a response.
	// If both calls use the same model, only this model is down. There are two exceptions. A server that has not yet sent any other
	// response may have a wrong address: if it is down when the program starts, calls fail after their
	// retries. A server that accepts requests and never responds makes its calls time out.
	//
	// In an outage the client holds calls without permits and in queue order, and sends one call at a
	// time as a probe. Probes start at most 5 s apart, unless Retry-After is longer (up to MaxDelay) or
	// the limiter admits no call. The first other response ends the outage. After MaxOutage, all held
	// calls fail at once, and calls that wait for the limiter fail when the limiter admits them. From then
	// on, a new call is sent if no other one is in flight, and fails at once otherwise.
	MaxOutage time.Duration

	// BaseDelay is the minimum wait between attempts. The n-th wait is random, uniformly between BaseDelay
	// and BaseDelay * 2^n. From 1 ms to MaxDelay. Default: 1 s.
	BaseDelay time.Duration

	// MaxDelay is the maximum wait between attempts. If Retry-After is longer, the client does not
	// retry. After a 429 a call waits for up to 61 s, because limits have a window of one minute. At least
	// 1 ms. Default: 32 s.
	MaxDelay time.Duration

	// Timeout bounds one attempt: until the whole response is read, or until the first event of a stream.
	// It does not include the wait for the limiter: use the context to bound a whole call. At least 1 ms.
	// Default: 60 s.
	Timeout time.Duration

	// StreamIdleTimeout bounds how long a stream may send no event data while the caller waits for an
	// event. Comments and events without data do not reset it; every byte of another event does. The total
	// duration of a stream is not bounded, but 10 minutes without any bytes always end it. At least 1 ms.
	// Default: 60 s.
	StreamIdleTimeout time.Duration

	// HTTPClient sends the requests. The client uses a copy that does not follow redirects, so another
	// host cannot receive the API key. A Timeout in it also bounds whole streams. Default: a client with
	// keep-alive connections.
	HTTPClient *http.Client

	// Logger receives a record of each wait, attempt and settlement at debug level. It receives 429
	// responses and the beginning and end of outages at warn level. Records contain numbers and codes,
	// never the API key or any text of requests and responses. Default: no logging.
	Logger *slog.Logger

	// Observer receives the same events as typed values, for traces and metrics. Default: no observer.
	Observer Observer
}

// withDefaults returns c with defaults in its zero fields, or an error for an invalid field.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.APIKey, strings.TrimSpace(os.Getenv(apiKeyVariable)))
	setDefault(&c.BaseURL, DefaultBaseURL)
	setDefault(&c.RequestsPerSecond, DefaultRequestsPerSecond)
	setDefault(&c.TokensPerMinute, DefaultTokensPerMinute)
	setDefault(&c.MaxRetries, DefaultMaxRetries)
	setDefault(&c.MaxDelay, DefaultMaxDelay)
	setDefault(&c.BaseDelay, min(DefaultBaseDelay, c.MaxDelay))
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.StreamIdleTimeout, DefaultStreamIdleTimeout)
	setDefault(&c.MaxOutage, DefaultMaxOutage)
	jitter := c.Jitter
	setDefault(&c.Jitter, limiter.DefaultJitter)

	switch {
	case c.APIKey == "":
		return c, &ConfigError{Field: "APIKey", Value: "", Rule: missingKeyRule}
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return c, &ConfigError{Field: "APIKey", Value: hiddenValue{}, Rule: "must be printable ASCII without spaces"}
	case c.Limiter != nil && jitter != 0:
		return c, &ConfigError{Field: "Jitter", Value: jitter, Rule: "must not be set together with Limiter, which has its own jitter setting"}
	case c.Limiter != nil && c.BareBuckets:
		return c, &ConfigError{Field: "BareBuckets", Value: true, Rule: "must not be set together with Limiter, which decides how to count"}
	case c.Limiter != nil && c.LearnLimits:
		return c, &ConfigError{Field: "LearnLimits", Value: true, Rule: "must not be set together with Limiter: use redislimiter.Config.LearnLimits"}
	case c.Limiter != nil && c.Classes != nil:
		return c, &ConfigError{Field: "Classes", Value: c.Classes, Rule: "must not be set together with Limiter: limiter/redislimiter ignores classes, and other factories take limiter.Classes"}
	case c.Limiter != nil && c.MaxInFlight != 0:
		return c, &ConfigError{Field: "MaxInFlight", Value: c.MaxInFlight, Rule: "must not be set together with Limiter: limiter/redislimiter does not support it, and other factories take limiter.MaxInFlight"}
	case c.MaxInFlight < 0:
		return c, &ConfigError{Field: "MaxInFlight", Value: c.MaxInFlight, Rule: "must be at least 1, or 0 for unlimited"}
	case c.MaxQueue < 0:
		return c, &ConfigError{Field: "MaxQueue", Value: c.MaxQueue, Rule: "must be at least 1, or 0 for unlimited"}
	case c.BareBuckets && c.LearnLimits:
		return c, &ConfigError{Field: "LearnLimits", Value: true, Rule: "must not be set together with BareBuckets, which does not learn limits"}
	case c.Jitter < 0 || c.Jitter > time.Minute:
		return c, &ConfigError{Field: "Jitter", Value: c.Jitter, Rule: "must be above 0 and at most 1m"}
	case c.MaxRetries != NoRetries && (c.MaxRetries < 0 || c.MaxRetries > maxMaxRetries):
		return c, &ConfigError{Field: "MaxRetries", Value: c.MaxRetries, Rule: retriesRule}
	}
	if err := cmp.Or(checkDuration("MaxDelay", c.MaxDelay), checkDuration("BaseDelay", c.BaseDelay),
		checkDuration("Timeout", c.Timeout), checkDuration("StreamIdleTimeout", c.StreamIdleTimeout)); err != nil {
		return c, err
	}
	if c.MaxOutage >= 0 {
		if err := checkDuration("MaxOutage", c.MaxOutage, ", or negative to hold no calls"); err != nil {
			return c, err
		}
	}
	if c.BaseDelay > c.MaxDelay {
		return c, &ConfigError{Field: "BaseDelay", Value: c.BaseDelay, Rule: fmt.Sprintf("must be at most MaxDelay (%v)", c.MaxDelay)}
	}
	if err := checkLimit("", c.limit()); err != nil {
		return c, err
	}
	if err := checkClasses(c.Classes); err != nil {
		return c, err
	}
	c.Classes = maps.Clone(c.Classes)
	for model, limit := range c.Limits {
		if model == "" {
			return c, &ConfigError{Field: `Limits[""]`, Value: limit, Rule: "must have a model name: RequestsPerSecond and TokensPerMinute set the limit of all other models"}
		}
		if err := checkLimit(fmt.Sprintf("Limits[%q].", model), limit); err != nil {
			return c, err
		}
	}
	if err := checkBaseURL("BaseURL", c.BaseURL, c.AllowHTTP); err != nil {
		return c, err
	}
	if c.hasShortKey() && isRemote(c.BaseURL) {
		return c, &ConfigError{Field: "APIKey", Value: hiddenValue{}, Rule: shortKeyRule}
	}
	return c, nil
}

// hasShortKey reports whether the API key is too short to be redacted.
func (c Config) hasShortKey() bool { return len(c.APIKey) < minKeyLength }

var shortKeyRule = fmt.Sprintf("must have at least %d characters, except for a loopback address: a shorter key cannot be redacted", minKeyLength)

// limit returns the limit that models without an entry in Limits share.
func (c Config) limit() limiter.Limit {
	return limiter.Limit{RequestsPerSecond: c.RequestsPerSecond, TokensPerMinute: c.TokensPerMinute}
}

// limiterFactory returns the function that creates the limiters.
func (c Config) limiterFactory() limiter.Factory {
	if c.Limiter != nil {
		return c.Limiter
	}
	options := []limiter.Option{
		limiter.Backoff(limiter.ExponentialBackoff(c.BaseDelay, c.MaxDelay)), limiter.Classes(c.Classes), limiter.MaxInFlight(c.MaxInFlight),
	}
	if !c.BareBuckets {
		options = append(options, limiter.Guarded(c.Jitter))
	}
	if c.LearnLimits {
		options = append(options, limiter.LearnLimits())
	}
	return limiter.InProcess(options...)
}

// checkDuration rejects durations below 1 ms: they are most likely a number of seconds without a unit.
// others is appended to the rule.
func checkDuration(field string, d time.Duration, others ...string) error {
	rule := "must be at least 1ms" + strings.Join(others, "")
	switch {
	case d >= time.Millisecond:
		return nil
	case d > 0 && d < time.Microsecond:
		rule += fmt.Sprintf(" (for seconds, write %d*time.Second)", d)
	}
	return &ConfigError{Field: field, Value: d, Rule: rule}
}

// checkLimit returns the error of an invalid limit, as an error of the field named by prefix.
func checkLimit(prefix string, limit limiter.Limit) error {
	var invalid *limiter.LimitError
	if errors.As(limit.Validate(), &invalid) {
		return &ConfigError{Field: prefix + invalid.Field, Value: invalid.Value, Rule: invalid.Rule, Err: invalid}
	}
	return nil
}

// missingKeyRule is the whole text of the error for a missing API key.
const missingKeyRule = "no API key: set Config.APIKey or " + apiKeyVariable

const (
	maxMaxRetries = 100
	retriesRule   = "must be 1 to 100, or NoRetries"
)

// setDefault replaces a zero value by the default.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// withoutKey returns c as a type without methods, with its API key redacted.
func (c Config) withoutKey() any {
	type config Config
	p := config(c)
	if p.APIKey != "" {
		p.APIKey = redacted
	}
	return p
}

// Format implements [fmt.Formatter]. Verbs for values do not print the API key. Package fmt itself
// prints the fields for wrong verbs, such as %p and, outside of [fmt.Errorf], %w; go vet reports those.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.withoutKey())
}

// MarshalText implements [encoding.TextMarshaler], which encoding/json and log/slog use. The result
// does not contain the API key.
func (c Config) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", c.withoutKey()), nil
}
