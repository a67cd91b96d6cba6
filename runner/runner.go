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

// Limits bound a run. Zero fields have their defaults; negative ones are errors. Handoffs between
// agents have a bound that is fixed: 16 in a run.
type Limits struct {
	// Turns is the number of responses, 20 by default.
	Turns int
	// ToolCalls is the number of function calls that are carried out. A response with more calls
	// than are left runs none of them. Unlimited by default.
	ToolCalls int
	// Tokens is the sum of all responses' usage after which no request follows: the last one may
	// exceed it. A request whose inputs alone would exceed it, at four bytes a token, is not sent.
	// Unlimited by default.
	Tokens int
	// Time is how long a run may take, its waits for the limiter included; at least 1 ms. A run
	// ends earlier if its next call would not end in time. Unlimited by default.
	Time time.Duration

	// Parallel is how many functions of one response run at once, 8 by default.
	Parallel int
	// FailuresInARow is how many calls of one name may fail in a row, the last one ending the run;
	// 3 by default. Calls of unknown functions count together.
	FailuresInARow int
	// ResultBytes bounds what a model is told of one call, 1 MiB by default. A larger result is a
	// failure.
	ResultBytes int
}

// maxHandoffs is how many handoffs a run may have.
const maxHandoffs = 16

// Config says what a [Runner] does. New copies what it needs of it.
type Config struct {
	// Tools are the functions that models may call.
	Tools []*Tool
	// Limits bound each run.
	Limits Limits
	// Grace is how long a run that ends early waits for functions that are running, 5 s by
	// default. Their contexts end at once.
	Grace time.Duration
	// Decide, when set, answers what is pending of a response in place, after all else of it has
	// been carried out: calls that need approval, those of tools without a function, the service's
	// own that need confirmation, handoffs to carry out. What it leaves open ends the run with a
	// [*PendingError], as everything pending does without it. An error ends the run with a
	// [*RunError]. It is called from many goroutines at once, as runs are.
	Decide func(context.Context, []Pending) ([]Answer, error)
	// Stop, when set, is asked after the functions of a turn have run and before their results
	// are sent. True ends the run with [ErrStopped]; [Runner.Resume] sends the results. It is
	// called from many goroutines at once, as runs are.
	Stop func(Turn) bool
	// ErrorText, when set, returns what the model is told of a failed call, in place of the
	// failure's Text; "" keeps that. It is called from many goroutines at once.
	ErrorText func(Failure) string
	// RestartLost has a run go on in a new conversation where a response was lost and the
	// conversation has its inputs: a [Runner.Restart] from the last of them, which asks anew. Without
	// it, such a run ends with [ErrResponseLost].
	RestartLost bool
	// AcceptChangedTools has [Runner.Resume] go on with tools that have changed, or are not there
	// any more, since the state was made.
	AcceptChangedTools bool
	// Options are those of every call that a run makes.
	Options []ratelimited.CallOption
}

// Runner runs models with functions. Make one with [New] and share it: it is immutable, and any
// number of goroutines may use it.
//
// A run keeps its place in the client's queue: its first call waits behind those that came
// before, its later calls go ahead of all that came after the first. While functions run it
// holds neither a request nor tokens. What a run does is reported to the client's
// [ratelimited.Config.Observer]: the run as an operation "Runner.Start" (or Append, Restart, Resume)
// with its number of turns as attempts, each function call as "Runner.Tool", whose context has
// the [Call] and whose error is a [*Failure]. Calls of the API are reported inside the run.
type Runner struct {
	client      *ratelimited.Client
	config      Config
	tools       map[string]*Tool
	definitions []generated.Tool

	mu   sync.Mutex
	busy map[string]bool // conversations that a run is in
}

