package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// State is a run that can be resumed with [Runner.Resume]. It can be stored as JSON and read by
// another process, also with a later version of this package.
//
// It contains the responses so far, the results that were not sent, and the settings of the
// requests. It does not contain API keys, header fields or the authorization of connectors. Keep it
// in a store that nobody else can write to, because Resume trusts the approvals in it.
//
// A State is immutable and safe for concurrent use.
type State struct {
	// The tools of the request that are not the runner's, such as web_search. The state does not
	// contain the authorization of connectors. Set it again before a Resume that sends these tools.
	// Resume sends them if the first request has no response, or if the conversation is not stored.
	Tools []generated.Tool

	data stateData
}

// stateVersion is the version of the format of [stateData].
const stateVersion = 1

// stateData is the JSON form of a state. Examples of all versions are in testdata.
type stateData struct {
	Version        int                             `json:"version"`
	Fingerprints   map[string]string               `json:"fingerprints,omitempty"` // SHA-256 of the tools' definitions, by name
	Tools          []generated.Tool                `json:"tools,omitempty"`
	Authorized     []int                           `json:"authorized,omitempty"` // indexes of tools whose authorization was removed
	First          queryData                       `json:"first"`
	Request        queryData                       `json:"request"`
	IsDue          bool                            `json:"due,omitempty"`
	IsLost         bool                            `json:"lost,omitempty"`
	HasFailed      bool                            `json:"failed,omitempty"`
	IsRestarted    bool                            `json:"restarted,omitempty"`
	ConversationID string                          `json:"conversation_id,omitempty"`
	Turns          []turnData                      `json:"turns,omitempty"`
	Usage          generated.ConversationUsageInfo `json:"usage"`
	UnknownUsage   int                             `json:"unknown_usage,omitempty"`
	Calls          int                             `json:"calls,omitempty"`
	FailedCalls    int                             `json:"failed_calls,omitempty"`
	Handoffs       int                             `json:"handoffs,omitempty"`
	Repairs        int                             `json:"repairs,omitempty"`
	InARow         map[string]int                  `json:"failures_in_a_row,omitempty"`

	Confirmed  map[string]generated.ToolConfirmation `json:"confirmed,omitempty"`
	IsFollowed bool                                  `json:"followed,omitempty"`
}

// queryData is the JSON form of a [query]. A Start request has no tools.
type queryData struct {
	Start          *generated.StartConversationRequest   `json:"start,omitempty"`
	Append         *generated.AppendConversationRequest  `json:"append,omitempty"`
	Restart        *generated.RestartConversationRequest `json:"restart,omitempty"`
	ConversationID string                                `json:"conversation_id,omitempty"`
}

type turnData struct {
	Response *generated.ConversationResponse `json:"response"`
	Calls    []callData                      `json:"calls,omitempty"`
}

type callData struct {
	ID        string        `json:"id"`
	Status    Status        `json:"status"`
	Result    string        `json:"result,omitempty"`
	Duration  time.Duration `json:"duration,omitempty"` // in ns
	Stage     Stage         `json:"stage,omitempty"`    // the stage of the failure
	Text      string        `json:"text,omitempty"`
	Findings  []Finding     `json:"findings,omitempty"`
	Reason    PendingReason `json:"reason,omitempty"`
	Approved  bool          `json:"approved,omitempty"`
	Arguments string        `json:"arguments,omitempty"`
}

// StateError reports a [State] that cannot be resumed: its version is unknown, it is damaged, or
// the runner's tools differ from it.
type StateError struct {
	Field string // the field, such as "version", "turns[0].calls[1].status" or "tools"
	Value any    // the invalid value
	Rule  string // the rule that the value breaks
	Err   error  // the underlying error, or nil
}

// Error returns the field, its value and the rule.
func (e *StateError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("runner: state: %s %s", e.Field, e.Rule)
	}
	return fmt.Sprintf("runner: state: %s is %s: %s", e.Field, cut(string(encodedJSON(e.Value)), maxShown), e.Rule)
}

// Unwrap returns Err.
func (e *StateError) Unwrap() error { return e.Err }

