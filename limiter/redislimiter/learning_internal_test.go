package redislimiter

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// sendUpdates sends updates in one command.
func (l *harness) sendUpdates(updates ...string) response {
	l.Helper()
	l.number++
	r, err := parse(l.send("p", l.number, l.acknowledgedUpdates, updates, "state", l.epoch))
	if err != nil || r.status != "ok" {
		l.Fatalf("%s: response %q: %v", updates, r.status, err)
	}
	l.acknowledgedUpdates += len(updates)
	l.epoch, l.latest = r.epoch, l.number
	return r
}

// learn computes the rates from the batch in the response and reports them.
func (l *harness) learn(r response) response {
	l.Helper()
	u, ok := learn(r, testJitter)
	if !ok {
		l.Fatalf("nothing is learned from %q", r.batch.text)
	}
	return l.sendUpdates(u.text())
}

// learnNext waits until Redis hands out the events, and learns from them.
func (l *harness) learnNext() response {
	l.Helper()
	l.pass(time.Second)
	return l.learn(l.op("state"))
}

// throttled simulates ten accepted requests in a second and then throttled ones, which one command reports.
func (l *harness) throttled(requests int) response {
	l.Helper()
	id := func() string { l.calls++; return "a:" + strconv.Itoa(l.calls) }
	for range 10 {
		call := id()
		l.acquireUntilAdmitted(call, 0)
		l.op("settle", call, 1, 0)
		l.pass(110 * time.Millisecond)
	}
	l.pass(time.Second) // the learning lease of the previous batch
	l.learnNext()
	var updates []string
	for range requests {
		call := id()
		l.acquireUntilAdmitted(call, 0)
		updates = append(updates, "throttled "+call+" 1 0 1 1 0 "+strconv.FormatInt(time.Second.Microseconds(), 10))
	}
	l.pass(time.Second)
	l.learnNext()
	r := l.sendUpdates(updates...)
	l.pass(time.Second)
	return r
}

// Requests that are throttled at the same moment lower the rate once.
func TestScriptLowersOnce(t *testing.T) {
	for _, requests := range []int{1, 2, 5} {
		l := newHarness(t, miniredis.RunT(t), ten)
		if r := l.learn(l.throttled(requests)); r.limit != ten.WithDefaults() || r.learned != (learned{}) {
			t.Errorf("one incident of %d throttled requests: limit %+v, %+v, want no change", requests, r.limit, r.learned)
		}
		r := l.learn(l.throttled(requests))
		if rps := r.limit.RequestsPerSecond; rps < 4 || rps > 8 || r.learned.requestsFrom != 2 {
			t.Errorf("two incidents of %d throttled requests: %v requests/s, %+v, want 4–8", requests, rps, r.learned)
		}
		again := l.learn(l.throttled(requests))
		if again.limit != r.limit {
			t.Errorf("three incidents of %d throttled requests: limit %+v, want %+v", requests, again.limit, r.limit)
		}
	}
}

// Redis hands the events to one process at a time, and ignores rates that a second one has learned from the same events.
func TestScriptHandsEventsToOneProcess(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.learn(l.throttled(1))
	first := l.throttled(1) // a slow process gets the events
	l.pass(-500 * time.Millisecond)
	if r := l.op("state"); len(r.batch.text) != 0 {
		t.Errorf("a second process learns at the same time: %q", r.batch.text)
	}
	l.pass(500 * time.Millisecond)
	second := l.op("state")
	after := l.learn(second)
	if after.limit.RequestsPerSecond >= 10 {
		t.Fatal("the rate is not lowered")
	}
	if r := l.learn(first); r.limit != after.limit || r.batch.first != after.batch.first || len(r.batch.text) != 0 {
		t.Errorf("after the slow process has learned too: %+v, want %+v", r, after)
	}
}

// Without urgent events, Redis hands out the events a second after the first.
func TestScriptHandsOutOldEvents(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 10)
	if r := l.op("settle", "a:1", 10, 10); len(r.batch.text) != 0 {
		t.Errorf("Redis hands out %q at once, want nothing", r.batch.text)
	}
	l.pass(time.Second)
	r := l.op("state")
	if text := r.batch.text; len(text) != 3 || text[0] != "" || text[1][0] != 's' || text[2][0] != 'u' {
		t.Errorf("Redis hands out %q, want a request and its tokens", text)
	}
	if r = l.learn(r); r.limit != ten.WithDefaults() || r.learned != (learned{}) {
		t.Errorf("limit %+v, %+v", r.limit, r.learned)
	}
	l.pass(time.Hour)
	if r := l.op("state"); len(r.batch.text) != 0 {
		t.Errorf("Redis hands out %q again, want nothing", r.batch.text)
	}
}

