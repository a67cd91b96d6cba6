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

// The calls of a process that died count as used at the time of its last command.
func TestScriptExpiresLeases(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("dead:1", 50)
	l.admit("alive:1", 50)
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
	l.available(10, 550) // the 50 tokens are available again after a minute
	l.pass(testLease + 100*time.Millisecond)
	l.available(10, 600)
}

// A process that settles a call after its lease gets no tokens back and is charged the excess.
func TestScriptSettlesAfterTheLease(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("slow:1", 50)
	l.admit("slow:2", 50)
	l.admit("slow:3", 50)
	for range 4 {
		l.pass(testLease / 4)
		l.op("state") // Redis is reachable for other processes
	}
	l.op("settle", "slow:1", 20, 50)
	l.op("settle", "slow:2", 70, 50)
	l.op("cancel", "slow:3")
	if r := l.op("state"); r.used != 170 {
		t.Errorf("%v tokens are used, want 170", r.used)
	}
}

// An outage of Redis affects all processes: their leases are extended.
func TestScriptLeaseAfterAnOutage(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("alive:1", 50)
	l.admit("dead:1", 60)
	l.pass(10 * testLease)
	if r := l.op("state"); r.used != 0 {
		t.Errorf("%v tokens are used, want 0", r.used)
	}
	l.op("settle", "alive:1", 20, 50)
	for range 2 {
		l.pass(testLease * 2 / 10)
		l.op("state")
	}
	if r := l.op("state"); r.used != 20+60 {
		t.Errorf("%v tokens are used, want 20 of the running process and 60 of the dead one", r.used)
	}
}

// A command that is sent twice, because its response was lost, counts once. A command that arrives
// after its sender gave up on it does not count.
func TestScriptCountsRepeatedCommandsOnce(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	for range 3 {
		l.admit("a:1", 50)
		l.admit("a:2", 60)
	}
	send := func(number, updatesBefore int, updates ...string) string {
		t.Helper()
		return l.send("p", number, updatesBefore, updates, "acquire", l.epoch, "a:3", 0, 70, 1, 1, 1, 1)[0]
	}
	check := func(used float64, held int64) {
		t.Helper()
		r, permits := l.op("state"), l.client.HLen(context.Background(), l.keys[3]).Val()
		if r.used != used || permits != held {
			t.Errorf("%v tokens are used and %d calls are in flight, want %v and %d", r.used, permits, used, held)
		}
	}
	for range 3 {
		l.number++
		for range 2 { // the client library sends it again
			if got := send(l.number, 0, "settle a:1 80 50", "cancel a:2", "charge 0 30"); got != "ok" {
				t.Fatalf("response %q to a call, want ok", got)
			}
		}
		l.acknowledgedUpdates = 3
		check(110, 1)
	}
	l.number++
	send(l.number, 2, "charge 0 30", "withdraw a:3 0", "charge 0 1") // repeats one update and the call
	l.acknowledgedUpdates = 5
	check(111, 1)
	for late := range l.number {
		if got := send(late, late, "charge 0 500"); got != "late" {
			t.Errorf("response %q to command %d after %d, want late", got, late, l.number)
		}
	}
	check(111, 1)
	if got := l.send("q", 1, 0, []string{"charge 0 1"}, "state", l.epoch)[0]; got != "ok" {
		t.Errorf("response %q to another process, want ok", got)
	}
	check(112, 1)
}

// The oldest ticket reserves its tokens; a younger call may take the rest.
func TestScriptReservesTokensForTheOldestTicket(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60, TokenBurst: 1000})
	l.admit("x:1", 500)
	l.op("settle", "x:1", 500, 500)
	large := l.acquire("a:1", 0, 800, 1)
	if large.status != "wait" {
		t.Fatalf("response %s to a call of 800 tokens, want wait", large.status)
	}
	if r := l.acquire("b:1", 0, 10, 1); r.status != "wait" {
		t.Error("a call passes the oldest ticket, which waits for tokens")
	}
	l.admit("b:2", 0) // needs no tokens
	l.pass(large.duration())
	if r := l.acquire("b:1", 0, 300, 1); r.status != "wait" {
		t.Error("a call takes the tokens of the oldest ticket")
	}
	if r := l.acquire("a:1", large.order, 800, 1); r.status != "ok" {
		t.Errorf("the oldest ticket waits another %v, want admitted", r.duration())
	}
}

