package redislimiter

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// books is what this process knows of a model's books, and what it would bring to
// new ones.
type books struct {
	epoch, version int64 // 0: it has not joined any
	heard          time.Time
	limit          limiter.Limit // with its defaults filled in
	used, foreign  float64       // tokens, by the latest reply
	recent         recent
}

// A reply is what the script returns: the state of the books, beside what was asked.
type reply struct {
	status           string // ok, wait, large, or join
	value            float64
	order            int64
	epoch, version   int64
	limit            limiter.Limit
	used, foreign    float64
	requests, tokens float64 // available
}

// answer is the value of a reply, as a duration.
func (r reply) answer() time.Duration { return time.Duration(r.value) * time.Microsecond }

func parse(text []string) (r reply, err error) {
	if len(text) == 1 && text[0] == "join" {
		return reply{status: text[0]}, nil
	}
	if len(text) != 13 {
		return reply{}, fmt.Errorf("the script returned %q", text)
	}
	var n [12]float64
	for i := range n {
		if n[i], err = strconv.ParseFloat(text[i+1], 64); err != nil {
			return reply{}, err
		}
	}
	return reply{
		status: text[0], value: n[0], order: int64(n[1]), epoch: int64(n[2]), version: int64(n[3]),
		limit:    limiter.Limit{RequestsPerSecond: n[4], TokensPerMinute: int(n[5]), RequestBurst: n[6], TokenBurst: int(n[7])},
		used:     n[8],
		foreign:  n[9],
		requests: n[10],
		tokens:   n[11],
	}, nil
}

// forgetting is how long a process that has nothing in flight remembers books: less
// than they are kept, so that those it finds missing were lost.
const forgetting = 30 * time.Minute

// do runs an operation on the books. Its error is an [*UnavailableError], at once if
// Redis has been away for long: the probe asks whether it is back.
func (l *Limiter) do(op string, args ...any) (reply, error) {
	l.mu.Lock()
	if l.isDown() {
		defer l.mu.Unlock()
		return reply{}, l.unavailable()
	}
	l.mu.Unlock()
	return l.try(op, args...)
}

// try runs an operation, and takes note of whether Redis is there.
func (l *Limiter) try(op string, args ...any) (reply, error) {
	begun := time.Now()
	r, err := l.run(op, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.away, l.trouble = time.Time{}, nil
		return r, nil
	}
	if l.trouble = err; l.away.IsZero() {
		l.away = begun
		go l.probe()
	}
	return reply{}, l.unavailable()
}

// unavailable is the error of calls that Redis cannot be asked for. It requires that
// l.mu is held.
func (l *Limiter) unavailable() error {
	return &UnavailableError{Since: time.Since(l.away), Err: l.trouble}
}

// isDown reports whether Redis has been away for longer than calls wait for it. It
// requires that l.mu is held.
func (l *Limiter) isDown() bool {
	return !l.away.IsZero() && time.Since(l.away) >= l.store.config.Patience
}

// run runs an operation, and joins the books where they are new.
func (l *Limiter) run(op string, args ...any) (reply, error) {
	for range 3 {
		l.mu.Lock()
		if time.Since(l.heard) > forgetting && len(l.live) == 0 && len(l.outbox) == 0 {
			l.epoch, l.version = 0, 0
		}
		epoch, version := l.epoch, l.version
		l.mu.Unlock()
		r, err := l.ask(op, epoch, version, args...)
		if err != nil || r.status != "join" {
			return r, err
		}
		if err := l.join(epoch); err != nil {
			return reply{}, err
		}
	}
	return reply{}, errors.New("the books are lost again and again")
}

// ask runs an operation once, and takes note of what the reply says of the books.
func (l *Limiter) ask(op string, epoch, version int64, args ...any) (reply, error) {
	c := &l.store.config
	text, err := l.store.eval(l.keys, append([]any{op, epoch, version, c.Jitter.Microseconds(), c.Lease.Microseconds()}, args...)...)
	if err != nil {
		return reply{}, err
	}
	r, err := parse(text)
	if err != nil || r.status == "join" {
		return r, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.epoch > l.epoch || r.epoch == l.epoch && r.version > l.version { // replies may overtake each other
		l.epoch, l.version, l.used, l.foreign = r.epoch, r.version, r.used, r.foreign
		if l.limit != r.limit {
			l.setLimit(r.limit)
		}
	}
	l.heard = time.Now()
	return r, nil
}

// most is how many permits one command names: a script's stack is bounded.
const most = 1000

// join brings what this process knows to books of another epoch than the given one,
// which it knew before; 0 if it is new.
func (l *Limiter) join(epoch int64) error {
	l.joining.Lock()
	defer l.joining.Unlock()
	l.mu.Lock()
	if l.epoch != epoch {
		l.mu.Unlock()
		return nil // another goroutine did it
	}
	version := l.version
	args := append([]any{l.recent.sum(time.Now())}, limitArgs(l.limit)...)
	var permits []any
	for id, p := range l.live {
		permits = append(permits, id, p.tokens)
	}
	l.mu.Unlock()
	for {
		n := min(len(permits), 2*most)
		r, err := l.ask("join", epoch, version, append(args, permits[:n]...)...)
		if err != nil {
			return err
		}
		if permits = permits[n:]; len(permits) == 0 {
			return nil
		}
		epoch, version, args[0] = r.epoch, r.version, 0
	}
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