// The event list is bounded if no process learns.
func TestScriptBoundsEvents(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})
	for i := range 1200 {
		id := "a:" + strconv.Itoa(i)
		l.admit(id, 1)
		l.op("settle", id, 1, 1)
		l.pass(2 * time.Millisecond)
	}
	entries := func() int64 { return l.client.LLen(context.Background(), l.keys[7]).Val() }
	if n := entries(); n != maxEvents+1 {
		t.Errorf("Redis stores %d events, want %d", n-1, maxEvents)
	}
	l.learnNext()
	if n := entries(); n != 1 {
		t.Errorf("Redis stores %d events after learning, want 0", n-1)
	}
	l.admit("a:again", 1)
	if n := entries(); n != 2 {
		t.Errorf("Redis stores %d events after a further request, want 1", n-1)
	}
}

// The script enforces learned rates: it spreads requests and counts the tokens of a minute.
func TestScriptEnforcesLearnedRates(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 6000})
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 600, RequestBurst: 5, TokenBurst: 6000}
	r := l.learned(lower, learned{spacing: 160 * time.Millisecond, requestsFrom: 2, tokensFrom: 1}, 0)
	if r.limit != lower || r.configured.limit.RequestsPerSecond != 10 || r.learned.spacing != 160*time.Millisecond {
		t.Errorf("%+v", r)
	}
	l.admit("a:1", 600)
	l.waits(0, 160*time.Millisecond)
	l.pass(160 * time.Millisecond)
	l.admit("a:2", 0)
	l.op("return_request", "a:2")
	l.admit("a:3", 0) // takes the returned request
	l.op("settle", "a:1", 600, 600)
	l.pass(time.Second)
	l.waits(1, 59*time.Second)
	l.pass(time.Minute)
	if r := l.acquire("b:1", 0, 5000, 1); r.status != "ok" { // the window is empty
		t.Errorf("a call that the configured limit allows must wait %v", r.duration())
	}
	if d := l.op("wait", 600, 0, 0, "").duration(); d < time.Minute {
		t.Errorf("another call must wait %v, want at least a minute", d)
	}
}

// learned reports rates as learned from the current events.
func (l *harness) learned(limit limiter.Limit, in learned, alone time.Duration) response {
	l.Helper()
	r := l.op("state")
	args := append([]any{r.batch.first, 0}, in.args(limit)...)
	return l.sendUpdates(update{op: "learned", args: append(args, alone.Microseconds(), 0, "{}")}.text())
}

// The first request after a pause goes alone.
func TestScriptSendsOneAlone(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.learned(ten.WithDefaults(), learned{}, time.Second) // without a pause
	l.admit("a:1", 0)
	l.admit("a:1", 0)
	l.op("pause", 5e6)
	l.learned(ten.WithDefaults(), learned{}, time.Second)
	l.pass(5 * time.Second)
	l.admit("a:2", 0)
	l.waits(0, time.Second)
	l.pass(time.Second)
	l.admit("a:3", 0)
	l.admit("a:4", 0)
}

// A process that starts adopts the learned rates if its limit is the configured one.
func TestScriptConfiguresLimits(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300, RequestBurst: 5, TokenBurst: 600}
	configure := func(limit limiter.Limit, learnLimits int) response {
		t.Helper()
		return l.op("configure", append(limitArgs(limit.WithDefaults()), learnLimits)...)
	}
	in := learned{requestsFrom: 2, tokensFrom: 2}
	l.learned(lower, in, 0)
	if r := configure(ten, 0); r.limit != lower || r.learned != in || r.configured.limit != ten.WithDefaults() {
		t.Errorf("the same limit: %+v", r)
	}
	if r := configure(ten, 1); r.limit != ten.WithDefaults() || r.learned != (learned{}) || !r.configured.learnLimits {
		t.Errorf("the same limit with LearnLimits: %+v", r)
	}
	l.learned(lower, in, 0)
	l.pass(time.Second)
	other := limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 1200}.WithDefaults()
	if r := configure(other, 1); r.limit != other || r.learned != (learned{}) || r.configured.at != l.now.UnixMicro() {
		t.Errorf("another limit: %+v", r)
	}
	l.learned(lower, in, 0)
	if r := l.limit(other); r.limit != other || r.learned != (learned{}) {
		t.Errorf("the same limit by SetLimit: %+v", r)
	}
}

