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

// old is a process of version 1, with its script, beside those of this version.
type old struct {
	*ledger
	script *redis.Script
	name   string
	number int
	epoch  int64
}

func newOld(l *ledger, name string) *old {
	l.Helper()
	text, err := os.ReadFile("testdata/script-1.lua")
	if err != nil {
		l.Fatal(err)
	}
	return &old{ledger: l, script: redis.NewScript(string(text)), name: name}
}

// op runs an operation, and returns what the script answers as text and as numbers.
func (o *old) op(op string, args ...any) (status string, n []float64) {
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
		o.Fatalf("%s%v is answered %q", op, args, text)
	}
	if len(n) > 2 {
		o.epoch = int64(n[2])
	}
	return text[0], n
}

// join joins, and sets the limit, as that process does when it begins.
func (o *old) join(limit limiter.Limit) {
	o.Helper()
	args := limitArgs(limit.WithDefaults())
	o.op("join", append([]any{0, 0, 0, 0}, args...)...)
	o.op("limit", args...)
}

func (o *old) limit() limiter.Limit {
	o.Helper()
	_, n := o.op("state")
	return limitOf(n[4:8])
}

// The processes of an account are replaced one by one: those of both versions keep to one limit.
func TestVersionsSideBySide(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.client.FlushAll(context.Background())
	o := newOld(l, "old")
	o.join(ten)
	if status, _ := o.op("acquire", "old:1", 0, 100, 1, 1, 1e6, 1e6); status != "ok" {
		t.Fatalf("a call is answered %q", status)
	}
	o.op("settle", "old:1", 100, 100)
	o.op("acquire", "old:2", 0, 100, 1, 1, 1e6, 1e6)
	*l = ledger{TB: l.TB, redis: l.redis, client: l.client, keys: l.keys, now: l.now, lease: l.lease}

	// This version goes on with the books.
	l.join(0, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60})
	if r := l.op("configure", append(limitArgs(ten.WithDefaults()), 0)...); r.used != 100 || r.limit != ten.WithDefaults() || r.configured.limit != ten.WithDefaults() {
		t.Errorf("books of version 1: %+v", r)
	}
	l.op("settle", "old:2", 50, 100) // whoever ends it
	if r := l.op("state"); r.used != 150 {
		t.Errorf("%v tokens are used, want 150", r.used)
	}

	// The old process keeps to what the others learn.
	l.learn(l.refused(1))
	lower := l.learn(l.refused(1)).limit
	if lower.RequestsPerSecond > 8 {
		t.Fatalf("nothing is learned: %+v", lower)
	}
	if got := o.limit(); got != lower {
		t.Errorf("the old process keeps to %+v, want %+v", got, lower)
	}
	if status, _ := o.op("acquire", "old:3", 0, 1, 1, 1, 1e6, 1e6); status != "ok" {
		t.Errorf("a call of the old process is answered %q", status)
	}
	o.op("settle", "old:3", 1, 1)

	// One that begins sets the limit, which is known: what was learned is in force again.
	o = newOld(l, "new")
	o.join(ten)
	if r := l.study(); r.limit != lower || r.configured.limit != ten.WithDefaults() {
		t.Errorf("after an old process has begun: %+v, want %+v", r, lower)
	}
	// Another limit is the one that is configured from then on.
	twenty := limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 1200}.WithDefaults()
	o.op("limit", limitArgs(twenty)...)
	if r := l.op("state"); r.limit != twenty || r.configured.limit != twenty || r.learned != (learned{}) {
		t.Errorf("after an old process has set a limit: %+v", r)
	}

	// An old process makes a new epoch, and knows nothing of lessons.
	l.grant("a:1", 1)
	l.op("settle", "a:1", 1, 1)
	l.client.Del(context.Background(), l.keys[1])
	o = newOld(l, "newer")
	o.op("join", append([]any{0, 0, 0, 0}, limitArgs(twenty)...)...)
	l.join(0, twenty)
	if n := l.client.LLen(context.Background(), l.keys[7]).Val(); n != 0 {
		t.Errorf("%d lessons of before are left", n)
	}
	l.pass(5 * time.Second)
	l.grant("a:2", 1)
	l.op("settle", "a:2", 1, 1)
	l.study()
}

// fixture is the books of a model as a version has written them.
type fixture struct {
	Now  int64                      `json:"now"`
	Keys map[string]json.RawMessage `json:"keys"`
}

// load puts the books of a file in place of those of the ledger.
func (l *ledger) load(file string) {
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
	*l = ledger{TB: l.TB, redis: l.redis, client: l.client, keys: l.keys, now: time.UnixMicro(f.Now), lease: l.lease}
	l.redis.SetTime(l.now)
}

// Books of each version stay readable: with 100 tokens used, a call of 50 in flight, a pause of five seconds, and
// from version 2 on with what was learned.
func TestBooksOfEachVersion(t *testing.T) {
	lower := limiter.Limit{RequestsPerSecond: 4, TokensPerMinute: 500, RequestBurst: 4, TokenBurst: 600}
	for file, want := range map[string]struct {
		limit   limiter.Limit
		learned learned
	}{
		"testdata/books-1.json": {ten.WithDefaults(), learned{}},
		"testdata/books-2.json": {lower, learned{200 * time.Millisecond, 2, 1}},
	} {
		t.Run(file, func(t *testing.T) {
			l := newLedger(t, miniredis.RunT(t), ten)
			l.load(file)
			r := l.op("join", joinArgs(0, 0, 0, configured{limit: ten.WithDefaults()})...)
			if r.limit != want.limit || r.learned != want.learned || r.configured.limit != ten.WithDefaults() {
				t.Errorf("limit %+v, %+v, of %+v", r.limit, r.learned, r.configured)
			}
			if r.used != 100 || r.paused != 5*time.Second {
				t.Errorf("%v tokens are used, and the pause lasts %v", r.used, r.paused)
			}
			l.op("settle", "a:2", 50, 50)
			if r := l.op("state"); r.used != 150 {
				t.Errorf("%v tokens are used after the call in flight, want 150", r.used)
			}
			l.pass(5 * time.Second)
			l.grant("b:1", 10)
			l.op("settle", "b:1", 10, 10)
			if r := l.study(); r.limit != want.limit {
				t.Errorf("limit %+v after there was something to learn", r.limit)
			}
		})
	}
}
