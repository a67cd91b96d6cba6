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

// NoRetries turns retrying off, as [Config.MaxRetries] or in [WithMaxRetries].
const NoRetries = -1

// apiKeyVariable is the environment variable that an empty Config.APIKey stands for.
const apiKeyVariable = "MISTRAL_API_KEY"

// Config says how a [Client] reaches the API and how much of it the account
// allows. A zero field means its default; everything else is validated by [New].
//
// Printing a Config does not show the key. Printing a struct that has one in an
// unexported field does, because package fmt calls no methods there: leave APIKey
// empty in such a case, and set MISTRAL_API_KEY.
type Config struct {
	// APIKey is the account's key. Default: the environment variable MISTRAL_API_KEY. A key
	// of fewer than 8 characters, as for an emulator, is accepted for servers on loopback
	// addresses only: it could not be redacted.
	APIKey string

	// BaseURL is the server's address without /v1: https, or http on a loopback
	// address (on others with AllowHTTP). Default: https://api.mistral.ai.
	BaseURL string

	// AllowHTTP lets BaseURL and WithBaseURL be http on any address: a gateway in a
	// network of one's own, or an emulator in another container. The key and all that
	// is said then travel in the clear. Default: false.
	AllowHTTP bool

	// RequestsPerSecond is the account's limit; fractions such as 0.08 are fine.
	// Must be above 0 and at most a million. Default: 1.
	RequestsPerSecond float64

	// TokensPerMinute is the account's limit, prompt and reply together. Must be
	// above 0 and at most 10^12. Default: 500,000.
	TokensPerMinute int

	// Limits holds the models that have limits of their own, by the name that
	// requests give. All other models, and calls that have none, share the limit
	// made of RequestsPerSecond and TokensPerMinute. Each needs both figures: here
	// zero does not mean the default.
	Limits map[string]limiter.Limit

	// LearnLimits makes the configured limits a beginning instead of a ceiling, for accounts
	// whose limits are not known. The client takes the token limit of a model from the headers of
	// its first response, and finds its request limit by sending faster while calls wait, until
	// requests are refused: a few in half an hour. Streams have no headers; a program that only
	// streams learns both limits from refusals. Each model that is not in Limits has a limiter of
	// its own, up to 64 models; further ones share one. A call that is larger than TokensPerMinute fails until a
	// response names a higher limit. Without LearnLimits, the client learns limits
	// below the configured ones. BareBuckets must not be set beside it, nor Limiter, which has a
	// LearnLimits of its own if limits are shared through Redis. Default: false.
	LearnLimits bool

	// Limiter makes the limiter of each model, where it is not to be one in this
	// process: Store.Limiter of the module limiter/redislimiter, whose limits many
	// processes share. It is called once for each of Limits and for "", the limit of
	// all others, and by [Client.SetLimit] for a model that is new. Jitter and
	// BareBuckets must then not be set. Default: in this process.
	Limiter limiter.Factory

	// Classes adds classes of calls, with their weights from 1e-6 to 1e6, to [Interactive] of weight 9 and
	// [Batch] of weight 1, or changes those weights: see [WithClass]. Must not be set beside Limiter. Default: none.
	Classes map[string]float64

	// MaxQueue is how many calls of a class may wait for a model's limit (with limiter/redislimiter: all calls of the
	// process); further ones fail at once with [ErrQueueFull]. Calls that an outage holds do not count, nor do calls that come back to their places. At least 0.
	// Default: 0, any number.
	MaxQueue int

	// MaxInFlight is how many calls may be in flight at a time, for each limit. The client learns a
	// lower number from a 429 that says that there are too many concurrent requests, and tries one more each
	// minute. Must not be set beside Limiter. At least 0. Default: 0, any number.
	MaxInFlight int

	// StateFile is the path of a file that keeps what the client has used and learned, so that a process
	// that starts a second after another one goes on from there: the balances of its limits, learned limits,
	// the lengths of responses, and the durations of calls. The file contains no key and no text of requests or responses. The
	// client writes it at most once a second, and for the last time in [Client.Close] and [Client.Shutdown]. If a process is
	// killed, the next one counts what the last second may have used as used. One client at a time may use
	// the file. A file that cannot be read, or that is of another server, is renamed to a name that ends in .unread and
	// ignored, with a record at warn level. Failures to write are recorded too. With Limiter, the file keeps only what is learned of calls.
	// Default: none, all limits are unused at first.
	StateFile string

	// Jitter is how much closer together two calls may arrive at the server than
	// they were sent. It widens the pace: 50 ms cost 5% of one request a second,
	// and 0.4% of one in twelve. It is of no use with BareBuckets. Must be above 0
	// and at most a minute. Default: 50 ms.
	Jitter time.Duration

	// BareBuckets starts calls as soon as the two token buckets allow, without
	// regard to jitter and to servers that count by windows: at 1.2 requests a
	// second, calls start at 0, 0.667, 1.5 and 2.333 s. For a server that is known
	// to count by token bucket, over a network that delays all calls alike.
	BareBuckets bool

	// FixedEstimates turns learning off: a prompt is taken as counted, and a reply
	// as 500 tokens, or as max_tokens if that is less. By default the client learns,
	// for each model, the ratio of real to counted tokens of prompts (between 1/4
	// and 4), and takes a reply as the upper quartile of the model's latest 64. Until three
	// were seen, it takes a reply as 4,096 tokens, or an eighth of max_tokens, 500 at least, if
	// that is less; at most as a quarter of the token limit. It also learns
	// how long calls take: without that a call with a deadline does not give way.
	FixedEstimates bool

	// MaxRetries is how many further attempts a failed call gets: 1 to 100, or
	// NoRetries. Default: 3. Attempts that fail in an outage do not count, and neither do
	// attempts refused by a 429 that pauses all calls, for as long as MaxOutage. An attempt
	// whose connection, used before, turns out to be closed is repeated once at once, and
	// does not count either. NoRetries means that at most one request is sent. A call that
	// could not be sent is held in an outage even then.
	MaxRetries int

	// MaxOutage is how long an outage may last, counted from its first failure, before
	// the calls that it holds fail with an [ErrOutage]. It also bounds how long refusals
	// by a 429 that pauses all calls do not count as attempts. At least a millisecond;
	// negative means that no call is held and that all retries count. Default: 5 minutes.
	//
	// The server is down if no connection can be made, or if two different calls in a row
	// end in 502, 503, 504, 520 to 527, 529, 530 or a connection that breaks before a
	// response. If both are calls of one model, only that model is down. A server that has
	// never sent any other response is not in outage, because its address may be wrong: if
	// it is down when the program starts, calls fail after their retries. A server that
	// accepts requests and never responds is not in outage either: its calls time out.
	//
	// In an outage the client holds the calls, without permits and in their places in the
	// queue, and sends one at a time as a probe. Probes begin at most 5 s apart, unless
	// Retry-After asks for more (up to MaxDelay) or the limiter admits no call. The first
	// other response ends the outage. After MaxOutage all calls that wait fail, those
	// that wait for the limiter when it is their turn. From then on a new call is sent if no
	// other one is under way, or else fails at once.
	MaxOutage time.Duration

	// BaseDelay is the shortest wait between attempts. The n-th wait is drawn
	// uniformly between it and BaseDelay * 2^n. From a millisecond to MaxDelay.
	// Default: 1 s.
	BaseDelay time.Duration

	// MaxDelay bounds the wait between attempts. If Retry-After asks for more, the call is
	// not tried again. After a 429 a call waits for up to 61 s, the window of the limits. At
	// least a millisecond. Default: 32 s.
	MaxDelay time.Duration

	// Timeout bounds one attempt: the whole of it for a plain call, and the wait
	// for the first event for a stream. The time spent waiting for the
	// limiter does not count; bound the whole call by its context. At least a
	// millisecond. Default: 60 s.
	Timeout time.Duration

	// StreamIdleTimeout bounds the silence of a stream while the caller waits for an event.
	// Comments, and events without data, do not break the silence; the bytes of an event do,
	// however slowly they come. Whatever it is, 10 minutes without any bytes end a stream. The
	// whole stream is not bounded. At least a millisecond. Default: 60 s.
	StreamIdleTimeout time.Duration

	// HTTPClient sends the requests. It is copied, and the copy follows no
	// redirects, so that the key reaches no other host. Its own Timeout, if any,
	// also cuts streams short. Default: a client of its own with keep-alive.
	HTTPClient *http.Client

	// Logger receives a record of each wait, attempt and settlement at debug level, and
	// of each 429 and the beginning and end of each outage at warn level: figures and
	// codes, never contents or the key. Default: none.
	Logger *slog.Logger

	// Observer hears of the same, in a form for traces and metrics. Default: none.
	Observer Observer
}

