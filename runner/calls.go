package runner

import (
	"context"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// callsOf returns the function calls of a response that the service does not execute itself, each
// tool_call_id once.
func callsOf(response *generated.ConversationResponse, turn int, conversationID string) (calls []Outcome) {
	seen := map[string]bool{}
	for _, entry := range response.FunctionCalls() {
		if entry.ConfirmationStatus != "" || seen[entry.ToolCallID] {
			continue
		}
		seen[entry.ToolCallID] = true
		calls = append(calls, Outcome{Status: StatusNotStarted, Call: Call{
			Name: entry.Name, ID: entry.ToolCallID, Turn: turn, ConversationID: conversationID, AgentID: entry.AgentID,
		}})
	}
	return calls
}

// handoffsOf counts the handoffs of a response. It sets isLast if the response ends with a handoff.
func handoffsOf(response *generated.ConversationResponse) (n int, isLast bool) {
	for _, output := range response.Outputs {
		if _, isLast = output.Value().(generated.AgentHandoffEntry); isLast {
			n++
		}
	}
	return n, isLast
}

// isAnswer reports whether a response needs no action: it has neither calls to execute, nor
// confirmations to send, nor a handoff at its end.
func (t Turn) isAnswer() bool {
	for _, call := range t.Response.FunctionCalls() {
		if call.ConfirmationStatus == "" || call.ConfirmationStatus == generated.ConfirmationStatusPending {
			return false
		}
	}
	_, endsWithHandoff := handoffsOf(t.Response)
	return !endsWithHandoff
}

// unfinished returns the unfinished entries of a turn: the calls to execute and the entries that the
// caller has to answer. Both are in the order of the response.
func (l *loop) unfinished(turn *Turn) (jobs []*job, pending []Pending) {
	pending = l.pending(turn, func(call *Outcome, entry generated.FunctionCallEntry) PendingReason {
		j := l.job(turn, call, entry)
		reason := l.reason(j, call)
		if reason == "" {
			jobs = append(jobs, j)
		}
		return reason
	})
	return jobs, pending
}

// pending returns the entries of a turn that the caller has to answer. reasonOf returns why a call
// without a result is pending, or "".
func (p *progress) pending(turn *Turn, reasonOf func(*Outcome, generated.FunctionCallEntry) PendingReason) (pending []Pending) {
	outputs, seen := turn.Response.Outputs, map[string]bool{}
	for i, output := range outputs {
		switch entry := output.Value().(type) {
		case generated.AgentHandoffEntry:
			if i == len(outputs)-1 && !p.isFollowed {
				pending = append(pending, Pending{entry.ID, PendingHandoff, output, entry.PreviousAgentID})
			}
		case generated.FunctionCallEntry:
			if seen[entry.ToolCallID] {
				continue
			}
			seen[entry.ToolCallID] = true
			reason := PendingReason("")
			switch call := turn.call(entry.ToolCallID); {
			case entry.ConfirmationStatus == generated.ConfirmationStatusPending:
				if p.confirmed[entry.ToolCallID] == "" {
					reason = PendingConfirmation
				}
			case entry.ConfirmationStatus != "" || call == nil || call.isAnswered():
			default:
				reason = reasonOf(call, entry)
			}
			if reason != "" {
				pending = append(pending, Pending{entry.ToolCallID, reason, output, entry.AgentID})
			}
		}
	}
	return pending
}

// job returns the job of a call.
func (l *loop) job(turn *Turn, call *Outcome, entry generated.FunctionCallEntry) *job {
	if call.decided.arguments != "" {
		entry.Arguments = generated.FunctionCallEntryArguments(call.decided.arguments)
	}
	return &job{Call: call.Call, turn: turn, tool: l.runner.tools[entry.Name], arguments: argumentsOf(entry), runner: l.runner}
}

// reason returns why a call is not executed yet, and records it in the outcome. It returns "" if
// the call is executed now. A call with invalid arguments never waits for approval: the model has
// to correct it.
func (l *loop) reason(j *job, call *Outcome) PendingReason {
	wasInterrupted := call.Status == StatusInterrupted || call.Status == StatusFailed
	switch {
	case j.tool == nil:
		return ""
	case call.Status == StatusPending:
	case len(decode(j.tool.parameters, j.arguments, nil)) > 0:
		return ""
	case j.tool.prepare == nil:
		call.decided.reason = PendingCall
	case call.decided.approved || wasInterrupted && j.tool.idempotent:
		return ""
	case wasInterrupted:
		call.decided.reason = PendingInterrupted
		return PendingInterrupted
	case j.needsApproval(l.ctx):
		call.decided.reason = PendingApproval
	default:
		call.decided.approved = true
		return ""
	}
	call.Status = StatusPending
	return call.decided.reason
}

// needsApproval calls the approval function of the tool. A panic counts as true.
func (j *job) needsApproval(ctx context.Context) (needed bool) {
	if j.tool.approval == nil {
		return false
	}
	defer func() {
		if recover() != nil {
			needed = true
		}
	}()
	return j.tool.approval(context.WithValue(ctx, callKey{}, j.Call), j.arguments)
}

// checkLimits returns an error if the run must not execute its calls. No function runs whose result could
// not be sent.
func (l *loop) checkLimits(turn *Turn, jobs []*job, pending []Pending) error {
	limits, used := l.runner.config.Limits, l.result
	if isAtMaxTokens(turn.Response, l.first.fields().args.MaxTokens) && hasTruncatedCall(turn.Response) {
		return &OutputError{Kind: OutputTruncated, Attempts: 1, Result: l.result}
	}
	calls := len(jobs)
	for _, p := range pending {
		if p.Reason == PendingApproval || p.Reason == PendingInterrupted {
			calls++
		}
	}
	for _, limit := range []struct {
		name      Limit
		max, used int
		isOver    bool
	}{
		{LimitHandoffs, maxHandoffs, l.handoffs, l.handoffs > maxHandoffs},
		{LimitTurns, limits.Turns, turn.Number, calls > 0 && turn.Number >= limits.Turns},
		{LimitToolCalls, limits.ToolCalls, used.Calls, calls > 0 && limits.ToolCalls > 0 && used.Calls+calls > limits.ToolCalls},
		{LimitTokens, limits.Tokens, used.Usage.TotalTokens, calls > 0 && l.isOutOfTokens()},
	} {
		if limit.isOver {
			return l.limitError(limit.name, int64(limit.max), int64(limit.used))
		}
	}
	return nil
}