// state returns the current state of the run, or nil before the run has begun.
func (l *loop) state() *State {
	if !l.hasBegun {
		return nil
	}
	s := &State{data: stateData{
		Version: stateVersion, Fingerprints: map[string]string{},
		First: dataOf(l.first, false), Request: dataOf(l.request, l.isDue || !l.request.isStored()),
		IsDue: l.isDue, IsLost: l.isDue && (l.isLost || l.isSending && l.request.isStored()), HasFailed: l.hasFailed, IsRestarted: l.restarted,
		ConversationID: l.result.ConversationID, Usage: l.result.Usage, UnknownUsage: l.result.UnknownUsage,
		Calls: l.result.Calls, FailedCalls: l.result.FailedCalls, Handoffs: l.handoffs, Repairs: l.repairs,
		InARow: maps.Clone(l.failuresInARow), Confirmed: maps.Clone(l.confirmed), IsFollowed: l.isFollowed,
	}}
	s.data.Usage.Connectors = maps.Clone(l.result.Usage.Connectors)
	for name, tool := range l.runner.tools {
		s.data.Fingerprints[name] = fingerprint(tool)
	}
	for i, tool := range l.callerTools {
		tool, isAuthorized := withoutAuthorization(tool)
		if isAuthorized {
			s.data.Authorized = append(s.data.Authorized, i)
		}
		s.Tools = append(s.Tools, tool)
	}
	for _, turn := range l.result.Turns {
		data := turnData{Response: turn.Response}
		for _, o := range turn.Calls {
			data.Calls = append(data.Calls, o.data())
		}
		s.data.Turns = append(s.data.Turns, data)
	}
	return s
}

// data returns the stored form of a call. A call that is running, or that aborted the run, may have
// had effects and becomes interrupted.
func (o Outcome) data() callData {
	c := callData{
		ID: o.ID, Status: o.Status, Result: o.Result, Duration: o.Duration,
		Reason: o.decided.reason, Approved: o.decided.approved, Arguments: o.decided.arguments,
	}
	if f := o.Failure; f != nil {
		c.Stage, c.Text, c.Findings = f.Stage, f.Text, f.Findings
	}
	if o.decided.isRunning || o.Status == StatusFailed && !o.isAnswered() {
		c.Status, c.Approved, c.Result = StatusInterrupted, false, ""
	}
	return c
}

// dataOf returns the stored form of a request.
func dataOf(q *turnRequest, withInputs bool) queryData {
	c := q.clone()
	if !withInputs {
		*c.fields().inputs = generated.ConversationInputs{}
	}
	if c.start != nil {
		c.start.Tools = nil
	}
	return queryData{Start: c.start, Append: c.append, Restart: c.restart, ConversationID: c.id}
}

// query is the reverse of dataOf. It returns nil unless the data has exactly one request.
func (d queryData) query() *turnRequest {
	q := &turnRequest{start: d.Start, append: d.Append, restart: d.Restart, id: d.ConversationID}
	kinds := 0
	for _, has := range []bool{q.start != nil, q.append != nil, q.restart != nil} {
		if has {
			kinds++
		}
	}
	if kinds != 1 || q.start == nil && q.id == "" {
		return nil
	}
	return q.clone()
}

// progress returns the progress of the stored run. The error is a [*StateError].
func (s *State) progress() (progress, error) {
	d := s.data
	if d.Version != stateVersion {
		return progress{}, &StateError{Field: "version", Value: d.Version, Rule: fmt.Sprintf("must be %d", stateVersion)}
	}
	p := progress{
		first: d.First.query(), request: d.Request.query(), callerTools: s.Tools, isDue: d.IsDue, isLost: d.IsLost, hasFailed: d.HasFailed, restarted: d.IsRestarted,
		handoffs: d.Handoffs, repairs: d.Repairs, failuresInARow: maps.Clone(d.InARow), confirmed: maps.Clone(d.Confirmed), isFollowed: d.IsFollowed,
		result: &Result{ConversationID: d.ConversationID, Usage: d.Usage, UnknownUsage: d.UnknownUsage, Calls: d.Calls, FailedCalls: d.FailedCalls},
	}
	p.result.Usage.Connectors = maps.Clone(d.Usage.Connectors)
	switch {
	case p.first == nil:
		return p, &StateError{Field: "first", Rule: "must have one request"}
	case p.request == nil:
		return p, &StateError{Field: "request", Rule: "must have one request"}
	case !d.IsDue && len(d.Turns) == 0:
		return p, &StateError{Field: "turns", Rule: "must not be empty: no request is due"}
	case min(d.UnknownUsage, d.Calls, d.FailedCalls, d.Handoffs, d.Repairs, d.Usage.TotalTokens) < 0:
		return p, &StateError{Field: "calls, usage", Rule: "must not be negative"}
	}
	if p.failuresInARow == nil {
		p.failuresInARow = map[string]int{}
	}
	if p.confirmed == nil {
		p.confirmed = map[string]generated.ToolConfirmation{}
	}
	for _, q := range []*turnRequest{p.first, p.request} {
		if q.start != nil {
			q.start.Tools = slices.Clip(s.Tools)
		}
	}
	for i, data := range d.Turns {
		turn, err := data.turn(i, d.ConversationID)
		if err != nil {
			return p, err
		}
		p.result.Turns = append(p.result.Turns, turn)
	}
	if n := len(p.result.Turns); n > 0 {
		p.result.Unsent = p.result.Turns[n-1].results()
	}
	return p, nil
}

