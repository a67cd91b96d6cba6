// Command shared runs several processes that share one account's limits through
// Redis, against the emulator, and prints what each got: a table.
//
//	cd examples/shared
//	go run . # four processes, ten seconds
//	go run . -processes 8 -callers 50 -for 2m -mode all -load all
//	go run . -break kill    # the first process, after a third of the time
//	go run . -break restart # Redis
//
// It uses the Redis that REDIS_URL says, or else starts a redis-server or
// valkey-server of its own, on a free port, if there is one on the PATH. To get one:
// apt-get install redis-server, or brew install redis.
//
// A run of two minutes or more in which nothing is broken on purpose is judged: the exit
// status is 1, with the reason, if a call failed or was refused with a 429, if less than
// 95% of the limit that decides was used, or if the calls of a process differ from the
// mean by more than 10%. There have to be callers enough to use the limit, and a machine
// that is not busy: on one that is, calls arrive closer together than they were sent.
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

// loads are the limits of the account, for which one of them decides.
var loads = map[string]limiter.Limit{
	"requests": {RequestsPerSecond: 20, TokensPerMinute: 1_000_000},
	"tokens":   {RequestsPerSecond: 50, TokensPerMinute: 60_000},
}

// options say what is run.
type options struct {
	processes, callers int
	duration           time.Duration
	modes              []emulator.Mode
	loads              []string
	broken             string // kill, restart, or nothing
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
	var wrong []error
	for _, mode := range o.modes {
		for _, load := range o.loads {
			r, err := measure(ctx, o, mode, load, server)
			if err != nil {
				return err
			}
			r.print(out)
			wrong = append(wrong, r.judge())
		}
	}
	return errors.Join(wrong...)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("shared", flag.ContinueOnError)
	flags.IntVar(&o.processes, "processes", 4, "how many processes there are")
	flags.IntVar(&o.callers, "callers", 8, "how many calls each makes at a time")
	flags.DurationVar(&o.duration, "for", 10*time.Second, "how long")
	mode := flags.String("mode", "sliding-window", "how the server counts: token-bucket, fixed-window, sliding-window or all")
	load := flags.String("load", "requests", "which limit decides: requests, tokens or all")
	flags.StringVar(&o.broken, "break", "", "what breaks after a third of the time: kill (the first process) or restart (Redis)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.processes < 1 || o.callers < 1 || o.duration <= 0 {
		return o, errors.New("processes, callers and the time must be above 0")
	}
	if o.broken != "" && o.broken != "kill" && o.broken != "restart" {
		return o, fmt.Errorf("-break %q: want kill or restart", o.broken)
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
	if len(o.modes) == 0 || len(o.loads) == 0 {
		return o, fmt.Errorf("-mode %q or -load %q is none that there is", *mode, *load)
	}
	return o, nil
}

// A result is what came of one run.
type result struct {
	options
	mode      emulator.Mode
	load      string
	limit     limiter.Limit
	server    emulator.ModelStats
	processes []outcome // one that was killed has none
	commands  int       // of Redis, for the script
}

// refused is how many calls the server refused.
func (r result) refused() int { return r.server.RefusedRequests + r.server.RefusedTokens }

// used is how much of each limit the server counted, as a share of what may pass in
// the time: minutes that have begun count whole, as a window server sees them.
func (r result) used() (requests, tokens float64) {
	minutes := math.Ceil(r.duration.Minutes())
	return float64(r.server.Admitted) / (r.limit.RequestsPerSecond * r.duration.Seconds()),
		float64(r.server.Tokens) / (float64(r.limit.TokensPerMinute) * minutes)
}

// unfairness is by how much of the mean the calls of a process differ from it at most.
func (r result) unfairness() float64 {
	var sum, worst float64
	for _, p := range r.processes {
		sum += float64(p.Calls)
	}
	mean := sum / float64(len(r.processes))
	for _, p := range r.processes {
		worst = max(worst, math.Abs(float64(p.Calls)-mean)/mean)
	}
	return worst
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
	_, _ = fmt.Fprintf(out, "  used: %.1f %% of the requests, %.1f %% of the tokens; 429s: %d; farthest from the mean: %.1f %%; commands of Redis: %.2f a call, %.0f a second\n\n",
		100*requests, 100*tokens, r.refused(), 100*r.unfairness(),
		float64(r.commands)/float64(max(1, r.server.Admitted)), float64(r.commands)/r.duration.Seconds())
}

// measure runs the processes against an emulator.
func measure(ctx context.Context, o options, mode emulator.Mode, load string, redis *redisServer) (result, error) {
	limit := loads[load]
	server, err := emulator.Start(emulator.Config{
		RequestsPerSecond: limit.RequestsPerSecond, TokensPerMinute: limit.TokensPerMinute, Mode: mode,
		Latency: 300 * time.Millisecond, Model: answer,
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
		breaking := time.AfterFunc(o.duration/3, func() {
			if o.broken == "kill" {
				jobs[0].kill()
			} else if err := redis.restart(); err != nil {
				fmt.Fprintln(os.Stderr, "shared:", err)
			}
		})
		defer breaking.Stop()
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

// decode reads the JSON that a process prints.
func decode[T any](text []byte) (value T, err error) {
	err = json.Unmarshal(text, &value)
	return value, err
}
