package redislimiter

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The calls of a process that died count as used from when it was last heard of.
func TestScriptLease(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("dead:1", 50)
	l.grant("alive:1", 50)
	for range 3 {
		l.pass(testLease/3 - time.Millisecond)
		l.op("renew", "alive:1", 50)
	}
	l.pass(testLease - 3*(testLease/3-time.Millisecond))
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
	for range 4 {
		l.pass(testLease / 4)
		l.op("state") // another process is here
	}
	l.op("settle", "slow:1", 20, 50)
	l.op("settle", "slow:2", 70, 50)
	l.op("cancel", "slow:3")
	if r := l.op("state"); r.used != 170 {
		t.Errorf("%v tokens are used, want 170", r.used)
	}
}

// Where Redis was away, it was away for all: their leases go on.
func TestScriptLeaseAfterAnOutage(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("alive:1", 50)
	l.grant("dead:1", 60)
	l.pass(10 * testLease)
	if r := l.op("state"); r.used != 0 {
		t.Errorf("%v tokens are used", r.used)
	}
	l.op("settle", "alive:1", 20, 50)
	for range 2 {
		l.pass(testLease * 2 / 10)
		l.op("state")
	}
	if r := l.op("state"); r.used != 20+60 {
		t.Errorf("%v tokens are used, want 20 of the one, and 60 of the one that is gone", r.used)
	}
}

// The same command twice, because the reply to the first was lost, counts once; and
// one that was given up counts for nothing, when it comes late.
func TestScriptRepeats(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	for range 3 {
		l.grant("a:1", 50)
		l.grant("a:2", 60)
	}
	tell := func(number, told int, news ...string) string {
		t.Helper()
		return l.send("p", number, told, news, "acquire", l.epoch, "a:3", 0, 70, 1, 1, 1, 1)[0]
	}
	books := func(used float64, held int64) {
		t.Helper()
		r, permits := l.op("state"), l.client.HLen(context.Background(), l.keys[3]).Val()
		if r.used != used || permits != held {
			t.Errorf("%v tokens are used and %d calls in flight, want %v and %d", r.used, permits, used, held)
		}
	}
	for range 3 {
		l.number++
		for range 2 { // the client library sends it again
			if got := tell(l.number, 0, "settle a:1 80 50", "cancel a:2", "charge 0 30"); got != "ok" {
				t.Fatalf("a call is answered %q", got)
			}
		}
		l.told = 3
		books(110, 1)
	}
	l.number++
	tell(l.number, 2, "charge 0 30", "withdraw a:3 0", "charge 0 1") // the first of it was told, and the call asks again
	l.told = 5
	books(111, 1)
	for late := range l.number {
		if got := tell(late, late, "charge 0 500"); got != "late" {
			t.Errorf("command %d is answered %q after %d", late, got, l.number)
		}
	}
	books(111, 1)
	if got := l.send("q", 1, 0, []string{"charge 0 1"}, "state", l.epoch)[0]; got != "ok" {
		t.Errorf("another process is answered %q", got)
	}
	books(112, 1)
}

// The oldest ticket keeps its tokens; a younger call may have what is left.
func TestScriptReservesForTheOldest(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60, TokenBurst: 1000})
	l.grant("x:1", 500)
	l.op("settle", "x:1", 500, 500)
	large := l.ask("a:1", 0, 800, 1)
	if large.status != "wait" {
		t.Fatal("800 tokens are missing")
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

// A process that counts from another epoch is not behind for long, and one that counts
// from long ago not ahead.
func TestScriptBoundsOrder(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("x:1", 0)
	latest := l.ask("x:2", 5, 0, 1).order
	if r := l.ask("a:1", 1000, 0, 1); r.order != latest+1 {
		t.Errorf("its order is %d, want that after %d", r.order, latest)
	}
	for i := range 40 {
		if r := l.ask("b:"+strconv.Itoa(i), 1000, 0, 1); r.status == "ok" {
			latest = r.order
		}
		l.pass(time.Second)
	}
	if r := l.ask("c:1", 1, 0, 1); r.order != latest-16 {
		t.Errorf("its order is %d, want 16 before %d", r.order, latest)
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
			epoch, latest := l.epoch, l.latest
			switch name {
			case "tickets", "lessons":
				l.ask("b:1", 0, 600, 1)
				l.client.Del(ctx, l.keys[i])
				l.op("state") // they are made anew, and nothing else is lost
				return
			case "all":
				l.client.FlushAll(ctx)
			case "rollback":
				before := l.client.HGet(ctx, l.keys[6], "p").Val()
				l.op("state")
				latest = l.latest
				l.client.HSet(ctx, l.keys[6], "p", before)
				for i := range 10 { // another process goes on with the old books
					l.send("q", 1+i, 0, nil, "state", epoch)
				}
			default:
				l.client.Del(ctx, l.keys[i])
			}
			l.pass(time.Second)
			if r := l.raw("acquire", epoch, "a:3", 0, 1, 1, 1, 1, 1); r.status != "join" {
				t.Fatalf("a call is answered %q", r.status)
			}
			if l.latest != latest {
				t.Errorf("the latest command that was answered is %d", l.latest)
			}
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
			if got := l.send("r", 1, 0, nil, "state", epoch)[0]; got != "join" {
				t.Errorf("another process is answered %q", got)
			}
			l.op("settle", "a:1", 100, 100)
			if r := l.op("state"); r.used != want+100 {
				t.Errorf("%v tokens are used", r.used)
			}
		})
	}
}