// turn returns the i-th turn of a state.
func (d turnData) turn(i int, conversationID string) (Turn, error) {
	field := fmt.Sprintf("turns[%d]", i)
	if d.Response == nil {
		return Turn{}, &StateError{Field: field + ".response", Rule: "must be set"}
	}
	turn := Turn{Number: i + 1, Response: d.Response, Calls: callsOf(d.Response, i+1, conversationID)}
	if len(turn.Calls) != len(d.Calls) {
		return turn, &StateError{Field: field + ".calls", Rule: fmt.Sprintf("must have the %d calls of the response, got %d", len(turn.Calls), len(d.Calls))}
	}
	for k, c := range d.Calls {
		o := &turn.Calls[k]
		field := fmt.Sprintf("%s.calls[%d]", field, k)
		if c.ID != o.ID {
			return turn, &StateError{Field: field + ".id", Value: c.ID, Rule: "must be the ID of the response's call"}
		}
		if !slices.Contains([]Status{StatusDone, StatusFailed, StatusInterrupted, StatusNotStarted, StatusPending, StatusDenied}, c.Status) {
			return turn, &StateError{Field: field + ".status", Value: c.Status, Rule: "must be a status of a call"}
		}
		if _, ok := validAnswers[c.Reason]; !ok && c.Status == StatusPending {
			return turn, &StateError{Field: field + ".reason", Value: c.Reason, Rule: "must be a valid pending reason"}
		}
		o.Status, o.Result, o.Duration = c.Status, c.Result, c.Duration
		o.decided = decision{reason: c.Reason, approved: c.Approved, arguments: c.Arguments}
		if c.Status == StatusFailed {
			o.Failure = &Failure{Call: o.Call, Stage: c.Stage, Text: c.Text, Findings: c.Findings}
		}
	}
	return turn, nil
}

// Pending returns the entries that the caller has to answer in [Runner.Resume]. Calls that were not
// started are not included, although they may need approval, too.
func (s *State) Pending() []Pending {
	if s == nil {
		return nil
	}
	p, err := s.progress()
	if err != nil || p.isDue {
		return nil
	}
	return p.pending(&p.result.Turns[len(p.result.Turns)-1], func(call *Outcome, _ generated.FunctionCallEntry) PendingReason {
		switch call.Status {
		case StatusInterrupted:
			return PendingInterrupted
		case StatusPending:
			return call.decided.reason
		default:
			return ""
		}
	})
}

// sendsTools reports whether a run that is resumed from the state sends tools.
func (s *State) sendsTools() bool {
	q := s.data.Request
	return q.Start != nil && (s.data.IsDue || q.Start.Store != nil && !*q.Start.Store)
}

// MarshalJSON returns the state as JSON.
func (s *State) MarshalJSON() ([]byte, error) {
	if s == nil {
		return []byte("null"), nil
	}
	d := s.data
	d.Tools = make([]generated.Tool, len(s.Tools))
	for i, tool := range s.Tools {
		d.Tools[i], _ = withoutAuthorization(tool)
	}
	return json.Marshal(d)
}

// UnmarshalJSON decodes a state of any released version. The error is a [*StateError].
func (s *State) UnmarshalJSON(data []byte) error {
	var version struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil || version.Version == nil {
		return &StateError{Field: "version", Rule: "must be a number: the JSON is not a state", Err: err}
	}
	if *version.Version != stateVersion {
		return &StateError{Field: "version", Value: *version.Version, Rule: fmt.Sprintf("must be %d", stateVersion)}
	}
	var d stateData
	if err := json.Unmarshal(data, &d); err != nil {
		return &StateError{Field: "state", Rule: "must be unchanged JSON of a State", Err: err}
	}
	read := State{Tools: d.Tools, data: d}
	read.data.Tools = nil
	if _, err := read.progress(); err != nil {
		return err
	}
	*s = read
	return nil
}

// withoutAuthorization returns a tool without its authorization, and whether the tool had one.
func withoutAuthorization(tool generated.Tool) (stripped generated.Tool, had bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(encodedJSON(tool), &members) != nil || members["authorization"] == nil {
		return tool, false
	}
	delete(members, "authorization")
	if json.Unmarshal(encodedJSON(members), &stripped) != nil {
		return generated.Tool{}, true
	}
	return stripped, true
}

// fingerprint returns a hash that identifies the definition of a tool.
func fingerprint(t *Tool) string {
	sum := sha256.Sum256(encodedJSON(t.Definition()))
	return hex.EncodeToString(sum[:])
}

// encodedJSON returns a value as JSON, or nil if it cannot be encoded.
func encodedJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
