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
		t.Errorf("before the run: %+v", f)
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
		t.Errorf("with MaxRows 1: %+v", f)
	}
	if n := server.Stats().Requests; n != requests {
		t.Errorf("Plan sent %d requests", n-requests)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bulk.Plan(ctx, client, jsonl(input...), o); err == nil {
		t.Error("Plan ignores its context")
	}
}

// within reports a value that differs from the expected one by more than a share.
func within(t *testing.T, name string, got, want, share float64) {
	t.Helper()
	if math.Abs(got/want-1) > share {
		t.Errorf("%s: %.4g, want %.4g within %v%%", name, got, want, 100*share)
	}
	t.Logf("%s: %.4g, %+.1f%% of %.4g", name, got, 100*(got/want-1), want)
}

func TestRequestLimitDecides(t *testing.T) {
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
			t.Errorf("%d requests were throttled; %+v", n, f)
		}
		within(t, "estimated duration at half of the job, in seconds", half.Duration.Seconds()+half.Left.Seconds(), summary.Duration.Seconds(), 0.05)
		if half.RowsLeft > 250 || half.LimitedBy != "requests" || half.RowsPerMinute < 250 || half.RowsPerMinute > 320 || half.RequestLimit != 5 {
			t.Errorf("at half of the job: %+v", half)
		}
		if half.InFlight < 2 || half.InFlight > 10 || half.Waiting < 200 {
			t.Errorf("%d calls are in flight and %d wait", half.InFlight, half.Waiting)
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 5, Mode: emulator.SlidingWindow, Latency: 800 * time.Millisecond}))
}

// heavyRows returns rows of various sizes in random order. The model longResponses returns as many
// words as they ask for.
func heavyRows(n int) (rows []bulk.Row) {
	r := rand.New(rand.NewPCG(7, 7))
	size := func(median, sigma, lowest, highest float64) int {
		return int(min(highest, max(lowest, median*math.Exp(sigma*r.NormFloat64()))))
	}
	for i := range n {
		words, response := size(300, 1.1, 10, 10_000), size(250, 1, 5, 4000)
		rows = append(rows, prompt(fmt.Sprintf("row-%d", i), fmt.Sprintf("%d %s", response, strings.Repeat("word ", words))))
	}
	return rows
}

// longResponses is a model that returns as many words as the number at the beginning of the prompt.
func longResponses(_ context.Context, p emulator.Prompt) emulator.Reply {
	var n int
	_, _ = fmt.Sscan(p.Text(), &n)
	return emulator.Reply{Text: strings.Repeat("word ", n)}
}

func TestTokenLimitDecides(t *testing.T) {
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
		t.Logf("after 100 responses: %+v", f)
		o.Progress = func(p bulk.Progress) {
			if p.Done >= 950 && p.Done < 960 {
				t.Logf("%v passed, %v left, %d in flight, %d waiting, %d tokens/min", p.Duration, p.Left, p.InFlight, p.Waiting, p.TokensPerMinute)
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
				t.Errorf("%.4g is not in the range %.4g to %.4g (expected %.4g)", r.got, r.low, r.high, r.expected)
			}
		}
		t.Logf("%d of %d requests were throttled", server.Stats().Total().Refused(), server.Stats().Requests)
	}, emulatortest.WithClient(func(c *ratelimited.Config) { c.Timeout = 5 * time.Minute }), emulatortest.WithServer(emulator.Config{
		RequestsPerSecond: 20, TokensPerMinute: perMinute, Mode: emulator.SlidingWindow, Model: longResponses,
		Latency: 2 * time.Second, TokensPerSecond: 100,
	}))
}
