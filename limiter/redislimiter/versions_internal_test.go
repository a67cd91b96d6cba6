package redislimiter

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// version1 is a process of version 1, with its script, beside those of this version.
type version1 struct {
	*harness
	script *redis.Script
	name   string
	number int
	epoch  int64
}

func newVersion1(l *harness, name string) *version1 {
	l.Helper()
	text, err := os.ReadFile("testdata/script-1.lua")
	if err != nil {
		l.Fatal(err)
	}
	return &version1{harness: l, script: redis.NewScript(string(text)), name: name}
}

// op runs an operation and returns the response: the status and the numbers.
func (o *version1) op(op string, args ...any) (status string, n []float64) {
	o.Helper()
	o.number++
	argv := append([]any{op, o.epoch, o.number - 1, testJitter.Microseconds(), testLease.Microseconds(), o.name, o.number, 0, 0}, args...)
	text, err := o.script.Run(context.Background(), o.client, o.keys[:7], argv...).StringSlice()
	if err != nil {
		o.Fatalf("%s%v: %v", op, args, err)
	}
	for _, word := range text[1:] {
		f, err := strconv.ParseFloat(word, 64)
		if err != nil {
			o.Fatal(err)
		}
		n = append(n, f)
	}
	if text[0] == "late" || text[0] == "join" && op != "state" {
		o.Fatalf("%s%v: unexpected response %q", op, args, text)
	}
	if len(n) > 2 {
		o.epoch = int64(n[2])
	}
	return text[0], n
}

// join joins and sets the limit, as a process of version 1 does when it starts.
func (o *version1) join(limit limiter.Limit) {
	o.Helper()
	args := limitArgs(limit.WithDefaults())
	o.op("join", append([]any{0, 0, 0, 0}, args...)...)
	o.op("limit", args...)
}

func (o *version1) limit() limiter.Limit {
	o.Helper()
	_, n := o.op("state")
	return limitOf(n[4:8])
}

// Processes of both versions enforce one limit while the processes of an account are upgraded.
func TestVersionsShareLimits(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.client.FlushAll(context.Background())
	o := newVersion1(l, "old")
	o.join(ten)
	if status, _ := o.op("acquire", "old:1", 0, 100, 1, 1, 1e6, 1e6); status != "ok" {
		t.Fatalf("response %q to a call, want ok", status)
	}
	o.op("settle", "old:1", 100, 100)
	o.op("acquire", "old:2", 0, 100, 1, 1, 1e6, 1e6)
	*l = harness{TB: l.TB, redis: l.redis, client: l.client, keys: l.keys, now: l.now, lease: l.lease}

	// This version continues with the state.
	l.join(0, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60})
	if r := l.op("configure", append(limitArgs(ten.WithDefaults()), 0)...); r.used != 100 || r.limit != ten.WithDefaults() || r.configured.limit != ten.WithDefaults() {
		t.Errorf("state of version 1: %+v", r)
	}
	l.op("settle", "old:2", 50, 100) // any process may end the call
	if r := l.op("state"); r.used != 150 {
		t.Errorf("%v tokens are used, want 150", r.used)
	}

	// The old process uses the rates that the others learn.
	l.learn(l.throttled(1))
	lower := l.learn(l.throttled(1)).limit
	if lower.RequestsPerSecond > 8 {
		t.Fatalf("limit %+v, want at most 8 requests/s", lower)
	}
	if got := o.limit(); got != lower {
		t.Errorf("the limit of the old process is %+v, want %+v", got, lower)
	}
	if status, _ := o.op("acquire", "old:3", 0, 1, 1, 1, 1e6, 1e6); status != "ok" {
		t.Errorf("response %q to a call of the old process, want ok", status)
	}
	o.op("settle", "old:3", 1, 1)

	// An old process that starts sets the same limit: the learned rates apply again.
	o = newVersion1(l, "new")
	o.join(ten)
	if r := l.learnNext(); r.limit != lower || r.configured.limit != ten.WithDefaults() {
		t.Errorf("after an old process has started: %+v, want %+v", r, lower)
	}
	// A different limit becomes the configured one.
	twenty := limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 1200}.WithDefaults()
	o.op("limit", limitArgs(twenty)...)
	if r := l.op("state"); r.limit != twenty || r.configured.limit != twenty || r.learned != (learned{}) {
		t.Errorf("after an old process has set a limit: %+v", r)
	}

	// An old process starts a new epoch, without the event list.
	l.admit("a:1", 1)
	l.op("settle", "a:1", 1, 1)
	l.client.Del(context.Background(), l.keys[1])
	o = newVersion1(l, "newer")
	o.op("join", append([]any{0, 0, 0, 0}, limitArgs(twenty)...)...)
	l.join(0, twenty)
	if n := l.client.LLen(context.Background(), l.keys[7]).Val(); n != 0 {
		t.Errorf("Redis stores %d list entries of the old epoch, want 0", n)
	}
	l.pass(5 * time.Second)
	l.admit("a:2", 1)
	l.op("settle", "a:2", 1, 1)
	l.learnNext()
}