// withDefaults fills in zero fields and validates all of them.
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
		return c, &ConfigError{Field: "APIKey", Value: "", Rule: "must be set here or in the environment variable " + apiKeyVariable}
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return c, &ConfigError{Field: "APIKey", Value: hidden{}, Rule: "must be printable ASCII without spaces"}
	case c.Limiter != nil && jitter != 0:
		return c, &ConfigError{Field: "Jitter", Value: jitter, Rule: "must not be set beside Limiter, which has its own"}
	case c.Limiter != nil && c.BareBuckets:
		return c, &ConfigError{Field: "BareBuckets", Value: true, Rule: "must not be set beside Limiter, which counts in its own way"}
	case c.Limiter != nil && c.LearnLimits:
		return c, &ConfigError{Field: "LearnLimits", Value: true, Rule: "must not be set beside Limiter, which has its own: redislimiter.Config.LearnLimits"}
	case c.Limiter != nil && c.Classes != nil:
		return c, &ConfigError{Field: "Classes", Value: c.Classes, Rule: "must not be set beside Limiter: limiter/redislimiter ignores classes, and other factories take limiter.Classes"}
	case c.Limiter != nil && c.MaxInFlight != 0:
		return c, &ConfigError{Field: "MaxInFlight", Value: c.MaxInFlight, Rule: "must not be set beside Limiter: limiter/redislimiter has no such bound, and other factories take limiter.MaxInFlight"}
	case c.MaxInFlight < 0:
		return c, &ConfigError{Field: "MaxInFlight", Value: c.MaxInFlight, Rule: "must be at least 1, or 0 for any number"}
	case c.MaxQueue < 0:
		return c, &ConfigError{Field: "MaxQueue", Value: c.MaxQueue, Rule: "must be at least 1, or 0 for any number"}
	case c.BareBuckets && c.LearnLimits:
		return c, &ConfigError{Field: "LearnLimits", Value: true, Rule: "must not be set beside BareBuckets, which learn nothing"}
	case c.Jitter < 0 || c.Jitter > time.Minute:
		return c, &ConfigError{Field: "Jitter", Value: c.Jitter, Rule: "must be above 0 and at most a minute"}
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
			return c, &ConfigError{Field: `Limits[""]`, Value: limit, Rule: "must have the name of a model: RequestsPerSecond and TokensPerMinute are for all others"}
		}
		if err := checkLimit(fmt.Sprintf("Limits[%q].", model), limit); err != nil {
			return c, err
		}
	}
	if err := checkBaseURL("BaseURL", c.BaseURL, c.AllowHTTP); err != nil {
		return c, err
	}
	if c.hasShortKey() && isRemote(c.BaseURL) {
		return c, &ConfigError{Field: "APIKey", Value: hidden{}, Rule: shortKeyRule}
	}
	return c, nil
}

