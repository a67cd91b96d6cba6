// Command shared runs several processes that share the limits of one account through Redis. The
// processes call the emulator. The program prints a table with the usage of each process.
//
//	cd examples/shared
//	go run . # four processes, ten seconds
//	go run . -processes 8 -callers 50 -for 2m -mode all -load all
//	go run . -break kill    # kills the first process after a third of the time
//	go run . -break restart # restarts Redis after a third of the time
//
// It uses the Redis at REDIS_URL. If REDIS_URL is not set, it starts the redis-server or
// valkey-server on the PATH on a free port. To install one: apt-get install redis-server, or
// brew install redis.
//
// The program checks the result of a run of at least two minutes without -break. The exit status
// is 1 if a call failed or got status 429, if the processes used less than 95% of the limit, or
// if the number of calls of a process deviates from the mean by more than 10%. The run needs
// enough callers to use the limit, and an idle machine. On a busy machine, calls arrive closer
// together than the processes sent them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func main() {
	if job := os.Getenv(jobVariable); job != "" {
		exit(work(job, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "shared:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// loads holds the limits of the account by the limit that the run reaches first.
var loads = map[string]limiter.Limit{
	"requests": {RequestsPerSecond: 20, TokensPerMinute: 1_000_000},
	"tokens":   {RequestsPerSecond: 50, TokensPerMinute: 60_000},
}

// options holds the flags.
type options struct {
	processes, callers int
	duration           time.Duration
	modes              []emulator.Mode
	loads              []string
	broken             string // "kill", "restart" or ""
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	server, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	var violations []error
	for _, mode := range o.modes {
		for _, load := range o.loads {
			r, err := measure(ctx, o, mode, load, server)
			if err != nil {
				return err
			}
			r.print(out)
			violations = append(violations, r.check())
		}
	}
	return errors.Join(violations...)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("shared", flag.ContinueOnError)
	flags.IntVar(&o.processes, "processes", 4, "number of processes")
	flags.IntVar(&o.callers, "callers", 8, "number of concurrent calls of each process")
	flags.DurationVar(&o.duration, "for", 10*time.Second, "duration of each run")
	mode := flags.String("mode", "sliding-window", "rate limit algorithm of the server: token-bucket, fixed-window, sliding-window or all")
	load := flags.String("load", "requests", "limit that the run reaches first: requests, tokens or all")
	flags.StringVar(&o.broken, "break", "", "fault after a third of the time: kill (the first process) or restart (Redis)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.processes < 1 || o.callers < 1 || o.duration <= 0 {
		return o, fmt.Errorf("-processes, -callers and -for must be above 0, got %d, %d and %v", o.processes, o.callers, o.duration)
	}
	if o.broken != "" && o.broken != "kill" && o.broken != "restart" {
		return o, fmt.Errorf("-break: must be kill or restart, got %q", o.broken)
	}
	for m := emulator.TokenBucket; m <= emulator.SlidingWindow; m++ {
		if *mode == "all" || *mode == m.String() {
			o.modes = append(o.modes, m)
		}
	}
	for _, name := range []string{"requests", "tokens"} {
		if *load == "all" || *load == name {
			o.loads = append(o.loads, name)
		}
	}
	if len(o.modes) == 0 {
		return o, fmt.Errorf("-mode: must be token-bucket, fixed-window, sliding-window or all, got %q", *mode)
	}
	if len(o.loads) == 0 {
		return o, fmt.Errorf("-load: must be requests, tokens or all, got %q", *load)
	}
	return o, nil
}

// A result holds the measurements of one run.
type result struct {
	options
	mode      emulator.Mode
	load      string
	limit     limiter.Limit
	server    emulator.ModelStats
	processes []outcome // without a killed process
	commands  int       // the number of script executions in Redis
}

// throttled returns the number of calls with status 429.
func (r result) throttled() int { return r.server.RefusedRequests + r.server.RefusedTokens }

// used returns the used share of each limit, as counted by the server. For tokens, a started
// minute counts as a whole minute, as in a server with windows.
func (r result) used() (requests, tokens float64) {
	minutes := math.Ceil(r.duration.Minutes())
	return float64(r.server.Admitted) / (r.limit.RequestsPerSecond * r.duration.Seconds()),
		float64(r.server.Tokens) / (float64(r.limit.TokensPerMinute) * minutes)
}

// deviation returns the largest deviation of a process's number of calls from the mean, as a
// share of the mean.
func (r result) deviation() float64 {
	var sum, largest float64
	for _, p := range r.processes {
		sum += float64(p.Calls)
	}
	mean := sum / float64(len(r.processes))
	for _, p := range r.processes {
		largest = max(largest, math.Abs(float64(p.Calls)-mean)/mean)
	}
	return largest
}

func (r result) print(out io.Writer) {
	_, _ = fmt.Fprintf(out, "%s server, %v requests/s and %d tokens/min; %d processes of %d callers, %v\n",
		r.mode, r.limit.RequestsPerSecond, r.limit.TokensPerMinute, r.options.processes, r.callers, r.duration)
	_, _ = fmt.Fprintf(out, "  %-8s %8s %8s %8s %10s %10s\n", "process", "calls", "tokens", "failed", "mean wait", "max wait")
	for i, p := range r.processes {
		_, _ = fmt.Fprintf(out, "  %-8d %8d %8d %8d %10v %10v\n", i+1, p.Calls, p.Tokens, p.Failed,
			(p.Wait / time.Duration(max(1, p.Calls))).Round(time.Millisecond), p.MaxWait.Round(time.Millisecond))
	}
	requests, tokens := r.used()
	_, _ = fmt.Fprintf(out, "  used: %.1f%% of the requests, %.1f%% of the tokens; responses with status 429: %d; largest deviation from the mean: %.1f%%; Redis commands: %.2f per call, %.0f/s\n\n",
		100*requests, 100*tokens, r.throttled(), 100*r.deviation(),
		float64(r.commands)/float64(max(1, r.server.Admitted)), float64(r.commands)/r.duration.Seconds())
}

// measure runs the processes against an emulator.
func measure(ctx context.Context, o options, mode emulator.Mode, load string, redis *redisServer) (result, error) {
	limit := loads[load]
	server, err := emulator.Start(emulator.Config{
		RequestsPerSecond: limit.RequestsPerSecond, TokensPerMinute: limit.TokensPerMinute, Mode: mode,
		Latency: 300 * time.Millisecond, Model: respond,
	})
	if err != nil {
		return result{}, err
	}
	defer server.Close()
	r := result{options: o, mode: mode, load: load, limit: limit}
	jobs := make([]*process, o.processes)
	for i := range jobs {
		jobs[i], err = startProcess(ctx, job{
			Redis: redis.url, Prefix: fmt.Sprintf("shared-%d-%s-%s", os.Getpid(), mode, load), Server: server.URL(),
			RequestsPerSecond: limit.RequestsPerSecond, TokensPerMinute: limit.TokensPerMinute,
			Callers: o.callers, For: o.duration,
		})
		if err != nil {
			return r, err
		}
	}
	before, err := redis.commands(ctx)
	if err != nil {
		return r, err
	}
	for _, job := range jobs {
		job.begin()
	}
	if o.broken != "" {
		fault := time.AfterFunc(o.duration/3, func() {
			if o.broken == "kill" {
				jobs[0].kill()
			} else if err := redis.restart(); err != nil {
				fmt.Fprintln(os.Stderr, "shared:", err)
			}
		})
		defer fault.Stop()
	}
	for i, job := range jobs {
		outcome, err := job.wait()
		if i == 0 && o.broken == "kill" {
			continue
		}
		if err != nil {
			return r, fmt.Errorf("process %d: %w", i+1, err)
		}
		r.processes = append(r.processes, outcome)
	}
	after, err := redis.commands(ctx)
	r.commands = after - before
	r.server = server.Stats().Models[model]
	return r, err
}

// decode decodes JSON.
func decode[T any](text []byte) (value T, err error) {
	err = json.Unmarshal(text, &value)
	return value, err
}
