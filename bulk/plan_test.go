package bulk_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func plan(t *testing.T, client *ratelimited.Client, source bulk.Source, o bulk.Options) *bulk.Forecast {
	t.Helper()
	f, err := bulk.Plan(t.Context(), client, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPlanCounts(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	input := []string{
		`{"id": "a", "prompt": "Say a"}`, `{"id": "b", "prompt": "Say b"}`, `broken`, `{"id": "c", "prompt": "Say c"}`, `{"id": "d", "prompt": ""}`,
	}
	f := plan(t, client, jsonl(input...), options)
	if f.Rows != 5 || f.Calls != 3 || f.Invalid != 2 || f.Done+f.Failed+f.Changed != 0 || f.Replies != 0 {
		t.Errorf("at first: %+v", f)
	}
	mustRun(t, client, path, jsonl(input[:3]...), options)
	requests := server.Stats().Requests
	input[0] = `{"id": "a", "prompt": "Say changed"}`
	o := options
	o.Journal = open(t, path)
	f = plan(t, client, jsonl(input...), o)
	if f.Rows != 5 || f.Calls != 2 || f.Changed != 1 || f.Done != 1 || f.Failed != 1 || f.Invalid != 1 {
		t.Errorf("after two rows: %+v", f)
	}
	o.MaxRows = 1
	if f = plan(t, client, jsonl(input...), o); f.Calls != 1 {
		t.Errorf("of one row: %+v", f)
	}
	if n := server.Stats().Requests; n != requests {
		t.Errorf("Plan has sent %d requests", n-requests)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bulk.Plan(ctx, client, jsonl(input...), o); err == nil {
		t.Error("Plan does not heed its context")
	}
}

// within reports a value that is off what was expected by more than a share of it.
func within(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got/want-1) > share {
		t.Errorf("%s: %.4g, want %.4g within %v%%", what, got, want, 100*share)
	}
	t.Logf("%s: %.4g, %+.1f%% of %.4g", what, got, 100*(got/want-1), want)
}

func TestRequestsDecide(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		f := plan(t, client, prompts(500), options)
		o := options
		o.Forecast = f
		half := bulk.Progress{}
		o.Progress = func(p bulk.Progress) {
			if half.Done < 250 {
				half = p
			}
		}
		summary := mustRun(t, client, output(t), prompts(500), o)
		wantSummary(t, summary, bulk.Summary{Rows: 500, Done: 500})
		within(t, "duration in seconds", summary.Duration.Seconds(), f.Duration.Expected.Seconds(), 0.05)
		if n := server.Stats().Total().Refused(); n != 0 || f.LimitedBy != "requests" || f.RequestsPerSecond != 5 || f.Calls != 500 {
			t.Errorf("%d requests were refused; %+v", n, f)
		}
		within(t, "half of the job, in seconds", half.Duration.Seconds()+half.Left.Seconds(), summary.Duration.Seconds(), 0.05)
		if half.RowsLeft > 250 || half.LimitedBy != "requests" || half.RowsPerMinute < 250 || half.RowsPerMinute > 320 || half.RequestLimit != 5 {
			t.Errorf("in the middle: %+v", half)
		}
		if half.InFlight < 2 || half.InFlight > 10 || half.Waiting < 200 {
			t.Errorf("%d calls are in flight and %d wait", half.InFlight, half.Waiting)
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 5, Mode: emulator.SlidingWindow, Latency: 800 * time.Millisecond}))
}

// heavyRows are rows with a wide range of sizes, in any order; the emulator's model replies with as
// many words as they ask for.
func heavyRows(n int) (rows []bulk.Row) {
	r := rand.New(rand.NewPCG(7, 7))
	size := func(median, sigma, least, most float64) int {
		return int(min(most, max(least, median*math.Exp(sigma*r.NormFloat64()))))
	}
	for i := range n {
		words, reply := size(300, 1.1, 10, 10_000), size(250, 1, 5, 4000)
		rows = append(rows, prompt(fmt.Sprintf("row-%d", i), fmt.Sprintf("%d %s", reply, strings.Repeat("word ", words))))
	}
	return rows
}

// longReplies is a model that replies with as many words as the prompt begins with.
func longReplies(_ context.Context, p emulator.Prompt) emulator.Reply {
	var n int
	_, _ = fmt.Sscan(p.Text(), &n)
	return emulator.Reply{Text: strings.Repeat("word ", n)}
}

func TestTokensDecide(t *testing.T) {
	const perMinute = 100_000
	rows := heavyRows(2000)
	source := func() bulk.Source {
		return bulk.Rows(func(yield func(bulk.Row) bool) {
			for _, row := range rows {
				if !yield(row) {
					return
				}
			}
		})
	}
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		path := output(t)
		first := options
		first.MaxRows = 100
		before := plan(t, client, source(), options)
		mustRun(t, client, path, source(), first)

		o := options
		o.Journal = open(t, path)
		o.Forecast = plan(t, client, source(), o)
		f := o.Forecast
		t.Logf("before: %+v", before)
		t.Logf("after 100 replies: %+v", f)
		o.Progress = func(p bulk.Progress) {
			if p.Done >= 950 && p.Done < 960 {
				t.Logf("%v passed, %v left, %d in flight, %d waiting, %d tokens a minute", p.Duration, p.Left, p.InFlight, p.Waiting, p.TokensPerMinute)
			}
		}
		begin := server.Stats().Total().Tokens
		summary, err := bulk.Run(t.Context(), client, source(), o.Journal, o)
		if err != nil {
			t.Fatal(err)
		}
		wantSummary(t, summary, bulk.Summary{Rows: 2000, Done: 1900, Already: 100})
		if f.LimitedBy != "tokens" || f.Calls != 1900 || f.Replies != 100 || f.TokensPerMinute != perMinute {
			t.Errorf("the plan is %+v", f)
		}
		within(t, "duration in minutes", summary.Duration.Minutes(), f.Duration.Expected.Minutes(), 0.10)
		used := float64(server.Stats().Total().Tokens-begin) / summary.Duration.Minutes() / perMinute
		if t.Logf("%.1f%% of the quota", 100*used); used < 0.95 {
			t.Errorf("%.1f%% of the quota was used, want 95%%", 100*used)
		}
		for _, r := range []struct{ low, expected, high, got float64 }{
			{float64(f.Tokens.Low), float64(f.Tokens.Expected), float64(f.Tokens.High), float64(summary.PromptTokens + summary.CompletionTokens)},
			{f.Duration.Low.Minutes(), f.Duration.Expected.Minutes(), f.Duration.High.Minutes(), summary.Duration.Minutes()},
			{float64(before.Tokens.Low), float64(before.Tokens.Expected), float64(before.Tokens.High), float64(server.Stats().Total().Tokens)},
		} {
			if !(r.low < r.expected && r.expected < r.high && r.low < r.got && r.got < r.high) {
				t.Errorf("%.4g is not in the range from %.4g by %.4g to %.4g", r.got, r.low, r.expected, r.high)
			}
		}
		t.Logf("%d of %d requests were refused", server.Stats().Total().Refused(), server.Stats().Requests)
	}, emulatortest.WithClient(func(c *ratelimited.Config) { c.Timeout = 5 * time.Minute }), emulatortest.WithServer(emulator.Config{
		RequestsPerSecond: 20, TokensPerMinute: perMinute, Mode: emulator.SlidingWindow, Model: longReplies,
		Latency: 2 * time.Second, TokensPerSecond: 100,
	}))
}
