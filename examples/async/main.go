// Command async makes concurrent calls in three ways: Async for one call whose result is needed
// later, Gather for many independent calls, and an errgroup for calls that must all succeed.
// The limiter spaces all of these calls; the program does not have to.
//
//	go run ./examples/async
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() { setup.Main("async", run) }

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 100_000}
	if setup.UsesEmulator() {
		config.RequestsPerSecond = 15
	}
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Latency: 300 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer stop()
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	ask := func(ctx context.Context, question string) (string, error) {
		response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(question),
			CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), MaxTokens: ratelimited.Ptr(20)},
			Store:          ratelimited.Ptr(false), // the server does not store the conversation
		})
		return ratelimited.OutputText(response), err
	}

	// Async starts a call and returns immediately. Await waits for its result.
	future := ratelimited.Async(func() (string, error) { return ask(ctx, "What is 12 * 12? Reply with the number alone.") })

	// Gather makes a call for each input and returns when all calls have ended.
	questions := make([]string, 50)
	for i := range questions {
		questions[i] = fmt.Sprintf("What is %d + %d? Reply with the number alone.", i, i)
	}
	bar := progress{total: len(questions)}
	results := ratelimited.Gather(ctx, questions, func(ctx context.Context, question string) (string, error) {
		answer, err := ask(ctx, question)
		bar.step(client)
		return answer, err
	})
	right := 0
	for i, result := range results { // results have the order of the questions
		switch {
		case result.Err != nil:
			fmt.Printf("%s %v\n", questions[i], result.Err)
		case strings.TrimSpace(result.Value) == strconv.Itoa(i+i):
			right++
		}
	}
	fmt.Printf("Gather:   %d of %d answers are right\n", right, len(results))

	answer, err := future.Await(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Async:    12 * 12 is %s\n", answer)

	// The first error cancels the group's context and with it all its other calls. The group
	// does not need SetLimit, because the limiter spaces its calls.
	group, groupCtx := errgroup.WithContext(ctx)
	var sum, product string
	group.Go(func() (err error) {
		sum, err = ask(groupCtx, "What is 3 + 4? Reply with the number alone.")
		return err
	})
	group.Go(func() (err error) {
		product, err = ask(groupCtx, "What is 3 * 4? Reply with the number alone.")
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Printf("errgroup: 3 + 4 is %s, 3 * 4 is %s\n", sum, product)

	s := client.Snapshot()[""]
	fmt.Printf("limiter:  %d calls admitted, %d retries, average wait %v\n",
		s.Admitted, s.Retried, (s.TotalWait / time.Duration(s.Admitted)).Round(time.Millisecond))
	return nil
}

// progress prints how many calls have ended: as a bar in a terminal, otherwise as a line for
// every ten calls.
type progress struct {
	total int

	mu   sync.Mutex
	done int
}

// step records the end of a call.
func (p *progress) step(client *ratelimited.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if info, err := os.Stdout.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		if p.done%10 == 0 {
			fmt.Printf("%d of %d calls have ended\n", p.done, p.total)
		}
		return
	}
	s := client.Snapshot()[""]
	const clearLine = "\r\x1b[K"
	fmt.Printf("%s[%s%s] %d of %d, %d in flight, %d waiting", clearLine,
		strings.Repeat("#", p.done), strings.Repeat(".", p.total-p.done), p.done, p.total, s.InFlight, s.Waiting)
	if p.done == p.total {
		fmt.Println()
	}
}
