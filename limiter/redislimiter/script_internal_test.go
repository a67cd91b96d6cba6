package redislimiter

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func TestScriptEnforcesTheMinuteWindow(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 600)
	l.op("settle", "a:1", 600, 600)
	l.available(9, 0)
	l.pass(30 * time.Second) // the bucket has refilled 300 tokens; the window is still full
	l.available(10, 0)
	l.waits(1, 30*time.Second)
	l.pass(30*time.Second - time.Microsecond)
	l.waits(600, time.Microsecond)
	l.pass(time.Microsecond)
	l.admit("a:2", 600)
}

// The log of tokens has one entry for each tenth of a second. An entry expires as a whole: at most
// a tenth of a second late, and never early.
func TestScriptMergesLogEntries(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 601})
	for i := range 40 {
		id := "a:" + strconv.Itoa(i)
		l.pass(15 * time.Millisecond)
		l.admit(id, 10)
		l.op("settle", id, 10, 10)
	}
	if n := l.client.LLen(context.Background(), "{m}:tokens").Val(); n > 8 {
		t.Errorf("the log has %d entries for 0.6 s, want at most 8", n)
	}
	l.available(60, 201)
	l.pass(time.Minute - 600*time.Millisecond)
	if r := l.op("state"); r.used < 390 {
		t.Errorf("%v of 400 tokens are used a minute after the first, want at least 390", r.used)
	}
	l.pass(700 * time.Millisecond)
	if r := l.op("state"); r.used != 0 {
		t.Errorf("%v tokens are used a minute after the last, want 0", r.used)
	}
}

func TestScriptSpacesRequests(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 2.5, TokensPerMinute: 600}) // two in 0.8 s, and 50 ms
	l.admit("a:1", 0)
	l.pass(100 * time.Millisecond)
	l.admit("a:2", 0)
	l.waits(0, 750*time.Millisecond)
	l.op("sent", "a:1") // the request was sent only now
	l.waits(0, 850*time.Millisecond)
	l.op("return_request", "a:2")
	l.op("return_request", "a:2")
	l.admit("a:3", 0)
	l.waits(0, 850*time.Millisecond)
	l.op("cancel", "a:3")
	l.admit("a:4", 0)
}

func TestScriptLearnsJitter(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600})
	l.admit("a:1", 0)
	l.waits(0, 1050*time.Millisecond)
	for range 9 { // the learned jitter is bounded: five times the configured jitter in total
		l.op("throttled", "a:1", 1, 0, 1, 1, 0, 1000)
	}
	l.waits(0, 1250*time.Millisecond)
	l.pass(5 * time.Minute) // half of the learned jitter has decayed
	l.admit("a:2", 0)
	l.waits(0, 1150*time.Millisecond)
}

// The script learns that the server charges calls in flight in advance, and this decays again.
func TestScriptLearnsReservedShare(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 10_000})
	l.admit("a:1", 100)
	held := func(want float64) {
		t.Helper()
		if r := l.op("state"); r.tokens != 10_000-want {
			t.Errorf("%v tokens are held, want %v", 10_000-r.tokens, want)
		}
	}
	held(50 + 350) // half the call, plus the headroom of 3.5 calls
	l.op("throttled", "a:1", 0, 1, 1, 1, 0, 1)
	l.op("observe", -1, 10_000, -1, 0) // without external usage
	held(50 + 13 + 350)                // plus a quarter of the other half
	for range 5 {
		l.op("throttled", "a:1", 0, 1, 1, 1, 0, 1)
		l.op("observe", -1, 10_000, -1, 0)
	}
	held(100 + 350)
	for range 200 {
		l.pass(9 * time.Second)
		l.op("renew", "a:1", 100)
	}
	held(88 + 350) // one step less after half an hour
}

func TestScriptPauses(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.admit("a:1", 10)
	throttled := func(retryAfter time.Duration, want time.Duration) {
		t.Helper()
		if d := l.op("throttled", "a:1", 0, 0, 1e6, 8e6, 0.5, retryAfter.Microseconds()).paused; d != want {
			t.Errorf("paused for %v, want %v", d, want)
		}
	}
	throttled(0, 1500*time.Millisecond) // the middle of 1–2 s
	throttled(0, 1500*time.Millisecond) // the request was sent before the pause
	l.waits(1, 1500*time.Millisecond)
	l.pass(1500 * time.Millisecond)
	retry := func() {
		t.Helper()
		if r := l.op("acquire", "a:1", 1, 0, l.number, 1, 1, 1); r.status != "ok" {
			t.Fatalf("response %q to a retry, want ok", r.status)
		}
	}
	retry()
	throttled(0, 2500*time.Millisecond)
	l.pass(2500 * time.Millisecond)
	retry()
	throttled(0, 4500*time.Millisecond)
	l.pass(4500 * time.Millisecond)
	retry()
	throttled(0, 4500*time.Millisecond) // the ceiling is 8 s
	l.pass(4500 * time.Millisecond)
	retry()
	l.op("settle", "a:1", 10, 10) // a success resets the backoff
	l.admit("a:1", 10)
	throttled(0, 1500*time.Millisecond)
	throttled(20*time.Second, 20*time.Second)
	l.op("pause", 5e6)
	l.waits(1, 20*time.Second)
}

// The script keeps external usage free for half a minute; then it decays.
func TestScriptKeepsExternalUsageFree(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	l.op("observe", 4, 100, -1, 0)
	l.available(4, 100)
	l.pass(30 * time.Second)
	l.available(10, 100)
	l.pass(15 * time.Second)
	l.available(10, 350)
	l.pass(15 * time.Second)
	l.available(10, 600)
}

func TestScriptSetsLimits(t *testing.T) {
	l := newHarness(t, miniredis.RunT(t), ten)
	half := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300}.WithDefaults()
	if r := l.limit(half); r.limit != half {
		t.Errorf("limit %+v, want %+v", r.limit, half)
	}
	l.available(5, 300)
	l.limit(ten)
	l.available(5, 300) // added capacity starts empty
	if r := l.acquire("a:1", 0, 601, 1); r.status != "large" || r.value != 600 {
		t.Errorf("%q %v, want large 600", r.status, r.value)
	}
	odd := limiter.Limit{RequestsPerSecond: 1.0 / 3, TokensPerMinute: 7, RequestBurst: math.Pi, TokenBurst: limiter.MaxTokens}
	if r := l.limit(odd); r.limit != odd {
		t.Errorf("limit %+v, want %+v", r.limit, odd)
	}
}
