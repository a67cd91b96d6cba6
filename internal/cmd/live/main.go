// Command live sends requests to the real API about behavior that its documentation does not specify,
// and about how the account is charged:
//
//	go run ./internal/cmd/live -o exchanges
//
// With MISTRAL_API_KEY it makes about 25 small calls, prints a report, and writes each exchange
// without the key to a file, as a record of the service's behavior for tests. It deletes the
// conversations and agents that it creates. Without the key it uses the emulator, whose behavior is
// this module's assumption.
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
	flag.StringVar(&s.folder, "o", "", "`folder` for the exchanges; without it, live writes no files")
	flag.StringVar(&s.model, "model", "mistral-small-latest", "the model to use")
	flag.Float64Var(&s.requestsPerSecond, "rps", 1, "initial requests `per second`")
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
	baseURL            string  // Empty: the real API with a key, the emulator without.
	requestsPerSecond  float64 // The initial rate for the real API.
}

// run sends the requests of all questions one after another and prints the answers. It continues
// after a question that fails.
func run(ctx context.Context, out io.Writer, s settings) (err error) {
	config := ratelimited.Config{APIKey: s.key, BaseURL: s.baseURL, LearnLimits: true, RequestsPerSecond: s.requestsPerSecond}
	if s.key == "" {
		server, err := emulator.Start(emulator.Config{TokensPerMinute: 500_000, Model: emulatedModel})
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }()
		config.APIKey, config.BaseURL, config.RequestsPerSecond = "no-key-needed", server.URL(), 100
		_, _ = fmt.Fprintln(out, "Using the embedded emulator: MISTRAL_API_KEY is not set.")
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
	l := &session{client: client, recorder: recorder, model: s.model}
	defer func() { err = errors.Join(err, l.cleanUp(context.WithoutCancel(ctx))) }()

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, q := range questions {
		recorder.setQuestion(q.name)
		begin := time.Now()
		answer, err := q.ask(ctx, l)
		if err != nil {
			answer = cmp.Or(answer, "no answer") + ": " + err.Error()
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", q.name, q.text, answer)
		if ctx.Err() != nil {
			break
		}
		if d := time.Since(begin); d > time.Minute {
			_, _ = fmt.Fprintf(table, "%s\t\tduration: %v\n", q.name, d.Round(time.Second))
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