// A process restores learned rates in a new epoch, without the events.
func TestScriptJoinsWithLearnedRates(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300, RequestBurst: 5, TokenBurst: 600}
	in := learned{spacing: 160 * time.Millisecond, requestsFrom: 2, tokensFrom: 1}
	join := func(process string, epoch int64) response {
		t.Helper()
		args := append([]any{0, 0, 0}, configured{limit: ten.WithDefaults()}.args()...)
		r, err := parse(l.send(process, 1, 0, nil, "join", epoch, append(args, in.args(lower)...)...))
		if err != nil {
			t.Fatal(err)
		}
		l.epoch = r.epoch
		return r
	}
	l.admit("a:1", 1)
	old := l.op("settle", "a:1", 1, 1)
	l.client.FlushAll(context.Background())
	if r := join("q", old.epoch); r.limit != lower || r.learned != in || r.configured.limit != ten.WithDefaults() {
		t.Errorf("the first process: %+v", r)
	}
	l.client.FlushAll(context.Background())
	l.epoch, l.latest, l.number, l.acknowledgedUpdates = 0, 0, 0, 0
	l.join(0, ten) // a process without learned rates joins first
	l.op("settle", "new:1", 1, 1)
	if r := join("q", old.epoch); r.limit != lower || r.learned != in {
		t.Errorf("after a process without learned rates: %+v", r)
	}
	in.requestsFrom, lower.RequestsPerSecond = 3, 7
	if r := join("s", old.epoch); r.limit.RequestsPerSecond != 5 {
		t.Errorf("learned rates are replaced: %+v", r)
	}
	if n := l.client.LLen(context.Background(), l.keys[7]).Val(); n != 0 {
		t.Errorf("Redis stores %d list entries, want 0", n)
	}
}

