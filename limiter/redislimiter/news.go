package redislimiter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// news is something that has happened, and that Redis is to be told. It goes with the
// next command, before what that asks, in the order in which it happened; if Redis is
// away it waits. It is numbered, so that it counts once even if the reply to a command
// is lost and the next one tells it again.
type news struct {
	op    string // of the script
	id    string // of the permit that it is about; "" if it is about none
	args  []any
	until time.Time // the last argument, told as how long that is from then; zero: there is none
}

// text is the news as the script reads it.
func (n news) text() string {
	var b strings.Builder
	b.WriteString(n.op)
	if n.id != "" {
		b.WriteString(" " + n.id)
	}
	for _, arg := range n.args {
		if f, ok := arg.(float64); ok {
			arg = strconv.FormatFloat(f, 'f', -1, 64) // not every Lua reads 1e+06
		}
		fmt.Fprintf(&b, " %v", arg)
	}
	if !n.until.IsZero() {
		fmt.Fprintf(&b, " %d", max(0, time.Until(n.until)).Microseconds())
	}
	return b.String()
}

// tell has Redis told. It requires that l.mu is held.
func (l *Limiter) tell(n news) {
	if !l.closed {
		l.news = append(l.news, n)
		l.wake()
	}
}

// taken takes note that Redis has been told. It requires that l.mu is held.
func (l *Limiter) taken(n news) {
	switch n.op {
	case "settle":
		l.recent.add(time.Now(), n.args[0].(int))
		delete(l.live, n.id)
	case "charge":
		l.recent.add(time.Now(), n.args[1].(int))
	case "cancel":
		delete(l.live, n.id)
	}
}

// unacknowledged is how many tokens were used that Redis has not been told of. It requires that
// l.mu is held.
func (l *Limiter) unacknowledged() (sum int) {
	for _, n := range l.news {
		if n.op == "settle" {
			sum += n.args[0].(int)
		}
	}
	return sum
}
