package runner_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// BenchmarkRun compares a run of two turns and one function call with the same API calls without
// the runner. Both use loopback to an emulator that responds at once, and they alternate. The
// metric x-bare is the ratio of their median times.
func BenchmarkRun(b *testing.B) {
	server, err := emulator.Start(emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.History) > 0 {
			return say("It is fine.")
		}
		return calls("weather", `{"city":"Paris"}`)
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: secretKey, BaseURL: server.URL(), RequestsPerSecond: 1e6, TokensPerMinute: 1e9, BareBuckets: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	f := tool(b, "weather", func(_ context.Context, in location) (weather, error) { return weather{City: in.City}, nil })
	r, err := runner.New(client, runner.Config{Tools: []*runner.Tool{f}})
	if err != nil {
		b.Fatal(err)
	}
	definitions := r.Definitions()
	var took [2][]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, run := range []func() error{
			func() error {
				return bareLoop(b.Context(), client, userRequest("Weather in Paris?"), definitions, func() {})
			},
			func() error { _, err := r.Start(b.Context(), userRequest("Weather in Paris?")); return err },
		} {
			began := time.Now()
			if err := run(); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	for _, list := range took {
		slices.Sort(list)
	}
	bare, run := took[0][len(took[0])/2], took[1][len(took[1])/2]
	b.ReportMetric(float64(run)/float64(bare), "x-bare")
	b.ReportMetric(float64(run), "ns/run")
}
