package redislimiter

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// sharedState is what this process knows of a model's shared state. If Redis loses the state,
// the process restores its part from recent and live, which Redis has acknowledged. The pending
// updates are not acknowledged yet.
type sharedState struct {
	epoch                 int64         // The joined epoch; 0: none.
	command, acknowledged int64         // The numbers of the latest command and of the latest one with a response.
	lastResponse          time.Time     // The time of the latest response.
	roundTrip             time.Duration // The round trip of the latest command with a response.
	limit                 limiter.Limit // The limit in force, with defaults.
	configured            configured
	learned               learned
	used, externalUsage   float64   // Tokens in the window, as of the latest response.
	availableTokens       float64   // Available tokens, as of the latest response.
	resume                time.Time // The end of the latest pause.
	recent                recentUsage
	live                  map[string]*Permit // The calls in flight, by id.
	acknowledgedUpdates   int                // The number of acknowledged updates.
	pending               []update           // Updates without acknowledgement, oldest first.
}

// response is the result of the script: the result of the operation and the shared state.
type response struct {
	status              string // ok, wait or large; join if this process must join a new epoch.
	value               float64
	order               int64
	epoch               int64
	limit               limiter.Limit
	used, externalUsage float64
	paused              time.Duration
	requests, tokens    float64 // Available requests and tokens.
	configured          configured
	learned             learned
	batch               learningBatch
}

// duration returns the value as a duration.
func (r response) duration() time.Duration { return micros(r.value) }

// micros returns n microseconds, capped to what a Duration can hold.
func micros(n float64) time.Duration { return time.Duration(min(n, 9e15)) * time.Microsecond }

func parse(text []string) (r response, err error) {
	if len(text) == 1 && text[0] == "join" {
		return response{status: text[0]}, nil
	}
	var n [24]float64
	if len(text) < 1+len(n) {
		return response{}, fmt.Errorf("unexpected result of the script: %q", text)
	}
	for i := range n {
		if n[i], err = strconv.ParseFloat(text[i+1], 64); err != nil {
			return response{}, err
		}
	}
	return response{
		status: text[0], value: n[0], order: int64(n[1]), epoch: int64(n[2]),
		limit:         limitOf(n[4:8]),
		used:          n[8],
		externalUsage: n[9],
		paused:        micros(n[10]),
		requests:      n[11],
		tokens:        n[12],
		configured:    configured{at: int64(n[3]), limit: limitOf(n[13:17]), learnLimits: n[17] == 1},
		learned:       learned{spacing: micros(n[18]), requestsFrom: int(n[19]), tokensFrom: int(n[20])},
		batch:         learningBatch{since: redisTime(n[21]), first: int64(n[22]), extraJitter: micros(n[23]), text: text[1+len(n):]},
	}, nil
}

// limitOf is the inverse of limitArgs.
func limitOf(n []float64) limiter.Limit {
	return limiter.Limit{RequestsPerSecond: n[0], TokensPerMinute: int(n[1]), RequestBurst: n[2], TokenBurst: int(n[3])}
}

// redisTime converts a time of the Redis clock.
func redisTime(micros float64) time.Time { return time.UnixMicro(int64(micros)) }

// idleTimeout is how long a process without calls in flight remembers its epoch. It is shorter
// than the expiry of the keys: keys that are missing before it has passed were lost.
const idleTimeout = 30 * time.Minute

// do runs an operation. Its error is an [*UnavailableError]. While Redis is unreachable it fails
// at once; the poll loop retries.
func (l *Limiter) do(op string, args ...any) (response, error) {
	return l.doWith(op, func() []any { return args })
}

// doWith is like do with arguments about calls in flight. It computes the arguments and selects
// the updates of the command under one lock of l.mu. The arguments therefore never name a call
// whose end the same command reports.
func (l *Limiter) doWith(op string, args func() []any) (response, error) {
	l.commandMu.Lock()
	defer l.commandMu.Unlock()
	l.mu.Lock()
	if l.closed || !l.unreachableSince.IsZero() {
		defer l.mu.Unlock()
		return response{}, l.unavailable()
	}
	l.store.goroutines.Add(1) // safe: l is not closed, so Close does not wait for them yet
	defer l.store.goroutines.Done()
	updates, values := len(l.pending), args()
	l.mu.Unlock()
	return l.tryCommand(updates, op, values...)
}

// tryCommand sends the first pending updates and an operation, and records whether Redis is
// reachable. l.commandMu must be held: a process has one command in flight for each model, so
// that Redis receives the updates in order. Updates that are enqueued later go with the next
// command, because they may be about this operation: a caller may give up its call.
func (l *Limiter) tryCommand(updates int, op string, args ...any) (response, error) {
	begin := time.Now()
	r, err := l.runCommand(updates, op, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.reconnected()
		return r, nil
	}
	if l.unreachableErr = err; l.unreachableSince.IsZero() {
		l.unreachableSince = begin
		l.wake()
	}
	return response{}, l.unavailable()
}

// unavailable returns the error of calls while Redis is unreachable. l.mu must be held.
func (l *Limiter) unavailable() error {
	if l.closing {
		return &UnavailableError{Err: errClosed}
	}
	return &UnavailableError{Since: time.Since(l.unreachableSince), Err: l.unreachableErr}
}

