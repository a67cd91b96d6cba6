// Command async makes calls side by side in three ways: Async for one whose result is
// needed later, Gather for many of a kind whatever becomes of each, and an errgroup for
// some that are of use together only. The limiter spaces them all; nobody else has to.
//
//	go run ./examples/async
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	if err := run(context.Background()); err != nil {
		log.Fatalln("async:", err)
	}
}

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		config.RequestsPerSecond = 15
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Latency: 300 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		defer server.Close()
		config.BaseURL, config.APIKey = server.URL(), "no-key-needed"
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	ask := func(ctx context.Context, question string) (string, error) {
		response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(question),
			CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), MaxTokens: ratelimited.Ptr(20)},
			Store:          ratelimited.Ptr(false), // nothing to delete
		})
		return ratelimited.OutputText(response), err
	}

	// Async starts a call and returns at once; Await is for when its result is needed.
	future := ratelimited.Async(func() (string, error) { return ask(ctx, "What is 12 * 12? Reply with the number alone.") })

	// Gather makes a call of each input, and returns when all have ended.
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
	for i, result := range results { // in the order of the questions
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

	// A group's first error cancels its context, and with it the calls that are under way or
	// wait. It needs no SetLimit of its own: the limiter spaces its calls too.
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
	fmt.Printf("limiter:  %d calls admitted, %d attempts repeated, %v waited on average\n",
		s.Admitted, s.Retried, (s.TotalWait / time.Duration(s.Admitted)).Round(time.Millisecond))
	return nil
}

// progress shows how many calls have ended: in a terminal as a bar, else in a line for
// each ten.
type progress struct {
	total int

	mu   sync.Mutex
	done int
}

// step counts a call that has ended.
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
	fmt.Printf("%s[%s%s] %d of %d, %d under way, %d waiting", clearLine,
		strings.Repeat("#", p.done), strings.Repeat(".", p.total-p.done), p.done, p.total, s.InFlight, s.Waiting)
	if p.done == p.total {
		fmt.Println()
	}
}