// The script records when each request was sent, that it was sent late, and that it was not sent.
func TestScriptRecordsEvents(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	at := func(d time.Duration) string { return strconv.FormatInt(l.now.Add(d).UnixMicro(), 10) }
	want := []string{"", "s " + at(0), "s " + at(time.Second), "m " + at(2*time.Second) + " " + at(0), "n " + at(time.Second), "u " + at(2*time.Second) + " 7"}
	l.admit("a:1", 10)
	l.pass(time.Second)
	l.admit("a:2", 0)
	l.pass(time.Second)
	l.op("sent", "a:1")
	l.op("return_request", "a:2")
	l.op("cancel", "a:2")
	l.op("settle", "a:1", 7, 10)
	l.op("settle", "a:1", 0, 10)
	l.op("observe", -1, 500, 600, 0)
	l.op("observe", -1, 500, 600, 1)
	want = append(want, "o "+at(0)+" 7 93", "h "+at(0)+" 600", "o "+at(0)+" 7 93")
	l.op("throttled", "gone:1", 1, 0, 1, 1, 0, time.Second.Microseconds()) // an unknown permit: not recorded
	l.pass(time.Second)
	l.admit("b:1", 0)
	l.pass(time.Millisecond)
	l.op("throttled", "b:1", 1, 0, 1, 1, 0, 5000)
	want = append(want, "s "+at(-time.Millisecond), "r "+at(0)+" "+at(-time.Millisecond)+" "+at(-time.Millisecond)+" 5000 1 0 7")
	got := l.client.LRange(context.Background(), l.keys[7], 0, -1).Val()
	if !slices.Equal(got, want) {
		t.Errorf("events\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A learned rate that explains throttled requests resets the learned jitter.
func TestScriptResetsLearnedJitter(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.learn(l.throttled(1))
	r := l.throttled(1)
	if r.batch.extraJitter < testJitter {
		t.Fatalf("the extra jitter is %v, want at least %v", r.batch.extraJitter, testJitter)
	}
	l.learn(r)
	if r := l.op("state"); r.batch.extraJitter != 0 {
		t.Errorf("the extra jitter is %v, want 0", r.batch.extraJitter)
	}
}

// At a learned rate, the spacing after a request that was sent late starts at that time.
func TestScriptSpreadsLateRequests(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.learned(ten.WithDefaults(), learned{spacing: 80 * time.Millisecond, requestsFrom: 2}, 0)
	l.admit("a:1", 0)
	l.pass(50 * time.Millisecond)
	l.op("sent", "a:1")
	l.waits(0, 80*time.Millisecond)
}

// A success of a request that was sent after the previous pause resets the backoff without Retry-After.
func TestScriptResetsBackoff(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	throttled := func(id string, want time.Duration) {
		t.Helper()
		if d := l.op("throttled", id, 0, 0, 1e6, 32e6, 0.0, 0).paused; d != want {
			t.Errorf("paused for %v, want %v", d, want)
		}
		l.pass(want)
	}
	l.admit("a:1", 0)
	throttled("a:1", time.Second)
	for range 3 {
		l.admit("a:2", 0)
		l.admit("a:3", 0)
		throttled("a:2", time.Second)
		if r := l.client.HGet(context.Background(), l.keys[0], "refusals").Val(); r != "2" {
			t.Errorf("%s throttled requests in a row, want 2", r)
		}
		l.op("settle", "a:3", 1, 0) // sent between the last two pauses
		if r := l.client.HGet(context.Background(), l.keys[0], "refusals").Val(); r != "0" {
			t.Errorf("%s throttled requests in a row after a success, want 0", r)
		}
		l.admit("a:4", 0)
		throttled("a:4", time.Second)
	}
}

// A header lowers the assumed external usage before its limit is in force.
func TestScriptObservesWithALimit(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	if r := l.op("observe", -1, 90, 100, 1); r.externalUsage != 10 {
		t.Errorf("the external usage is %v tokens, want 10 of 100", r.externalUsage)
	} else if r = l.learn(r); r.limit.TokensPerMinute != 100 || r.learned.tokensFrom != 1 {
		t.Errorf("limit %+v, %+v, want 100 tokens from a header", r.limit, r.learned)
	}
	if r := l.op("observe", -1, 900, 1000, 0); r.externalUsage != 0 {
		t.Errorf("the external usage is %v tokens, want 0", r.externalUsage)
	}
}

// A process leaves a learner's state or a shared state of a later version to processes of that version.
func TestScriptLeavesLaterVersions(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})
	lower := limiter.Limit{RequestsPerSecond: 500, TokensPerMinute: 500_000, RequestBurst: 500, TokenBurst: 1_000_000}
	l.learned(lower, learned{requestsFrom: 2, tokensFrom: 2}, 0)
	ctx := context.Background()
	l.client.LSet(ctx, l.keys[7], 0, `{"version":1000}`)
	use := func(calls int) {
		for range calls {
			l.calls++
			id := "a:" + strconv.Itoa(l.calls)
			l.admit(id, 1)
			l.op("settle", id, 1, 1)
			l.pass(5 * time.Millisecond)
		}
	}
	use(10)
	l.pass(time.Second)
	r := l.op("state")
	if u, ok := learn(r, testJitter); ok || len(r.batch.text) == 0 {
		t.Errorf("the process learns %q from %q, want nothing", u.text(), r.batch.text)
	}
	use(maxEvents / 2) // a full list: no process of the later version runs
	if r := l.learnNext(); r.limit != lower {
		t.Errorf("the process starts with %+v, want the rates in force", r.limit)
	}
	if text := l.client.LIndex(ctx, l.keys[7], 0).Val(); !strings.HasPrefix(text, `{"version":1,`) {
		t.Errorf("the learner's state is %s, want version 1", text)
	}

	l.client.HSet(ctx, l.keys[0], "version", 1000)
	use(10)
	l.pass(time.Second)
	if r := l.op("state"); len(r.batch.text) != 0 || r.limit != lower {
		t.Errorf("limit %+v with events %q, want %+v without events", r.limit, r.batch.text, lower)
	}
	if version := l.client.HGet(ctx, l.keys[0], "version").Val(); version != "1000" {
		t.Errorf("the version is %s, want 1000", version)
	}
}
