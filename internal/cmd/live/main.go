// Command live asks the real API what its documentation leaves open, and how the account is
// charged:
//
//	go run ./internal/cmd/live -o exchanges
//
// With MISTRAL_API_KEY set it makes about 25 small calls, prints a report, and writes each exchange to a file without the
// key: together they are a record of the service's behaviour to test against. It deletes the
// conversations and agents that it makes. Without the key it asks the emulator, whose answers are
// what this module takes for right.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	log.SetFlags(0)
	var s settings
	flag.StringVar(&s.folder, "o", "", "`folder` for the exchanges; none are written without it")
	flag.StringVar(&s.model, "model", "mistral-small-latest", "the model to ask")
	flag.Float64Var(&s.requestsPerSecond, "rps", 1, "requests `per second` to begin with")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("live: unexpected argument %q", flag.Arg(0))
	}
	s.key = os.Getenv("MISTRAL_API_KEY")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, s)
	stop()
	if err != nil {
		log.Fatalln("live:", err)
	}
}

type settings struct {
	key, folder, model string
	baseURL            string  // "" for the real API with a key, and for an emulator without
	requestsPerSecond  float64 // of the real API
}

// run asks all questions, one after the other, and reports the answers. A question that fails
// stops no other.
func run(ctx context.Context, out io.Writer, s settings) (err error) {
	config := ratelimited.Config{APIKey: s.key, BaseURL: s.baseURL, LearnLimits: true, RequestsPerSecond: s.requestsPerSecond}
	if s.key == "" {
		server, err := emulator.Start(emulator.Config{TokensPerMinute: 500_000, Model: emulated})
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }()
		config.APIKey, config.BaseURL, config.RequestsPerSecond = "no-key-needed", server.URL(), 100
		_, _ = fmt.Fprintln(out, "Asking the embedded emulator: MISTRAL_API_KEY is not set.")
	}
	recorder := &recorder{base: http.DefaultTransport, key: config.APIKey, folder: s.folder}
	if s.folder != "" {
		if err := os.MkdirAll(s.folder, 0o750); err != nil {
			return err
		}
	}
	config.HTTPClient = &http.Client{Transport: recorder}
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	l := &lab{client: client, recorder: recorder, model: s.model}
	defer func() { err = errors.Join(err, l.clean(context.WithoutCancel(ctx))) }()

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, q := range questions {
		recorder.name(q.name)
		began := time.Now()
		answer, err := q.ask(ctx, l)
		if err != nil {
			answer = cmp.Or(answer, "no answer") + ": " + err.Error()
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", q.name, q.text, answer)
		if ctx.Err() != nil {
			break
		}
		if d := time.Since(began); d > time.Minute {
			_, _ = fmt.Fprintf(table, "%s\t\tthis took %v\n", q.name, d.Round(time.Second))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d exchanges", recorder.count)
	if s.folder != "" {
		_, _ = fmt.Fprintf(out, ", in %s", s.folder)
	}
	_, _ = fmt.Fprintln(out)
	return errors.Join(ctx.Err(), recorder.err)
}
