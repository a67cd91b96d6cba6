// Command extract reads the invoices in a folder, lets a model fill a struct from each text, and
// prints a table.
//
//	go run ./examples/extract
//	go run ./examples/extract FOLDER # reads your own files
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"text/tabwriter"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// Invoice is the struct that the model fills.
type Invoice struct {
	Seller   string   `json:"seller"`
	Number   string   `json:"number" jsonschema:"as printed, such as A-12"`
	Date     string   `json:"date" format:"date"`
	Items    []Item   `json:"items" minItems:"1"`
	Total    float64  `json:"total" minimum:"0"`
	Currency Currency `json:"currency"`
}

// Item is one item of an invoice.
type Item struct {
	Description string  `json:"description"`
	Price       float64 `json:"price"`
}

// Currency is one of the supported currencies.
type Currency string

// Enum returns all currencies, for the JSON Schema.
func (Currency) Enum() []Currency { return []Currency{"CHF", "EUR", "USD"} }

// Validate checks the total, which a JSON Schema cannot. The model reads the text of Explain and
// responds again.
func (i Invoice) Validate() error {
	sum := 0.0
	for _, item := range i.Items {
		sum += item.Price
	}
	if math.Abs(sum-i.Total) > 0.005 {
		return runner.Explain(fmt.Sprintf("The sum of the items is %.2f, not the total.", sum), nil)
	}
	return nil
}

// extract returns the invoice in a text, and the number of responses that it needed.
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

func main() { setup.Main("extract", run) }

func run(ctx context.Context) error {
	folder := flag.Arg(0)
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	model, err := emulator.ParseScript([]byte(script))
	if err != nil {
		return err
	}
	stop, err := setup.Connect(&config, emulator.Config{Model: model})
	if err != nil {
		return err
	}
	defer stop()
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
	// Make all calls at once. The limiter decides when each call starts.
	results := ratelimited.Gather(ctx, names, func(ctx context.Context, name string) (string, error) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return "", err
		}
		i, responses, err := extract(ctx, r, string(text))
		return fmt.Sprintf("%s\t%s\t%s\t%d items\t%.2f %s\t%d responses", i.Number, i.Seller, i.Date, len(i.Items), i.Total, i.Currency, responses), err
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

// script holds the responses of the emulator's model. The first response for B-1042 has a wrong
// total.
const script = `
rules:
  - match: sum of the items is 16.60
    reply: '{"seller":"Bäckerei Morgenrot","number":"B-1042","date":"2026-03-14","items":[{"description":"rolls","price":7},{"description":"rye loaves","price":9.6}],"total":16.6,"currency":"EUR"}'
  - match: B-1042
    reply: '{"seller":"Bäckerei Morgenrot","number":"B-1042","date":"2026-03-14","items":[{"description":"rolls","price":7},{"description":"rye loaves","price":9.6}],"total":19.6,"currency":"EUR"}'
  - match: CW-77
    reply: '{"seller":"Cloudworks","number":"CW-77","date":"2026-04-01","items":[{"description":"virtual machines","price":24},{"description":"backups","price":6.5}],"total":30.5,"currency":"USD"}'
  - match: T-9
    reply: '{"seller":"Taxi Zentral Zürich","number":"T-9","date":"2026-05-02","items":[{"description":"ride","price":58},{"description":"night","price":7}],"total":65,"currency":"CHF"}'
`
