package runner

import (
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Call identifies a function call.
type Call struct {
	Name           string // the name of the function
	ID             string // the tool_call_id
	Turn           int    // the number of the response with the call, from 1
	ConversationID string // "" if the API does not keep the conversation
	AgentID        string // the calling agent; "" without an agent
}

// Status is the state of a function call.
type Status string

// The states of a function call.
const (
	StatusDone        Status = "done"        // the function returned a result
	StatusFailed      Status = "failed"      // the call failed: see [Outcome.Failure]
	StatusInterrupted Status = "interrupted" // the run ended during the call; the function may have had effects
	StatusNotStarted  Status = "not started" // the run ended before the call
	StatusPending     Status = "pending"     // the caller has to answer: see [PendingError]
	StatusDenied      Status = "denied"      // the caller answered with [Deny]
)

// Outcome is a function call and its result.
type Outcome struct {
	Call
	Status   Status        // the state of the call
	Result   string        // the text for the model, if Status is StatusDone, StatusFailed or StatusDenied
	Failure  *Failure      // the failure, if Status is StatusFailed
	Duration time.Duration // the time from the start of the call until it ended or the run stopped waiting

	decided decision
}

// A decision holds the private state of a call.
type decision struct {
	reason    PendingReason // why the call is pending
	approved  bool          // whether the call is approved or needs no approval
	arguments string        // replacement of the model's arguments; "" to keep them
	isRunning bool          // whether the function has started
}

// isAnswered reports whether the call has a result for the model.
func (o Outcome) isAnswered() bool {
	return o.Status == StatusDone || o.Status == StatusDenied || o.Status == StatusFailed && o.Failure.abortCause() == nil
}

// Turn is one response of a run and its function calls.
type Turn struct {
	Number   int                             // the number of the turn, from 1
	Response *generated.ConversationResponse // the response; assembled from the events if it was streamed
	Calls    []Outcome                       // the calls in the order of the response, each tool_call_id once
}

// call returns the call with an ID, or nil.
func (t Turn) call(id string) *Outcome {
	i := slices.IndexFunc(t.Calls, func(o Outcome) bool { return o.ID == id })
	if i < 0 {
		return nil
	}
	return &t.Calls[i]
}

// results returns the results for the model, in the order of the calls.
func (t Turn) results() []generated.Entry {
	var results []generated.Entry
	for _, o := range t.Calls {
		if o.isAnswered() {
			results = append(results, ratelimited.FunctionResult(o.ID, o.Result))
		}
	}
	return results
}

// Result is the result of a run.
type Result struct {
	// The conversation to continue with [Runner.Append]; "" if the API does not keep it.
	ConversationID string
	// All responses, oldest first. [Runner.Restart] accepts the IDs of their entries.
	Turns []Turn
	// The sum of the usage of all responses, with connectors by name.
	Usage generated.ConversationUsageInfo
	// The number of requests without a complete response or without usage.
	UnknownUsage int
	// Calls is the number of executed function calls. FailedCalls is the number of these calls that
	// failed.
	Calls, FailedCalls int
	// The results of functions that were not sent, because the run ended or a response was lost.
	// [Runner.Resume] sends them. Without Resume, they must be inputs of the next [Runner.Append],
	// together with results for the calls that were not executed.
	Unsent []generated.Entry
}

// Response returns the latest response, or nil.
func (r *Result) Response() *generated.ConversationResponse {
	if r == nil || len(r.Turns) == 0 {
		return nil
	}
	return r.Turns[len(r.Turns)-1].Response
}

// OutputText returns the answer: the text of the last message of the latest response, without
// thinking content. It does not include texts next to function calls, or texts of earlier turns and
// agents.
func (r *Result) OutputText() string { return answerOf(r.Response()) }

// Entries returns the outputs and function results that the run added to the conversation, in
// order. It includes the results in Unsent.
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

// answerOf returns the text of the last message of a response.
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

// add adds the usage of a response.
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
