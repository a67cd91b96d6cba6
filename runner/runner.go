package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Limits bounds a run. A zero field has its default; a negative field is an error. Handoffs between
// agents have a fixed limit of 16 in a run.
type Limits struct {
	// The maximum number of responses, 20 by default.
	Turns int
	// The maximum number of function calls, unlimited by default. If a response has more calls than
	// are left, none of them is executed.
	ToolCalls int
	// The token limit, compared with the sum of the usage of all responses. Unlimited by default.
	// Once the sum reaches the limit, the run sends no further request, so the last response may
	// exceed the limit. The run also does not send a request whose inputs alone would exceed the
	// limit, at four bytes per token.
	Tokens int
	// The maximum duration of a run, including its waits for the limiter. It is unlimited by
	// default and must be at least 1 ms. A run ends early if its next call could not end in time.
	Time time.Duration

	// The maximum number of functions of one response that run concurrently, 8 by default.
	Parallel int
	// The number of consecutive failures of one function that ends the run, 3 by default. Calls of
	// unknown functions are counted together.
	FailuresInARow int
	// The maximum size of the text that the model receives for one call, 1 MiB by default. A larger
	// result counts as a failure.
	ResultBytes int
}

// maxHandoffs is the maximum number of handoffs in a run.
const maxHandoffs = 16

// Config configures a [Runner]. New copies it.
type Config struct {
	// The functions that models may call.
	Tools []*Tool
	// The limits of each run.
	Limits Limits
	// The time that a run that ends early waits for running functions, 5 s by default. The contexts
	// of the functions end at once.
	Grace time.Duration
	// An optional function that answers the pending entries of a response during the run: calls
	// that need approval, calls of tools without a function, calls that the service executes after
	// a confirmation, and handoffs. The run calls it once per response, after it has executed all
	// other calls. If entries stay unanswered, the run ends with a [*PendingError], as it does
	// without Decide. If Decide returns an error, the run ends with a [*RunError]. Concurrent runs
	// call it concurrently.
	Decide func(context.Context, []Pending) ([]Answer, error)
	// An optional function that the run calls after the functions of a turn and before it sends
	// their results. If it returns true, the run ends with [ErrStopped], and [Runner.Resume] sends
	// the results. Concurrent runs call it concurrently.
	Stop func(Turn) bool
	// An optional function that replaces the text that the model receives for a failed call. If it
	// returns "", the model receives [Failure.Text]. It may be called concurrently.
	ErrorText func(Failure) string
	// Whether a run continues in a new conversation if a response was lost and the conversation has
	// the inputs of its request. The run then calls [Runner.Restart] from the last of these inputs,
	// which requests the response again. If false, such a run ends with [ErrResponseLost].
	RestartLost bool
	// Whether [Runner.Resume] accepts a state whose tools have since been changed or removed.
	AcceptChangedTools bool
	// The options of every call that a run makes.
	Options []ratelimited.CallOption
}

// Runner runs models with tools. Create one with [New]. It is immutable and safe for concurrent
// use.
//
// A run keeps its place in the client's queue: its first call waits behind earlier calls, and its
// later calls go ahead of every call that arrived after the first one. While functions run, the run
// holds neither a request nor tokens.
//
// A run reports two kinds of operations to the client's [ratelimited.Config.Observer]. The run
// itself is the operation "Runner.Start" (or Append, Restart, Resume), with the number of turns as
// attempts. Each function call is the operation "Runner.Tool"; its context holds the [Call], and
// its error is a [*Failure]. The calls of the API are reported within the run.
type Runner struct {
	client      *ratelimited.Client
	config      Config
	tools       map[string]*Tool
	definitions []generated.Tool

	mu   sync.Mutex
	busy map[string]bool // conversations with an active run
}

