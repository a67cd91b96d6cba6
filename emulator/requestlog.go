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
	ended  bool // whether the record is in the log
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

// requestLog holds the statistics and the last requests.
type requestLog struct {
	mu       sync.Mutex
	stats    Stats
	requests []Recorded // a ring buffer once it has MaxRecorded elements
	next     int        // the index of the oldest request in a full ring buffer
}

func newRequestLog() *requestLog {
	return &requestLog{stats: newStats()}
}

func newStats() Stats {
	return Stats{
		Operations: map[string]int{}, Statuses: map[int]int{}, Faults: map[FaultKind]int{}, Models: map[string]ModelStats{},
	}
}

// reset clears the statistics and the requests, except the count of requests in flight.
func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := newStats()
	fresh.InFlight, fresh.MaxInFlight = l.stats.InFlight, l.stats.InFlight
	l.stats, l.requests, l.next = fresh, nil, 0
}

func (l *requestLog) begin(rec *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Requests++
	rec.number = l.stats.Requests
	l.stats.InFlight++
	l.stats.MaxInFlight = max(l.stats.MaxInFlight, l.stats.InFlight)
}

// limits records the decision of the rate limits; refused is nil for an admitted request.
// It updates the statistics immediately, because a test may read them while the call runs.
func (l *requestLog) limits(rec *record, model string, refused *quota.Refusal) {
	rec.Model, rec.Admitted = model, refused == nil
	l.change(model, func(m *ModelStats) {
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
func (l *requestLog) charge(rec *record, tokens int) {
	rec.Tokens = tokens
	l.change(rec.Model, func(m *ModelStats) { m.Tokens += tokens })
}

// change updates the statistics of a model. It bounds the number of names in the same way
// as package quota.
func (l *requestLog) change(model string, do func(*ModelStats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.stats.Models[model]; !ok && len(l.stats.Models) >= quota.MaxModels && model != NoModel {
		model = quota.OtherModels
	}
	m := l.stats.Models[model]
	do(&m)
	l.stats.Models[model] = m
}

func (l *requestLog) fault(kind FaultKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Faults[kind]++
}

// end adds the record of a request to the log. Only the first call has an effect. The caller
// calls it before the client has the whole response, so that a test then finds the request.
func (l *requestLog) end(rec *record, status int) {
	if rec.ended {
		return
	}
	rec.ended = true
	rec.Status, rec.Done = status, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.InFlight--
	l.stats.Statuses[status]++
	if rec.Operation != "" {
		l.stats.Operations[rec.Operation]++
	}
	at := len(l.requests)
	if at < MaxRecorded {
		l.requests = append(l.requests, rec.Recorded)
	} else {
		at = l.next
		l.requests[at] = rec.Recorded
		l.next = (at + 1) % MaxRecorded
	}
	if old := (at + MaxRecorded - MaxRecordedBodies) % MaxRecorded; old < len(l.requests) {
		l.requests[old].Body = ""
	}
}
