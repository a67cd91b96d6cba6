package runner

import (
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Call says which function call something is about.
type Call struct {
	Name           string // of the function
	ID             string // the call's tool_call_id
	Turn           int    // of the response that has the call, from 1
	ConversationID string // "" if the API does not keep the conversation
	AgentID        string // of the agent that called; "" without one
}

// Status says what became of a function call.
type Status string

// What became of a call.
const (
	StatusDone        Status = "done"        // the function returned a result
	StatusFailed      Status = "failed"      // see [Outcome.Failure]
	StatusInterrupted Status = "interrupted" // the run ended meanwhile; the function may have had effects
	StatusNotStarted  Status = "not started" // the run ended before
	StatusPending     Status = "pending"     // it is left to the caller: see [PendingError]
	StatusDenied      Status = "denied"      // the caller has answered with [Deny]
)

// Outcome is a function call of the model's and what became of it.
type Outcome struct {
	Call
	Status   Status        // what became of it
	Result   string        // what the model is told, if Status is StatusDone, StatusFailed or StatusDenied
	Failure  *Failure      // if Status is StatusFailed
	Duration time.Duration // from its start, until it ended or was left behind

	decided decision
}

// A decision is what is known of a call beside its outcome.
type decision struct {
	reason    PendingReason // why it is pending
	approved  bool          // the caller has allowed it, or no approval is needed
	arguments string        // in place of the model's; "" for those
	isRunning bool          // its function has been started
}

// isAnswered reports whether there is something to tell the model.
func (o Outcome) isAnswered() bool {
	return o.Status == StatusDone || o.Status == StatusDenied || o.Status == StatusFailed && o.Failure.abortion() == nil
}

// Turn is one response of a run and its function calls.
type Turn struct {
	Number   int                             // from 1
	Response *generated.ConversationResponse // put together from the events if it was streamed
	Calls    []Outcome                       // in the order of the response; each tool_call_id once
}

// call returns the call of an id; nil if there is none.
func (t Turn) call(id string) *Outcome {
	i := slices.IndexFunc(t.Calls, func(o Outcome) bool { return o.ID == id })
	if i < 0 {
		return nil
	}
	return &t.Calls[i]
}

// results returns what the model is told of the calls, in their order.
func (t Turn) results() []generated.Entry {
	var results []generated.Entry
	for _, o := range t.Calls {
		if o.isAnswered() {
			results = append(results, ratelimited.FunctionResult(o.ID, o.Result))
		}
	}
	return results
}

// Result is what a run came to.
type Result struct {
	// ConversationID is where to go on with [Runner.Append]; "" if the API keeps nothing.
	ConversationID string
	// Turns are all responses, oldest first. Their entries have the ids that [Runner.Restart]
	// goes on from.
	Turns []Turn
	// Usage is the sum of all responses' usage, connectors by name.
	Usage generated.ConversationUsageInfo
	// UnknownUsage counts requests whose response never came whole, or came without usage.
	UnknownUsage int
	// Calls counts the function calls that were carried out, FailedCalls those among them that
	// failed.
	Calls, FailedCalls int
	// Unsent are results of functions that were not sent, because the run ended, or whose response
	// did not come. [Runner.Resume] sends them. Without it, they have to be the inputs of the next
	// [Runner.Append], together with results of the calls that have none.
	Unsent []generated.Entry
}

// Response returns the latest response; nil if there is none.
func (r *Result) Response() *generated.ConversationResponse {
	if r == nil || len(r.Turns) == 0 {
		return nil
	}
	return r.Turns[len(r.Turns)-1].Response
}

// OutputText returns the answer: the text of the last message of the latest response, without
// thoughts. Texts beside function calls, and of earlier turns and agents, are not part of it.
func (r *Result) OutputText() string { return answerOf(r.Response()) }

// Entries returns what the responses and the functions have added to the conversation, in
// order: outputs and results, those in Unsent included.
func (r *Result) Entries() []generated.Entry {
	if r == nil {
		return nil
	}
	var entries []generated.Entry
	for _, t := range r.Turns {
		entries = slices.Concat(entries, t.Response.Outputs, t.results())
	}
	return entries
}

// answerOf returns the text of a response's last message.
func answerOf(response *generated.ConversationResponse) string {
	if response == nil {
		return ""
	}
	for _, output := range slices.Backward(response.Outputs) {
		if m, ok := output.Value().(generated.MessageOutputEntry); ok {
			return m.Content.Text()
		}
	}
	return ""
}

// add sums up usage.
func (r *Result) add(u generated.ConversationUsageInfo) {
	if u.TotalTokens == 0 {
		r.UnknownUsage++
	}
	r.Usage.PromptTokens += u.PromptTokens
	r.Usage.CompletionTokens += u.CompletionTokens
	r.Usage.TotalTokens += u.TotalTokens
	r.Usage.ConnectorTokens += u.ConnectorTokens
	r.Usage.NumCachedTokens += u.NumCachedTokens
	for name, n := range u.Connectors {
		if r.Usage.Connectors == nil {
			r.Usage.Connectors = map[string]int{}
		}
		r.Usage.Connectors[name] += n
	}
}
