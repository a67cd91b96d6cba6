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
	epoch, version int64
}

const (
	testJitter = 50 * time.Millisecond
	testLease  = 10 * time.Second
)

var keyNames = []string{"state", "tokens", "requests", "permits", "leases", "tickets"}

func newLedger(t testing.TB, server *miniredis.Miniredis, limit limiter.Limit) *ledger {
	t.Helper()
	server.FlushAll()
	l := &ledger{TB: t, redis: server, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
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
	r := l.raw(op, l.epoch, l.version, args...)
	if r.status == "join" {
		l.Fatalf("%s: the books are lost", op)
	}
	l.epoch, l.version = r.epoch, r.version
	return r
}

func (l *ledger) raw(op string, epoch, version int64, args ...any) reply {
	l.Helper()
	text, err := script.Run(context.Background(), l.client, l.keys, append([]any{op, epoch, version,
		testJitter.Microseconds(), testLease.Microseconds()}, args...)...).StringSlice()
	if err != nil {
		l.Fatalf("%s%v: %v", op, args, err)
	}
	r, err := parse(text)
	if err != nil {
		l.Fatal(err)
	}
	return r
}

// join joins with so many tokens used, and permits.
func (l *ledger) join(used int, limit limiter.Limit, permits ...any) reply {
	l.Helper()
	args := append([]any{used}, limitArgs(limit.WithDefaults())...)
	r := l.raw("join", l.epoch, l.version, append(args, permits...)...)
	l.epoch, l.version = r.epoch, r.version
	return r
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
	l.op("leave", "probe:1")
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

func TestScriptKeepsToTheMinute(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 600)
	l.op("settle", "a:1", 600, 600)
	l.available(9, 0)
	l.pass(30 * time.Second) // the bucket has 300 again; the window has none
	l.available(10, 0)
	l.waits(1, 30*time.Second)
	l.pass(30*time.Second - time.Microsecond)
	l.waits(600, time.Microsecond)
	l.pass(time.Microsecond)
	l.grant("a:2", 600)
}

// The log of tokens has an entry for each tenth of a second, which leaves as a whole:
// late by so much at most, and never early.
func TestScriptMergesWhatIsClose(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 601})
	for i := range 40 {
		id := "a:" + strconv.Itoa(i)
		l.pass(15 * time.Millisecond)
		l.grant(id, 10)
		l.op("settle", id, 10, 10)
	}
	if n := l.client.LLen(context.Background(), "{m}:tokens").Val(); n > 8 {
		t.Errorf("the log has %d entries for 0.6 s", n)
	}
	l.available(60, 201)
	l.pass(time.Minute - 600*time.Millisecond)
	if r := l.op("state"); r.used < 390 {
		t.Errorf("%v of 400 tokens are used a minute after the first", r.used)
	}
	l.pass(700 * time.Millisecond)
	if r := l.op("state"); r.used != 0 {
		t.Errorf("%v tokens are used a minute after the last", r.used)
	}
}

func TestScriptKeepsRequestsApart(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 2.5, TokensPerMinute: 600}) // two in 0.8 s, and 50 ms
	l.grant("a:1", 0)
	l.pass(100 * time.Millisecond)
	l.grant("a:2", 0)
	l.waits(0, 750*time.Millisecond)
	l.op("sent", "a:1") // it left only now
	l.waits(0, 850*time.Millisecond)
	l.op("unsent", "a:2")
	l.op("unsent", "a:2")
	l.grant("a:3", 0)
	l.waits(0, 850*time.Millisecond)
	l.op("cancel", "a:3")
	l.grant("a:4", 0)
}

func TestScriptLearnsJitter(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.grant("a:1", 0)
	l.waits(0, 1050*time.Millisecond)
	for range 9 { // to five times the jitter at most
		l.op("refused", "a:1", 1000, 1, 0, 1, 1, 0)
	}
	l.waits(0, 1250*time.Millisecond)
	l.pass(5 * time.Minute) // half of what it learned
	l.grant("a:2", 0)
	l.waits(0, 1150*time.Millisecond)
}

