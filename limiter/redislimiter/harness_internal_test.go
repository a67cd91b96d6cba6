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

// harness runs the script as a process does, for one model in a miniredis. The test sets the
// clock of Redis, so that all times are exact.
type harness struct {
	testing.TB
	redis          *miniredis.Miniredis
	client         *redis.Client
	keys           []string
	now            time.Time
	epoch          int64
	number, latest int // The numbers of the current command and of the latest one with a response.

	acknowledgedUpdates int
	lease               time.Duration
	calls               int // The count of call ids that the test has generated.
}

const (
	testJitter = 50 * time.Millisecond
	testLease  = 10 * time.Second
)

var keyNames = []string{"state", "tokens", "requests", "permits", "leases", "tickets", "processes", "lessons"}

func newHarness(t testing.TB, server *miniredis.Miniredis, limit limiter.Limit) *harness {
	t.Helper()
	server.FlushAll()
	l := &harness{TB: t, redis: server, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), lease: testLease}
	l.client = redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = l.client.Close() })
	for _, name := range keyNames {
		l.keys = append(l.keys, "{m}:"+name)
	}
	server.SetTime(l.now)
	l.join(0, limit)
	return l
}

func (l *harness) pass(d time.Duration) {
	l.now = l.now.Add(d)
	l.redis.SetTime(l.now)
}

// op runs an operation as a process that knows the current epoch.
func (l *harness) op(op string, args ...any) response {
	l.Helper()
	r := l.raw(op, l.epoch, args...)
	if r.status == "join" {
		l.Fatalf("%s: Redis has lost the state", op)
	}
	return r
}

func (l *harness) raw(op string, epoch int64, args ...any) response {
	l.Helper()
	l.number++
	r, err := parse(l.send("p", l.number, l.acknowledgedUpdates, nil, op, epoch, args...))
	if err != nil {
		l.Fatal(err)
	}
	if r.status != "join" {
		l.epoch, l.latest = r.epoch, l.number
	}
	return r
}

// send sends one command of a process that has sent updatesBefore updates before, with further updates.
func (l *harness) send(process string, number, updatesBefore int, updates []string, op string, epoch int64, args ...any) []string {
	l.Helper()
	latest := 0
	if process == "p" {
		latest = l.latest
	}
	argv := []any{op, epoch, latest, testJitter.Microseconds(), l.lease.Microseconds(), process, number, updatesBefore, len(updates)}
	for _, u := range updates {
		argv = append(argv, u)
	}
	text, err := script.Run(context.Background(), l.client, l.keys, append(argv, args...)...).StringSlice()
	if err != nil {
		l.Fatalf("%s%v after updates %q: %v", op, args, updates, err)
	}
	return text
}

// join joins an epoch with used tokens and permits.
func (l *harness) join(used int, limit limiter.Limit, permits ...any) response {
	l.Helper()
	return l.joinWith(used, 0, 0, 0, limit, permits...)
}

// joinWith is like join, with a pause, the available tokens, and the time of the limit.
func (l *harness) joinWith(used int, paused time.Duration, left float64, limitAt int64, limit limiter.Limit, permits ...any) response {
	l.Helper()
	args := joinArgs(used, paused, left, configured{at: limitAt, limit: limit.WithDefaults()})
	return l.raw("join", l.epoch, append(args, permits...)...)
}

// joinArgs returns the arguments of join for a process without learned rates.
func joinArgs(used int, paused time.Duration, left float64, c configured) []any {
	args := append([]any{used, paused.Microseconds(), left}, c.args()...)
	return append(args, learned{}.args(c.limit)...)
}

// limit configures a limit.
func (l *harness) limit(limit limiter.Limit) response {
	l.Helper()
	return l.op("limit", append(limitArgs(limit.WithDefaults()), 0)...)
}

// acquire asks for a call of the process in id, which has a backlog of waiting calls.
func (l *harness) acquire(id string, order int64, tokens, backlog int) response {
	l.Helper()
	return l.op("acquire", id, order, tokens, 1, backlog, (time.Hour).Microseconds(), ticketGrace.Microseconds())
}

func (l *harness) admit(id string, tokens int) {
	l.Helper()
	if r := l.acquire(id, 0, tokens, 1); r.status != "ok" {
		l.Fatalf("%s must wait %v, want admitted", id, r.duration())
	}
}

// waits checks how long a new call must wait, and withdraws the call.
func (l *harness) waits(tokens int, want time.Duration) {
	l.Helper()
	r := l.acquire("probe:1", 0, tokens, 1)
	if r.status != "wait" || r.duration() != want {
		l.Errorf("response %s %v, want wait %v", r.status, r.duration(), want)
	}
	l.op("withdraw", "probe:1", 0)
}

func (l *harness) available(requests, tokens float64) {
	l.Helper()
	r := l.op("state")
	if math.Abs(r.requests-requests) > 1e-6 || math.Abs(r.tokens-tokens) > 1e-6 {
		l.Errorf("%v requests and %v tokens are available, want %v and %v", r.requests, r.tokens, requests, tokens)
	}
}

// ten allows ten requests a second and 600 tokens a minute.
var ten = limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 600}

// check verifies the invariants in state.lua.
func (l *harness) check(t *rapid.T) {
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
				t.Errorf("log %s is not ordered: %v", log, entries)
			}
			last = moment
		}
		wantState(log+"n", float64(len(entries)))
		wantState(log+"u", sum)
		if sum < 0 {
			t.Errorf("the sum of log %s is %v, want at least 0", log, sum)
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
		t.Errorf("the buckets hold %v requests and %v tokens, more than their capacity", state["r"], state["t"])
	}
}
