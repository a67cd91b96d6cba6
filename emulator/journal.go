package emulator

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/quota"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// record is the entry of a request in flight.
type record struct {
	Recorded
	key    string // the API key of the request
	bodies bool   // whether to record the request's content
	number int    // the number of the request, from 1
	stream bool
	ended  bool // whether the record is in the journal
}

func newRecord(r *http.Request, bodies bool) *record {
	rec := &record{key: keyOf(r), bodies: bodies}
	rec.Recorded = Recorded{
		Method: wire.Truncate(r.Method, MaxRecordedText), Path: wire.Truncate(rec.redact(r.URL.Path), MaxRecordedText),
		Query: wire.Truncate(rec.redact(r.URL.RawQuery), MaxRecordedText), Arrived: time.Now(),
	}
	return rec
}

// minRedacted is the minimum length of a key to redact. A shorter one may be a common word.
const minRedacted = 8

// redact replaces the key in a text.
func (rec *record) redact(text string) string {
	if len(rec.key) < minRedacted {
		return text
	}
	return strings.NewReplacer(rec.key, "[key]", url.QueryEscape(rec.key), "[key]").Replace(text)
}

func (rec *record) setBody(body []byte) {
	if rec.bodies {
		rec.Body = wire.Truncate(rec.redact(string(body[:min(len(body), MaxRecordedBody+len(rec.key))])), MaxRecordedBody)
	}
}

// setOperation records the operation. The name of a streamed operation ends in Stream.
func (rec *record) setOperation(id string, stream bool) {
	rec.Operation, rec.stream = id, stream
	if stream {
		rec.Operation += "Stream"
	}
}

// journal holds the statistics and the last requests.
type journal struct {
	mu       sync.Mutex
	stats    Stats
	requests []Recorded // a ring buffer once it has MaxRecorded elements
	next     int        // the index of the oldest request in a full ring buffer
}

func newJournal() *journal {
	return &journal{stats: newStats()}
}

func newStats() Stats {
	return Stats{
		Operations: map[string]int{}, Statuses: map[int]int{}, Faults: map[FaultKind]int{}, Models: map[string]ModelStats{},
	}
}

// reset clears the statistics and the requests, except the count of requests in flight.
func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	fresh := newStats()
	fresh.InFlight, fresh.MaxInFlight = j.stats.InFlight, j.stats.InFlight
	j.stats, j.requests, j.next = fresh, nil, 0
}

func (j *journal) begin(rec *record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Requests++
	rec.number = j.stats.Requests
	j.stats.InFlight++
	j.stats.MaxInFlight = max(j.stats.MaxInFlight, j.stats.InFlight)
}

// limits records the decision of the rate limits; refused is nil for an admitted request.
// It updates the statistics immediately, because a test may read them while the call runs.
func (j *journal) limits(rec *record, model string, refused *quota.Refusal) {
	rec.Model, rec.Admitted = model, refused == nil
	j.change(model, func(m *ModelStats) {
		m.Requests++
		switch {
		case refused == nil:
			m.Admitted++
		case refused.Tokens:
			m.RefusedTokens++
		case refused.Tool != "":
			m.RefusedTools++
		default:
			m.RefusedRequests++
		}
	})
}

// charge records the tokens that a call used.
func (j *journal) charge(rec *record, tokens int) {
	rec.Tokens = tokens
	j.change(rec.Model, func(m *ModelStats) { m.Tokens += tokens })
}

// change updates the statistics of a model. It bounds the number of names in the same way
// as package quota.
func (j *journal) change(model string, do func(*ModelStats)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.stats.Models[model]; !ok && len(j.stats.Models) >= quota.MaxModels && model != NoModel {
		model = quota.OtherModels
	}
	m := j.stats.Models[model]
	do(&m)
	j.stats.Models[model] = m
}

func (j *journal) fault(kind FaultKind) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Faults[kind]++
}

// end adds the record of a request to the log. Only the first call has an effect. The caller
// calls it before the client has the whole response, so that a test then finds the request.
func (j *journal) end(rec *record, status int) {
	if rec.ended {
		return
	}
	rec.ended = true
	rec.Status, rec.Done = status, time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.InFlight--
	j.stats.Statuses[status]++
	if rec.Operation != "" {
		j.stats.Operations[rec.Operation]++
	}
	at := len(j.requests)
	if at < MaxRecorded {
		j.requests = append(j.requests, rec.Recorded)
	} else {
		at = j.next
		j.requests[at] = rec.Recorded
		j.next = (at + 1) % MaxRecorded
	}
	if old := (at + MaxRecorded - MaxRecordedBodies) % MaxRecorded; old < len(j.requests) {
		j.requests[old].Body = ""
	}
}
