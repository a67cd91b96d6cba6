// Command ratelimiting makes calls one after the other, and then all at once, prints
// when each started and why then, and judges by these figures whether the limit was kept.
//
//	go run ./examples/ratelimiting
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

const (
	jitter     = 50 * time.Millisecond // how much closer together calls may arrive than they were sent
	sequential = 4                     // calls
	concurrent = 4                     // calls
)

var (
	requestsPerSecond = 1.2
	// pace is how far apart the limiter starts calls: 0.833 s for 1.2 a second, and the jitter.
	pace = time.Duration(float64(time.Second)/requestsPerSecond) + jitter
)

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	if err := run(context.Background()); err != nil {
		log.Fatalln("ratelimiting:", err)
	}
}

func run(ctx context.Context) error {
	var timetable timetable
	config := ratelimited.Config{
		RequestsPerSecond: requestsPerSecond, TokensPerMinute: 100_000, Jitter: jitter, Observer: timetable.observe,
	}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: requestsPerSecond, TokensPerMinute: 100_000, Latency: 250 * time.Millisecond,
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

	ask := func(ctx context.Context, question string) (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(question),
			CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(20)},
			Store:          ratelimited.Ptr(false), // nothing to delete
		})
	}
	if err := new(tokens.Counter).Load(); err != nil { // takes a moment, which is not a wait for the limiter
		return err
	}
	for range sequential {
		if _, err := ask(ctx, "What is 2+2?"); err != nil {
			return err
		}
	}
	for _, result := range ratelimited.Gather(ctx, slices.Repeat([]string{"What is 3+3?"}, concurrent), ask) {
		if result.Err != nil {
			return result.Err
		}
	}
	return timetable.report(os.Stdout)
}

// A call is what the timetable has of one.
type call struct {
	asked, start, end time.Time     // called, admitted by the limiter, done
	wait              time.Duration // for the limiter
	refused           int           // attempts answered 429
}

// A timetable notes when calls start and end.
type timetable struct {
	mu    sync.Mutex
	calls []*call
}

// observe is a [ratelimited.Observer].
func (t *timetable) observe(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
	c := &call{asked: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, c)
	return ctx, func(event ratelimited.CallEvent) {
		switch e := event.(type) {
		case ratelimited.Acquired:
			c.start, c.wait = time.Now(), e.WaitDuration
		case ratelimited.Attempted:
			if e.Status == http.StatusTooManyRequests {
				c.refused++
			}
		case ratelimited.Ended:
			c.end = time.Now()
		}
	}
}

// report prints the table and the verdict, which is an error unless calls started when
// they should. It is for when all have ended.
func (t *timetable) report(out io.Writer) error {
	slices.SortFunc(t.calls, func(a, b *call) int { return a.start.Compare(b.start) })
	fmt.Fprintf(out, "\nThe limit: %.1f requests a second, so a call each %v.\n\n", requestsPerSecond, pace.Round(time.Millisecond))
	fmt.Fprintln(out, " call  asked   start     end     gap    wait  expected gap")

	var early, refused int
	var late time.Duration
	first := t.calls[0].asked
	for i, c := range t.calls {
		fmt.Fprintf(out, "%5d %6.3f %7.3f %7.3f ", i+1, c.asked.Sub(first).Seconds(), c.start.Sub(first).Seconds(), c.end.Sub(first).Seconds())
		refused += c.refused
		if i == 0 {
			fmt.Fprintf(out, "      - %7.3f             -\n", c.wait.Seconds())
			continue
		}
		// A call starts when the pace allows, or when it is asked for if that is later.
		previous := t.calls[i-1].start
		gap, expected := c.start.Sub(previous), max(pace, c.asked.Sub(previous))
		fmt.Fprintf(out, "%7.3f %7.3f %13.3f\n", gap.Seconds(), c.wait.Seconds(), expected.Seconds())
		if gap < expected {
			early++
		}
		late += gap - expected
	}

	late /= time.Duration(len(t.calls) - 1)
	fmt.Fprintf(out, "\n%d of %d calls started too early, %d requests were refused (429), calls started %v late on average.\n",
		early, len(t.calls), refused, late.Round(100*time.Microsecond))
	switch {
	case early > 0 || refused > 0:
		fmt.Fprintln(out, "FAIL: the limit was not kept.")
		return errors.New("the limit was not kept")
	case late > pace/2:
		fmt.Fprintln(out, "FAIL: the limit was kept, but not used.")
		return errors.New("calls waited longer than they had to")
	}
	fmt.Fprintln(out, "PASS: the limit was kept, and used.")
	return nil
}
