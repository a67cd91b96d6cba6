// Command mistral-emulator serves an emulation of Mistral's beta Conversations and
// Agents API, limits included, for clients in any language. See package emulator.
//
//	go run ./cmd/mistral-emulator -rps 1.2 -tpm 100000 -mode sliding-window
//	go run ./cmd/mistral-emulator -script replies.yaml -faults faults.yaml
//
// It prints the address to use as a base URL; any API key will do. The option
// -help lists all options, with examples and the kinds of faults.
// [emulator.ParseScript] and [emulator.ParseFaults] say all of what the files are like.
//
// The control endpoint, /_emulator/ (see package emulator), is on: a program in another
// language has no other way to ask what came and to change what goes wrong, and the
// command listens on the loopback interface unless told otherwise. It shows the bodies
// of requests, so on another address set -key, which then guards it too, or
// -control=false.
//
// Requests are refused with 403 if their Host is not a name of the loopback interface,
// the host of -addr or a name that -allow-host lists. The same applies to requests of web
// pages, unless -allow-origin lists the page's origin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/plainflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2) // run has printed what is wrong.
	case err != nil:
		fmt.Fprintln(os.Stderr, "mistral-emulator:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// grace is how long requests may go on after an interrupt.
const grace = 5 * time.Second

// run serves until the context ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cfg emulator.Config
	flags := flag.NewFlagSet("mistral-emulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Errors are put in other words: see plainflag.Error.
	addr := flags.String("addr", "127.0.0.1:8585", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&cfg.APIKey, "key", "", "API `key` that requests must carry (default any)")
	flags.Func("rps", "`requests` per second of each model; fractions are fine (default no limit)", plainflag.Number(&cfg.RequestsPerSecond))
	flags.Func("tpm", "`tokens` per minute of each model (default no limit)", whole(&cfg.TokensPerMinute))
	flags.Func("limit", "limits of one model, as `model=rps/tpm`, 0 for no limit; may be given several times", limitFlag(&cfg.Limits, parseLimit))
	flags.Func("tool-limit", "runs of one of the service's tools, as `tool=minute/day`, 0 for no limit; may be given several times", limitFlag(&cfg.ToolLimits, parseToolLimit))
	flags.Func("model", "`name` of a model that there is, others get 400; may be given several times (default any)", listFlag(&cfg.Models))
	flags.TextVar(&cfg.Mode, "mode", emulator.TokenBucket, "`mode` in which limits count: token-bucket, fixed-window or sliding-window")
	flags.Func("latency", "`time` before each response, as 300ms (default none)", duration(&cfg.Latency))
	flags.Func("latency-spread", "`time` by which the latency of a call is less or more, by -seed (default none)", duration(&cfg.LatencySpread))
	flags.Func("token-delay", "`time` between the deltas of a stream, as 20ms; a plain response takes as long as its stream (default none)", duration(&cfg.TokenDelay))
	flags.Func("tokens-per-second", "`tokens` per second that a model writes, in place of -token-delay (default no bound)", plainflag.Number(&cfg.TokensPerSecond))
	flags.BoolVar(&cfg.Control, "control", true, "serve /_emulator/, to inspect and control the emulator; with -key it needs the key")
	flags.Func("allow-host", "`name` that requests may have as Host, beside localhost and -addr; \"*\" is any; may be given several times", listFlag(&cfg.AllowedHosts))
	flags.Func("allow-origin", "`origin` of web pages that may send requests, as http://localhost:3000; may be given several times", listFlag(&cfg.AllowedOrigins))
	flags.Func("seed", "`number` that decides which requests have faults with a probability, and the latency of each (default 0)", seed(&cfg.Seed))
	script := flags.String("script", "", "`file` with rules for what the model answers, YAML or JSON (default the built-in model)")
	faults := flags.String("faults", "", "`file` with what goes wrong, and when, YAML or JSON (default nothing)")
	flags.BoolVar(&cfg.RetryAfter, "retry-after", false, "send Retry-After with a 429, which the real API does not")
	flags.BoolVar(&cfg.ChatHeaders, "chat-headers", false, "send what is left of a minute's requests and the cost of a call too, as the real API does with chat completions only")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stdout)
			usage(flags)
			return err
		}
		_, _ = fmt.Fprintf(stderr, "mistral-emulator: %v\nmistral-emulator -help lists the flags, with examples\n", plainflag.Error(flags, err))
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err := readFiles(&cfg, *script, *faults); err != nil {
		return err
	}
	server, err := emulator.Listen(*addr, cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(*addr) // It has been tried.
		return fmt.Errorf("%w; -addr %s takes a free port", err, net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return err
	}
	key := cfg.APIKey
	if key == "" {
		key = "any"
	}
	_, _ = fmt.Fprintf(stdout, `Listening on %[1]s

curl %[1]s/v1/conversations \
  -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
  -d '{"model": "mistral-small-latest", "inputs": "Count to 5", "stream": true}'
`, server.URL(), key)
	if cfg.Control {
		_, _ = fmt.Fprintf(stdout, "\nState, faults and requests: %s/_emulator/{state,faults,requests}\n", server.URL())
	}
	<-ctx.Done()
	_, _ = fmt.Fprintln(stdout, "Stopping")
	shutdown, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(shutdown); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // What took longer has been cut off.
}

// readFiles reads the script and the faults; "": no file.
func readFiles(cfg *emulator.Config, script, faults string) error {
	if script != "" {
		data, err := os.ReadFile(script)
		if err != nil {
			return err
		}
		if cfg.Model, err = emulator.ParseScript(data); err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
	}
	if faults != "" {
		data, err := os.ReadFile(faults)
		if err != nil {
			return err
		}
		if cfg.Faults, err = emulator.ParseFaults(data); err != nil {
			return fmt.Errorf("%s: %w", faults, err)
		}
	}
	return nil
}
