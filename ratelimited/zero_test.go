package ratelimited_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Methods of zero and nil values return errors that name the constructor.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	var config *ratelimited.ConfigError
	var client ratelimited.Client
	var nilClient *ratelimited.Client
	check := func(what string, err error, constructor string) {
		t.Helper()
		if !errors.As(err, &config) || !strings.Contains(err.Error(), constructor) {
			t.Errorf("%s: error is %v, want a ConfigError that names %s", what, err, constructor)
		}
	}
	const constructor = "ratelimited.New"
	for _, step := range steps {
		switch step.method {
		case "Agents.UpdateVersion": // its step lists versions first
		default:
			check(step.method, step.call(t.Context(), &scenario{conversation: "c", entry: "e", agent: "a"}), constructor)
			check(step.method, step.call(t.Context(), &scenario{client.Beta.Conversations, client.Beta.Agents, "c", "e", "a"}), constructor)
			check(step.method, step.call(t.Context(), &scenario{&ratelimited.Conversations{}, &ratelimited.Agents{}, "c", "e", "a"}), constructor)
		}
	}
	for _, err := range client.Beta.Conversations.All(t.Context(), generated.ListConversationsParams{}) {
		check("Conversations.All", err, constructor)
	}
	for _, err := range client.Beta.Agents.All(t.Context(), generated.ListAgentPagesParams{}) {
		check("Agents.All", err, constructor)
	}
	for _, c := range []*ratelimited.Client{&client, nilClient} {
		check("Shutdown", c.Shutdown(t.Context()), constructor)
		check("SetLimit", c.SetLimit("m", limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1}), constructor)
		c.Close()
		if d, s := c.WaitTime("m", 1), c.Snapshot(); d != limiter.Never || len(s) != 0 {
			t.Errorf("WaitTime returns %v and Snapshot %v, want Never and nothing", d, s)
		}
	}
	for _, s := range []*ratelimited.Stream{nil, {}} {
		_, err := collect(s)
		check("Events", err, "StartStream")
		for _, err := range s.TextDeltas() {
			check("TextDeltas", err, "StartStream")
		}
		check("Close", s.Close(), "StartStream")
		if s.Response() != nil || s.Usage() != nil || s.Text() != "" || s.ConversationID() != "" {
			t.Error("a zero Stream returns a response, a usage, a text, or a conversation ID")
		}
	}
	for _, err := range []error{
		&ratelimited.ConfigError{}, &ratelimited.RequestError{}, &ratelimited.TokenCountError{}, &ratelimited.WaitError{}, &ratelimited.OutageError{},
		&ratelimited.LimiterError{}, &ratelimited.APIError{}, &ratelimited.RateLimitError{}, &ratelimited.TransportError{}, &ratelimited.StreamError{},
	} {
		if err.Error() == "" || errors.Is(err, ratelimited.ErrNotFound) {
			t.Errorf("%T: %v", err, err)
		}
	}
	for _, f := range []*ratelimited.Future[int]{nil, {}} {
		_, err := f.Await(t.Context())
		check("Await", err, "ratelimited.Async")
		<-f.Done()
	}
}

// New and SetLimit fail if the limiter factory returns neither a limiter nor an error.
func TestLimiterFactoryThatReturnsNil(t *testing.T) {
	t.Parallel()
	var config *ratelimited.ConfigError
	for name, factory := range map[string]limiter.Factory{
		"nil":         func(string, limiter.Limit) (limiter.Backend, error) { return nil, nil },
		"nil pointer": func(string, limiter.Limit) (limiter.Backend, error) { return (*unusedLimiter)(nil), nil },
	} {
		_, err := ratelimited.New(ratelimited.Config{APIKey: secretKey, Limiter: factory})
		if !errors.As(err, &config) || config.Field != "Limiter" || !strings.Contains(err.Error(), "must return a limiter or an error, got neither") {
			t.Errorf("%s: New returns %v", name, err)
		}
		first := true
		client := newClient(t, ratelimited.Config{APIKey: secretKey, Limiter: func(model string, limit limiter.Limit) (limiter.Backend, error) {
			if first {
				first = false
				return limiter.InProcess()(model, limit)
			}
			return factory(model, limit)
		}})
		var failed *ratelimited.LimiterError
		if err := client.SetLimit("m", limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1}); !errors.As(err, &failed) {
			t.Errorf("%s: SetLimit returns %v", name, err)
		}
	}
}

// unusedLimiter is the type of a nil limiter.
type unusedLimiter struct{ limiter.Backend }

// Await, Gather, and Each return an error for a nil context, a nil function, or nil inputs.
func TestNilArguments(t *testing.T) {
	t.Parallel()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid", what, err)
		}
	}
	call := func(context.Context, int) (int, error) { return 1, nil }
	var nilContext context.Context
	for _, r := range ratelimited.Gather(nilContext, []int{1, 2}, call) {
		check("Gather without a context", r.Err)
	}
	for _, r := range ratelimited.Gather[int, int](t.Context(), []int{1, 2}, nil) {
		check("Gather without a call", r.Err)
	}
	for what, each := range map[string]iter.Seq2[int, ratelimited.Result[int]]{
		"without a context": ratelimited.Each(nilContext, slices.Values([]int{1, 2}), call),
		"without a call":    ratelimited.Each[int, int](t.Context(), slices.Values([]int{1, 2}), nil),
		"without inputs":    ratelimited.Each(t.Context(), nil, call),
	} {
		n := 0
		for _, r := range each {
			n++
			check("Each "+what, r.Err)
		}
		if n != 1 {
			t.Errorf("Each %s yields %d results", what, n)
		}
	}
	wait := make(chan struct{})
	future := ratelimited.Async(func() (int, error) { <-wait; return 1, nil })
	_, err := future.Await(nilContext)
	check("Await without a context", err)
	close(wait)
}