// isDown reports whether calls must not wait for Redis: it has been unreachable for longer than
// Config.Patience, or the store is closed. l.mu must be held.
func (l *Limiter) isDown() bool {
	return l.closing || !l.unreachableSince.IsZero() && time.Since(l.unreachableSince) >= l.store.config.Patience
}

// maxPerCommand bounds the permits or updates in one command: the stack of a script is bounded,
// and other processes wait for it.
const maxPerCommand = 500

// runCommand sends the first pending updates, as many as given, and an operation. It joins a
// new epoch if necessary. l.commandMu must be held.
func (l *Limiter) runCommand(updates int, op string, args ...any) (response, error) {
	last := l.acknowledgedUpdates + updates
	for joins := 0; joins < 3; {
		l.mu.Lock()
		if time.Since(l.lastResponse) > idleTimeout && len(l.live) == 0 && len(l.pending) == 0 {
			l.epoch = 0
			if l.unreachableSince.IsZero() {
				l.forget() // the rates are outdated; other processes may have newer ones
			}
		}
		epoch, next := l.epoch, l.pending[:last-l.acknowledgedUpdates]
		l.mu.Unlock()
		var r response
		var err error
		if len(next) > maxPerCommand {
			r, err = l.sendCommand("state", epoch, next[:maxPerCommand])
		} else {
			r, err = l.sendCommand(op, epoch, next, args...)
		}
		switch {
		case err != nil:
			return response{}, err
		case r.status == "join":
			joins++
			if err := l.join(epoch); err != nil {
				return response{}, err
			}
		case len(next) <= maxPerCommand:
			return r, nil
		}
	}
	return response{}, errors.New("the shared state was lost repeatedly")
}

// sendCommand sends one command and stores the state in its response. l.commandMu must be held.
func (l *Limiter) sendCommand(op string, epoch int64, updates []update, args ...any) (response, error) {
	c := &l.store.config
	l.command++
	argv := make([]any, 0, 9+len(updates)+len(args))
	argv = append(argv, op, epoch, l.acknowledged, c.Jitter.Microseconds(), c.Lease.Microseconds(), l.store.name, l.command, l.acknowledgedUpdates, len(updates))
	for _, u := range updates {
		argv = append(argv, u.text())
	}
	begin := time.Now()
	text, err := l.store.eval(l.keys, append(argv, args...)...)
	if err != nil {
		return response{}, err
	}
	r, err := parse(text)
	if err != nil || r.status == "join" {
		return r, err
	}
	result, learns := learn(r, c.Jitter)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastResponse, l.acknowledged = time.Now(), l.command
	l.roundTrip = l.lastResponse.Sub(begin)
	l.acknowledgedUpdates += len(updates)
	l.pending = l.pending[len(updates):]
	for _, u := range updates {
		l.acknowledge(u)
	}
	l.epoch, l.used, l.externalUsage, l.availableTokens = r.epoch, r.used, r.externalUsage, r.tokens
	l.configured, l.learned = r.configured, r.learned
	if r.paused > 0 {
		l.resume = later(l.resume, l.lastResponse.Add(r.paused))
	}
	if l.limit != r.limit {
		l.setLimit(r.limit)
	}
	if learns {
		l.enqueue(result)
	}
	return r, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// join restores this process's part of the shared state in another epoch. The given epoch is
// the one that the process knew before, 0 for a new process. l.commandMu must be held.
func (l *Limiter) join(epoch int64) error {
	l.mu.Lock()
	now := time.Now()
	limit := append(l.configured.args(), l.learned.args(l.limit)...)
	args := append([]any{l.recent.sum(now), max(0, l.resume.Sub(now)).Microseconds(), l.availableTokens}, limit...)
	permits := leases(maps.Values(l.live)) // includes ended calls: a pending update reports their end
	l.mu.Unlock()
	for {
		n := min(len(permits), 2*maxPerCommand)
		r, err := l.sendCommand("join", epoch, nil, append(args, permits[:n]...)...)
		if err != nil {
			return err
		}
		if permits = permits[n:]; len(permits) == 0 {
			return nil
		}
		epoch, args = r.epoch, append([]any{0, 0, 0}, limit...)
	}
}

// leases returns the ids and held tokens of calls in flight.
func leases(calls iter.Seq[*Permit]) (list []any) {
	for p := range calls {
		list = append(list, p.id, p.tokens)
	}
	return list
}

func limitArgs(l limiter.Limit) []any {
	return []any{l.RequestsPerSecond, l.TokensPerMinute, l.RequestBurst, l.TokenBurst}
}

// recentUsage counts the units that this process used in the last span of time.
type recentUsage struct {
	span time.Duration
	uses []use // Oldest first.
}

type use struct {
	at time.Time
	n  int
}

func (r *recentUsage) add(now time.Time, n int) {
	if last := len(r.uses) - 1; last >= 0 && now.Sub(r.uses[last].at) < r.span/60 {
		r.uses[last].n += n
		return
	}
	r.sum(now) // removes expired entries
	r.uses = append(r.uses, use{now, n})
}

func (r *recentUsage) sum(now time.Time) (sum int) {
	first := 0
	for i, u := range r.uses {
		if now.Sub(u.at) >= r.span+r.span/60 {
			first = i + 1
			continue
		}
		sum += u.n
	}
	r.uses = append(r.uses[:0], r.uses[first:]...)
	return sum
}
