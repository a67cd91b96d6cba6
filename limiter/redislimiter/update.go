package redislimiter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// update is a change of the shared state that this process reports to Redis. The next command
// carries it, before its own operation and in the order of events. Updates stay pending while
// Redis is unreachable. They are numbered: an update that is sent twice, because the response
// to a command was lost, counts once.
type update struct {
	op    string // The operation of the script.
	id    string // The id of the permit; "" if the update is not about a permit.
	args  []any
	until time.Time // The last argument, sent as the time left until then; zero: not set.
}

// text returns the update in the format of the script.
func (u update) text() string {
	var b strings.Builder
	b.WriteString(u.op)
	if u.id != "" {
		b.WriteString(" " + u.id)
	}
	for _, arg := range u.args {
		if f, ok := arg.(float64); ok {
			arg = strconv.FormatFloat(f, 'f', -1, 64) // not every Lua reads 1e+06
		}
		fmt.Fprintf(&b, " %v", arg)
	}
	if !u.until.IsZero() {
		fmt.Fprintf(&b, " %d", max(0, time.Until(u.until)).Microseconds())
	}
	return b.String()
}

// enqueue adds an update for the next command. l.mu must be held.
func (l *Limiter) enqueue(u update) {
	if !l.closed {
		l.pending = append(l.pending, u)
		l.wake()
	}
}

// acknowledge records that Redis has applied an update. l.mu must be held.
func (l *Limiter) acknowledge(u update) {
	switch u.op {
	case "settle":
		l.recent.add(time.Now(), u.args[0].(int))
		delete(l.live, u.id)
	case "charge":
		l.recent.add(time.Now(), u.args[1].(int))
	case "cancel":
		delete(l.live, u.id)
	}
}

// unacknowledged returns how many settled tokens Redis has not acknowledged. l.mu must be held.
func (l *Limiter) unacknowledged() (sum int) {
	for _, u := range l.pending {
		if u.op == "settle" {
			sum += u.args[0].(int)
		}
	}
	return sum
}