// A clock that has run back a little stands still; from one that has run back far
// nobody can tell what is old, so that all have to bring their books.
func TestScriptClockRunsBack(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 100)
	l.op("settle", "a:1", 100, 100)
	l.pass(-5 * time.Second)
	l.waits(550, time.Minute)
	l.pass(5 * time.Second)
	l.pass(time.Minute)
	l.available(10, 600)

	l.pass(-time.Hour)
	epoch := l.epoch
	if r := l.raw("state", l.epoch); r.status != "join" {
		t.Fatalf("the books are %v, an hour before", r)
	}
	l.join(70, ten)
	l.join(70, ten) // the reply was lost
	if l.epoch <= epoch {
		t.Errorf("epoch %d comes after %d", l.epoch, epoch)
	}
	l.pass(time.Minute)
	if got := l.send("r", 1, 0, nil, "state", epoch)[0]; got != "join" {
		t.Errorf("another process is answered %q", got)
	}
	l.pass(-time.Second)
	if r := l.op("state"); r.used != 70 {
		t.Errorf("%v tokens are used, want 70", r.used)
	}
}

// Two calls were granted, a second apart, and neither reply came. They do not start
// together when both ask again.
func TestScriptRepeatsGrantsApart(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.grant("a:1", 100)
	l.pass(time.Second + testJitter)
	l.grant("b:1", 100)
	l.pass(time.Minute)
	l.grant("a:1", 100)
	if r := l.ask("b:1", 0, 100, 1); r.status != "wait" || r.answer() < time.Second {
		t.Errorf("the second is answered %q %v", r.status, r.answer())
	}
	l.pass(time.Second + testJitter)
	l.grant("b:1", 100)
	l.op("settle", "a:1", 10, 100)
	l.op("settle", "b:1", 10, 100)
	if r := l.op("state"); r.used != 20 {
		t.Errorf("%v tokens are used", r.used)
	}
}

// What only those know who come back: a pause, a debt, and a limit, of which the latest
// is in force.
func TestScriptJoinsWithMore(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	half := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300}.WithDefaults()
	l.pass(time.Second)
	before := l.limit(half)
	if before.configured.at != l.now.UnixMicro() {
		t.Errorf("the limit is of %d, want %d", before.configured.at, l.now.UnixMicro())
	}
	l.client.FlushAll(context.Background())
	l.joinWith(0, 0, 0, before.configured.at-1, ten)
	l.epoch = before.epoch // another process that was there
	l.number++
	args := joinArgs(0, time.Hour, -50, before.configured)
	if got := l.send("q", 1, 0, nil, "join", l.epoch, args...); got[0] != "ok" {
		t.Fatalf("it is answered %q", got)
	}
	l.epoch = 0
	if r := l.join(0, ten); r.limit != half || r.paused != time.Hour || r.tokens != -50 {
		t.Errorf("limit %+v, paused for %v, %v tokens, want %+v, an hour, and -50", r.limit, r.paused, r.tokens, half)
	}
}

