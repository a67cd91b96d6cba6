package ratelimited

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// Client calls the API and keeps to the account's rate limits. Create one with [New] and share it: its
// methods are safe for concurrent use, and all its calls share its limits. Two clients do not share
// limits. Calls on a Client that New did not return fail with a [*ConfigError].
type Client struct {
	// Beta holds the operations of the API.
	Beta Beta

	config    Config // without the API key
	defaults  callOptions
	serverURL string // request paths are appended to it
	http      *http.Client
	secret    secret
	limits    *limiter.Group
	counter   *tokens.Counter
	policy    retry.Policy
	outages   *outage.Tracker
	calls     *calls
	host      string // scheme and authority of BaseURL
	memory    memory
	saver     *stateSaver // nil without Config.StateFile
	logger    *slog.Logger

	// http2 is whether the latest response used HTTP/2. Before the first response it is whether the URL
	// is https.
	http2 atomic.Bool

	// sharesConnections is whether the transport limits the number of connections. A request may then
	// wait for another request's connection.
	sharesConnections bool
}

// Beta groups the beta operations of the API that a [Client] supports.
type Beta struct {
	Conversations *Conversations // /v1/conversations
	Agents        *Agents        // /v1/agents
}

// New returns a client. It sends nothing. The error is a [*ConfigError]. Close a client with a
// [Config.StateFile] before you create another client with the same file.
func New(config Config) (*Client, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	limits, err := limiter.NewGroup(config.limit(), config.Limits, config.limiterFactory())
	if err != nil {
		return nil, &ConfigError{Field: "Limiter", Rule: "must return a limiter for each limit: " + oneLine(err.Error()), Err: err}
	}
	if config.LearnLimits {
		limits.Separate()
	}
	counter, err := tokens.NewCounter(tokens.DefaultEncoding)
	if err != nil {
		return nil, &ConfigError{Field: "encoding", Value: tokens.DefaultEncoding, Rule: "must be known", Err: err}
	}

	c := &Client{
		config:   config,
		secret:   newSecret(config.APIKey),
		memory:   newMemory(),
		limits:   limits,
		counter:  counter,
		logger:   config.Logger,
		http:     httpClient(config.HTTPClient),
		defaults: callOptions{timeout: config.Timeout, maxRetries: config.MaxRetries, allowHTTP: config.AllowHTTP, shortKey: config.hasShortKey(), tokenEstimate: -1},
	}
	c.config.APIKey = ""
	c.policy = retry.Policy{BaseDelay: config.BaseDelay, MaxDelay: config.MaxDelay}
	c.host = hostOf(config.BaseURL)
	c.calls = newCalls()
	c.http2.Store(strings.HasPrefix(c.host, "https:"))
	c.outages = outage.New(c.host, config.MaxOutage)
	transport, ok := c.http.Transport.(*http.Transport)
	c.sharesConnections = ok && transport.MaxConnsPerHost > 0
	c.serverURL = serverOf(config.BaseURL)
	c.Beta = Beta{Conversations: &Conversations{client: c}, Agents: &Agents{client: c}}
	if c.saver, err = openStateSaver(config.StateFile, c.host, c.limits, c.memory, c.logger); err != nil {
		return nil, err
	}
	return c, nil
}

// serverOf returns the URL to which request paths are appended: escaped, without dot segments, and
// with a trailing slash.
func serverOf(base string) string {
	base = strings.TrimRight(base, "/") + "/"
	parsed, err := url.Parse(base)
	if err != nil {
		return base // checkBaseURL rejects it
	}
	return parsed.ResolveReference(&url.URL{Path: "./"}).String()
}

// httpClient returns a copy of the caller's HTTP client, or a new one, that does not follow redirects.
// The API does not redirect, and a redirect to another host would send the prompt there.
func httpClient(given *http.Client) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	} else {
		c.Transport = newTransport()
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// newTransport returns a clone of the default transport with a larger connection pool and a smaller
// limit for response headers; the default limit is 10 MiB. If the program has replaced
// http.DefaultTransport by another type, newTransport returns that one unchanged.
func newTransport() http.RoundTripper {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	transport := shared.Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	transport.MaxIdleConns = idleConnections
	transport.MaxResponseHeaderBytes = maxResponseHeader
	return transport
}

// idleConnections is how many idle connections the client keeps. The default transport keeps two per
// host, so a burst of HTTP/1.1 calls would open and close all others.
const idleConnections = 100

// maxResponseHeader bounds the header of a response, in bytes.
const maxResponseHeader = 1 << 20

// Close closes idle connections, including those of [Config.HTTPClient], and saves and unlocks
// [Config.StateFile]. Calls in flight continue, and the client can still be used. Use
// [Client.Shutdown] to end calls as well.
func (c *Client) Close() {
	if c.check() == nil {
		c.saver.close()
		c.http.CloseIdleConnections()
	}
}

// WaitTime returns how long a call would wait for the limiter if it was made now, as a call of class
// [Interactive] behind all waiting calls. The call is to the given model and uses the given number of
// tokens. The empty model stands for all models that share the default limit.
//
// If the call must wait for calls in flight to end, the result is an estimate: see
// [limiter.Limiter.WaitTime]. WaitTime ignores outages. It returns [limiter.Never] if the tokens
// exceed the capacity of the token bucket.
func (c *Client) WaitTime(model string, tokens int) time.Duration {
	if c.check() != nil {
		return limiter.Never
	}
	return c.limits.For(model).WaitTime(tokens)
}

// Snapshot returns the state of each limiter by model: its limits, the available requests and tokens, the waiting
// calls, its counters, and the outage that holds calls, if any. The key "" is the limit that all
// other models share. That entry also counts the calls to models with a lower limit that the
// server reported.
func (c *Client) Snapshot() map[string]limiter.Snapshot {
	if c.check() != nil {
		return nil
	}
	all := c.limits.Snapshot()
	limitOf := func(model string) string {
		if _, own := all[model]; own {
			return model
		}
		return ""
	}
	for model, held := range c.outages.Held() {
		s := all[limitOf(model)]
		s.Held += held
		all[limitOf(model)] = s
	}
	for _, o := range c.outages.Current() {
		for model, s := range all {
			if o.Model != "" && model != limitOf(o.Model) {
				continue
			}
			if s.OutageSince.IsZero() || o.Since.Before(s.OutageSince) {
				s.OutageSince, s.OutageCause = o.Since, strings.TrimSpace(o.Host+" "+o.Model)+": "+oneLine(o.Cause.Error())
				all[model] = s
			}
		}
	}
	return all
}

// SetLimit changes the limit of a model. If the model has no limit, SetLimit creates one; the name is
// not checked. The empty model changes the limit that all other models share. The new limit applies
// to waiting calls too. The error is a [*ConfigError], or a [*LimiterError] if the limiter cannot be
// changed.
func (c *Client) SetLimit(model string, limit limiter.Limit) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := checkLimit(fmt.Sprintf("SetLimit: model %q: ", model), limit); err != nil {
		return err
	}
	if err := c.limits.Set(model, limit); err != nil {
		return &LimiterError{Operation: "SetLimit", Err: err}
	}
	return nil
}
