// Command bulk classifies the reviews of a file: it says how long that takes, stops in the middle, and
// goes on from the output.
//
//	go run ./examples/bulk
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network. The command mistral-bulk does the same for files of yours.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

//go:embed reviews.txt
var reviews string

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("bulk:", err)
	}
}

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		config.RequestsPerSecond = 10
		model, err := emulator.ParseScript([]byte(script))
		if err != nil {
			return err
		}
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Mode: emulator.SlidingWindow,
			Latency: 100 * time.Millisecond, Model: model,
		})
		if err != nil {
			return err
		}
		defer server.Close()
		config.BaseURL, config.APIKey = server.URL(), "no-key-needed"
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}
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

	// The first run stops after eight rows. A crash would do no more harm.
	first := options
	first.MaxRows = 8
	for _, o := range []bulk.Options{first, options} {
		if err := work(ctx, client, path, o); err != nil {
			return err
		}
	}

	output, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Printf("The output has %d lines, such as\n%s\n", strings.Count(string(output), "\n"), strings.SplitN(string(output), "\n", 2)[0])
	return nil
}

// work plans and runs a job over an output.
func work(ctx context.Context, client *ratelimited.Client, path string, options bulk.Options) error {
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
	fmt.Printf("Plan: %d rows to send, %d done; %d tokens of prompts; %s decide, about %v\n", f.Calls, f.Done, f.Counted, f.LimitedBy, f.Duration.Expected.Round(100*time.Millisecond))
	options.Progress = func(p bulk.Progress) {
		fmt.Printf("  %d done, %d in flight, %d waiting, %d rows a minute\n", p.Done, p.InFlight, p.Waiting, p.RowsPerMinute)
	}
	summary, err := bulk.Run(ctx, client, bulk.Lines(strings.NewReader(reviews)), journal, options)
	if err != nil {
		return err
	}
	fmt.Printf("Run: %d done, %d failed, %d done before, stopped: %q\n", summary.Done, summary.Failed, summary.Already, summary.Stopped)
	return nil
}

// script is what the emulator's model answers.
const script = `
rules:
  - {match: "(?i)but", reply: '{"mood": "mixed"}'}
  - {match: "(?i)great|love|fine", reply: '{"mood": "good"}'}
  - {match: ".", reply: '{"mood": "bad"}'}
`
