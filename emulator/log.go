package emulator

import (
	"maps"
	"slices"
	"sync"
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
	// Statuses counts the replies by status; 0 is those that never began.
	Statuses map[int]int `json:"statuses"`
	// Faults counts the requests that a fault struck, by its kind.
	Faults map[FaultKind]int `json:"faults"`
	// Models counts what was judged by the limits, and what a [Fault] of status 429
	// refused in their place; the calls without a model are
	// [NoModel].
	Models map[string]ModelStats `json:"models"`
}

// ModelStats is what was judged of one model.
type ModelStats struct {
	// Requests is the sum of the next four.
	Requests int `json:"requests"`
	// Admitted requests are those that the limits let pass.
	Admitted int `json:"admitted"`
	// RefusedRequests, RefusedTokens and RefusedTools were answered 429, because no
	// request was left, no token, or no run of a tool.
	RefusedRequests int `json:"refused_requests"`
	RefusedTokens   int `json:"refused_tokens"`
	RefusedTools    int `json:"refused_tools"`
	// Tokens is how many were used, prompts and replies.
	Tokens int `json:"tokens"`
}

// Refused is how many requests were answered 429.
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
// 8 characters or more is blotted out where else the request has it.
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
	// Status is that of the reply; 0 if none began.
	Status int `json:"status"`
	// Fault is the kind of fault that struck; "" for none.
	Fault FaultKind `json:"fault,omitempty"`
	// Body is that of the request, at most its first [MaxRecordedBody] bytes, of the
	// last [MaxRecordedBodies] requests; "" without [Config.Control], and for what was
	// refused before its body was read.
	Body string `json:"body,omitempty"`
	// RequestID is the mistral-correlation-id of the reply, begun or not, by which a
	// client's error names the request; "" for what [Config.Intercept] answered.
	RequestID string `json:"request_id,omitempty"`
	// Admitted says whether the limits let the request pass; false also if it was
	// answered without asking them.
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

// journal keeps the statistics and the requests.
type journal struct {
	mu       sync.Mutex
	stats    Stats
	requests []Recorded // a ring once it is full
	next     int
}

func newJournal() *journal {
	return &journal{stats: newStats()}
}

func newStats() Stats {
	return Stats{
		Operations: map[string]int{}, Statuses: map[int]int{}, Faults: map[FaultKind]int{}, Models: map[string]ModelStats{},
	}
}

// reset forgets all but the requests that are being served.
func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	fresh := newStats()
	fresh.InFlight, fresh.MaxInFlight = j.stats.InFlight, j.stats.InFlight
	j.stats, j.requests, j.next = fresh, nil, 0
}

func (j *journal) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Requests++
	j.stats.InFlight++
	j.stats.MaxInFlight = max(j.stats.MaxInFlight, j.stats.InFlight)
}

// judge notes what the gate said, at once: a test may ask while the call runs.
func (j *journal) judge(x *exchange) {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.model(x.model)
	m.Requests++
	switch {
	case x.refused == nil:
		m.Admitted++
	case x.refused.tokens:
		m.RefusedTokens++
	case x.refused.tool != "":
		m.RefusedTools++
	default:
		m.RefusedRequests++
	}
	j.setModel(x.model, m)
}

func (j *journal) strike(kind FaultKind) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Faults[kind]++
}

func (j *journal) charge(model string, tokens int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.model(model)
	m.Tokens += tokens
	j.setModel(model, m)
}

func (j *journal) model(name string) ModelStats { return j.stats.Models[j.key(name)] }

func (j *journal) setModel(name string, m ModelStats) { j.stats.Models[j.key(name)] = m }

// key bounds the names, as the gate does.
func (j *journal) key(name string) string {
	if _, ok := j.stats.Models[name]; !ok && len(j.stats.Models) >= maxModels && name != NoModel {
		return otherModels
	}
	return name
}

func (j *journal) end(x *exchange) {
	entry := Recorded{
		Method: cut(x.method, MaxRecordedText), Path: cut(x.blot(x.path), MaxRecordedText), Query: cut(x.blot(x.query), MaxRecordedText), Body: x.recordedBody(), Operation: x.name(), Model: x.model, Status: x.status,
		RequestID: x.id, Admitted: x.judged && x.refused == nil, Tokens: x.tokens, Arrived: x.arrived, Done: time.Now(),
	}
	if x.fault != nil {
		entry.Fault = x.fault.Kind
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.InFlight--
	j.stats.Statuses[x.status]++
	if entry.Operation != "" {
		j.stats.Operations[entry.Operation]++
	}
	at := len(j.requests)
	if at < MaxRecorded {
		j.requests = append(j.requests, entry)
	} else {
		at = j.next
		j.requests[at] = entry
		j.next = (at + 1) % MaxRecorded
	}
	if old := (at + MaxRecorded - MaxRecordedBodies) % MaxRecorded; old < len(j.requests) {
		j.requests[old].Body = ""
	}
}

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
