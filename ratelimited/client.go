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

// Client calls the API within the account's limits. Make one with [New] and
// share it: its methods are safe for concurrent use, and all calls made through
// one client share its limits. Two clients do not know of each other. Calls on a Client that
// New did not make fail with a [*ConfigError].
type Client struct {
	// Beta holds the operations.
	Beta Beta

	config   Config // without the key
	defaults callOptions
	server   string // URL that paths are appended to
	http     *http.Client
	secret   secret
	limits   *limiter.Group
	counter  *tokens.Counter
	policy   retry.Policy
	gates    *outage.Gates
	calls    *calls
	host     string // scheme and authority of the API
	memory   memory
	state    *keeper // nil without Config.StateFile
	logger   *slog.Logger

	// http2 says that the latest response came over HTTP/2, or that the first one is likely to.
	http2 atomic.Bool

	// sharesConnections says that the transport bounds their number: a request without
	// one may only wait for another to end.
	sharesConnections bool
}

// Beta is the part of the API that a [Client] covers.
type Beta struct {
	Conversations *Conversations // eleven operations
	Agents        *Agents        // twelve
}

// New makes a client. It sends nothing; the error is a [*ConfigError]. A client with a
// [Config.StateFile] must be closed before another one with the same file can be made.
func New(config Config) (*Client, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	limits, err := limiter.NewGroup(config.limit(), config.Limits, config.limiterFactory())
	if err != nil {
		return nil, &ConfigError{Field: "Limiter", Value: "of this client", Rule: "must make the limiters: " + oneLine(err.Error()), Err: err}
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
	c.gates = outage.New(c.host, config.MaxOutage)
	transport, ok := c.http.Transport.(*http.Transport)
	c.sharesConnections = ok && transport.MaxConnsPerHost > 0
	c.server = serverOf(config.BaseURL)
	c.Beta = Beta{Conversations: &Conversations{client: c}, Agents: &Agents{client: c}}
	if c.state, err = openState(config.StateFile, c.host, c.limits, c.memory, c.logger); err != nil {
		return nil, err
	}
	return c, nil
}

// serverOf returns the URL that the paths of requests are appended to: escaped, with its
// dot segments resolved, and with a slash at its end.
func serverOf(base string) string {
	base = strings.TrimRight(base, "/") + "/"
	parsed, err := url.Parse(base)
	if err != nil {
		return base // checkBaseURL refuses it
	}
	return parsed.ResolveReference(&url.URL{Path: "./"}).String()
}

// httpClient copies the caller's HTTP client, or makes one, that follows no
// redirects: the API sends none, and one to another host would take the prompt there.
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

// newTransport is the default transport with more connections kept, and less patience
// with the heads of replies (it would read 10 MiB). A program
// that has put another kind of transport in its place gets that one.
func newTransport() http.RoundTripper {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	transport := shared.Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	transport.MaxIdleConns = idleConnections
	transport.MaxResponseHeaderBytes = maxReplyHead
	return transport
}

// idleConnections is how many connections are kept for the next calls. The
// default transport keeps two, and a burst of calls over HTTP/1.1 would open and
// close all others.
const idleConnections = 100

// maxReplyHead is what is read of the head of a reply.
const maxReplyHead = 1 << 20

// Close closes idle connections, also those of a transport that came with
// [Config.HTTPClient]. Calls under way are not disturbed, and the client may go on
// being used. To end calls too, use [Client.Shutdown]. Close writes [Config.StateFile] for the last
// time, and unlocks it.
func (c *Client) Close() {
	if c.check() == nil {
		c.state.close()
		c.http.CloseIdleConnections()
	}
}

// WaitTime returns how long a call to the given model that uses the given number
// of tokens would wait if it was made now, of class [Interactive] and behind those who wait already. If the call
// must wait for calls in flight to end, the result is an estimate: see
// [limiter.Limiter.WaitTime]. WaitTime takes nothing, and does not count outages. The empty model is any that shares the
// default limit. The answer
// is [limiter.Never] for more tokens than the bucket holds.
func (c *Client) WaitTime(model string, tokens int) time.Duration {
	if c.check() != nil {
		return limiter.Never
	}
	return c.limits.For(model).WaitTime(tokens)
}

// Snapshot returns the state of each limiter by model: what is configured, what
// is left, who waits, what happened so far, and the outage that holds calls, if any.
// The one that all models without a limit of their own share is named "". It has the calls
// to models of which the server named a lower limit too.
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
	for model, held := range c.gates.Held() {
		s := all[limitOf(model)]
		s.Held += held
		all[limitOf(model)] = s
	}
	for _, o := range c.gates.Current() {
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

// SetLimit changes the limit of a model, or with "" the one that models without
// a limit of their own share. A model that had none gets one, be there such a model
// or not. It takes effect on calls that wait already.
// The error is a [*ConfigError], or a [*LimiterError] if the limiter could not be told.
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
