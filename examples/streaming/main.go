// Command streaming prints each event of a streamed reply, and knows all ten types that
// there are, and one that there is not.
//
//	go run ./examples/streaming
//
// With MISTRAL_API_KEY set it talks to the real API, which sends what the reply needs,
// and seldom all types. Without, it starts the emulator, which sends all, and needs no
// key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	if err := run(context.Background()); err != nil {
		log.Fatalln("streaming:", err)
	}
}

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	questions := []string{"Search the web for the weather in Paris."}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{
			Model: scripted, TokenDelay: 50 * time.Millisecond,
			// An event of a type that is not known yet, after the first of the first stream.
			Faults: []emulator.Fault{{Kind: emulator.FaultUnknownEvent, Nth: 1, Events: 1}},
		})
		if err != nil {
			return err
		}
		defer server.Close()
		config.BaseURL, config.APIKey = server.URL(), "no-key-needed"
		questions = append(questions, breakOff) // which no real model does when asked
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	var seen tally
	for _, question := range questions {
		fmt.Printf("\n> %s\n", question)
		stream, err := client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{
			Model: "mistral-medium-latest", Inputs: ratelimited.Text(question),
			Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
			Store: ratelimited.Ptr(false), // nothing to delete
		})
		if err != nil {
			return err
		}
		if err := seen.show(stream); err != nil {
			return err
		}
		fmt.Printf("The whole text: %s\n", stream.Text())
	}
	fmt.Printf("\nSeen: %d types of events, %d of them unknown to this version.\n", len(seen.types), seen.unknown)
	return nil
}

// A tally is the types of events that were seen.
type tally struct {
	types   map[string]bool
	unknown int
}

// show prints the events of a stream. The loop closes it, however it is left.
func (t *tally) show(stream *ratelimited.Stream) error {
	for event, err := range stream.Events() {
		// A reply that the service breaks off ends with an error: this is how the event
		// conversation.response.error arrives. What came before counts as used.
		var failure *ratelimited.StreamError
		if errors.As(err, &failure) && failure.Code != 0 {
			t.note(generated.StreamEventTypeConversationResponseError, "code %d: %s", failure.Code, failure.Message)
			return nil
		}
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case generated.ResponseStartedEvent:
			t.note(e.Type, "%.5s…", e.ConversationID)
		case generated.MessageOutputEvent:
			t.note(e.Type, "%q", e.Content.Text())
		case generated.ToolExecutionStartedEvent:
			t.note(e.Type, "%s", e.Name)
		case generated.ToolExecutionDeltaEvent:
			t.note(e.Type, "%s is given %s", e.Name, e.Arguments)
		case generated.ToolExecutionDoneEvent:
			var info struct {
				Result any `json:"result"`
			}
			if err := generated.DecodeJSON(e.Info, &info); err != nil {
				return err
			}
			t.note(e.Type, "%s returns %v", e.Name, info.Result)
		case generated.FunctionCallEvent:
			t.note(e.Type, "%s is to be called with %q", e.Name, e.Arguments)
		case generated.AgentHandoffStartedEvent:
			t.note(e.Type, "from %s", e.PreviousAgentName)
		case generated.AgentHandoffDoneEvent:
			t.note(e.Type, "to %s", e.NextAgentName)
		case generated.ResponseDoneEvent:
			t.note(e.Type, "%d tokens", e.Usage.TotalTokens)
		case generated.UnknownStreamEvent: // the service is newer than this version
			t.unknown++
			t.note(generated.StreamEventType(e.Type), "unknown: %d bytes of JSON", len(e.Raw))
		}
	}
	return nil
}

// note prints an event and remembers its type.
func (t *tally) note(eventType generated.StreamEventType, format string, values ...any) {
	if t.types == nil {
		t.types = map[string]bool{}
	}
	t.types[string(eventType)] = true
	fmt.Printf("  %-32s %s\n", eventType, fmt.Sprintf(format, values...))
}

const breakOff = "Break off."

// scripted is the emulator's model in this example, which uses all that there are events of.
func scripted(_ context.Context, p emulator.Prompt) emulator.Reply {
	if p.Text() == breakOff {
		return emulator.Reply{Text: "I was about to", Err: errors.New("the model has failed")}
	}
	return emulator.Reply{
		Entries: []generated.Entry{
			generated.NewEntry(generated.ToolExecutionEntry{
				Name: "web_search", Arguments: `{"query":"weather Paris"}`, Info: map[string]any{"result": "sunny"},
			}),
			generated.NewEntry(generated.FunctionCallEntry{Name: "thermometer", Arguments: `{"city": "Paris"}`}),
			generated.NewEntry(generated.AgentHandoffEntry{
				PreviousAgentID: "ag_1", PreviousAgentName: "Searcher", NextAgentID: "ag_2", NextAgentName: "Writer",
			}),
		},
		Text: "It is sunny in Paris.",
	}
}
