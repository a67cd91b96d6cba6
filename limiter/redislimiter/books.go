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

// books is what this process knows of a model's books, and what it would bring to
// new ones: recent and live are of what Redis has been told, the rest is news.
type books struct {
	epoch                int64 // 0: it has not joined any
	number, acknowledged int64 // of the latest command, and of the latest that was answered
	heard                time.Time
	roundTrip            time.Duration // of the latest command that was answered
	limit                limiter.Limit // in force, with its defaults filled in
	configured           configured
	learned              learned
	used, foreign        float64   // tokens, by the latest reply
	left                 float64   // tokens, by the latest reply
	resume               time.Time // end of the latest pause
	recent               recent
	live                 map[string]*Permit // calls in flight, by their ids
	told                 int                // how much news
	news                 []news             // that is to be told
}

// A reply is what the script returns: the state of the books, beside what was asked.
type reply struct {
	status           string // ok, wait or large; join where the books are new
	value            float64
	order            int64
	epoch            int64
	limit            limiter.Limit
	used, foreign    float64
	paused           time.Duration
	requests, tokens float64 // available
	configured       configured
	learned          learned
	lessons          lessons
}

// answer is the value of a reply, as a duration.
func (r reply) answer() time.Duration { return micros(r.value) }

// micros is so many microseconds, but no more than a Duration holds.
func micros(n float64) time.Duration { return time.Duration(min(n, 9e15)) * time.Microsecond }

func parse(text []string) (r reply, err error) {
	if len(text) == 1 && text[0] == "join" {
		return reply{status: text[0]}, nil
	}
	var n [24]float64
	if len(text) < 1+len(n) {
		return reply{}, fmt.Errorf("the script returned %q", text)
	}
	for i := range n {
		if n[i], err = strconv.ParseFloat(text[i+1], 64); err != nil {
			return reply{}, err
		}
	}
	return reply{
		status: text[0], value: n[0], order: int64(n[1]), epoch: int64(n[2]),
		limit:      limitOf(n[4:8]),
		used:       n[8],
		foreign:    n[9],
		paused:     micros(n[10]),
		requests:   n[11],
		tokens:     n[12],
		configured: configured{at: int64(n[3]), limit: limitOf(n[13:17]), climbs: n[17] == 1},
		learned:    learned{spacing: micros(n[18]), requestsFrom: int(n[19]), tokensFrom: int(n[20])},
		lessons:    lessons{since: clock(n[21]), after: int64(n[22]), extraJitter: micros(n[23]), text: text[1+len(n):]},
	}, nil
}

// limitOf is the inverse of limitArgs.
func limitOf(n []float64) limiter.Limit {
	return limiter.Limit{RequestsPerSecond: n[0], TokensPerMinute: int(n[1]), RequestBurst: n[2], TokenBurst: int(n[3])}
}

// clock is a time of Redis.
func clock(micros float64) time.Time { return time.UnixMicro(int64(micros)) }

// forgetting is how long a process that has nothing in flight remembers books: less
// than they are kept, so that those it finds missing were lost.
const forgetting = 30 * time.Minute

// do asks Redis a question. Its error is an [*UnavailableError], at once while Redis is
// away: talk asks whether it is back.
func (l *Limiter) do(op string, args ...any) (reply, error) {
	return l.doWith(op, func() []any { return args })
}

// doWith is like do with arguments about calls in flight. It computes them, with l.mu held,
// at the moment at which it is decided what Redis is told before: so they say nothing of
// calls whose end is told by the same command.
func (l *Limiter) doWith(op string, args func() []any) (reply, error) {
	l.wire.Lock()
	defer l.wire.Unlock()
	l.mu.Lock()
	if l.closed || !l.away.IsZero() {
		defer l.mu.Unlock()
		return reply{}, l.unavailable()
	}
	l.store.goroutines.Add(1) // not closed: nobody waits for them yet
	defer l.store.goroutines.Done()
	known, values := len(l.news), args()
	l.mu.Unlock()
	return l.try(known, op, values...)
}

// try tells Redis so much of the news and asks a question, and takes note of whether
// Redis is there. It requires that l.wire is held: a process has one command under way
// at a time for each model, so that what happens first is told first. What happens once
// the question is chosen is told with the next, as it may be about that: a call that is
// given up.
func (l *Limiter) try(known int, op string, args ...any) (reply, error) {
	begun := time.Now()
	r, err := l.run(known, op, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.back()
		return r, nil
	}
	if l.trouble = err; l.away.IsZero() {
		l.away = begun
		l.wake()
	}
	return reply{}, l.unavailable()
}

// unavailable is the error of calls that Redis cannot be asked for. It requires that
// l.mu is held.
func (l *Limiter) unavailable() error {
	if l.closing {
		return &UnavailableError{Err: errClosed}
	}
	return &UnavailableError{Since: time.Since(l.away), Err: l.trouble}
}