// A ticket that is not renewed delays no other call and gets its place back when it is renewed.
func TestScriptExpiresTickets(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.admit("x:1", 0)
	dead := l.acquire("dead:1", 0, 0, 1)
	l.pass(dead.duration())
	if r := l.acquire("b:1", 0, 0, 1); r.status != "wait" {
		t.Error("a call takes the request of the oldest ticket")
	}
	l.pass(ticketGrace + time.Microsecond)
	l.admit("b:1", 0)
	l.acquire("c:1", dead.order+1, 0, 1)
	back := l.acquire("dead:1", dead.order, 0, 1)
	other := l.acquire("c:1", dead.order+1, 0, 1)
	if back.duration() >= other.duration() {
		t.Errorf("the renewed ticket waits %v, and a later one %v, want less", back.duration(), other.duration())
	}
}

// Two processes with waiting calls take turns, even if one sends more commands.
func TestScriptTakesTurns(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	for i := range 10 {
		l.admit("x:"+strconv.Itoa(i), 0)
	}
	a := l.acquire("a:0", 0, 0, 50)
	l.acquire("b:0", 0, 0, 50)
	l.pass(a.duration()) // ten requests are available
	order, admitted := a.order, 0
	for ; admitted < 10; admitted++ {
		if l.acquire("a:"+strconv.Itoa(admitted), order, 0, 50).status != "ok" {
			break
		}
		order++
	}
	if admitted != 5 {
		t.Errorf("a process gets %d of 10 requests while another waits, want 5", admitted)
	}
	for i := range 5 {
		if l.acquire("b:"+strconv.Itoa(i), a.order+int64(i), 0, 50).status != "ok" {
			t.Fatalf("the other process gets %d requests, want 5", i)
		}
	}
}

// The script bounds the order of a call: a process with an order from another epoch does not
// fall behind, and a process with an old order does not get far ahead.
func TestScriptBoundsOrder(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("x:1", 0)
	latest := l.acquire("x:2", 5, 0, 1).order
	if r := l.acquire("a:1", 1000, 0, 1); r.order != latest+1 {
		t.Errorf("the order is %d, want %d", r.order, latest+1)
	}
	for i := range 40 {
		if r := l.acquire("b:"+strconv.Itoa(i), 1000, 0, 1); r.status == "ok" {
			latest = r.order
		}
		l.pass(time.Second)
	}
	if r := l.acquire("c:1", 1, 0, 1); r.order != latest-16 {
		t.Errorf("the order is %d, want %d", r.order, latest-16)
	}
}

// The script notices a missing key and an old state: no call starts until all processes have had
// time to join.
func TestScriptNoticesLostState(t *testing.T) {
	for i, name := range append(keyNames, "all", "rollback") {
		t.Run(name, func(t *testing.T) {
			l := newHarness(t, miniredis.RunT(t), ten)
			ctx := context.Background()
			l.admit("a:1", 100)
			l.admit("a:2", 100)
			l.op("settle", "a:2", 200, 100)
			epoch, latest := l.epoch, l.latest
			switch name {
			case "tickets", "lessons":
				l.acquire("b:1", 0, 600, 1)
				l.client.Del(ctx, l.keys[i])
				l.op("state") // the script creates these keys again
				return
			case "all":
				l.client.FlushAll(ctx)
			case "rollback":
				before := l.client.HGet(ctx, l.keys[6], "p").Val()
				l.op("state")
				latest = l.latest
				l.client.HSet(ctx, l.keys[6], "p", before)
				for i := range 10 { // another process continues with the old state
					l.send("q", 1+i, 0, nil, "state", epoch)
				}
			default:
				l.client.Del(ctx, l.keys[i])
			}
			l.pass(time.Second)
			if r := l.raw("acquire", epoch, "a:3", 0, 1, 1, 1, 1, 1); r.status != "join" {
				t.Fatalf("response %q to a call, want join", r.status)
			}
			if l.latest != latest {
				t.Errorf("the latest command with a response is %d, want %d", l.latest, latest)
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
				want += 200 // counted twice: the old state has it too
			}
			if r.used != want || r.tokens > 400 {
				t.Errorf("%v tokens are used, want %v; %v are available, want at most 400", r.used, want, r.tokens)
			}
			if got := l.send("r", 1, 0, nil, "state", epoch)[0]; got != "join" {
				t.Errorf("response %q to another process, want join", got)
			}
			l.op("settle", "a:1", 100, 100)
			if r := l.op("state"); r.used != want+100 {
				t.Errorf("%v tokens are used, want %v", r.used, want+100)
			}
		})
	}
}

