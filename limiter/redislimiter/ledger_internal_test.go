package redislimiter

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A ledger is the books of one model in a Redis whose clock the test sets: every time
// below is exact. It speaks to the script as a process does.
type ledger struct {
	testing.TB
	redis          *miniredis.Miniredis
	client         *redis.Client
	keys           []string
	now            time.Time
	epoch          int64
	number, latest int // of commands: of this, and of the latest that was answered
	told           int
	lease          time.Duration
	calls          int // that a test has numbered
}

const (
	testJitter = 50 * time.Millisecond
	testLease  = 10 * time.Second
)

var keyNames = []string{"state", "tokens", "requests", "permits", "leases", "tickets", "processes", "lessons"}

func newLedger(t testing.TB, server *miniredis.Miniredis, limit limiter.Limit) *ledger {
	t.Helper()
	server.FlushAll()
	l := &ledger{TB: t, redis: server, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), lease: testLease}
	l.client = redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = l.client.Close() })
	for _, name := range keyNames {
		l.keys = append(l.keys, "{m}:"+name)
	}
	server.SetTime(l.now)
	l.join(0, limit)
	return l
}

func (l *ledger) pass(d time.Duration) {
	l.now = l.now.Add(d)
	l.redis.SetTime(l.now)
}

// op runs an operation, as a process that knows the latest books.
func (l *ledger) op(op string, args ...any) reply {
	l.Helper()
	r := l.raw(op, l.epoch, args...)
	if r.status == "join" {
		l.Fatalf("%s: the books are lost", op)
	}
	return r
}

func (l *ledger) raw(op string, epoch int64, args ...any) reply {
	l.Helper()
	l.number++
	r, err := parse(l.send("p", l.number, l.told, nil, op, epoch, args...))
	if err != nil {
		l.Fatal(err)
	}
	if r.status != "join" {
		l.epoch, l.latest = r.epoch, l.number
	}
	return r
}

// send is one command, of a process that has told so much and tells more.
func (l *ledger) send(process string, number, told int, news []string, op string, epoch int64, args ...any) []string {
	l.Helper()
	latest := 0
	if process == "p" {
		latest = l.latest
	}
	argv := []any{op, epoch, latest, testJitter.Microseconds(), l.lease.Microseconds(), process, number, told, len(news)}
	for _, n := range news {
		argv = append(argv, n)
	}
	text, err := script.Run(context.Background(), l.client, l.keys, append(argv, args...)...).StringSlice()
	if err != nil {
		l.Fatalf("%s%v after %q: %v", op, args, news, err)
	}
	return text
}

// join joins with so many tokens used, and permits.
func (l *ledger) join(used int, limit limiter.Limit, permits ...any) reply {
	l.Helper()
	return l.joinWith(used, 0, 0, 0, limit, permits...)
}

// joinWith joins with a pause, what was left, and the time of the limit too.
func (l *ledger) joinWith(used int, paused time.Duration, left float64, limitAt int64, limit limiter.Limit, permits ...any) reply {
	l.Helper()
	args := joinArgs(used, paused, left, configured{at: limitAt, limit: limit.WithDefaults()})
	return l.raw("join", l.epoch, append(args, permits...)...)
}

// joinArgs are those of a process that has learned nothing.
func joinArgs(used int, paused time.Duration, left float64, c configured) []any {
	args := append([]any{used, paused.Microseconds(), left}, c.args()...)
	return append(args, learned{}.args(c.limit)...)
}

// limit configures a limit.
func (l *ledger) limit(limit limiter.Limit) reply {
	l.Helper()
	return l.op("limit", append(limitArgs(limit.WithDefaults()), 0)...)
}

// ask asks for a call, as process id of a backlog.
func (l *ledger) ask(id string, order int64, tokens, backlog int) reply {
	l.Helper()
	return l.op("acquire", id, order, tokens, 1, backlog, (time.Hour).Microseconds(), grace.Microseconds())
}

func (l *ledger) grant(id string, tokens int) {
	l.Helper()
	if r := l.ask(id, 0, tokens, 1); r.status != "ok" {
		l.Fatalf("%s has to wait %v", id, r.answer())
	}
}

// waits checks how long a call has to wait, and leaves no ticket of it.
func (l *ledger) waits(tokens int, want time.Duration) {
	l.Helper()
	r := l.ask("probe:1", 0, tokens, 1)
	if r.status != "wait" || r.answer() != want {
		l.Errorf("%s %v, want to wait %v", r.status, r.answer(), want)
	}
	l.op("withdraw", "probe:1", 0)
}

func (l *ledger) available(requests, tokens float64) {
	l.Helper()
	r := l.op("state")
	if math.Abs(r.requests-requests) > 1e-6 || math.Abs(r.tokens-tokens) > 1e-6 {
		l.Errorf("%v requests and %v tokens are available, want %v and %v", r.requests, r.tokens, requests, tokens)
	}
}

// ten allows ten requests a second and 600 tokens a minute.
var ten = limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 600}

func (l *ledger) check(t *rapid.T) {
	l.op("state")
	ctx := context.Background()
	state := map[string]float64{}
	for name, text := range l.client.HGetAll(ctx, l.keys[0]).Val() {
		state[name], _ = strconv.ParseFloat(text, 64)
	}
	wantState := func(name string, want float64) {
		if state[name] != want {
			t.Errorf("%s is %v, want %v", name, state[name], want)
		}
	}
	for i, log := range []string{"t", "r"} {
		entries := l.client.LRange(ctx, l.keys[i+1], 0, -1).Val()
		sum, last := 0.0, 0.0
		for _, entry := range entries {
			at, n, _ := strings.Cut(entry, " ")
			units, _ := strconv.ParseFloat(n, 64)
			moment, _ := strconv.ParseFloat(at, 64)
			if sum += units; moment <= last {
				t.Errorf("log %s is not in order: %v", log, entries)
			}
			last = moment
		}
		wantState(log+"n", float64(len(entries)))
		wantState(log+"u", sum)
		if sum < 0 {
			t.Errorf("log %s sums up to %v", log, sum)
		}
	}
	held := 0.0
	permits := l.client.HGetAll(ctx, l.keys[3]).Val()
	for _, permit := range permits {
		tokens, _, _ := strings.Cut(permit, " ")
		n, _ := strconv.ParseFloat(tokens, 64)
		held += n
	}
	wantState("pn", float64(len(permits)))
	wantState("pn", float64(l.client.ZCard(ctx, l.keys[4]).Val()))
	wantState("cn", float64(l.client.HLen(ctx, l.keys[6]).Val()))
	wantState("small", held-state["large"])
	if state["r"] > state["rburst"] || state["t"] > state["tburst"] {
		t.Errorf("the buckets hold %v and %v", state["r"], state["t"])
	}
}