// fixture is the state of a model as a version has written it.
type fixture struct {
	Now  int64                      `json:"now"`
	Keys map[string]json.RawMessage `json:"keys"`
}

// load replaces the state of the harness by that in a file.
func (l *harness) load(file string) {
	l.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		l.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(text, &f); err != nil {
		l.Fatal(err)
	}
	ctx := context.Background()
	l.redis.FlushAll()
	for i, name := range keyNames {
		var list []string
		fields := map[string]string{}
		switch value := f.Keys[name]; {
		case value == nil:
		case value[0] == '[':
			err = json.Unmarshal(value, &list)
		default:
			err = json.Unmarshal(value, &fields)
		}
		if err != nil {
			l.Fatalf("%s: %v", name, err)
		}
		for _, entry := range list {
			l.client.RPush(ctx, l.keys[i], entry)
		}
		for field, value := range fields {
			if name != "leases" {
				l.client.HSet(ctx, l.keys[i], field, value)
				continue
			}
			score, _ := strconv.ParseFloat(value, 64)
			l.client.ZAdd(ctx, l.keys[i], redis.Z{Score: score, Member: field})
		}
	}
	*l = harness{TB: l.TB, redis: l.redis, client: l.client, keys: l.keys, now: time.UnixMicro(f.Now), lease: l.lease}
	l.redis.SetTime(l.now)
}

// The state of each version stays readable. It has 100 used tokens, a call of 50 tokens in flight, a pause of 5 s,
// and learned rates from version 2 on.
func TestStateOfEachVersionIsReadable(t *testing.T) {
	lower := limiter.Limit{RequestsPerSecond: 4, TokensPerMinute: 500, RequestBurst: 4, TokenBurst: 600}
	for file, want := range map[string]struct {
		limit   limiter.Limit
		learned learned
	}{
		"testdata/state-1.json": {ten.WithDefaults(), learned{}},
		"testdata/state-2.json": {lower, learned{200 * time.Millisecond, 2, 1}},
	} {
		t.Run(file, func(t *testing.T) {
			l := newHarness(t, miniredis.RunT(t), ten)
			l.load(file)
			r := l.op("join", joinArgs(0, 0, 0, configured{limit: ten.WithDefaults()})...)
			if r.limit != want.limit || r.learned != want.learned || r.configured.limit != ten.WithDefaults() {
				t.Errorf("limit %+v, %+v, configured %+v, want %+v", r.limit, r.learned, r.configured, want)
			}
			if r.used != 100 || r.paused != 5*time.Second {
				t.Errorf("%v tokens are used and the pause lasts %v, want 100 and 5s", r.used, r.paused)
			}
			l.op("settle", "a:2", 50, 50)
			if r := l.op("state"); r.used != 150 {
				t.Errorf("%v tokens are used after the call in flight, want 150", r.used)
			}
			l.pass(5 * time.Second)
			l.admit("b:1", 10)
			l.op("settle", "b:1", 10, 10)
			if r := l.learnNext(); r.limit != want.limit {
				t.Errorf("limit %+v after learning, want %+v", r.limit, want.limit)
			}
		})
	}
}
