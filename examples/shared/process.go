package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// jobVariable holds the job of a child process, as JSON.
const jobVariable = "SHARED_JOB"

const model = "mistral-small-latest"

// A job holds the parameters of a child process.
type job struct {
	Redis, Prefix, Server string
	RequestsPerSecond     float64
	TokensPerMinute       int
	Callers               int
	For                   time.Duration
}

// An outcome holds the results of a child process.
type outcome struct {
	Calls, Tokens, Failed int
	Wait, MaxWait         time.Duration
	Failures              []string // the first three errors
}

// respond is the emulator's model. Its responses have 10 to 199 words.
func respond(context.Context, emulator.Prompt) emulator.Reply {
	return emulator.Reply{Text: strings.Repeat("word ", 10+rand.IntN(190))}
}

// work runs a job and prints its outcome.
func work(text string, out io.Writer) error {
	j, err := decode[job]([]byte(text))
	if err != nil {
		return err
	}
	options, err := redis.ParseURL(j.Redis)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	store, err := redislimiter.Open(context.Background(), rdb, redislimiter.Config{Prefix: j.Prefix})
	if err != nil {
		return err
	}
	defer store.Close()
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "no-key-needed", BaseURL: j.Server,
		RequestsPerSecond: j.RequestsPerSecond, TokensPerMinute: j.TokensPerMinute,
		Limiter: store.Limiter,
	})
	if err != nil {
		return err
	}
	if err := new(tokens.Counter).Load(); err != nil { // loads the vocabulary before the first call
		return err
	}
	// The parent closes standard input when all processes are ready, so that they start together.
	_, _ = fmt.Fprintln(out, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	// Cancel instead of a deadline, because the limiter rejects calls that would exceed a deadline.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(j.For, cancel).Stop()
	var o outcome
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range j.Callers {
		callers.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
					Model: model, Inputs: ratelimited.Text("Write a few sentences."),
				})
				mu.Lock()
				switch waited := time.Since(begin); {
				case err == nil:
					o.Calls++
					o.Tokens += response.Usage.TotalTokens
					o.Wait += waited
					o.MaxWait = max(o.MaxWait, waited)
				case ctx.Err() == nil:
					o.Failed++
					if len(o.Failures) < 3 {
						o.Failures = append(o.Failures, err.Error())
					}
				}
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return json.NewEncoder(out).Encode(o)
}

// A process is a child process that runs a job.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	stdout  *bufio.Reader
	stderr  bytes.Buffer
}

// startProcess starts a child process and returns when the process is ready.
func startProcess(ctx context.Context, j job) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p := &process{command: exec.CommandContext(ctx, self)} //nolint:gosec // starts this program
	p.command.Env = append(os.Environ(), jobVariable+"="+string(text))
	p.command.Stderr = &p.stderr
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if _, err := p.stdout.ReadString('\n'); err != nil {
		_, err = p.wait()
		return nil, err
	}
	return p, nil
}

// begin starts the calls of the process.
func (p *process) begin() { _ = p.stdin.Close() }

// kill kills the process with its calls in flight.
func (p *process) kill() { _ = p.command.Process.Kill() }

func (p *process) wait() (outcome, error) {
	text, _ := io.ReadAll(p.stdout) // the error of Wait is more informative
	if err := p.command.Wait(); err != nil {
		return outcome{}, fmt.Errorf("%w\n%s", err, p.stderr.String())
	}
	return decode[outcome](text)
}
