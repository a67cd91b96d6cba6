package runner

import (
	"encoding/json"
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// PendingReason is the reason why the caller has to answer an entry.
type PendingReason string

// The reasons, and the answers that are valid for each.
const (
	// PendingApproval is a call of a tool with [NeedsApproval]: [Allow], [AllowWith], [Deny] or [Reply].
	PendingApproval PendingReason = "approval"
	// PendingCall is a call of a tool without a function: [Reply] or [Deny].
	PendingCall PendingReason = "call"
	// PendingInterrupted is a call whose function was running when the run ended, or that ended the
	// run with [Abort]. The function may have had effects. [Allow] and [AllowWith] run it again;
	// [Reply] and [Deny] do not.
	PendingInterrupted PendingReason = "interrupted"
	// PendingConfirmation is a call that the service executes: [Allow] or [Deny].
	PendingConfirmation PendingReason = "confirmation"
	// PendingHandoff is a handoff that the caller executes: [Follow].
	PendingHandoff PendingReason = "handoff"
)

// Pending is an entry of a response that the caller has to answer.
type Pending struct {
	ID      string          // the ID for the [Answer]: the tool_call_id of a call, or the entry ID of a handoff
	Reason  PendingReason   // why the caller has to answer
	Entry   generated.Entry // a [generated.FunctionCallEntry] or [generated.AgentHandoffEntry]
	AgentID string          // the agent that wrote the entry; "" without an agent
}

// PendingError reports a run whose latest response has entries that the caller has to answer. All
// other calls of the response were executed. [Runner.Resume] continues with the State and the
// answers.
type PendingError struct {
	Pending []Pending // the entries in the order of the response
	Result  *Result   // includes the latest response
	State   *State    // the state to resume from
}

// Error returns the first reason and the number of other entries.
func (e *PendingError) Error() string {
	if len(e.Pending) == 0 {
		return "runner: pending"
	}
	text := "runner: pending: " + string(e.Pending[0].Reason)
	if call, ok := e.Pending[0].Entry.Value().(generated.FunctionCallEntry); ok {
		text += fmt.Sprintf(" of %q", cut(call.Name, maxShown))
	}
	if len(e.Pending) > 1 {
		text += fmt.Sprintf(" and %d more", len(e.Pending)-1)
	}
	return text
}

// Answer is the caller's answer to a [Pending] entry. Create it with [Allow], [AllowWith], [Deny],
// [Reply] or [Follow].
type Answer struct {
	kind      answerKind
	id, text  string
	arguments json.RawMessage
}

type answerKind string

const (
	answerAllow     answerKind = "Allow"
	answerAllowWith answerKind = "AllowWith"
	answerDeny      answerKind = "Deny"
	answerReply     answerKind = "Reply"
	answerFollow    answerKind = "Follow"
)

// Allow approves a call: the runner calls the function, or the service executes its own call.
func Allow(id string) Answer { return Answer{kind: answerAllow, id: id} }

// AllowWith approves a function call with other arguments than the model's. They are a JSON object
// and are validated in the same way. It is not valid for calls that the service executes.
func AllowWith(id string, arguments json.RawMessage) Answer {
	return Answer{kind: answerAllowWith, id: id, arguments: arguments}
}

// Deny rejects a call. The model receives the text; "" means "The call was denied.". The API
// accepts no text for calls that the service executes.
func Deny(id, text string) Answer { return Answer{kind: answerDeny, id: id, text: text} }

// Reply answers a call with a result, which the model receives unchanged. The function is not
// called.
func Reply(id, result string) Answer { return Answer{kind: answerReply, id: id, text: result} }

// Follow continues with the agent that a handoff names.
func Follow(id string) Answer { return Answer{kind: answerFollow, id: id} }

const textDenied = "The call was denied."

// AnswerError reports an [Answer] that does not match the pending entries. The runner has neither
// called a function nor sent a request.
type AnswerError struct {
	ID   string // the ID of the answer
	Rule string // the rule that the answer breaks
}

// Error returns the ID and the rule.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("runner: answer to %q: %s", cut(e.ID, maxShown), e.Rule)
}

// validAnswers maps each reason to its valid answers.
var validAnswers = map[PendingReason][]answerKind{
	PendingApproval:     {answerAllow, answerAllowWith, answerDeny, answerReply},
	PendingInterrupted:  {answerAllow, answerAllowWith, answerDeny, answerReply},
	PendingCall:         {answerDeny, answerReply},
	PendingConfirmation: {answerAllow, answerDeny},
	PendingHandoff:      {answerFollow},
}

// apply applies all answers to a turn, or none if one of them is invalid.
func (l *loop) apply(turn *Turn, pending []Pending, answers []Answer) error {
	open := make(map[string]PendingReason, len(pending))
	for _, p := range pending {
		open[p.ID] = p.Reason
	}
	seen := make(map[string]bool, len(answers))
	for _, a := range answers {
		if rule := l.answerRule(turn, open[a.id], a); rule != "" {
			return &AnswerError{a.id, rule}
		}
		if seen[a.id] {
			return &AnswerError{a.id, "must be given once"}
		}
		seen[a.id] = true
	}
	for _, a := range answers {
		l.applyAnswer(turn.call(a.id), open[a.id], a)
	}
	if turn != nil {
		l.result.Unsent = turn.results()
	}
	return nil
}

// answerRule returns the rule that an answer breaks, or "".
func (l *loop) answerRule(turn *Turn, reason PendingReason, a Answer) string {
	kinds, ok := validAnswers[reason]
	if !ok {
		return "must be the ID of a pending entry"
	}
	fits := false
	for _, kind := range kinds {
		fits = fits || kind == a.kind
	}
	if !fits {
		return fmt.Sprintf("must be one of %v for reason %q, got %s", kinds, reason, a.kind)
	}
	if maxBytes := l.runner.config.Limits.ResultBytes; len(a.text) > maxBytes {
		return fmt.Sprintf("must have at most %d bytes, got %d", maxBytes, len(a.text))
	}
	if a.kind == answerAllowWith {
		tool := l.runner.tools[turn.call(a.id).Name]
		if findings := decode(tool.parameters, a.arguments, nil); len(findings) > 0 {
			return "arguments: " + schema.Text(findings)
		}
	}
	return ""
}

// applyAnswer applies a valid answer.
func (l *loop) applyAnswer(call *Outcome, reason PendingReason, a Answer) {
	switch {
	case reason == PendingHandoff:
		l.isFollowed = true
	case reason == PendingConfirmation:
		l.confirmed[a.id] = map[answerKind]generated.ToolConfirmation{
			answerAllow: generated.ToolConfirmationAllow, answerDeny: generated.ToolConfirmationDeny,
		}[a.kind]
	case a.kind == answerReply:
		call.Status, call.Result = StatusDone, a.text
	case a.kind == answerDeny:
		call.Status, call.Result = StatusDenied, a.text
		if a.text == "" {
			call.Result = textDenied
		}
	default:
		call.Status, call.decided.approved, call.decided.arguments = StatusNotStarted, true, string(a.arguments)
	}
}
