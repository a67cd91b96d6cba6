// Command ratelimiting makes calls one after the other and then concurrently. It prints when each
// call started and when it could have started, and checks that the calls kept to the limit.
//
//	go run ./examples/ratelimiting
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

const (
	jitter     = 50 * time.Millisecond // extra spacing between calls to absorb network jitter
	sequential = 4                     // calls
	concurrent = 4                     // calls
)

var (
	requestsPerSecond = 1.2
	// interval is the time between the starts of two calls: 833 ms for 1.2 requests/s, plus jitter.
	interval = time.Duration(float64(time.Second)/requestsPerSecond) + jitter
)

func main() { setup.Main("ratelimiting", run) }

func run(ctx context.Context) error {
	var timetable timetable
	config := ratelimited.Config{
		RequestsPerSecond: requestsPerSecond, TokensPerMinute: 100_000, Jitter: jitter, Observer: timetable.observe,
	}
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: requestsPerSecond, TokensPerMinute: 100_000, Latency: 250 * time.Millisecond,
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

	ask := func(ctx context.Context, question string) (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(question),
			CompletionArgs: generated.CompletionArgs{MaxTokens: ratelimited.Ptr(20)},
			Store:          ratelimited.Ptr(false), // the server does not store the conversation
		})
	}
	if err := new(tokens.Counter).Load(); err != nil { // loads the vocabulary now, so that this time is not measured
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

// A call holds the times of one call.
type call struct {
	called, start, end time.Time     // the start of the call, its admission by the limiter, its end
	wait               time.Duration // the time that the call waited for the limiter
	throttled          int           // the number of attempts with status 429
}

// A timetable records when calls start and end.
type timetable struct {
	mu    sync.Mutex
	calls []*call
}

// observe is a [ratelimited.Observer].
func (t *timetable) observe(ctx context.Context, _ string) (context.Context, func(ratelimited.CallEvent)) {
	c := &call{called: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, c)
	return ctx, func(event ratelimited.CallEvent) {
		switch e := event.(type) {
		case ratelimited.Acquired:
			c.start, c.wait = time.Now(), e.WaitDuration
		case ratelimited.Attempted:
			if e.Status == http.StatusTooManyRequests {
				c.throttled++
			}
		case ratelimited.Ended:
			c.end = time.Now()
		}
	}
}

// report prints the table and the result. It returns an error if calls started too early or too
// late. All calls must have ended.
func (t *timetable) report(out io.Writer) error {
	slices.SortFunc(t.calls, func(a, b *call) int { return a.start.Compare(b.start) })
	fmt.Fprintf(out, "\nThe limit is %.1f requests/s, one call every %v.\n\n", requestsPerSecond, interval.Round(time.Millisecond))
	fmt.Fprintln(out, " call called   start     end     gap    wait  expected gap")

	var early, throttled int
	var late time.Duration
	first := t.calls[0].called
	for i, c := range t.calls {
		fmt.Fprintf(out, "%5d %6.3f %7.3f %7.3f ", i+1, c.called.Sub(first).Seconds(), c.start.Sub(first).Seconds(), c.end.Sub(first).Seconds())
		throttled += c.throttled
		if i == 0 {
			fmt.Fprintf(out, "      - %7.3f             -\n", c.wait.Seconds())
			continue
		}
		// A call can start one interval after the previous one, but not before the program makes it.
		previous := t.calls[i-1].start
		gap, expected := c.start.Sub(previous), max(interval, c.called.Sub(previous))
		fmt.Fprintf(out, "%7.3f %7.3f %13.3f\n", gap.Seconds(), c.wait.Seconds(), expected.Seconds())
		if gap < expected {
			early++
		}
		late += gap - expected
	}

	late /= time.Duration(len(t.calls) - 1)
	fmt.Fprintf(out, "\n%d of %d calls started too early, %d requests got status 429, the average delay was %v.\n",
		early, len(t.calls), throttled, late.Round(100*time.Microsecond))
	switch {
	case early > 0 || throttled > 0:
		fmt.Fprintln(out, "FAIL: the calls exceeded the limit.")
		return errors.New("the calls exceeded the limit")
	case late > interval/2:
		fmt.Fprintln(out, "FAIL: the calls waited longer than necessary.")
		return errors.New("the calls waited longer than necessary")
	}
	fmt.Fprintln(out, "PASS: the calls used the limit and did not exceed it.")
	return nil
}
