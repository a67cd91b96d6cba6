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

// State is a run that has not come to its end, for [Runner.Resume]. It is JSON, to be kept
// anywhere and read by another process, also by one of a later version of this package.
//
// It holds the responses so far, the results that were not sent and the settings of the
// requests. It holds no API key, no header field and no authorization of a connector. It has to
// come from a store that nobody else can write to: approvals in it are believed.
//
// A State does not change; any number of goroutines may use it.
type State struct {
	// Tools are those of the request that the runner does not have, such as web_search. The
	// authorization of connectors is not kept: set it again before a Resume that sends them, which
	// is one without an answer to the first request, or one of a conversation that is not stored.
	Tools []generated.Tool

	data stateData
}

// stateVersion is the version of [stateData].
const stateVersion = 1

// stateData is the JSON of a state. Fixtures of all versions are in testdata.
type stateData struct {
	Version        int                             `json:"version"`
	Fingerprints   map[string]string               `json:"fingerprints,omitempty"` // SHA-256 of tools' definitions, by name
	Tools          []generated.Tool                `json:"tools,omitempty"`
	Authorized     []int                           `json:"authorized,omitempty"` // tools whose authorization is left out
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

// queryData is a [query]: one of three requests, of Start without tools.
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
	Duration  time.Duration `json:"duration,omitempty"` // ns
	Stage     Stage         `json:"stage,omitempty"`    // of the failure
	Text      string        `json:"text,omitempty"`
	Findings  []Finding     `json:"findings,omitempty"`
	Reason    PendingReason `json:"reason,omitempty"`
	Approved  bool          `json:"approved,omitempty"`
	Arguments string        `json:"arguments,omitempty"`
}

// StateError reports a [State] that cannot be resumed: of an unknown version, damaged, or made
// with other tools than the runner's.
type StateError struct {
	Field string // such as "version", "turns[0].calls[1].status" or "tools"
	Value any    // what it is
	Rule  string // what it has to be
	Err   error  // what found it, if anything
}

// Error names the field, its value and the rule.
func (e *StateError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("runner: state: %s %s", e.Field, e.Rule)
	}
	return fmt.Sprintf("runner: state: %s is %s: %s", e.Field, cut(string(encodedJSON(e.Value)), maxShown), e.Rule)
}

// Unwrap returns Err.
func (e *StateError) Unwrap() error { return e.Err }

