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

// tell tells Redis some news.
func (l *ledger) tell(news ...string) reply {
	l.Helper()
	l.number++
	r, err := parse(l.send("p", l.number, l.told, news, "state", l.epoch))
	if err != nil || r.status != "ok" {
		l.Fatalf("%s is answered %q: %v", news, r.status, err)
	}
	l.told += len(news)
	l.epoch, l.latest = r.epoch, l.number
	return r
}

// learn has a process learn what the reply hands to it.
func (l *ledger) learn(r reply) reply {
	l.Helper()
	n, ok := learn(r, testJitter)
	if !ok {
		l.Fatalf("there is nothing to learn: %q", r.lessons.text)
	}
	return l.tell(n.text())
}

// study passes enough time for what there is to learn, and learns it.
func (l *ledger) study() reply {
	l.Helper()
	l.pass(time.Second)
	return l.learn(l.op("state"))
}

// refused has the server accept ten requests in a second, and refuse so many more, which is told in one command.
func (l *ledger) refused(requests int) reply {
	l.Helper()
	id := func() string { l.calls++; return "a:" + strconv.Itoa(l.calls) }
	for range 10 {
		call := id()
		l.poll(call, 0)
		l.op("settle", call, 1, 0)
		l.pass(110 * time.Millisecond)
	}
	l.pass(time.Second) // for whom it was handed to before
	l.study()
	var news []string
	for range requests {
		call := id()
		l.poll(call, 0)
		news = append(news, "refused "+call+" 1 0 1 1 0 "+strconv.FormatInt(time.Second.Microseconds(), 10))
	}
	l.pass(time.Second)
	l.study()
	r := l.tell(news...)
	l.pass(time.Second)
	return r
}

// Processes that are refused in the same moment lower the rate once.
func TestScriptLowersOnce(t *testing.T) {
	for _, requests := range []int{1, 2, 5} {
		l := newLedger(t, miniredis.RunT(t), ten)
		if r := l.learn(l.refused(requests)); r.limit != ten.WithDefaults() || r.learned != (learned{}) {
			t.Errorf("one incident of %d refusals: limit %+v, %+v", requests, r.limit, r.learned)
		}
		r := l.learn(l.refused(requests))
		if rps := r.limit.RequestsPerSecond; rps < 4 || rps > 8 || r.learned.requestsFrom != 2 {
			t.Errorf("two incidents of %d refusals: %v requests a second, %+v, want 4 to 8 once", requests, rps, r.learned)
		}
		again := l.learn(l.refused(requests))
		if again.limit != r.limit {
			t.Errorf("three incidents of %d refusals: limit %+v, want %+v", requests, again.limit, r.limit)
		}
	}
}

// What there is to learn is handed to one process at a time, and what two have learned from the same counts once.
func TestScriptHandsLessonsToOne(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.learn(l.refused(1))
	first := l.refused(1) // it is handed to this one, which is slow
	l.pass(-500 * time.Millisecond)
	if r := l.op("state"); len(r.lessons.text) != 0 {
		t.Errorf("a second process learns at the same time: %q", r.lessons.text)
	}
	l.pass(500 * time.Millisecond)
	second := l.op("state")
	after := l.learn(second)
	if after.limit.RequestsPerSecond >= 10 {
		t.Fatal("nothing is learned")
	}
	if r := l.learn(first); r.limit != after.limit || r.lessons.after != after.lessons.after || len(r.lessons.text) != 0 {
		t.Errorf("after the first has learned too: %+v, want %+v", r, after)
	}
}

// Without something urgent, there is enough to learn a second after the first request.
func TestScriptHandsOldLessons(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.grant("a:1", 10)
	if r := l.op("settle", "a:1", 10, 10); len(r.lessons.text) != 0 {
		t.Errorf("there is something to learn at once: %q", r.lessons.text)
	}
	l.pass(time.Second)
	r := l.op("state")
	if text := r.lessons.text; len(text) != 3 || text[0] != "" || text[1][0] != 's' || text[2][0] != 'u' {
		t.Errorf("there is %q to learn from, want a request and its tokens", text)
	}
	if r = l.learn(r); r.limit != ten.WithDefaults() || r.learned != (learned{}) {
		t.Errorf("limit %+v, %+v", r.limit, r.learned)
	}
	l.pass(time.Hour)
	if r := l.op("state"); len(r.lessons.text) != 0 {
		t.Errorf("there is something to learn again: %q", r.lessons.text)
	}
}

