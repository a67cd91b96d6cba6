package bulk

import (
	"sync"
	"time"
)

// Progress is the state of a run.
type Progress struct {
	Summary // the summary so far; Stopped is set only at the end

	InFlight int // rows in flight
	Waiting  int // rows that wait for the limiter
	Held     int // rows that Run holds during an outage, in addition to those in Waiting

	// Outage is the cause of the current outage, and OutageSince its start. Both are zero without
	// an outage.
	Outage      string
	OutageSince time.Time

	RowsPerMinute   int // responses of the last minute
	TokensPerMinute int // tokens of these responses

	// The current limits of the client, for the model with the most calls.
	RequestLimit float64 // requests per second
	TokenLimit   int     // tokens per minute
	LimitedBy    string  // the limit that determines Left: "requests", "tokens", or "" if unknown

	// RowsLeft is the number of rows still to be sent. Left is the estimated time for them, based
	// on the usage of the responses so far. Both are -1 without Options.Forecast.
	RowsLeft int
	Left     time.Duration
}

// tick syncs the journal and reports the progress every second, and stops the run when Options.Stop
// is closed. It returns when finished is closed, and then closes ticked.
func (r *run) tick(finished <-chan struct{}, ticked chan<- struct{}) {
	defer close(ticked)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	stop := r.options.Stop
	for {
		select {
		case <-finished:
			return
		case <-stop:
			r.halt(errStopped)
			stop = nil
		case <-ticker.C:
			if err := r.journal.sync(); err != nil {
				r.halt(err)
			}
			if r.options.Progress != nil {
				r.options.Progress(r.progress())
			}
		}
	}
}

func (r *run) progress() Progress {
	p := Progress{RowsLeft: -1, Left: -1}
	r.mu.Lock()
	p.Summary = r.summary
	r.mu.Unlock()
	p.Duration = time.Since(r.throughput.began)
	p.RowsPerMinute, p.TokensPerMinute = r.throughput.lastMinute()
	model, busiest := "", -1
	for name, s := range r.client.Snapshot() {
		p.Waiting += s.Waiting
		if n := s.Waiting + s.InFlight; n > busiest {
			model, busiest = name, n
			p.RequestLimit, p.TokenLimit = s.Limit.RequestsPerSecond, s.Limit.TokensPerMinute
		}
		if !s.OutageSince.IsZero() && (p.OutageSince.IsZero() || s.OutageSince.Before(p.OutageSince)) {
			p.OutageSince, p.Outage = s.OutageSince, s.OutageCause
		}
	}
	active := int(r.active.Load())
	p.Held = int(r.held.Load())
	p.Waiting = min(p.Waiting, max(0, active-p.Held)) // other callers may use the client, too
	p.InFlight = max(0, active-p.Held-p.Waiting)
	if f := r.options.Forecast; f != nil {
		r.expect(&p, f, model)
	}
	return p
}

// expect estimates the time for the remaining rows.
func (r *run) expect(p *Progress, f *Forecast, model string) {
	r.throughput.mu.Lock()
	finished, counted := r.throughput.finished, r.throughput.counted
	r.throughput.mu.Unlock()
	p.RowsLeft, p.Left = max(0, f.Calls-finished), 0
	if p.RowsLeft == 0 {
		return
	}
	tokens := float64(f.Tokens.Expected) / float64(f.Calls)
	if u := r.journal.used(); u.isEnough() {
		tokens = u.ratio()*float64(max(0, f.Counted-counted))/float64(p.RowsLeft) + u.mean()
	}
	p.Left = r.client.Forecast(model, p.RowsLeft, int(tokens+0.5))
	p.LimitedBy = limitedBy(p.Left, r.client.Forecast(model, p.RowsLeft, 0))
}

// A throughput measures the throughput of a run.
type throughput struct {
	began time.Time

	mu       sync.Mutex
	seconds  [60]second
	finished int // rows with a valid request that have a line
	counted  int // tokens of their prompts
}

// A second is the responses of one second of the run.
type second struct {
	number       int64
	rows, tokens int
}

// add counts a line of the output.
func (m *throughput) add(line *mark, isDone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if line.Row == "" {
		m.finished++
		m.counted += line.Counted
	}
	if !isDone {
		return
	}
	now := int64(time.Since(m.began) / time.Second)
	s := &m.seconds[now%int64(len(m.seconds))]
	if s.number != now {
		*s = second{number: now}
	}
	s.rows++
	s.tokens += line.Prompt + line.Completion
}

// lastMinute returns the responses of the last minute. In the first minute it extrapolates.
func (m *throughput) lastMinute() (rows, tokens int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	passed := time.Since(m.began)
	for _, s := range m.seconds {
		if int64(passed/time.Second)-s.number < int64(len(m.seconds)) {
			rows += s.rows
			tokens += s.tokens
		}
	}
	if passed > 0 && passed < time.Minute {
		share := float64(time.Minute) / float64(passed)
		rows, tokens = int(float64(rows)*share), int(float64(tokens)*share)
	}
	return rows, tokens
}
