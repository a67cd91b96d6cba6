// Command extract reads the texts of a folder, has a model fill a struct from each, and prints a
// table.
//
//	go run ./examples/extract
//
// "go run ./examples/extract FOLDER" reads the files of a folder of yours.
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math"
	"os"
	"os/signal"
	"text/tabwriter"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// Invoice is what the model fills in.
type Invoice struct {
	Seller   string   `json:"seller"`
	Number   string   `json:"number" jsonschema:"as it is printed, such as A-12"`
	Date     string   `json:"date" format:"date"`
	Items    []Item   `json:"items" minItems:"1"`
	Total    float64  `json:"total" minimum:"0"`
	Currency Currency `json:"currency"`
}

// Item is a line of an invoice.
type Item struct {
	What  string  `json:"what"`
	Price float64 `json:"price"`
}

// Currency is one of a few.
type Currency string

// Enum returns the currencies.
func (Currency) Enum() []Currency { return []Currency{"CHF", "EUR", "USD"} }

// Validate checks what a schema cannot. The model reads what Explain has, and answers again.
func (i Invoice) Validate() error {
	sum := 0.0
	for _, item := range i.Items {
		sum += item.Price
	}
	if math.Abs(sum-i.Total) > 0.005 {
		return runner.Explain(fmt.Sprintf("The items sum up to %.2f, not to the total.", sum), nil)
	}
	return nil
}

// extract returns the invoice in a text, and how many answers that took.
func extract(ctx context.Context, r *runner.Runner, text string) (Invoice, int, error) {
	invoice, result, err := runner.StartAs[Invoice](ctx, r, generated.StartConversationRequest{
		Model: "mistral-small-latest", Instructions: "Fill in the invoice in the text.", Inputs: ratelimited.Text(text), Store: ratelimited.Ptr(false),
	})
	if err != nil {
		return invoice, 0, err
	}
	return invoice, len(result.Turns), nil
}

//go:embed texts
var texts embed.FS

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, flag.Arg(0))
	stop()
	if err != nil {
		log.Fatalln("extract:", err)
	}
}

func run(ctx context.Context, folder string) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		model, err := emulator.ParseScript([]byte(script))
		if err != nil {
			return err
		}
		server, err := emulator.Start(emulator.Config{Model: model})
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
	r, err := runner.New(client, runner.Config{})
	if err != nil {
		return err
	}

	var root fs.FS = texts
	if folder != "" {
		root = os.DirFS(folder)
	}
	names, err := fs.Glob(root, "*")
	if folder == "" {
		names, err = fs.Glob(root, "texts/*.txt")
	}
	if err != nil {
		return err
	}
	// All at once: the limiter says when each call starts.
	results := ratelimited.Gather(ctx, names, func(ctx context.Context, name string) (string, error) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return "", err
		}
		i, answers, err := extract(ctx, r, string(text))
		return fmt.Sprintf("%s\t%s\t%s\t%d items\t%.2f %s\t%d answers", i.Number, i.Seller, i.Date, len(i.Items), i.Total, i.Currency, answers), err
	})
	var failed []error
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for i, result := range results {
		if result.Err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", names[i], result.Err))
			continue
		}
		fmt.Fprintln(table, result.Value)
	}
	return errors.Join(append(failed, table.Flush())...)
}

// script is what the emulator's model answers. One answer is wrong at first.
const script = `
rules:
  - match: sum up to 16.60
    reply: '{"seller":"Bäckerei Morgenrot","number":"B-1042","date":"2026-03-14","items":[{"what":"rolls","price":7},{"what":"rye loaves","price":9.6}],"total":16.6,"currency":"EUR"}'
  - match: B-1042
    reply: '{"seller":"Bäckerei Morgenrot","number":"B-1042","date":"2026-03-14","items":[{"what":"rolls","price":7},{"what":"rye loaves","price":9.6}],"total":19.6,"currency":"EUR"}'
  - match: CW-77
    reply: '{"seller":"Cloudworks","number":"CW-77","date":"2026-04-01","items":[{"what":"virtual machines","price":24},{"what":"backups","price":6.5}],"total":30.5,"currency":"USD"}'
  - match: T-9
    reply: '{"seller":"Taxi Zentral Zürich","number":"T-9","date":"2026-05-02","items":[{"what":"ride","price":58},{"what":"night","price":7}],"total":65,"currency":"CHF"}'
`
