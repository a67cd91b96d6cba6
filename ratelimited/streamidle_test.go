package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// broken sends the head of a stream and then cuts the connection.
func broken(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streaming(head)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// silent sends the head of a stream and then nothing more.
func silent(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streaming(head)(w, r)
		<-r.Context().Done()
	}
}

// Until the first event has come a stream is tried again, unless it was silent for too
// long; afterwards never.
func TestStreamIsRetriedUntilItsFirstEvent(t *testing.T) {
	for name, test := range map[string]struct {
		first   http.HandlerFunc
		retried bool
		events  int           // of the first attempt
		took    time.Duration // by it
	}{
		"cut at once":         {broken(""), true, 0, 0},
		"cut after a comment": {broken(": hello\n\n"), true, 0, 0},
		"cut within an event": {broken(started[:20]), true, 0, 0},
		"ended at once":       {streaming(""), true, 0, 0},
		"silent at once":      {silent(""), false, 0, time.Minute},
		"cut after an event":  {broken(started), false, 1, 0},
		"silent after one":    {silent(started), false, 1, time.Minute},
		"ended after one":     {streaming(started), false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			handler := inTurn(test.first, streaming(started+hello+done))
			config := fast
			config.BaseDelay, config.MaxDelay = time.Second, time.Second
			inBubble(t, config, func(w http.ResponseWriter, r *http.Request) { requests++; handler(w, r) }, func(t *testing.T, client *ratelimited.Client) {
				begin := time.Now()
				var events []sse.Event
				stream, err := openedStream(t.Context(), client)
				if err == nil {
					events, err = collect(stream)
				}
				s := snapshot(client)
				if test.retried {
					// The attempt that failed may have been carried out: it counts as estimated.
					if err != nil || len(events) != 3 || requests != 2 || s.TokensSettled != 8+unknownReply+15 {
						t.Errorf("%d events of %d requests, %d tokens: %v", len(events), requests, s.TokensSettled, err)
					}
					if took := time.Since(begin); took != test.took+time.Second {
						t.Errorf("it took %v, want %v", took, test.took+time.Second)
					}
					return
				}
				if took := time.Since(begin); took != test.took || requests != 1 {
					t.Errorf("%d requests in %v, want one in %v", requests, took, test.took)
				}
				if test.events == 0 {
					if !errors.As(err, new(*ratelimited.TransportError)) || !errors.Is(err, context.DeadlineExceeded) || s.TokensSettled != 8+unknownReply {
						t.Errorf("%d tokens: %v, want a TransportError of a timeout, and the estimate", s.TokensSettled, err)
					}
					return
				}
				var broke *ratelimited.StreamError
				if !errors.As(err, &broke) || broke.Events != test.events || s.TokensSettled != 8 {
					t.Errorf("%d requests, %d tokens: %v, want a StreamError after one event", requests, s.TokensSettled, err)
				}
			})
		})
	}
}

func TestStreamThatFallsSilent(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = 5 * time.Second
	inBubble(t, config, silent(started+hello), func(t *testing.T, client *ratelimited.Client) {
		var err error
		took := elapsed(func() { _, err = collect(startStream(t.Context(), t, client)) })
		if took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 2 events: no event arrived for 5s") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Nothing counts while the caller is busy with an event.
func TestStreamThatIsNotSilent(t *testing.T) {
	config := fast
	config.StreamIdleTimeout = 2500 * time.Millisecond
	handler := streaming(started + "~: a comment\n\n~" + hello + "~" + done)
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		events := 0
		for _, err := range startStream(t.Context(), t, client).Events() {
			if err != nil {
				t.Fatal(err)
			}
			events++
			time.Sleep(time.Minute)
		}
		if events != 3 {
			t.Errorf("%d events, want 3", events)
		}
	})
}

// Each event is seen before the next is sent.
func TestEventsAreNotHeldBack(t *testing.T) {
	seen := make(chan int)
	handler := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			text := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":"%d"}`, i))
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			if got := <-seen; got != i {
				t.Errorf("event %d was seen, want %d", got, i)
			}
		}
		_, _ = io.WriteString(w, done)
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		i := 0
		for _, err := range startStream(t.Context(), t, client).Events() {
			if err != nil {
				t.Fatal(err)
			}
			if i < 20 {
				seen <- i
			}
			i++
		}
	})
}

// A thousand streams at once, which end in every way that there is: all books are
// closed, and nothing stays.
func TestThousandStreams(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1e6, TokensPerMinute: 1e9, StreamIdleTimeout: time.Minute}
	endings := []http.HandlerFunc{
		streaming(started + hello + world + done),
		streaming(started + hello),
		streaming(started + frame("conversation.response.error", `{"type":"conversation.response.error","message":"no","code":500}`)),
		streaming(started + frame("message.output.delta", `not JSON`)),
		broken(started + hello),
		silent(started + hello),
		streaming(started + "~" + hello + "~" + world + "~" + done),
	}
	turn := make(chan int, 1000)
	for i := range 1000 {
		turn <- i
	}
	handler := func(w http.ResponseWriter, r *http.Request) { endings[<-turn%len(endings)](w, r) }
	inBubble(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		inputs := make([]int, 1000)
		for i := range inputs {
			inputs[i] = i
		}
		results := ratelimited.Gather(t.Context(), inputs, func(ctx context.Context, input int) (int, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream := startStream(ctx, t, client)
			n := 0
			for _, err := range stream.Events() {
				if err != nil {
					return n, err
				}
				if n++; n < 2 {
					continue
				}
				switch input % 5 { // three of five leave early
				case 0:
					return n, nil
				case 1:
					cancel()
				case 2:
					_ = stream.Close()
				}
			}
			return n, nil
		})
		ended := 0
		for _, result := range results {
			if result.Err == nil {
				ended++
			}
		}
		if s := snapshot(client); s.Settled != 1000 || s.InFlight != 0 || ended == 0 || ended == 1000 {
			t.Errorf("%d of a thousand streams ended well; books: %+v", ended, s.Counters)
		}
	})
}
