package limiter

import (
	"testing"
	"time"
)

// TestCompare checks what the guard learns from remaining tokens. About every second a call is sent or ends.
func TestCompare(t *testing.T) {
	early := func(g *guard) int { w, _ := g.windows(); return w.used }
	late := func(g *guard) int { _, w := g.windows(); return w.used }
	limit := Limit{RequestsPerSecond: 5, TokensPerMinute: 100_000}.WithDefaults()
	for name, c := range map[string]struct {
		before  bool // the guard assumes charging on arrival at first
		used    int  // tokens of calls that have ended
		steps   int
		gap     time.Duration
		changes bool // the limit changes before every report
		charged func(g *guard) int
		want    bool
	}{
		"on arrival":                     {used: 60_000, steps: 20, gap: 1100 * time.Millisecond, charged: early, want: true},
		"at the end":                     {used: 60_000, steps: 20, gap: 1100 * time.Millisecond, charged: late},
		"at the end, contrary":           {before: true, used: 60_000, steps: 20, gap: 1100 * time.Millisecond, charged: late},
		"too few reports":                {used: 60_000, steps: 16, gap: 1100 * time.Millisecond, charged: early},
		"too close":                      {used: 60_000, steps: 40, gap: 500 * time.Millisecond, charged: early},
		"a bucket may be full":           {used: 40_000, steps: 20, gap: 1100 * time.Millisecond, charged: early},
		"nothing remains":                {before: true, used: 60_000, steps: 20, gap: 1100 * time.Millisecond, charged: func(*guard) int { return 100_000 }, want: true},
		"a new limit before each report": {used: 60_000, steps: 20, gap: 1100 * time.Millisecond, changes: true, charged: early},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			g := newGuard(start, limit, 0)
			g.tokens.add(0, c.used)
			g.otherTokens.add(0, c.used)
			if c.before {
				g.switchCharging()
			}
			g.reservedShare = 1
			var now, sent time.Duration
			call := cost{requests: 1, tokens: 1000, prompt: 1000}
			for i := range c.steps {
				now += c.gap
				if i%2 == 0 {
					sent = now
					g.take(now, call)
				} else {
					g.settle(now, sent, call, 1000)
				}
				if c.changes {
					g.setLimit(start.Add(now), limit)
				}
				g.observe(now, 100_000-c.charged(g))
			}
			if g.onArrival != c.want {
				t.Errorf("charged on arrival: %v, want %v; evidence %+v and %+v", g.onArrival, c.want, g.more, g.less)
			}
			if kept := g.reservedShare == 1; kept != (c.before == c.want) {
				t.Errorf("reserved share is %v", g.reservedShare)
			}
		})
	}
}

// A single 429 does not outweigh the evidence of reports.
func TestReportsOutweighAThrottle(t *testing.T) {
	limit := Limit{RequestsPerSecond: 5, TokensPerMinute: 10_000}.WithDefaults()
	for _, contradicted := range []bool{false, true} {
		g := newGuard(time.Now(), limit, 0)
		if contradicted {
			for range minReports {
				g.more.add(-1, 1)
				g.less.add(-1, 1)
			}
		}
		for range 10 {
			g.take(0, cost{requests: 1, tokens: 1000, prompt: 1000})
		}
		g.throttled(time.Second, Throttle{Tokens: true})
		if g.onArrival == contradicted {
			t.Errorf("charged on arrival: %v, contradicted by reports: %v", g.onArrival, contradicted)
		}
	}
}

// A prompt counts once, from when its latest attempt was sent, until the call's usage replaces it.
func TestPromptsOnArrival(t *testing.T) {
	small, large := cost{requests: 1, tokens: 1000, prompt: 600}, cost{requests: 1, tokens: 3000, prompt: 2000, large: true}
	for _, c := range []cost{small, large} {
		g := newGuard(time.Now(), Limit{RequestsPerSecond: 5, TokensPerMinute: 10_000}.WithDefaults(), 0)
		g.switchCharging()
		check := func(what string, now time.Duration, used, due int) {
			t.Helper()
			g.tokens.expire(now)
			if s, l := g.uncharged(); g.tokens.used != used || s+l != due {
				t.Errorf("%s: %d used and %d uncharged, want %d and %d", what, g.tokens.used, s+l, used, due)
			}
		}
		g.take(0, c)
		check("sent", 0, c.prompt, c.tokens-c.prompt)
		g.settle(10*time.Second, 0, c, c.prompt+50)
		check("ended", 10*time.Second, c.prompt+50, 0)
		check("a minute after it was sent", time.Minute, 50, 0)
		check("a minute after it ended", 70*time.Second, 0, 0)
		g.take(100*time.Second, c)
		g.settle(110*time.Second, 100*time.Second, c, c.prompt-50)
		check("used less than its prompt", 110*time.Second, c.prompt-50, 0)
	}
}

// TestPromptOfAttempts checks how attempts change the counted prompt of a call.
func TestPromptOfAttempts(t *testing.T) {
	l, err := New(Limit{RequestsPerSecond: 1000, TokensPerMinute: 10_000}, Guarded(0))
	if err != nil {
		t.Fatal(err)
	}
	ChargeOnArrival(l)
	for _, call := range []Call{{Prompt: 600, Reply: 100}, {Prompt: 2000, Reply: 100}} {
		p, err := l.AcquireCall(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, used int) {
			t.Helper()
			if g := l.budget.guard; g.tokens.used != used || g.prompts+g.largePrompts != used || min(g.prompts, g.largePrompts) != 0 {
				t.Errorf("%s: %d used, %d and %d of them prompts, want %d", what, g.tokens.used, g.prompts, g.largePrompts, used)
			}
		}
		retry := func() {
			if err := p.Retry(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check("admitted", call.Prompt)
		retry()
		check("retried", call.Prompt)
		p.Sent()
		check("sent", call.Prompt)
		p.ReturnRequest()
		check("not sent", 0)
		retry()
		check("retried after that", call.Prompt)
		p.ReturnRequest()
		p.Settle(0)
		check("settled", 0)
	}
	p, err := l.Acquire(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond)
	p.Settle(200)
	if used := l.budget.guard.tokens.used; used != 200 {
		t.Errorf("%d used, want 200", used)
	}
}
