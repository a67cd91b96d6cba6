// Command mistral-emulator emulates Mistral's beta Conversations and Agents API, with its rate
// limits, for clients in any language. See package emulator.
//
//	go run ./cmd/mistral-emulator -rps 1.2 -tpm 100000 -mode sliding-window
//	go run ./cmd/mistral-emulator -script replies.yaml -faults faults.yaml
//
// It prints the address to use as a base URL. By default it accepts any nonempty API key. The flag
// -help lists all flags, with examples and the kinds of faults. [emulator.ParseScript] and
// [emulator.ParseFaults] describe the formats of the files.
//
// The control endpoint, /_emulator/, is on by default; see package emulator. Programs in other
// languages use it to inspect the requests and to change the faults. By default the command
// listens only on the loopback interface. The endpoint shows the content of requests:
// on another address set -key, which then protects the endpoint too, or -control=false.
//
// A request receives status 403 if its Host is not a name of the loopback interface, the host
// of -addr or a name given with -allow-host. The same applies to requests from web pages,
// unless -allow-origin lists the page's origin.
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
		os.Exit(2) // run has printed the error.
	case err != nil:
		fmt.Fprintln(os.Stderr, "mistral-emulator:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// shutdownTimeout bounds how long requests may continue after an interrupt.
const shutdownTimeout = 5 * time.Second

// run serves until the context ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cfg emulator.Config
	flags := flag.NewFlagSet("mistral-emulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // plainflag.Error rewrites the errors.
	addr := flags.String("addr", "127.0.0.1:8585", "`address` to listen on; port 0 selects a free port")
	flags.StringVar(&cfg.APIKey, "key", "", "API `key` that requests must carry (default any nonempty key)")
	flags.Func("rps", "limit of `requests` per second for each model; may be a fraction (default unlimited)", plainflag.Limit(&cfg.RequestsPerSecond))
	flags.Func("tpm", "limit of `tokens` per minute for each model (default unlimited)", whole(&cfg.TokensPerMinute))
	flags.Func("limit", "limits of one model, in the form `model=rps/tpm`; 0 means unlimited; repeatable", limitFlag(&cfg.Limits, parseLimit))
	flags.Func("tool-limit", "limits on the runs of one of the service's tools, in the form `tool=minute/day`; 0 means unlimited; repeatable", limitFlag(&cfg.ToolLimits, parseToolLimit))
	flags.Func("model", "`name` of an available model; requests for other models receive status 400; repeatable (default any model)", listFlag(&cfg.Models))
	flags.TextVar(&cfg.Mode, "mode", emulator.TokenBucket, "`mode` of the rate limits: token-bucket, fixed-window or sliding-window")
	flags.Func("latency", "`time` before each response, such as 300ms (default 0)", duration(&cfg.Latency))
	flags.Func("latency-spread", "maximum `time` by which the latency of a call differs from -latency; see -seed (default 0)", duration(&cfg.LatencySpread))
	flags.Func("token-delay", "`time` between the deltas of a stream, such as 20ms; a plain response takes as long as its stream (default 0)", duration(&cfg.TokenDelay))
	flags.Func("tokens-per-second", "`tokens` per second that the model generates, instead of -token-delay (default unlimited)", plainflag.Limit(&cfg.TokensPerSecond))
	flags.BoolVar(&cfg.Control, "control", true, "serve the control endpoint, /_emulator/; with -key it requires the key")
	flags.Func("allow-host", "additional `name` that the Host of a request may have, besides localhost and the host of -addr; \"*\" allows any; repeatable", listFlag(&cfg.AllowedHosts))
	flags.Func("allow-origin", "`origin` of web pages that may send requests, such as http://localhost:3000; repeatable", listFlag(&cfg.AllowedOrigins))
	flags.Func("seed", "`number` that determines the random choices: faults with a probability, and latencies (default 0)", seed(&cfg.Seed))
	script := flags.String("script", "", "YAML or JSON `file` with the rules of the model (default the built-in model)")
	faults := flags.String("faults", "", "YAML or JSON `file` with the faults to inject (default no faults)")
	flags.BoolVar(&cfg.RetryAfter, "retry-after", false, "send Retry-After with status 429; the real API does not send it")
	flags.BoolVar(&cfg.ChatHeaders, "chat-headers", false, "also send the headers for requests per minute and the cost of a call; the real API sends them only with chat completions")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		usage(flags)
		return err
	case err != nil:
		err = plainflag.Error(flags, err)
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "mistral-emulator: %v\nRun mistral-emulator -help for the flags and examples.\n", err)
		return errUsage
	}
	if err := readFiles(&cfg, *script, *faults); err != nil {
		return err
	}
	server, err := emulator.Listen(*addr, cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(*addr) // Listen has accepted the address.
		return fmt.Errorf("%w; to use a free port, set -addr %s", err, net.JoinHostPort(host, "0"))
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
		_, _ = fmt.Fprintf(stdout, "\nControl endpoint: %s/_emulator/{state,reset,faults,requests}\n", server.URL())
	}
	<-ctx.Done()
	_, _ = fmt.Fprintln(stdout, "Stopping")
	shutdown, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(shutdown); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // Shutdown has closed the remaining connections.
}

// readFiles reads the files of the script and the faults into cfg. It skips a file whose
// name is "".
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