// Time stands still after a small backward step of the clock. After a large one the ages of the
// entries are unknown, so that all processes must join a new epoch.
func TestScriptToleratesBackwardClock(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 100)
	l.op("settle", "a:1", 100, 100)
	l.pass(-5 * time.Second)
	l.waits(550, time.Minute)
	l.pass(5 * time.Second)
	l.pass(time.Minute)
	l.available(10, 600)

	l.pass(-time.Hour)
	epoch := l.epoch
	if r := l.raw("state", l.epoch); r.status != "join" {
		t.Fatalf("response %+v after a step of an hour, want join", r)
	}
	l.join(70, ten)
	l.join(70, ten) // the response was lost
	if l.epoch <= epoch {
		t.Errorf("the epoch is %d, want more than %d", l.epoch, epoch)
	}
	l.pass(time.Minute)
	if got := l.send("r", 1, 0, nil, "state", epoch)[0]; got != "join" {
		t.Errorf("response %q to another process, want join", got)
	}
	l.pass(-time.Second)
	if r := l.op("state"); r.used != 70 {
		t.Errorf("%v tokens are used, want 70", r.used)
	}
}

// Two calls were admitted a second apart, and both responses were lost. They do not start together
// when both processes ask again.
func TestScriptSpreadsRepeatedAdmissions(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.admit("a:1", 100)
	l.pass(time.Second + testJitter)
	l.admit("b:1", 100)
	l.pass(time.Minute)
	l.admit("a:1", 100)
	if r := l.acquire("b:1", 0, 100, 1); r.status != "wait" || r.duration() < time.Second {
		t.Errorf("response %q %v to the second call, want wait of at least 1 s", r.status, r.duration())
	}
	l.pass(time.Second + testJitter)
	l.admit("b:1", 100)
	l.op("settle", "a:1", 10, 100)
	l.op("settle", "b:1", 10, 100)
	if r := l.op("state"); r.used != 20 {
		t.Errorf("%v tokens are used, want 20", r.used)
	}
}

// A process restores a pause, a debt and a limit. The limit that was set last applies.
func TestScriptJoinsWithPauseDebtAndLimit(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	half := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300}.WithDefaults()
	l.pass(time.Second)
	before := l.limit(half)
	if before.configured.at != l.now.UnixMicro() {
		t.Errorf("the limit was set at %d, want %d", before.configured.at, l.now.UnixMicro())
	}
	l.client.FlushAll(context.Background())
	l.joinWith(0, 0, 0, before.configured.at-1, ten)
	l.epoch = before.epoch // another process of the old epoch
	l.number++
	args := joinArgs(0, time.Hour, -50, before.configured)
	if got := l.send("q", 1, 0, nil, "join", l.epoch, args...); got[0] != "ok" {
		t.Fatalf("response %q, want ok", got)
	}
	l.epoch = 0
	if r := l.join(0, ten); r.limit != half || r.paused != time.Hour || r.tokens != -50 {
		t.Errorf("limit %+v, pause %v, %v tokens available, want %+v, 1h0m0s and -50", r.limit, r.paused, r.tokens, half)
	}
}

// A new process that joins first after a loss cannot know of it. The first old process to join
// stops it.
func TestScriptStopsNewProcessAfterLoss(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 100)
	epoch := l.epoch
	l.client.FlushAll(context.Background())
	join := joinArgs(0, 0, 0, configured{limit: ten.WithDefaults()})
	if got := l.send("new", 1, 0, nil, "join", 0, join...); got[0] != "ok" {
		t.Fatalf("response %q, want ok", got)
	}
	l.epoch = epoch
	l.join(200, ten, "a:1", 100)
	l.waits(1, testLease*4/10)
	if r := l.op("state"); r.used != 200 {
		t.Errorf("%v tokens are used, want 200", r.used)
	}
}

// A call whose lease has expired is held again when its process sends a command.
func TestScriptRenewsExpiredLeases(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("slow:1", 100)
	for range 8 {
		l.pass(testLease)
		l.op("state") // another process; Redis extends the leases once
	}
	if r := l.op("state"); r.used != 0 || l.client.HLen(context.Background(), l.keys[3]).Val() != 0 {
		t.Errorf("%v tokens are used, want 0 and no held call", r.used)
	}
	l.op("renew", "slow:1", 100)
	l.op("settle", "slow:1", 80, 100)
	if r := l.op("state"); r.used != 80 {
		t.Errorf("%v tokens are used, want 80", r.used)
	}
}

