// Command mistral-bulk sends a file of prompts to Mistral's Conversations API within the rate
// limits of an account. After an interruption, the same command continues the job. See package
// bulk.
//
//	go run ./cmd/mistral-bulk -model mistral-small-latest -o out.jsonl in.jsonl
//	go run ./cmd/mistral-bulk -plan -model mistral-small-latest -o out.jsonl in.jsonl
//	go run ./cmd/mistral-bulk -emulator -model mistral-small-latest -o out.jsonl in.jsonl
//
// The API key is read from the environment variable MISTRAL_API_KEY. With -emulator no key is
// needed. The option -help lists all options, with examples.
//
// The exit status is 0 if all rows have a response, 1 if some rows failed, and 2 if an option is
// invalid. It is 3 if the job stopped before the end, because of an interrupt, -deadline,
// -budget-tokens or -max-rows. It is 4 if an error ended the job, such as an invalid key. After 1,
// 3 and 4 the same command continues the job.
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
	debug.SetGCPercent(50) // keeps a million finished rows within 100 MB
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, interrupts))
}

// streams are the standard streams of the process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes the command and returns its exit status. After the first interrupt, it waits for the
// calls in flight. The second interrupt cancels them.
func run(args []string, s streams, interrupts <-chan os.Signal) int {
	c, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(s.out)
		return statusDone
	case err != nil:
		_, _ = fmt.Fprintf(s.err, "mistral-bulk: %v\nRun mistral-bulk -help for options and examples.\n", err)
		return statusUsage
	}
	c.streams = s
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	go func() {
		select {
		case <-interrupts:
			_, _ = fmt.Fprintln(s.err, "\nStopping after the calls in flight; interrupt again to cancel them")
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
		if config := (*ratelimited.ConfigError)(nil); errors.As(err, &config) && config.Field == "BaseURL" {
			return statusUsage
		}
		return statusError
	}
	return status
}

// run executes the job.
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
		err = fmt.Errorf("%w; set another file, or none, with -state", err)
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
	var outputSize int64                            // before this run
	if info, err := os.Stat(c.output); err == nil { //nolint:gosec // the user chooses the files
		outputSize = info.Size()
	}
	summary, err := bulk.Run(ctx, client, source, journal, c.options)
	show.end()
	if summary == nil {
		return 0, err
	}
	c.showSummary(summary, outputSize, err)
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

// noState is the value of -state that disables the state file.
const noState = "none"

// stateFile returns the path of the client's state file. The default is one file for each server
// and API key, because each account has its own limits. A plan uses it, too.
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
		return "", fmt.Errorf("-state: %w: must be a file or none", err)
	}
	account := sha256.Sum256([]byte(client.BaseURL + " " + cmp.Or(client.APIKey, os.Getenv("MISTRAL_API_KEY"))))
	return filepath.Join(dir, "mistral-bulk", fmt.Sprintf("state-%x.json", account[:4])), nil
}

// journal opens the output. With -plan it does not create a file.
func (c *command) journal() (*bulk.Journal, error) {
	if c.plan {
		_, err := os.Stat(c.output) //nolint:gosec // the user chooses the files
		if c.output == "" || errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return bulk.OpenJournal(c.output)
}

// isFile reports whether an input is a regular file, which can be read twice.
func isFile(input string) bool {
	info, err := os.Stat(input) //nolint:gosec // the user chooses the files
	return input != "-" && err == nil && info.Mode().IsRegular()
}

// source opens the input.
func (c *command) source() (source bulk.Source, done func(), err error) {
	reader, done := c.in, func() {}
	if c.input != "-" {
		file, err := os.Open(c.input) //nolint:gosec // the user chooses the files
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

// interruptible returns a reader that fails when the job has to stop, even while r waits for input.
// The function end releases it.
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

// emulatorConfig returns the configuration of the emulator, with the limits of the client or those
// of a small account.
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
