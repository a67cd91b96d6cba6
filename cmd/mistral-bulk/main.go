// Command mistral-bulk sends many prompts through a small quota, and goes on where it stopped. See
// package bulk.
//
//	go run ./cmd/mistral-bulk -model mistral-small-latest -o out.jsonl in.jsonl
//	go run ./cmd/mistral-bulk -plan -model mistral-small-latest -o out.jsonl in.jsonl
//	go run ./cmd/mistral-bulk -emulator -model mistral-small-latest -o out.jsonl in.jsonl
//
// The key comes from the environment variable MISTRAL_API_KEY; with -emulator none is needed. The
// option -help lists all options, with examples.
//
// Exit status: 0 if all rows have a response, 1 if some have failed, 2 for a wrong option, 3 if it
// stopped before the end (an interrupt, -deadline, -budget-tokens, -max-rows), and 4 after an error
// that ended the job, such as an invalid key. After 1, 3 and 4 the same command goes on.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The exit statuses.
const (
	statusDone = iota
	statusSomeFailed
	statusUsage
	statusStopped
	statusError
)

func main() {
	debug.SetGCPercent(50) // a million rows that are done are to fit into 100 MB
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, interrupts))
}

// streams are those of the process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out the command and returns its exit status. The first interrupt lets calls in flight
// end, the second one cancels them.
func run(args []string, s streams, interrupts <-chan os.Signal) int {
	c, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(s.out)
		return statusDone
	case err != nil:
		_, _ = fmt.Fprintf(s.err, "mistral-bulk: %v\nmistral-bulk -help lists the options, with examples\n", err)
		return statusUsage
	}
	c.streams = s
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	go func() {
		select {
		case <-interrupts:
			_, _ = fmt.Fprintln(s.err, "\nStopping when the calls in flight have ended; interrupt again to cancel them")
			close(stop)
		case <-ctx.Done():
			return
		}
		select {
		case <-interrupts:
			cancel()
		case <-ctx.Done():
		}
	}()
	c.options.Stop = stop
	status, err := c.run(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(s.err, "mistral-bulk:", err)
		return statusError
	}
	return status
}

// run carries out the job.
func (c *command) run(ctx context.Context) (status int, err error) {
	if c.emulator {
		server, err := emulator.Start(c.emulatorConfig())
		if err != nil {
			return 0, err
		}
		defer func() { _ = server.Close() }()
		c.client.BaseURL, c.client.APIKey, c.client.StateFile = server.URL(), "no-key-needed", noState
	}
	if c.client.StateFile, err = stateFile(c.client); err != nil {
		return 0, err
	}
	client, err := ratelimited.New(c.client)
	if config := (*ratelimited.ConfigError)(nil); errors.As(err, &config) && config.Field == "StateFile" {
		err = fmt.Errorf("%w; -state names another file, or none", err)
	}
	if err != nil {
		return 0, err
	}
	defer client.Close()
	journal, err := c.journal()
	if err != nil {
		return 0, err
	}
	if journal != nil {
		defer func() { err = errors.Join(err, journal.Close()) }()
	}
	c.options.Journal = journal
	if c.plan || isFile(c.input) {
		if c.options.Forecast, err = c.forecast(ctx, client); err != nil {
			return 0, err
		}
		c.showPlan(c.options.Forecast)
	}
	if c.plan {
		return statusDone, nil
	}
	source, done, err := c.source()
	if err != nil {
		return 0, err
	}
	defer done()
	show := newDisplay(c)
	c.options.Progress = show.progress
	summary, err := bulk.Run(ctx, client, source, journal, c.options)
	show.end()
	if summary == nil {
		return 0, err
	}
	c.showSummary(summary, err)
	switch {
	case err != nil:
		return 0, err
	case summary.Stopped != "":
		return statusStopped, nil
	case !summary.IsComplete():
		return statusSomeFailed, nil
	}
	return statusDone, nil
}

// noState is the -state of a run without a state file.
const noState = "none"

// stateFile returns the path of the client's state file, by default one for each server and key: accounts have limits of
// their own. A plan goes on from that too.
func stateFile(client ratelimited.Config) (string, error) {
	switch client.StateFile {
	case noState:
		return "", nil
	case "":
	default:
		return client.StateFile, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("-state: %w: name a file, or none", err)
	}
	account := sha256.Sum256([]byte(client.BaseURL + " " + cmp.Or(client.APIKey, os.Getenv("MISTRAL_API_KEY"))))
	return filepath.Join(dir, "mistral-bulk", fmt.Sprintf("state-%x.json", account[:4])), nil
}

// journal opens the output. A plan makes no file.
func (c *command) journal() (*bulk.Journal, error) {
	if c.plan {
		_, err := os.Stat(c.output) //nolint:gosec // a command reads the files it is told to
		if c.output == "" || errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return bulk.OpenJournal(c.output)
}

// isFile reports whether an input can be read twice. What comes from another program can be read once.
func isFile(input string) bool {
	info, err := os.Stat(input) //nolint:gosec // a command reads the files it is told to
	return input != "-" && err == nil && info.Mode().IsRegular()
}

// source opens the input.
func (c *command) source() (source bulk.Source, done func(), err error) {
	reader, done := c.in, func() {}
	if c.input != "-" {
		file, err := os.Open(c.input) //nolint:gosec // a command reads the files it is told to
		if err != nil {
			return nil, nil, err
		}
		reader, done = file, func() { _ = file.Close() }
	}
	if !isFile(c.input) {
		reader, done = c.interruptible(reader)
	}
	if c.lines {
		return bulk.Lines(reader), done, nil
	}
	return bulk.JSONL(reader), done, nil
}

// interruptible returns a reader that fails when the job is to stop, also while r waits for input, and
// a function that ends it.
func (c *command) interruptible(r io.Reader) (_ io.Reader, end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	if at := c.options.Deadline; !at.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, at)
	}
	pipe, into := io.Pipe()
	go func() {
		_, err := io.Copy(into, r)
		_ = into.CloseWithError(err)
	}()
	go func() {
		select {
		case <-c.options.Stop:
		case <-ctx.Done():
		}
		_ = pipe.CloseWithError(errInterrupted)
	}()
	return pipe, cancel
}

var errInterrupted = errors.New("interrupted")

func (c *command) forecast(ctx context.Context, client *ratelimited.Client) (*bulk.Forecast, error) {
	source, done, err := c.source()
	if err != nil {
		return nil, err
	}
	defer done()
	return bulk.Plan(ctx, client, source, c.options)
}

// emulatorConfig returns an emulator with the limits that the client is given, or those of a small
// account.
func (c *command) emulatorConfig() emulator.Config {
	config := emulator.Config{
		RequestsPerSecond: c.client.RequestsPerSecond, TokensPerMinute: c.client.TokensPerMinute,
		Mode: emulator.SlidingWindow, Latency: 800 * time.Millisecond, LatencySpread: 300 * time.Millisecond,
	}
	if config.RequestsPerSecond == 0 {
		config.RequestsPerSecond = 5
	}
	if config.TokensPerMinute == 0 {
		config.TokensPerMinute = 100_000
	}
	return config
}
