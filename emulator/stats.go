package emulator

import (
	"maps"
	"slices"
	"time"
)

// Stats is the statistics of an emulator.
type Stats struct {
	// Requests is the number of requests that arrived.
	Requests int `json:"requests"`
	// InFlight is the number of requests in flight, and MaxInFlight its maximum so far.
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`
	// Operations counts the requests by operation, such as "StartConversation". Streamed
	// calls have a separate name, such as "StartConversationStream".
	Operations map[string]int `json:"operations"`
	// Statuses counts the responses by status; 0 stands for requests without a response.
	Statuses map[int]int `json:"statuses"`
	// Faults counts the requests with an injected fault, by kind.
	Faults map[FaultKind]int `json:"faults"`
	// Models counts the requests that the rate limits admitted and refused, by model. It
	// includes those that a [Fault] of status 429 refused. Calls without a model count under
	// [NoModel].
	Models map[string]ModelStats `json:"models"`
}

// ModelStats is the statistics of one model.
type ModelStats struct {
	// Requests is the sum of the next four fields.
	Requests int `json:"requests"`
	// Admitted is the number of requests that the rate limits admitted.
	Admitted int `json:"admitted"`
	// RefusedRequests, RefusedTokens and RefusedTools are the numbers of requests refused
	// with status 429 by the limit on requests, tokens or tool runs.
	RefusedRequests int `json:"refused_requests"`
	RefusedTokens   int `json:"refused_tokens"`
	RefusedTools    int `json:"refused_tools"`
	// Tokens is the number of prompt and completion tokens used.
	Tokens int `json:"tokens"`
}

// Refused returns the number of requests refused with status 429.
func (m ModelStats) Refused() int { return m.RefusedRequests + m.RefusedTokens + m.RefusedTools }

// Total returns the sum over all models.
func (s Stats) Total() ModelStats {
	var total ModelStats
	for _, m := range s.Models {
		total.Requests += m.Requests
		total.Admitted += m.Admitted
		total.RefusedRequests += m.RefusedRequests
		total.RefusedTokens += m.RefusedTokens
		total.RefusedTools += m.RefusedTools
		total.Tokens += m.Tokens
	}
	return total
}

// Recorded is a served request. It does not contain header fields. A key of 8 characters
// or more is redacted in the other fields.
type Recorded struct {
	// Method and Path are the method and the decoded path of the request. Method, Path, Query
	// and Model are truncated to [MaxRecordedText] bytes each.
	Method string `json:"method"`
	Path   string `json:"path"`
	// Query is the query of the URL, as sent.
	Query string `json:"query,omitempty"`
	// Operation is a name as in [Stats.Operations]; "" for requests without an operation.
	Operation string `json:"operation,omitempty"`
	// Model is the model that the call ran; [NoModel] for calls without a model.
	Model string `json:"model,omitempty"`
	// Status is the status of the response; 0 if the response was never started.
	Status int `json:"status"`
	// Fault is the kind of the injected fault; "" without a fault.
	Fault FaultKind `json:"fault,omitempty"`
	// Body is the content of the request, truncated to [MaxRecordedBody] bytes. Only the last
	// [MaxRecordedBodies] requests have one. It is "" without [Config.Control], and for
	// requests rejected before their content was read.
	Body string `json:"body,omitempty"`
	// RequestID is the mistral-correlation-id of the response, which a client's error reports.
	// It is "" if [Config.Intercept] responded.
	RequestID string `json:"request_id,omitempty"`
	// Admitted reports whether the rate limits admitted the request.
	Admitted bool `json:"admitted"`
	// Tokens is the number of tokens that the call used.
	Tokens int `json:"tokens"`
	// Arrived and Done are the times at which the header had been read and at which the
	// request had been served.
	Arrived time.Time `json:"arrived"`
	Done    time.Time `json:"done"`
}

// MaxRecorded is the number of requests that an emulator records, and MaxRecordedBodies the
// number of their contents. MaxRecordedBody bounds each content in bytes, and
// MaxRecordedText each method, path, query and model. Evicted requests remain counted in
// [Stats]. All records together use at most 150 MiB of memory.
const (
	MaxRecorded       = 10_000
	MaxRecordedBodies = 1_000
	MaxRecordedBody   = 64 << 10
	MaxRecordedText   = 2 << 10
)

// Stats returns the statistics since the start or the last [Emulator.Reset].
func (e *Emulator) Stats() Stats {
	if e.isZero() {
		return Stats{}
	}
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	s := e.log.stats
	s.Operations = maps.Clone(s.Operations)
	s.Statuses = maps.Clone(s.Statuses)
	s.Faults = maps.Clone(s.Faults)
	s.Models = maps.Clone(s.Models)
	return s
}

// Requests returns the last [MaxRecorded] served requests in order of arrival.
func (e *Emulator) Requests() []Recorded {
	if e.isZero() {
		return nil
	}
	e.log.mu.Lock()
	list := slices.Clone(e.log.requests)
	e.log.mu.Unlock()
	slices.SortStableFunc(list, func(a, b Recorded) int { return a.Arrived.Compare(b.Arrived) })
	return list
}