// A server that charges what is in flight is noticed, and forgotten again.
func TestScriptLearnsCaution(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 10_000})
	l.grant("a:1", 100)
	held := func(want float64) {
		t.Helper()
		if r := l.op("state"); r.tokens != 10_000-want {
			t.Errorf("%v tokens are held, want %v", 10_000-r.tokens, want)
		}
	}
	held(50 + 350) // half, and 3.5 calls
	l.op("refused", "a:1", 1, 0, 1, 1, 1, 0)
	l.op("observe", -1, 10_000) // others have used nothing, though
	held(50 + 13 + 350)         // a quarter of the rest
	for range 5 {
		l.op("refused", "a:1", 1, 0, 1, 1, 1, 0)
		l.op("observe", -1, 10_000)
	}
	held(100 + 350)
	for range 200 {
		l.pass(9 * time.Second)
		l.op("renew", "a:1")
	}
	held(88 + 350) // a step less, after half an hour
}

func TestScriptPauses(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 10)
	refused := func(retryAfter time.Duration, want time.Duration) {
		t.Helper()
		if d := l.op("refused", "a:1", retryAfter.Microseconds(), 0, 0, 1e6, 8e6, 0.5).answer(); d != want {
			t.Errorf("paused for %v, want %v", d, want)
		}
	}
	refused(0, 1500*time.Millisecond) // half way from 1 to 2
	refused(0, 1500*time.Millisecond) // it was sent before the pause ends
	l.waits(1, 1500*time.Millisecond)
	l.pass(1500 * time.Millisecond)
	again := func() {
		t.Helper()
		if r := l.op("acquire", "a:1", 1, 0, l.version, 1, 1, 1); r.status != "ok" {
			t.Fatal("no retry")
		}
	}
	again()
	refused(0, 2500*time.Millisecond)
	l.pass(2500 * time.Millisecond)
	again()
	refused(0, 4500*time.Millisecond)
	l.pass(4500 * time.Millisecond)
	again()
	refused(0, 4500*time.Millisecond) // 8 s at most
	l.pass(4500 * time.Millisecond)
	again()
	l.op("settle", "a:1", 10, 10) // the server takes calls again
	l.grant("a:1", 10)
	refused(0, 1500*time.Millisecond)
	refused(20*time.Second, 20*time.Second)
	l.op("pause", 5e6)
	l.waits(1, 20*time.Second)
}

// What others use is kept free, for half a minute, and then less and less.
func TestScriptBelievesTheServer(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.op("observe", 4, 100)
	l.available(4, 100)
	l.pass(30 * time.Second)
	l.available(10, 100)
	l.pass(15 * time.Second)
	l.available(10, 350)
	l.pass(15 * time.Second)
	l.available(10, 600)
}

// The calls of a process that died count as used from when it was last heard of.
func TestScriptLease(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("dead:1", 50)
	l.grant("alive:1", 50)
	l.pass(testLease - time.Second)
	l.op("renew", "alive:1", "unknown:1")
	l.pass(time.Second)
	if r := l.op("state"); r.used != 50 {
		t.Errorf("%v tokens are used, want the dead process's 50", r.used)
	}
	l.op("settle", "alive:1", 50, 50)
	l.pass(time.Minute - testLease - time.Microsecond)
	l.available(10, 500)
	l.pass(time.Microsecond)
	l.available(10, 550) // back, a minute after
	l.pass(testLease + 100*time.Millisecond)
	l.available(10, 600)
}

// A process that comes back after its lease gets nothing back, and pays what is more.
func TestScriptSettlesAfterTheLease(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("slow:1", 50)
	l.grant("slow:2", 50)
	l.grant("slow:3", 50)
	l.pass(testLease)
	l.op("settle", "slow:1", 20, 50)
	l.op("settle", "slow:2", 70, 50)
	l.op("cancel", "slow:3")
	if r := l.op("state"); r.used != 170 {
		t.Errorf("%v tokens are used, want 170", r.used)
	}
}

// The same command twice, because the reply to the first was lost, counts once.
func TestScriptRepeats(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	for range 3 {
		l.grant("a:1", 50)
		l.grant("a:2", 60)
	}
	for range 3 {
		l.op("settle", "a:1", 40, 50)
		l.op("cancel", "a:2")
	}
	l.available(9, 560)
}