// If nobody learns, what there is to learn has a bound.
func TestScriptBoundsLessons(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})
	for i := range 1200 {
		id := "a:" + strconv.Itoa(i)
		l.grant(id, 1)
		l.op("settle", id, 1, 1)
		l.pass(2 * time.Millisecond)
	}
	lessons := func() int64 { return l.client.LLen(context.Background(), l.keys[7]).Val() }
	if n := lessons(); n != mostLessons+1 {
		t.Errorf("there are %d lessons and a state, want %d in all", n-1, mostLessons)
	}
	l.study()
	if n := lessons(); n != 1 {
		t.Errorf("%d lessons are left", n-1)
	}
	l.grant("a:again", 1)
	if n := lessons(); n != 2 {
		t.Errorf("there are %d lessons, want the next", n-1)
	}
}

// The rates that were learned are kept to: requests are spread, and tokens counted in a minute.
func TestScriptKeepsToWhatIsLearned(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 6000})
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 600, RequestBurst: 5, TokenBurst: 6000}
	r := l.learned(lower, learned{spacing: 160 * time.Millisecond, requestsFrom: 2, tokensFrom: 1}, 0)
	if r.limit != lower || r.configured.limit.RequestsPerSecond != 10 || r.learned.spacing != 160*time.Millisecond {
		t.Errorf("%+v", r)
	}
	l.grant("a:1", 600)
	l.waits(0, 160*time.Millisecond)
	l.pass(160 * time.Millisecond)
	l.grant("a:2", 0)
	l.op("unsent", "a:2")
	l.grant("a:3", 0) // its place is free
	l.op("settle", "a:1", 600, 600)
	l.pass(time.Second)
	l.waits(1, 59*time.Second)
	l.pass(time.Minute)
	if r := l.ask("b:1", 0, 5000, 1); r.status != "ok" { // nothing else is used
		t.Errorf("a call that the configured limit allows waits %v", r.answer())
	}
	if d := l.op("wait", 600, 0, 0, "").answer(); d < time.Minute {
		t.Errorf("another has the tokens in %v", d)
	}
}

// learned says that rates were learned, from the lessons that there are.
func (l *ledger) learned(limit limiter.Limit, in learned, alone time.Duration) reply {
	l.Helper()
	r := l.op("state")
	args := append([]any{r.lessons.after, 0}, in.args(limit)...)
	return l.tell(news{op: "learned", args: append(args, alone.Microseconds(), 0, "{}")}.text())
}

// The first request after a pause goes alone.
func TestScriptSendsOneAlone(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.learned(ten.WithDefaults(), learned{}, time.Second) // nothing pauses
	l.grant("a:1", 0)
	l.grant("a:1", 0)
	l.op("pause", 5e6)
	l.learned(ten.WithDefaults(), learned{}, time.Second)
	l.pass(5 * time.Second)
	l.grant("a:2", 0)
	l.waits(0, time.Second)
	l.pass(time.Second)
	l.grant("a:3", 0)
	l.grant("a:4", 0)
}

// A process that begins adopts what is learned, if its limit is the configured one.
func TestScriptConfigures(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300, RequestBurst: 5, TokenBurst: 600}
	configure := func(limit limiter.Limit, climbs int) reply {
		t.Helper()
		return l.op("configure", append(limitArgs(limit.WithDefaults()), climbs)...)
	}
	in := learned{requestsFrom: 2, tokensFrom: 2}
	l.learned(lower, in, 0)
	if r := configure(ten, 0); r.limit != lower || r.learned != in || r.configured.limit != ten.WithDefaults() {
		t.Errorf("the same limit: %+v", r)
	}
	if r := configure(ten, 1); r.limit != ten.WithDefaults() || r.learned != (learned{}) || !r.configured.climbs {
		t.Errorf("the same limit, as a beginning: %+v", r)
	}
	l.learned(lower, in, 0)
	l.pass(time.Second)
	other := limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 1200}.WithDefaults()
	if r := configure(other, 1); r.limit != other || r.learned != (learned{}) || r.configured.at != l.now.UnixMicro() {
		t.Errorf("another limit: %+v", r)
	}
	l.learned(lower, in, 0)
	if r := l.limit(other); r.limit != other || r.learned != (learned{}) {
		t.Errorf("a limit that is set: %+v", r)
	}
}

