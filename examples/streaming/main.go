// Command streaming prints each event of a streamed response. It handles all ten event types and
// an event of an unknown type.
//
//	go run ./examples/streaming
//
// If MISTRAL_API_KEY is set, it uses the real API, which rarely sends all types in one
// response. Otherwise it starts the emulator, which sends all types, and does not need a key or
// a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() { setup.Main("streaming", run) }

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	questions := []string{"Search the web for the weather in Paris."}
	if setup.UsesEmulator() {
		questions = append(questions, failingQuestion)
	}
	stop, err := setup.Connect(&config, emulator.Config{
		Model: model, TokenDelay: 50 * time.Millisecond,
		// Insert an event of an unknown type after the first event of the first stream.
		Faults: []emulator.Fault{{Kind: emulator.FaultUnknownEvent, Nth: 1, Events: 1}},
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

	var received summary
	for _, question := range questions {
		fmt.Printf("\n> %s\n", question)
		stream, err := client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{
			Model: "mistral-medium-latest", Inputs: ratelimited.Text(question),
			Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
			Store: ratelimited.Ptr(false), // the server does not store the conversation
		})
		if err != nil {
			return err
		}
		if err := received.print(stream); err != nil {
			return err
		}
		fmt.Printf("Complete text: %s\n", stream.Text())
	}
	fmt.Printf("\nReceived %d types of events, %d of them unknown to this version.\n", len(received.types), received.unknown)
	return nil
}

// A summary counts the types of the received events.
type summary struct {
	types   map[string]bool
	unknown int // events of an unknown type
}

// print prints the events of a stream. Exiting the loop for any reason closes the stream.
func (s *summary) print(stream *ratelimited.Stream) error {
	for event, err := range stream.Events() {
		// The event conversation.response.error is returned as a *StreamError. It ends the
		// stream. The tokens of the partial response count as used.
		var failure *ratelimited.StreamError
		if errors.As(err, &failure) && failure.Code != 0 {
			s.record(generated.StreamEventTypeConversationResponseError, "code %d: %s", failure.Code, failure.Message)
			return nil
		}
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case generated.ResponseStartedEvent:
			s.record(e.Type, "%.5s…", e.ConversationID)
		case generated.MessageOutputEvent:
			s.record(e.Type, "%q", e.Content.Text())
		case generated.ToolExecutionStartedEvent:
			s.record(e.Type, "%s", e.Name)
		case generated.ToolExecutionDeltaEvent:
			s.record(e.Type, "arguments of %s: %s", e.Name, e.Arguments)
		case generated.ToolExecutionDoneEvent:
			var info struct {
				Result any `json:"result"`
			}
			if err := generated.DecodeJSON(e.Info, &info); err != nil {
				return err
			}
			s.record(e.Type, "result of %s: %v", e.Name, info.Result)
		case generated.FunctionCallEvent:
			s.record(e.Type, "arguments of %s: %q", e.Name, e.Arguments)
		case generated.AgentHandoffStartedEvent:
			s.record(e.Type, "from %s", e.PreviousAgentName)
		case generated.AgentHandoffDoneEvent:
			s.record(e.Type, "to %s", e.NextAgentName)
		case generated.ResponseDoneEvent:
			s.record(e.Type, "%d tokens", e.Usage.TotalTokens)
		case generated.UnknownStreamEvent: // the service has added an event type
			s.unknown++
			s.record(generated.StreamEventType(e.Type), "unknown: %d bytes of JSON", len(e.Raw))
		}
	}
	return nil
}

// record prints an event and stores its type.
func (s *summary) record(eventType generated.StreamEventType, format string, values ...any) {
	if s.types == nil {
		s.types = map[string]bool{}
	}
	s.types[string(eventType)] = true
	fmt.Printf("  %-32s %s\n", eventType, fmt.Sprintf(format, values...))
}

// failingQuestion makes the emulator's model fail after a partial response.
const failingQuestion = "Fail."

// model is the emulator's model. Its response produces every type of event.
func model(_ context.Context, p emulator.Prompt) emulator.Reply {
	if p.Text() == failingQuestion {
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