// hasShortKey reports whether the key is too short to be redacted.
func (c Config) hasShortKey() bool { return len(c.APIKey) < shortestSecret }

var shortKeyRule = fmt.Sprintf("must have at least %d characters, unless the server is on a loopback address: a shorter key cannot be redacted", shortestSecret)

// limit is the one that models without a limit of their own share.
func (c Config) limit() limiter.Limit {
	return limiter.Limit{RequestsPerSecond: c.RequestsPerSecond, TokensPerMinute: c.TokensPerMinute}
}

// limiterFactory makes the limiters.
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

// checkDuration refuses less than a millisecond: it is most likely a number of seconds,
// as other languages have it.
func checkDuration(field string, d time.Duration, others ...string) error {
	rule := "must be at least 1ms" + strings.Join(others, "")
	switch {
	case d >= time.Millisecond:
		return nil
	case d > 0 && d < time.Microsecond:
		rule += fmt.Sprintf("; %d seconds are %d*time.Second", d, d)
	}
	return &ConfigError{Field: field, Value: d, Rule: rule}
}

// checkLimit puts what the limiter says of a limit in terms of the field it stands in.
func checkLimit(prefix string, limit limiter.Limit) error {
	var invalid *limiter.LimitError
	if errors.As(limit.Validate(), &invalid) {
		return &ConfigError{Field: prefix + invalid.Field, Value: invalid.Value, Rule: invalid.Rule, Err: invalid}
	}
	return nil
}

const (
	maxMaxRetries = 100
	retriesRule   = "must be 1 to 100, or NoRetries"
)

// setDefault replaces a zero value.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// printable is a Config without methods and without its key.
func (c Config) printable() any {
	type config Config
	p := config(c)
	if p.APIKey != "" {
		p.APIKey = redacted
	}
	return p
}

// Format implements [fmt.Formatter]; no verb for values prints the key. Package fmt itself
// prints fields where a verb is wrong, as %p and, outside [fmt.Errorf], %w are: go vet reports
// that.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.printable())
}

// MarshalText implements [encoding.TextMarshaler], which encoding/json and
// log/slog use; the key is not printed.
func (c Config) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", c.printable()), nil
}