// Rates that were learned are brought to new books, and what they were learned from is forgotten.
func TestScriptJoinsWithWhatIsLearned(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	lower := limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 300, RequestBurst: 5, TokenBurst: 600}
	in := learned{spacing: 160 * time.Millisecond, requestsFrom: 2, tokensFrom: 1}
	bring := func(process string, epoch int64) reply {
		t.Helper()
		args := append([]any{0, 0, 0}, configured{limit: ten.WithDefaults()}.args()...)
		r, err := parse(l.send(process, 1, 0, nil, "join", epoch, append(args, in.args(lower)...)...))
		if err != nil {
			t.Fatal(err)
		}
		l.epoch = r.epoch
		return r
	}
	l.grant("a:1", 1)
	old := l.op("settle", "a:1", 1, 1)
	l.client.FlushAll(context.Background())
	if r := bring("q", old.epoch); r.limit != lower || r.learned != in || r.configured.limit != ten.WithDefaults() {
		t.Errorf("the first of all: %+v", r)
	}
	l.client.FlushAll(context.Background())
	l.epoch, l.latest, l.number, l.told = 0, 0, 0, 0
	l.join(0, ten) // a process that has learned nothing comes first
	l.op("settle", "new:1", 1, 1)
	if r := bring("q", old.epoch); r.limit != lower || r.learned != in {
		t.Errorf("after another: %+v", r)
	}
	in.requestsFrom, lower.RequestsPerSecond = 3, 7
	if r := bring("s", old.epoch); r.limit.RequestsPerSecond != 5 {
		t.Errorf("what is learned already is replaced: %+v", r)
	}
	if n := l.client.LLen(context.Background(), l.keys[7]).Val(); n != 0 {
		t.Errorf("%d lessons are left", n)
	}
}