// A withdrawn retry returns its request, and the next retry takes one again.
func TestScriptWithdrawsRetries(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 3, TokensPerMinute: 600})
	l.admit("a:1", 100)
	retry := func() {
		t.Helper()
		if r := l.op("acquire", "a:1", 1, 0, 2, 1, 1, 1); r.status != "ok" {
			t.Fatalf("response %q to a retry, want ok", r.status)
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
	l.op("withdraw", "a:1", 2) // an attempt that was not admitted
	l.op("withdraw", "b:1", 0)
	if r := l.op("state"); r.requests != 1 {
		t.Errorf("%v requests are left, want 1", r.requests)
	}
	l.op("withdraw", "a:1", 0)
	l.available(2, 600)
}

// The smallest and the largest valid limits work.
func TestScriptHandlesExtremeLimits(t *testing.T) {
	for _, limit := range []limiter.Limit{
		{RequestsPerSecond: math.SmallestNonzeroFloat64, TokensPerMinute: 1, TokenBurst: limiter.MaxTokens},
		{RequestsPerSecond: 1e-15, TokensPerMinute: limiter.MaxTokens},
		{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 1, RequestBurst: limiter.MaxRequests},
	} {
		l := newHarness(t, miniredis.RunT(t), limit)
		l.admit("a:1", 1)
		l.acquire("a:2", 0, limit.WithDefaults().TokenBurst, 1)
		l.op("settle", "a:1", limiter.MaxTokens, 1)
		if d := l.op("wait", 1, 1_000_000, limiter.MaxTokens, "").duration(); d <= 0 {
			t.Errorf("%+v: the expected wait is %v, want more than 0", limit, d)
		}
		l.pass(time.Hour)
		l.op("state")
	}
}

// If the window of requests is longer than the pause in a new epoch, no call starts before that
// window has passed.
func TestScriptNoticesLostRequests(t *testing.T) {
	slow := limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 600}
	l := newHarness(t, miniredis.RunT(t), slow)
	l.admit("a:1", 100)
	l.client.FlushAll(context.Background())
	l.join(0, slow)
	l.waits(1, 10*time.Second+testJitter)
}

func TestScriptForecastsWaits(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	expected := func(tokens, requests, ahead int) time.Duration {
		return l.op("wait", tokens, requests, ahead, "").duration()
	}
	if d := expected(600, 0, 0); d != 0 {
		t.Errorf("the first call waits %v, want 0", d)
	}
	l.admit("a:1", 600)
	l.op("settle", "a:1", 600, 600)
	if d := expected(600, 0, 0); d != time.Minute {
		t.Errorf("a call of 600 tokens waits %v, want a minute", d)
	}
	if d := expected(600, 5, 1200); d < 3*time.Minute {
		t.Errorf("a call behind the tokens of two minutes waits %v, want at least three minutes", d)
	}
	if d := expected(0, 100, 0); d < 10*time.Second {
		t.Errorf("a call behind 100 requests waits %v, want at least 10 s", d)
	}
}

// A new process makes the script remove processes that have been idle for long.
func TestScriptRemovesIdleProcesses(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	for i := range 5 {
		l.send(strconv.Itoa(i), 1, 0, []string{"charge 0 1"}, "state", l.epoch)
		l.op("state")
		l.pass(30 * time.Minute)
	}
	l.send("4", 2, 1, []string{"charge 0 1"}, "state", l.epoch)
	if names := l.client.HKeys(context.Background(), l.keys[6]).Val(); len(names) != 4 {
		t.Errorf("Redis stores the processes %v, want p, 2, 3 and 4", names)
	}
	l.op("state")
}

// The keys of an unused model expire.
func TestScriptExpiresKeys(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 100)
	l.admit("a:2", 100)
	l.op("settle", "a:2", 100, 100)
	l.acquire("a:3", 0, 600, 1)
	for _, key := range l.keys {
		if ttl := l.redis.TTL(key); ttl < idleTimeout || ttl > 2*time.Hour {
			t.Errorf("%s expires in %v, want %v to 2h", key, ttl, idleTimeout)
		}
	}
	l.redis.FastForward(2 * time.Hour)
	if keys := l.redis.Keys(); len(keys) != 0 {
		t.Errorf("the keys %v are left", keys)
	}
}

// The invariants in state.lua hold after any sequence of operations.
func TestScriptKeepsInvariants(t *testing.T) {
	server := miniredis.RunT(t)
	rapid.Check(t, func(rt *rapid.T) {
		limit := limiter.Limit{RequestsPerSecond: rapid.SampledFrom([]float64{0.5, 3, 50}).Draw(rt, "rps"), TokensPerMinute: 1000}
		l := newHarness(t, server, limit)
		ids := rapid.SampledFrom([]string{"a:1", "a:2", "b:1", "b:2", "c:1"})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			id := ids.Draw(rt, "id")
			tokens := rapid.IntRange(0, 400).Draw(rt, "tokens")
			switch op := rapid.IntRange(0, 12).Draw(rt, "op"); op {
			case 0, 1, 2:
				l.acquire(id, int64(tokens%7), tokens, 1+tokens%5)
			case 3, 4:
				l.op("settle", id, tokens, 100)
			case 5:
				l.op("cancel", id)
			case 6:
				l.op("return_request", id)
			case 7:
				l.op("sent", id)
			case 8:
				l.op("throttled", id, 1, tokens%2, 1, 1, 0, 1000)
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
		l.check(rt) // one check is enough: an error in a sum persists
	})
}