// New makes a runner. It sends nothing; the error is a [*ConfigError].
func New(client *ratelimited.Client, config Config) (*Runner, error) {
	if client == nil {
		return nil, &ConfigError{Field: "client", Rule: "must be a client that ratelimited.New has made"}
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
			return nil, &ConfigError{Field: fmt.Sprintf("Tools[%d]", i), Rule: "must be a tool that NewTool or RawTool has made"}
		}
		if r.tools[tool.Name()] != nil {
			first := slices.IndexFunc(config.Tools, func(t *Tool) bool { return t.Name() == tool.Name() })
			return nil, &ConfigError{Tool: tool.Name(), Field: fmt.Sprintf("Tools[%d].name", i), Value: tool.Name(), Rule: fmt.Sprintf("must be unique: Tools[%d] has it, too", first)}
		}
		r.tools[tool.Name()] = tool
		r.definitions = append(r.definitions, tool.Definition())
	}
	r.config.Tools = slices.Clone(config.Tools)
	return r, nil
}

// Definitions returns the tools as [generated.CreateAgentRequest] and
// [generated.StartConversationRequest] have them. The same tools give the same definitions, to
// the byte, in every process.
func (r *Runner) Definitions() []generated.Tool {
	if r == nil {
		return nil
	}
	return slices.Clone(r.definitions)
}

// Start starts a conversation and goes on until the model answers: functions that a response
// calls are carried out, and their results are sent, as often as the [Limits] allow.
//
// If the request names a model, the runner's tools are added to those of the request. An agent
// has tools of its own, and none are sent: create it with [Runner.Definitions]. A tool_choice of
// "any" or "required" is for the first response; later requests have "auto".
//
// With Store set to false, the API keeps nothing, and each turn sends everything again.
//
// The final answer is the only end with a nil error. Any other is an [Error] with the [Result] so
// far: a [*RunError], [*LimitError], [*ToolError], [*PendingError] or [*OutputError].
func (r *Runner) Start(ctx context.Context, request generated.StartConversationRequest) (*Result, error) {
	return r.run(ctx, &query{start: &request})
}

// Append continues a conversation as [Runner.Start] starts one. Its tools are those that the
// conversation or agent has: none can be sent. CompletionArgs, which the API applies to one call
// alone, are sent with every turn, and so are HandoffExecution and Store.
//
// A second run in a conversation that this runner is in is refused with [ErrBusy].
func (r *Runner) Append(ctx context.Context, conversationID string, request generated.AppendConversationRequest) (*Result, error) {
	return r.run(ctx, &query{id: conversationID, extend: &request})
}

// Restart starts a new conversation from an entry of another, see [ratelimited.Conversations],
// and continues it as [Runner.Append] does. The other one does not change.
func (r *Runner) Restart(ctx context.Context, conversationID string, request generated.RestartConversationRequest) (*Result, error) {
	return r.run(ctx, &query{id: conversationID, restart: &request})
}

func (r *Runner) run(ctx context.Context, first *query) (*Result, error) {
	return r.newLoop(first).resultOf(ctx)
}

// resultOf takes a run to its end.
func (l *loop) resultOf(ctx context.Context) (*Result, error) {
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	return l.result, nil
}

// enter takes a conversation for a run; false if another one has it.
func (r *Runner) enter(conversationID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[conversationID] {
		return false
	}
	r.busy[conversationID] = true
	return true
}

func (r *Runner) leave(conversationID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, conversationID)
}

// observe reports an operation to the client's observer. The function reports its end.
func (r *Runner) observe(ctx context.Context, operation string) (observed context.Context, end func(error, int)) {
	began, tell := time.Now(), func(ratelimited.CallEvent) {}
	observed = ctx
	func() {
		defer func() { _ = recover() }() // a panic of the observer does not end the run
		observed, tell = r.client.Observe(ctx, operation)
	}()
	return observed, func(err error, attempts int) {
		defer func() { _ = recover() }()
		tell(ratelimited.Ended{Err: err, Attempts: attempts, Duration: time.Since(began)})
	}
}
