package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secretKey is the API key of every client in the tests.
const secretKey = "sk-THE-SECRET-KEY"

// An environment is an emulator and its client, in virtual time.
type environment struct {
	*testing.T
	client   *ratelimited.Client
	emulator *emulator.Emulator

	mu     sync.Mutex
	bodies []string // the bodies of requests to conversations, in order
	times  []time.Duration
	began  time.Time
}

type settings struct {
	emulator emulator.Config
	client   ratelimited.Config
}

// inSynctest runs a test in virtual time. It checks all requests and responses against the API's
// specification, and that no permit is left.
func inSynctest(t *testing.T, s settings, test func(env *environment)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		env := &environment{T: t, began: time.Now()}
		s.emulator.OnViolation = func(err error) { t.Error(err) }
		intercept := s.emulator.Intercept
		s.emulator.Intercept = func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			env.record(r)
			if intercept != nil {
				intercept(rw, r, next)
				return
			}
			next.ServeHTTP(rw, r)
		}
		env.emulator = emulator.New(s.emulator)
		server := memnet.Start(env.emulator)
		defer server.Close()
		s.client.APIKey, s.client.BaseURL, s.client.HTTPClient = secretKey, server.URL(), server.Client()
		if s.client.RequestsPerSecond == 0 {
			s.client.RequestsPerSecond, s.client.TokensPerMinute, s.client.BareBuckets = 1000, 100_000_000, true
		}
		var err error
		if env.client, err = ratelimited.New(s.client); err != nil {
			t.Fatal(err)
		}
		test(env)
		synctest.Wait()
		for model, snapshot := range env.client.Snapshot() {
			if snapshot.InFlight != 0 || snapshot.HeldTokens != 0 || snapshot.Waiting != 0 {
				t.Errorf("limiter %q: %d permits with %d tokens in flight and %d waiting", model, snapshot.InFlight, snapshot.HeldTokens, snapshot.Waiting)
			}
		}
	})
}

// record checks a request and keeps its body.
func (env *environment) record(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if _, violations := contract.Default().CheckRequest(r, body); len(violations) > 0 {
		env.Errorf("%s: %v", body, violations)
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/conversations") {
		env.bodies = append(env.bodies, string(body))
		env.times = append(env.times, time.Since(env.began))
	}
}

// requests returns the bodies of the requests so far.
func (env *environment) requests() []string {
	env.mu.Lock()
	defer env.mu.Unlock()
	return append([]string(nil), env.bodies...)
}

func (env *environment) runner(config runner.Config) *runner.Runner {
	env.Helper()
	r, err := runner.New(env.client, config)
	if err != nil {
		env.Fatal(err)
	}
	return r
}

// elapsed returns the duration of f.
func elapsed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// replySequence returns a model that answers the n-th call with the n-th reply, and later calls
// with the last one.
func replySequence(replies ...emulator.Reply) func(context.Context, emulator.Prompt) emulator.Reply {
	var n atomic.Int64
	return func(context.Context, emulator.Prompt) emulator.Reply {
		i := min(int(n.Add(1)), len(replies)) - 1
		r := replies[i]
		r.Entries = append([]generated.Entry(nil), r.Entries...)
		return r
	}
}

func say(text string) emulator.Reply { return emulator.Reply{Text: text} }

// calls returns a reply of function calls: names and arguments in turn. Their IDs are call_1 and so
// on, unless a name contains an ID, as in "weather#id".
func calls(namesAndArguments ...string) emulator.Reply {
	var reply emulator.Reply
	for i := 0; i < len(namesAndArguments); i += 2 {
		name, id, _ := strings.Cut(namesAndArguments[i], "#")
		reply.Entries = append(reply.Entries, generated.NewEntry(generated.FunctionCallEntry{
			Name: name, ToolCallID: id, Arguments: generated.FunctionCallEntryArguments(namesAndArguments[i+1]),
		}))
	}
	return reply
}

func text(text string) generated.Entry {
	return generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewTextContent(text)})
}

func tool[In, Out any](t testing.TB, name string, f func(context.Context, In) (Out, error), options ...runner.ToolOption) *runner.Tool {
	t.Helper()
	made, err := runner.NewTool(name, "Does "+name+".", f, options...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// userRequest returns a request with a text.
func userRequest(question string) generated.StartConversationRequest {
	return generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text(question)}
}

// results returns the function results in the inputs of a request, by tool_call_id, and their IDs
// in order.
func results(t testing.TB, body string) (byID map[string]string, ids []string) {
	t.Helper()
	var request struct {
		Inputs json.RawMessage `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(body), &request); err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		Type       string `json:"type"`
		ToolCallID string `json:"tool_call_id"`
		Result     string `json:"result"`
	}
	byID = map[string]string{}
	if json.Unmarshal(request.Inputs, &entries) != nil {
		return byID, nil // a text
	}
	for _, e := range entries {
		if e.Type == "function.result" {
			byID[e.ToolCallID] = e.Result
			ids = append(ids, e.ToolCallID)
		}
	}
	return byID, ids
}

// wantResults checks that each call in the history of a conversation has one result.
func (env *environment) wantResults(conversationID string) {
	env.Helper()
	history, err := env.client.Beta.Conversations.GetHistory(env.Context(), conversationID)
	if err != nil {
		env.Fatal(err)
	}
	count := map[string]int{}
	for _, entry := range history.Entries {
		switch e := entry.Value().(type) {
		case generated.FunctionCallEntry:
			count[e.ToolCallID] += 0
		case generated.FunctionResultEntry:
			count[e.ToolCallID]++
		}
	}
	for id, n := range count {
		if n != 1 {
			env.Errorf("call %s has %d results, want 1", id, n)
		}
	}
}

type location struct {
	City string `json:"city" jsonschema:"name of the city"`
}

type weather struct {
	City string  `json:"city"`
	Sky  string  `json:"sky"`
	High float64 `json:"high"`
}