// New returns a runner. It sends nothing. The error is a [*ConfigError].
func New(client *ratelimited.Client, config Config) (*Runner, error) {
	if client == nil {
		return nil, &ConfigError{Field: "client", Rule: "must be a client made with ratelimited.New"}
	}
	for _, field := range []struct {
		name  string
		value *int
		unset int
	}{
		{"Turns", &config.Limits.Turns, 20}, {"ToolCalls", &config.Limits.ToolCalls, 0}, {"Tokens", &config.Limits.Tokens, 0},
		{"Parallel", &config.Limits.Parallel, 8}, {"FailuresInARow", &config.Limits.FailuresInARow, 3}, {"ResultBytes", &config.Limits.ResultBytes, 1 << 20},
	} {
		if *field.value < 0 {
			return nil, &ConfigError{Field: "Limits." + field.name, Value: *field.value, Rule: "must not be negative"}
		}
		if *field.value == 0 {
			*field.value = field.unset
		}
	}
	if config.Grace == 0 {
		config.Grace = 5 * time.Second
	}
	if config.Grace < time.Millisecond {
		return nil, &ConfigError{Field: "Grace", Value: config.Grace, Rule: "must be at least 1ms"}
	}
	if config.Limits.Time != 0 && config.Limits.Time < time.Millisecond {
		return nil, &ConfigError{Field: "Limits.Time", Value: config.Limits.Time, Rule: "must be at least 1ms"}
	}
	r := &Runner{client: client, config: config, tools: map[string]*Tool{}, busy: map[string]bool{}}
	r.config.Options = slices.Clone(config.Options)
	for i, tool := range config.Tools {
		if tool == nil || tool.parameters == nil {
			return nil, &ConfigError{Field: fmt.Sprintf("Tools[%d]", i), Rule: "must be a tool made with NewTool or RawTool"}
		}
		if r.tools[tool.Name()] != nil {
			first := slices.IndexFunc(config.Tools, func(t *Tool) bool { return t.Name() == tool.Name() })
			return nil, &ConfigError{Tool: tool.Name(), Field: fmt.Sprintf("Tools[%d].name", i), Value: tool.Name(), Rule: fmt.Sprintf("must be unique: Tools[%d] has the same name", first)}
		}
		r.tools[tool.Name()] = tool
		r.definitions = append(r.definitions, tool.Definition())
	}
	r.config.Tools = slices.Clone(config.Tools)
	return r, nil
}

// Definitions returns the tools for a [generated.CreateAgentRequest] or a
// [generated.StartConversationRequest]. The same tools have byte-identical definitions in every
// process.
func (r *Runner) Definitions() []generated.Tool {
	if r == nil {
		return nil
	}
	return slices.Clone(r.definitions)
}

// Start starts a conversation and continues it until the model answers. It executes the functions
// that a response calls and sends their results, within the [Limits].
//
// If the request names a model, the runner's tools are added to the tools of the request. If it
// names an agent, no tools are sent, because an agent has its own: create it with
// [Runner.Definitions]. A tool_choice of "any" or "required" applies to the first response; later
// requests use "auto".
//
// If Store is false, the API does not keep the conversation, and each turn sends all entries again.
//
// The error is nil only if the model answered. Every other error is an [Error] and holds the
// [Result] so far: a [*RunError], [*LimitError], [*ToolError], [*PendingError] or [*OutputError].
func (r *Runner) Start(ctx context.Context, request generated.StartConversationRequest) (*Result, error) {
	return r.run(ctx, &turnRequest{start: &request})
}

// Append continues a conversation as [Runner.Start] does. It sends no tools: the conversation or
// the agent has them. The API applies CompletionArgs to a single call, so the run sends them with
// every turn, and HandoffExecution and Store as well.
//
// Append fails with [ErrBusy] if another run of this runner is in the same conversation.
func (r *Runner) Append(ctx context.Context, conversationID string, request generated.AppendConversationRequest) (*Result, error) {
	return r.run(ctx, &turnRequest{id: conversationID, append: &request})
}

// Restart starts a new conversation from an entry of an existing one and continues it as
// [Runner.Append] does. The existing conversation does not change. See [ratelimited.Conversations].
func (r *Runner) Restart(ctx context.Context, conversationID string, request generated.RestartConversationRequest) (*Result, error) {
	return r.run(ctx, &turnRequest{id: conversationID, restart: &request})
}

func (r *Runner) run(ctx context.Context, first *turnRequest) (*Result, error) {
	return r.newLoop(first).resultOf(ctx)
}

// resultOf executes the run and returns its result.
func (l *loop) resultOf(ctx context.Context) (*Result, error) {
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	return l.result, nil
}

// markBusy marks a conversation as having an active run. It reports false if it already has one.
func (r *Runner) markBusy(conversationID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[conversationID] {
		return false
	}
	r.busy[conversationID] = true
	return true
}

// clearBusy removes the mark that enter has set.
func (r *Runner) clearBusy(conversationID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, conversationID)
}

// observe reports the start of an operation to the client's observer. The returned function reports
// its end.
func (r *Runner) observe(ctx context.Context, operation string) (observed context.Context, end func(error, int)) {
	began, notify := time.Now(), func(ratelimited.CallEvent) {}
	observed = ctx
	func() {
		defer func() { _ = recover() }() // a panic in the observer must not end the run
		observed, notify = r.client.Observe(ctx, operation)
	}()
	return observed, func(err error, attempts int) {
		defer func() { _ = recover() }()
		notify(ratelimited.Ended{Err: err, Attempts: attempts, Duration: time.Since(began)})
	}
}