// Redis says of each request when it was sent, when it was sent late, and that it was not sent.
func TestScriptTeaches(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	at := func(d time.Duration) string { return strconv.FormatInt(l.now.Add(d).UnixMicro(), 10) }
	want := []string{"", "s " + at(0), "s " + at(time.Second), "m " + at(2*time.Second) + " " + at(0), "n " + at(time.Second), "u " + at(2*time.Second) + " 7"}
	l.grant("a:1", 10)
	l.pass(time.Second)
	l.grant("a:2", 0)
	l.pass(time.Second)
	l.op("sent", "a:1")
	l.op("unsent", "a:2")
	l.op("cancel", "a:2")
	l.op("settle", "a:1", 7, 10)
	l.op("settle", "a:1", 0, 10)
	l.op("observe", -1, 500, 600, 0)
	l.op("observe", -1, 500, 600, 1)
	want = append(want, "o "+at(0)+" 7 93", "h "+at(0)+" 600", "o "+at(0)+" 7 93")
	l.op("refused", "gone:1", 1, 0, 1, 1, 0, time.Second.Microseconds()) // nobody knows when it was sent
	l.pass(time.Second)
	l.grant("b:1", 0)
	l.pass(time.Millisecond)
	l.op("refused", "b:1", 1, 0, 1, 1, 0, 5000)
	want = append(want, "s "+at(-time.Millisecond), "r "+at(0)+" "+at(-time.Millisecond)+" "+at(-time.Millisecond)+" 5000 1 0 7")
	got := l.client.LRange(context.Background(), l.keys[7], 0, -1).Val()
	if !slices.Equal(got, want) {
		t.Errorf("lessons\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// If the learned rate explains refusals, they have not shown more jitter.
func TestScriptForgetsJitter(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.learn(l.refused(1))
	r := l.refused(1)
	if r.lessons.extraJitter < testJitter {
		t.Fatalf("the extra jitter is %v", r.lessons.extraJitter)
	}
	l.learn(r)
	if r := l.op("state"); r.lessons.extraJitter != 0 {
		t.Errorf("the extra jitter is %v", r.lessons.extraJitter)
	}
}

// A request that was sent late at a learned rate keeps the next one waiting from then on.
func TestScriptSpreadsLateRequests(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	l.learned(ten.WithDefaults(), learned{spacing: 80 * time.Millisecond, requestsFrom: 2}, 0)
	l.grant("a:1", 0)
	l.pass(50 * time.Millisecond)
	l.op("sent", "a:1")
	l.waits(0, 80*time.Millisecond)
}

// The backoff without Retry-After begins anew after a success that was sent after the pause before.
func TestScriptBackoffBeginsAnew(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	refused := func(id string, want time.Duration) {
		t.Helper()
		if d := l.op("refused", id, 0, 0, 1e6, 32e6, 0.0, 0).paused; d != want {
			t.Errorf("paused for %v, want %v", d, want)
		}
		l.pass(want)
	}
	l.grant("a:1", 0)
	refused("a:1", time.Second)
	for range 3 {
		l.grant("a:2", 0)
		l.grant("a:3", 0)
		refused("a:2", time.Second)
		if r := l.client.HGet(context.Background(), l.keys[0], "refusals").Val(); r != "2" {
			t.Errorf("%s refusals in a row, want 2", r)
		}
		l.op("settle", "a:3", 1, 0) // it was sent before the latest pause, and after the one before
		if r := l.client.HGet(context.Background(), l.keys[0], "refusals").Val(); r != "0" {
			t.Errorf("%s refusals in a row after a success", r)
		}
		l.grant("a:4", 0)
		refused("a:4", time.Second)
	}
}

// A header lowers what others are taken to have used, before its limit is in force.
func TestScriptObservesWithALimit(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), ten)
	if r := l.op("observe", -1, 90, 100, 1); r.foreign != 10 {
		t.Errorf("others are taken to have used %v tokens, want 10 of 100", r.foreign)
	} else if r = l.learn(r); r.limit.TokensPerMinute != 100 || r.learned.tokensFrom != 1 {
		t.Errorf("limit %+v, %+v, want 100 tokens from a header", r.limit, r.learned)
	}
	if r := l.op("observe", -1, 900, 1000, 0); r.foreign != 0 {
		t.Errorf("others are taken to have used %v tokens, want 0", r.foreign)
	}
}

// A learner's state, or a version of the books, that is not known here is left to those who know it.
func TestScriptLeavesLaterVersions(t *testing.T) {
	l := newLedger(t, miniredis.RunT(t), limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1_000_000})
	lower := limiter.Limit{RequestsPerSecond: 500, TokensPerMinute: 500_000, RequestBurst: 500, TokenBurst: 1_000_000}
	l.learned(lower, learned{requestsFrom: 2, tokensFrom: 2}, 0)
	ctx := context.Background()
	l.client.LSet(ctx, l.keys[7], 0, `{"version":1000}`)
	use := func(calls int) {
		for range calls {
			l.calls++
			id := "a:" + strconv.Itoa(l.calls)
			l.grant(id, 1)
			l.op("settle", id, 1, 1)
			l.pass(5 * time.Millisecond)
		}
	}
	use(10)
	l.pass(time.Second)
	r := l.op("state")
	if n, ok := learn(r, testJitter); ok || len(r.lessons.text) == 0 {
		t.Errorf("it learns %q from %q", n.text(), r.lessons.text)
	}
	use(mostLessons / 2) // those who know it are gone
	if r := l.study(); r.limit != lower {
		t.Errorf("it begins with %+v, want the rates in force", r.limit)
	}
	if text := l.client.LIndex(ctx, l.keys[7], 0).Val(); !strings.HasPrefix(text, `{"version":1,`) {
		t.Errorf("the state is %s", text)
	}

	l.client.HSet(ctx, l.keys[0], "version", 1000)
	use(10)
	l.pass(time.Second)
	if r := l.op("state"); len(r.lessons.text) != 0 || r.limit != lower {
		t.Errorf("limit %+v, and %q to learn", r.limit, r.lessons.text)
	}
	if version := l.client.HGet(ctx, l.keys[0], "version").Val(); version != "1000" {
		t.Errorf("the version is %s", version)
	}
}