// A new process that comes first after everything was lost cannot know it. The first
// old one to come stops it.
func TestScriptNewProcessComesFirst(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 100)
	epoch := l.epoch
	l.client.FlushAll(context.Background())
	join := joinArgs(0, 0, 0, configured{limit: ten.WithDefaults()})
	if got := l.send("new", 1, 0, nil, "join", 0, join...); got[0] != "ok" {
		t.Fatalf("it is answered %q", got)
	}
	l.epoch = epoch
	l.join(200, ten, "a:1", 100)
	l.waits(1, testLease*4/10)
	if r := l.op("state"); r.used != 200 {
		t.Errorf("%v tokens are used", r.used)
	}
}

// A call whose lease has run out is held again when its process is heard of.
func TestScriptRenewsWhatIsGone(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("slow:1", 100)
	for range 8 {
		l.pass(testLease)
		l.op("state") // twice without a word from it
	}
	if r := l.op("state"); r.used != 0 || l.client.HLen(context.Background(), l.keys[3]).Val() != 0 {
		t.Errorf("%v tokens are used, or the call is held", r.used)
	}
	l.op("renew", "slow:1", 100)
	l.op("settle", "slow:1", 80, 100)
	if r := l.op("state"); r.used != 80 {
		t.Errorf("%v tokens are used, want 80", r.used)
	}
}

// A retry that was admitted to nobody takes its request again the next time.
func TestScriptWithdraws(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 3, TokensPerMinute: 600})
	l.grant("a:1", 100)
	retry := func() {
		t.Helper()
		if r := l.op("acquire", "a:1", 1, 0, 2, 1, 1, 1); r.status != "ok" {
			t.Fatalf("a retry is answered %q", r.status)
		}
	}
	for range 3 {
		retry()
		if r := l.op("state"); r.requests != 1 {
			t.Errorf("%v requests are left, want 1", r.requests)
		}
		l.op("withdraw", "a:1", 1)
		l.op("withdraw", "a:1", 1)
		if r := l.op("state"); r.requests != 2 {
			t.Errorf("%v requests are left, want 2", r.requests)
		}
	}
	retry()
	l.op("withdraw", "a:1", 2) // another, which was not admitted
	l.op("withdraw", "b:1", 0)
	if r := l.op("state"); r.requests != 1 {
		t.Errorf("%v requests are left, want 1", r.requests)
	}
	l.op("withdraw", "a:1", 0)
	l.available(2, 600)
}

// The smallest and the largest limits that there are.
func TestScriptExtremeLimits(t *testing.T) {
	for _, limit := range []limiter.Limit{
		{RequestsPerSecond: math.SmallestNonzeroFloat64, TokensPerMinute: 1, TokenBurst: limiter.MaxTokens},
		{RequestsPerSecond: 1e-15, TokensPerMinute: limiter.MaxTokens},
		{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 1, RequestBurst: limiter.MaxRequests},
	} {
		l := newLedger(t, miniredis.RunT(t), limit)
		l.grant("a:1", 1)
		l.ask("a:2", 0, limit.WithDefaults().TokenBurst, 1)
		l.op("settle", "a:1", limiter.MaxTokens, 1)
		if d := l.op("wait", 1, 1_000_000, limiter.MaxTokens, "").answer(); d <= 0 {
			t.Errorf("%+v: a wait of %v is foretold", limit, d)
		}
		l.pass(time.Hour)
		l.op("state")
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

// Nothing is kept of a process that has been silent for long, once there is another.
func TestScriptForgetsProcesses(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	for i := range 5 {
		l.send(strconv.Itoa(i), 1, 0, []string{"charge 0 1"}, "state", l.epoch)
		l.op("state")
		l.pass(30 * time.Minute)
	}
	l.send("4", 2, 1, []string{"charge 0 1"}, "state", l.epoch)
	if names := l.client.HKeys(context.Background(), l.keys[6]).Val(); len(names) != 4 {
		t.Errorf("%v are kept, want p, 2, 3 and 4", names)
	}
	l.op("state")
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
			switch op := rapid.IntRange(0, 12).Draw(rt, "op"); op {
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
				l.op("refused", id, 1, tokens%2, 1, 1, 0, 1000)
			case 9:
				l.op("renew", id, tokens)
			case 10:
				l.op("acquire", id, 0, 0, 2, 1, 1, 1)
			case 11:
				l.op("withdraw", id, tokens%3)
			case 12:
				l.op("adopt", id, tokens)
			}
			l.pass(time.Duration(rapid.SampledFrom([]int{0, 1, 40, 500, 3000, 20_000}).Draw(rt, "ms")) * time.Millisecond)
		}
		l.check(rt) // what went wrong before stays wrong: sums are carried on
	})
}
