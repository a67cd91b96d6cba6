package runner

import (
	"encoding/json"
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// PendingReason says why a run cannot go on by itself.
type PendingReason string

// What a run may wait for, and the answers that it takes.
const (
	// PendingApproval is a call of a tool with [NeedsApproval]: [Allow], [AllowWith], [Deny] or [Reply].
	PendingApproval PendingReason = "approval"
	// PendingCall is a call of a tool without a function: [Reply] or [Deny].
	PendingCall PendingReason = "call"
	// PendingInterrupted is a call whose function had begun when the run ended, or that ended the
	// run with [Abort]. It may have had effects: [Allow] and [AllowWith] run it again, [Reply] and
	// [Deny] do not.
	PendingInterrupted PendingReason = "interrupted"
	// PendingConfirmation is a call that the service carries out: [Allow] or [Deny].
	PendingConfirmation PendingReason = "confirmation"
	// PendingHandoff is a handoff to another agent, by the caller: [Follow].
	PendingHandoff PendingReason = "handoff"
)

// Pending is an entry of a response that the caller has to answer.
type Pending struct {
	ID      string          // what an [Answer] names: the call's tool_call_id, or the id of the handoff's entry
	Reason  PendingReason   // why the run cannot go on
	Entry   generated.Entry // a [generated.FunctionCallEntry] or [generated.AgentHandoffEntry]
	AgentID string          // of the agent that wrote it; "" without one
}

// PendingError is the end of a run whose latest response needs the caller. All other calls of
// the response have been carried out. [Runner.Resume] goes on with the State and the answers.
type PendingError struct {
	Pending []Pending // in the order of the response
	Result  *Result   // the response included
	State   *State    // to go on from
}

// Error says how much is pending, and why.
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

// Answer is what the caller says of something that is [Pending]: [Allow], [AllowWith], [Deny],
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

// Allow has a call carried out, by its function or by the service.
func Allow(id string) Answer { return Answer{kind: answerAllow, id: id} }

// AllowWith has a function called with these arguments in place of the model's: a JSON object,
// which is checked as the model's are. The service's calls do not take it.
func AllowWith(id string, arguments json.RawMessage) Answer {
	return Answer{kind: answerAllowWith, id: id, arguments: arguments}
}

// Deny refuses a call. The model is told the text; "" stands for "The call was denied.". The API
// takes no text for the service's own calls.
func Deny(id, text string) Answer { return Answer{kind: answerDeny, id: id, text: text} }

// Reply answers a call with a result, which the model is told as it is. No function runs.
func Reply(id, result string) Answer { return Answer{kind: answerReply, id: id, text: result} }

// Follow goes on with the agent that a handoff names.
func Follow(id string) Answer { return Answer{kind: answerFollow, id: id} }

const textDenied = "The call was denied."

// AnswerError reports an [Answer] that does not fit what is pending. Nothing was run or sent.
type AnswerError struct {
	ID   string // that the answer names
	Rule string // what is wrong with it
}

// Error names the id and what is wrong.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("runner: answer to %q: %s", cut(e.ID, maxShown), e.Rule)
}

// takes has the answers that each reason takes.
var takes = map[PendingReason][]answerKind{
	PendingApproval:     {answerAllow, answerAllowWith, answerDeny, answerReply},
	PendingInterrupted:  {answerAllow, answerAllowWith, answerDeny, answerReply},
	PendingCall:         {answerDeny, answerReply},
	PendingConfirmation: {answerAllow, answerDeny},
	PendingHandoff:      {answerFollow},
}

// apply enters answers in a turn, all of them or, with an error, none.
func (l *loop) apply(turn *Turn, pending []Pending, answers []Answer) error {
	open := make(map[string]PendingReason, len(pending))
	for _, p := range pending {
		open[p.ID] = p.Reason
	}
	seen := make(map[string]bool, len(answers))
	for _, a := range answers {
		if rule := l.misfit(turn, open[a.id], a); rule != "" {
			return &AnswerError{a.id, rule}
		}
		if seen[a.id] {
			return &AnswerError{a.id, "must be there once"}
		}
		seen[a.id] = true
	}
	for _, a := range answers {
		l.enterAnswer(turn.call(a.id), open[a.id], a)
	}
	if turn != nil {
		l.result.Unsent = turn.results()
	}
	return nil
}

// misfit returns why an answer cannot be taken; "" if it can.
func (l *loop) misfit(turn *Turn, reason PendingReason, a Answer) string {
	kinds, ok := takes[reason]
	if !ok {
		return "nothing of that id is pending"
	}
	fits := false
	for _, kind := range kinds {
		fits = fits || kind == a.kind
	}
	if !fits {
		return fmt.Sprintf("must be one of %v, got %s: what is pending is of reason %s", kinds, a.kind, reason)
	}
	if most := l.runner.config.Limits.ResultBytes; len(a.text) > most {
		return fmt.Sprintf("must have at most %d bytes, got %d", most, len(a.text))
	}
	if a.kind == answerAllowWith {
		tool := l.runner.tools[turn.call(a.id).Name]
		if findings := decode(tool.parameters, a.arguments, nil); len(findings) > 0 {
			return "the arguments are not valid: " + schema.Text(findings)
		}
	}
	return ""
}

// enterAnswer notes an answer that fits.
func (l *loop) enterAnswer(call *Outcome, reason PendingReason, a Answer) {
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
