// Command bulk classifies the reviews in a file. It prints a forecast, stops in the middle, and
// continues from the output.
//
//	go run ./examples/bulk
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
//
// The command mistral-bulk does the same for your own files.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

//go:embed reviews.txt
var reviews string

func main() { setup.Main("bulk", run) }

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if setup.UsesEmulator() {
		config.RequestsPerSecond = 10
	}
	model, err := emulator.ParseScript([]byte(script))
	if err != nil {
		return err
	}
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Mode: emulator.SlidingWindow,
		Latency: 100 * time.Millisecond, Model: model,
	})
	if err != nil {
		return err
	}
	defer stop()
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	folder, err := os.MkdirTemp("", "bulk")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "out.jsonl")
	options := bulk.Options{
		Defaults: generated.StartConversationRequest{
			Model: "mistral-small-latest", Instructions: "Classify the review.", Store: ratelimited.Ptr(false),
		},
		Schema: `{"type": "object", "properties": {"mood": {"type": "string", "enum": ["good", "bad", "mixed"]}}, "required": ["mood"], "additionalProperties": false}`,
		Output: bulk.OutputObject,
	}

	// The first run stops after eight rows; the second one continues, as it would after a crash.
	first := options
	first.MaxRows = 8
	for _, o := range []bulk.Options{first, options} {
		if err := planAndRun(ctx, client, path, o); err != nil {
			return err
		}
	}

	output, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Printf("The output has %d lines. The first one is\n%s\n", strings.Count(string(output), "\n"), strings.SplitN(string(output), "\n", 2)[0])
	return nil
}

// planAndRun prints the forecast of a job and runs it.
func planAndRun(ctx context.Context, client *ratelimited.Client, path string, options bulk.Options) error {
	journal, err := bulk.OpenJournal(path)
	if err != nil {
		return err
	}
	defer journal.Close()
	options.Journal = journal
	options.Forecast, err = bulk.Plan(ctx, client, bulk.Lines(strings.NewReader(reviews)), options)
	if err != nil {
		return err
	}
	f := options.Forecast
	fmt.Printf("Plan: %d rows to send, %d done; %d prompt tokens; limited by %s; about %v\n", f.Calls, f.Done, f.Counted, f.LimitedBy, f.Duration.Expected.Round(100*time.Millisecond))
	options.Progress = func(p bulk.Progress) {
		fmt.Printf("  %d done, %d in flight, %d waiting, %d rows/min\n", p.Done, p.InFlight, p.Waiting, p.RowsPerMinute)
	}
	summary, err := bulk.Run(ctx, client, bulk.Lines(strings.NewReader(reviews)), journal, options)
	if err != nil {
		return err
	}
	fmt.Printf("Run: %d done, %d failed, %d done before, stopped: %q\n", summary.Done, summary.Failed, summary.Already, summary.Stopped)
	return nil
}

// script holds the responses of the emulator's model.
const script = `
rules:
  - {match: "(?i)but", reply: '{"mood": "mixed"}'}
  - {match: "(?i)great|love|fine", reply: '{"mood": "good"}'}
  - {match: ".", reply: '{"mood": "bad"}'}
`
