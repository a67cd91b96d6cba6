package emulator

import (
	"maps"
	"slices"
	"time"
)

// Stats is what an emulator has seen so far.
type Stats struct {
	// Requests is how many requests arrived, whatever became of them.
	Requests int `json:"requests"`
	// InFlight is how many are being served, MaxInFlight the most at one time.
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`
	// Operations counts the requests by operation, as "StartConversation"; a streamed
	// call by its own name, as "StartConversationStream".
	Operations map[string]int `json:"operations"`
	// Statuses counts the responses by status; 0 is those that never began.
	Statuses map[int]int `json:"statuses"`
	// Faults counts the requests that had a fault, by its kind.
	Faults map[FaultKind]int `json:"faults"`
	// Models counts what the limits admitted and refused, and what a [Fault] of status 429
	// refused in their place; the calls without a model are [NoModel].
	Models map[string]ModelStats `json:"models"`
}

// ModelStats is what was admitted and refused of one model.
type ModelStats struct {
	// Requests is the sum of the next four.
	Requests int `json:"requests"`
	// Admitted requests are those that the limits let pass.
	Admitted int `json:"admitted"`
	// RefusedRequests, RefusedTokens and RefusedTools got 429, because no request, no
	// token or no run of a tool was left.
	RefusedRequests int `json:"refused_requests"`
	RefusedTokens   int `json:"refused_tokens"`
	RefusedTools    int `json:"refused_tools"`
	// Tokens is how many were used, prompts and responses.
	Tokens int `json:"tokens"`
}

// Refused is how many requests got 429.
func (m ModelStats) Refused() int { return m.RefusedRequests + m.RefusedTokens + m.RefusedTools }

// Total is the sum over all models.
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

// Recorded is one request that was served. It has nothing of its headers, and a key of
// 8 characters or more is redacted wherever else the request has it.
type Recorded struct {
	// Method and Path are of the request, at most the first [MaxRecordedText] bytes each, as
	// of Query and Model; the path is decoded.
	Method string `json:"method"`
	Path   string `json:"path"`
	// Query is what is behind the question mark, as it was sent.
	Query string `json:"query,omitempty"`
	// Operation is as in [Stats.Operations]; "" where the request belongs to none.
	Operation string `json:"operation,omitempty"`
	// Model is the model that the call ran; [NoModel] for none.
	Model string `json:"model,omitempty"`
	// Status is that of the response; 0 if none began.
	Status int `json:"status"`
	// Fault is the kind of its fault; "" for none.
	Fault FaultKind `json:"fault,omitempty"`
	// Body is that of the request, at most its first [MaxRecordedBody] bytes, of the
	// last [MaxRecordedBodies] requests; "" without [Config.Control], and for what was
	// refused before its body was read.
	Body string `json:"body,omitempty"`
	// RequestID is the mistral-correlation-id of the response, by which a client's error names
	// the request; "" for those to which [Config.Intercept] responded.
	RequestID string `json:"request_id,omitempty"`
	// Admitted reports whether the limits admitted the request.
	Admitted bool `json:"admitted"`
	// Tokens is what the call used.
	Tokens int `json:"tokens"`
	// Arrived and Done are when its head had been read and when it had been served.
	Arrived time.Time `json:"arrived"`
	Done    time.Time `json:"done"`
}

// MaxRecorded is the most requests that an emulator remembers, MaxRecordedBodies the
// most bodies, MaxRecordedBody the most bytes of one; older ones are forgotten, but
// stay in the [Stats]. Of method, path, query and model, the first MaxRecordedText bytes
// each are recorded. All of it takes at most 150 MiB of memory.
const (
	MaxRecorded       = 10_000
	MaxRecordedBodies = 1_000
	MaxRecordedBody   = 64 << 10
	MaxRecordedText   = 2 << 10
)

// Stats returns what the emulator has seen so far.
func (e *Emulator) Stats() Stats {
	if e.isZero() {
		return Stats{}
	}
	e.journal.mu.Lock()
	defer e.journal.mu.Unlock()
	s := e.journal.stats
	s.Operations = maps.Clone(s.Operations)
	s.Statuses = maps.Clone(s.Statuses)
	s.Faults = maps.Clone(s.Faults)
	s.Models = maps.Clone(s.Models)
	return s
}

// Requests returns the last [MaxRecorded] requests that have been served, in order
// of arrival.
func (e *Emulator) Requests() []Recorded {
	if e.isZero() {
		return nil
	}
	e.journal.mu.Lock()
	list := slices.Clone(e.journal.requests)
	e.journal.mu.Unlock()
	slices.SortStableFunc(list, func(a, b Recorded) int { return a.Arrived.Compare(b.Arrived) })
	return list
}