// The oldest ticket keeps its tokens; a younger call may have what is left.
func TestScriptReservesForTheOldest(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60, TokenBurst: 1000})
	l.grant("x:1", 500)
	l.op("settle", "x:1", 500, 500)
	large := l.ask("a:1", 0, 800, 1)
	if large.status != "wait" {
		t.Fatal("there are no 800 tokens")
	}
	if r := l.ask("b:1", 0, 10, 1); r.status != "wait" {
		t.Error("a call passes the oldest, which waits for tokens")
	}
	l.grant("b:2", 0) // needs none
	l.pass(large.answer())
	if r := l.ask("b:1", 0, 300, 1); r.status != "wait" {
		t.Error("a call takes what the oldest has waited for")
	}
	if r := l.ask("a:1", large.order, 800, 1); r.status != "ok" {
		t.Errorf("the oldest waits another %v", r.answer())
	}
}

// A ticket that is not renewed keeps nobody, and has its place when it comes back.
func TestScriptTicketsRunOut(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.grant("x:1", 0)
	dead := l.ask("dead:1", 0, 0, 1)
	l.pass(dead.answer())
	if r := l.ask("b:1", 0, 0, 1); r.status != "wait" {
		t.Error("a call takes the request that is the oldest's")
	}
	l.pass(grace + time.Microsecond)
	l.grant("b:1", 0)
	l.ask("c:1", dead.order+1, 0, 1)
	back := l.ask("dead:1", dead.order, 0, 1)
	other := l.ask("c:1", dead.order+1, 0, 1)
	if back.answer() >= other.answer() {
		t.Errorf("it waits %v, and one that came later %v", back.answer(), other.answer())
	}
}

// Two processes that have calls waiting take turns, however fast one of them asks.
func TestScriptTakesTurns(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	for i := range 10 {
		l.grant("x:"+strconv.Itoa(i), 0)
	}
	a := l.ask("a:0", 0, 0, 50)
	l.ask("b:0", 0, 0, 50)
	l.pass(a.answer()) // ten requests are there
	order, granted := a.order, 0
	for ; granted < 10; granted++ {
		if l.ask("a:"+strconv.Itoa(granted), order, 0, 50).status != "ok" {
			break
		}
		order++
	}
	if granted != 5 {
		t.Errorf("a process gets %d of 10 requests while another waits, want 5", granted)
	}
	for i := range 5 {
		if l.ask("b:"+strconv.Itoa(i), a.order+int64(i), 0, 50).status != "ok" {
			t.Fatalf("the other gets %d", i)
		}
	}
}

// A process that counts from another epoch is not behind for long.
func TestScriptBoundsOrder(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("x:1", 0)
	latest := l.ask("x:2", 5, 0, 1).order
	if r := l.ask("a:1", 1000, 0, 1); r.order != latest+1 {
		t.Errorf("its order is %d, want that after %d", r.order, latest)
	}
}

// A key that is gone, or a state of before, is noticed: nobody starts until all have
// brought their books.
func TestScriptNoticesWhatIsLost(t *testing.T) {
	for i, name := range append(keyNames, "all", "rollback") {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, miniredis.RunT(t), ten)
			ctx := context.Background()
			l.grant("a:1", 100)
			l.grant("a:2", 100)
			l.op("settle", "a:2", 200, 100)
			epoch, version := l.epoch, l.version
			switch name {
			case "tickets":
				l.ask("b:1", 0, 600, 1)
				l.client.Del(ctx, l.keys[i])
				l.op("state") // they are made anew, and nothing else is lost
				return
			case "all":
				l.client.FlushAll(ctx)
			case "rollback":
				version += 5
			default:
				l.client.Del(ctx, l.keys[i])
			}
			l.pass(time.Second)
			if r := l.raw("acquire", epoch, version, "a:3", 0, 1, 1, 1, 1, 1); r.status != "join" {
				t.Fatalf("a call is answered %q", r.status)
			}
			l.version = version
			l.join(200, ten, "a:1", 100)
			if l.epoch == epoch {
				t.Error("the epoch is the same")
			}
			l.waits(1, testLease*4/10)
			l.pass(testLease * 4 / 10)
			r := l.op("state")
			want := 200.0
			if name == "rollback" {
				want += 200 // it was not lost, this time
			}
			if r.used != want || r.tokens > 400 {
				t.Errorf("%v tokens are used, want %v; %v are available", r.used, want, r.tokens)
			}
			if r := l.raw("state", epoch, version); r.status != "join" {
				t.Error("another process is not asked to join")
			}
			l.op("settle", "a:1", 100, 100)
			if r := l.op("state"); r.used != want+100 {
				t.Errorf("%v tokens are used", r.used)
			}
		})
	}
}