// state returns what a run can go on from; nil before it has begun.
func (l *loop) state() *State {
	if !l.hasBegun {
		return nil
	}
	s := &State{data: stateData{
		Version: stateVersion, Fingerprints: map[string]string{},
		First: dataOf(l.first, false), Request: dataOf(l.query, l.isDue || !l.query.isStored()),
		IsDue: l.isDue, IsLost: l.isDue && (l.isLost || l.isSending && l.query.isStored()), HasFailed: l.hasFailed, IsRestarted: l.restarted,
		ConversationID: l.result.ConversationID, Usage: l.result.Usage, UnknownUsage: l.result.UnknownUsage,
		Calls: l.result.Calls, FailedCalls: l.result.FailedCalls, Handoffs: l.handoffs, Repairs: l.repairs,
		InARow: maps.Clone(l.inARow), Confirmed: maps.Clone(l.confirmed), IsFollowed: l.isFollowed,
	}}
	s.data.Usage.Connectors = maps.Clone(l.result.Usage.Connectors)
	for name, tool := range l.runner.tools {
		s.data.Fingerprints[name] = fingerprint(tool)
	}
	for i, tool := range l.own {
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

// data returns what a state has of a call. One that is running, or that has ended the run, may
// have had effects.
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

// dataOf returns what a state has of a request.
func dataOf(q *query, withInputs bool) queryData {
	c := q.copied()
	if !withInputs {
		*c.fields().inputs = generated.ConversationInputs{}
	}
	if c.start != nil {
		c.start.Tools = nil
	}
	return queryData{Start: c.start, Append: c.extend, Restart: c.restart, ConversationID: c.id}
}

// query is the reverse of dataOf; nil if there is not exactly one request.
func (d queryData) query() *query {
	q := &query{start: d.Start, extend: d.Append, restart: d.Restart, id: d.ConversationID}
	kinds := 0
	for _, has := range []bool{q.start != nil, q.extend != nil, q.restart != nil} {
		if has {
			kinds++
		}
	}
	if kinds != 1 || q.start == nil && q.id == "" {
		return nil
	}
	return q.copied()
}

// progress returns the run that a state is of. The error is a [*StateError].
func (s *State) progress() (progress, error) {
	d := s.data
	if d.Version != stateVersion {
		return progress{}, &StateError{Field: "version", Value: d.Version, Rule: fmt.Sprintf("must be %d", stateVersion)}
	}
	p := progress{
		first: d.First.query(), query: d.Request.query(), own: s.Tools, isDue: d.IsDue, isLost: d.IsLost, hasFailed: d.HasFailed, restarted: d.IsRestarted,
		handoffs: d.Handoffs, repairs: d.Repairs, inARow: maps.Clone(d.InARow), confirmed: maps.Clone(d.Confirmed), isFollowed: d.IsFollowed,
		result: &Result{ConversationID: d.ConversationID, Usage: d.Usage, UnknownUsage: d.UnknownUsage, Calls: d.Calls, FailedCalls: d.FailedCalls},
	}
	p.result.Usage.Connectors = maps.Clone(d.Usage.Connectors)
	switch {
	case p.first == nil:
		return p, &StateError{Field: "first", Rule: "must have a request"}
	case p.query == nil:
		return p, &StateError{Field: "request", Rule: "must have a request"}
	case !d.IsDue && len(d.Turns) == 0:
		return p, &StateError{Field: "turns", Rule: "must have a response: no request is due"}
	case min(d.UnknownUsage, d.Calls, d.FailedCalls, d.Handoffs, d.Repairs, d.Usage.TotalTokens) < 0:
		return p, &StateError{Field: "calls, usage", Rule: "must not be negative"}
	}
	if p.inARow == nil {
		p.inARow = map[string]int{}
	}
	if p.confirmed == nil {
		p.confirmed = map[string]generated.ToolConfirmation{}
	}
	for _, q := range []*query{p.first, p.query} {
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
		return turn, &StateError{Field: field + ".calls", Rule: fmt.Sprintf("must be those of the response: %d, got %d", len(turn.Calls), len(d.Calls))}
	}
	for k, c := range d.Calls {
		o := &turn.Calls[k]
		field := fmt.Sprintf("%s.calls[%d]", field, k)
		if c.ID != o.ID {
			return turn, &StateError{Field: field + ".id", Value: c.ID, Rule: "must be that of the response's call"}
		}
		if !slices.Contains([]Status{StatusDone, StatusFailed, StatusInterrupted, StatusNotStarted, StatusPending, StatusDenied}, c.Status) {
			return turn, &StateError{Field: field + ".status", Value: c.Status, Rule: "must be a status of a call"}
		}
		if _, ok := takes[c.Reason]; !ok && c.Status == StatusPending {
			return turn, &StateError{Field: field + ".reason", Value: c.Reason, Rule: "must be a reason to be pending"}
		}
		o.Status, o.Result, o.Duration = c.Status, c.Result, c.Duration
		o.decided = decision{reason: c.Reason, approved: c.Approved, arguments: c.Arguments}
		if c.Status == StatusFailed {
			o.Failure = &Failure{Call: o.Call, Stage: c.Stage, Text: c.Text, Findings: c.Findings}
		}
	}
	return turn, nil
}

// Pending returns what was pending when the run ended, for [Runner.Resume]. Calls that were
// not started may need approval, too.
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

// sendsTools reports whether a run that goes on from the state sends tools.
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

// UnmarshalJSON reads a state of any version that there was. The error is a [*StateError].
func (s *State) UnmarshalJSON(data []byte) error {
	var version struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil || version.Version == nil {
		return &StateError{Field: "version", Rule: "must be a number: this is not a state", Err: err}
	}
	if *version.Version != stateVersion {
		return &StateError{Field: "version", Value: *version.Version, Rule: fmt.Sprintf("must be %d", stateVersion)}
	}
	var d stateData
	if err := json.Unmarshal(data, &d); err != nil {
		return &StateError{Field: "state", Rule: "must be as it was written", Err: err}
	}
	read := State{Tools: d.Tools, data: d}
	read.data.Tools = nil
	if _, err := read.progress(); err != nil {
		return err
	}
	*s = read
	return nil
}

// withoutAuthorization returns a tool without its authorization, and whether it has one.
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

// fingerprint tells a tool from another one.
func fingerprint(t *Tool) string {
	sum := sha256.Sum256(encodedJSON(t.Definition()))
	return hex.EncodeToString(sum[:])
}

// encodedJSON is json.Marshal of a value that has JSON; nil of any other.
func encodedJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