// isDown reports whether calls are not to wait for Redis: it has been away for too long,
// or the store is closed. It requires that l.mu is held.
func (l *Limiter) isDown() bool {
	return l.closing || !l.away.IsZero() && time.Since(l.away) >= l.store.config.Patience
}

// most is how many permits, or pieces of news, one command names: a script's stack is
// bounded, and others wait for it.
const most = 500

// run tells so much of the news and asks a question, and joins the books where they are
// new. It requires that l.wire is held.
func (l *Limiter) run(known int, op string, args ...any) (reply, error) {
	known += l.told
	for lost := 0; lost < 3; {
		l.mu.Lock()
		if time.Since(l.heard) > forgetting && len(l.live) == 0 && len(l.news) == 0 {
			l.epoch = 0
			if l.away.IsZero() {
				l.forget() // nobody has used it: others may know better by now
			}
		}
		epoch, tells := l.epoch, l.news[:known-l.told]
		l.mu.Unlock()
		var r reply
		var err error
		if len(tells) > most {
			r, err = l.ask("state", epoch, tells[:most])
		} else {
			r, err = l.ask(op, epoch, tells, args...)
		}
		switch {
		case err != nil:
			return reply{}, err
		case r.status == "join":
			lost++
			if err := l.join(epoch); err != nil {
				return reply{}, err
			}
		case len(tells) <= most:
			return r, nil
		}
	}
	return reply{}, errors.New("the books are lost again and again")
}

// ask sends one command, and takes note of what the reply says. It requires that l.wire
// is held.
func (l *Limiter) ask(op string, epoch int64, tells []news, args ...any) (reply, error) {
	c := &l.store.config
	l.number++
	argv := make([]any, 0, 9+len(tells)+len(args))
	argv = append(argv, op, epoch, l.acknowledged, c.Jitter.Microseconds(), c.Lease.Microseconds(), l.store.name, l.number, l.told, len(tells))
	for _, n := range tells {
		argv = append(argv, n.text())
	}
	begun := time.Now()
	text, err := l.store.eval(l.keys, append(argv, args...)...)
	if err != nil {
		return reply{}, err
	}
	r, err := parse(text)
	if err != nil || r.status == "join" {
		return r, err
	}
	lesson, learns := learn(r, c.Jitter)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.acknowledged = time.Now(), l.number
	l.roundTrip = l.heard.Sub(begun)
	l.told += len(tells)
	l.news = l.news[len(tells):]
	for _, n := range tells {
		l.taken(n)
	}
	l.epoch, l.used, l.foreign, l.left = r.epoch, r.used, r.foreign, r.tokens
	l.configured, l.learned = r.configured, r.learned
	if r.paused > 0 {
		l.resume = later(l.resume, l.heard.Add(r.paused))
	}
	if l.limit != r.limit {
		l.setLimit(r.limit)
	}
	if learns {
		l.tell(lesson)
	}
	return r, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// join brings what this process knows to books of another epoch than the given one,
// which it knew before; 0 if it is new. It requires that l.wire is held.
func (l *Limiter) join(epoch int64) error {
	l.mu.Lock()
	now := time.Now()
	limit := append(l.configured.args(), l.learned.args(l.limit)...)
	args := append([]any{l.recent.sum(now), max(0, l.resume.Sub(now)).Microseconds(), l.left}, limit...)
	permits := leases(maps.Values(l.live)) // Those that have ended too: Redis is told of the end later.
	l.mu.Unlock()
	for {
		n := min(len(permits), 2*most)
		r, err := l.ask("join", epoch, nil, append(args, permits[:n]...)...)
		if err != nil {
			return err
		}
		if permits = permits[n:]; len(permits) == 0 {
			return nil
		}
		epoch, args = r.epoch, append([]any{0, 0, 0}, limit...)
	}
}

// leases returns what is held for calls in flight: their ids and tokens.
func leases(calls iter.Seq[*Permit]) (list []any) {
	for p := range calls {
		list = append(list, p.id, p.tokens)
	}
	return list
}

func limitArgs(l limiter.Limit) []any {
	return []any{l.RequestsPerSecond, l.TokensPerMinute, l.RequestBurst, l.TokenBurst}
}

// recent is how many tokens this process used in the last span of time.
type recent struct {
	span time.Duration
	uses []use // oldest first
}

type use struct {
	at time.Time
	n  int
}

func (r *recent) add(now time.Time, n int) {
	if last := len(r.uses) - 1; last >= 0 && now.Sub(r.uses[last].at) < r.span/60 {
		r.uses[last].n += n
		return
	}
	r.sum(now) // forgets what is old
	r.uses = append(r.uses, use{now, n})
}

func (r *recent) sum(now time.Time) (sum int) {
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