// Where requests come so seldom that the window of them is longer than it takes to
// join, nobody starts before that is over.
func TestScriptNoticesLostRequests(t *testing.T) {
	seldom := limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 600}
	l := newLedger(t, miniredis.RunT(t), seldom)
	l.grant("a:1", 100)
	l.client.FlushAll(context.Background())
	l.join(0, seldom)
	l.waits(1, 10*time.Second+testJitter)
}

func TestScriptSetsLimits(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	half := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300}.WithDefaults()
	if r := l.op("limit", limitArgs(half)...); r.limit != half {
		t.Errorf("limit %+v, want %+v", r.limit, half)
	}
	l.available(5, 300)
	l.op("limit", limitArgs(ten.WithDefaults())...)
	l.available(5, 300) // room that is added starts empty
	if r := l.ask("a:1", 0, 601, 1); r.status != "large" || r.value != 600 {
		t.Errorf("%q %v, want large 600", r.status, r.value)
	}
	odd := limiter.Limit{RequestsPerSecond: 1.0 / 3, TokensPerMinute: 7, RequestBurst: math.Pi, TokenBurst: limiter.MaxTokens}
	if r := l.op("limit", limitArgs(odd)...); r.limit != odd {
		t.Errorf("limit %+v, want %+v", r.limit, odd)
	}
}

func TestScriptForetells(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	foretold := func(tokens, requests, ahead int) time.Duration {
		return l.op("wait", tokens, requests, ahead, "").answer()
	}
	if d := foretold(600, 0, 0); d != 0 {
		t.Errorf("the first waits %v", d)
	}
	l.grant("a:1", 600)
	l.op("settle", "a:1", 600, 600)
	if d := foretold(600, 0, 0); d != time.Minute {
		t.Errorf("600 tokens in %v, want in a minute", d)
	}
	if d := foretold(600, 5, 1200); d < 3*time.Minute {
		t.Errorf("behind two minutes' tokens %v, want three minutes", d)
	}
	if d := foretold(0, 100, 0); d < 10*time.Second {
		t.Errorf("behind 100 requests %v, want at least 10 s", d)
	}
}

// Nothing is kept of a model that nobody uses.
func TestScriptKeysExpire(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 100)
	l.grant("a:2", 100)
	l.op("settle", "a:2", 100, 100)
	l.ask("a:3", 0, 600, 1)
	for _, key := range l.keys {
		if ttl := l.redis.TTL(key); ttl < forgetting || ttl > 2*time.Hour {
			t.Errorf("%s expires in %v", key, ttl)
		}
	}
	l.redis.FastForward(2 * time.Hour)
	if keys := l.redis.Keys(); len(keys) != 0 {
		t.Errorf("%v are kept", keys)
	}
}

// What the script says holds of its books, holds after any sequence of operations.
func TestScriptInvariants(t *testing.T) {
	server := miniredis.RunT(t)
	rapid.Check(t, func(rt *rapid.T) {
		limit := limiter.Limit{RequestsPerSecond: rapid.SampledFrom([]float64{0.5, 3, 50}).Draw(rt, "rps"), TokensPerMinute: 1000}
		l := newLedger(t, server, limit)
		ids := rapid.SampledFrom([]string{"a:1", "a:2", "b:1", "b:2", "c:1"})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			id := ids.Draw(rt, "id")
			tokens := rapid.IntRange(0, 400).Draw(rt, "tokens")
			switch op := rapid.IntRange(0, 10).Draw(rt, "op"); op {
			case 0, 1, 2:
				l.ask(id, int64(tokens%7), tokens, 1+tokens%5)
			case 3, 4:
				l.op("settle", id, tokens, 100)
			case 5:
				l.op("cancel", id)
			case 6:
				l.op("unsent", id)
			case 7:
				l.op("sent", id)
			case 8:
				l.op("refused", id, 1000, 1, tokens%2, 1, 1, 0)
			case 9:
				l.op("renew", id)
			case 10:
				l.op("acquire", id, 0, 0, 2, 1, 1, 1)
			}
			l.pass(time.Duration(rapid.SampledFrom([]int{0, 1, 40, 500, 3000, 20_000}).Draw(rt, "ms")) * time.Millisecond)
		}
		l.check(rt) // what went wrong before stays wrong: sums are carried on
	})
}

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
	wantState("small", held-state["large"])
	if state["r"] > state["rburst"] || state["t"] > state["tburst"] {
		t.Errorf("the buckets hold %v and %v", state["r"], state["t"])
	}
}
