// Command agents makes an agent and a second version of it, gives the first an alias,
// talks to both, moves the alias, and deletes all that it made.
//
//	go run ./examples/agents
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("agents:", err)
	}
}

func run(ctx context.Context) (err error) {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		config.RequestsPerSecond = 5 // nobody else waits for it
		server, err := emulator.Start(emulator.Config{RequestsPerSecond: 5, Model: greeter})
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
	agents, conversations := client.Beta.Agents, client.Beta.Conversations

	// Create makes version 0 of an agent, Update the next one.
	agent, err := agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Greeter", Instructions: "Greet in English, in at most five words.",
		CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.2), MaxTokens: ratelimited.Ptr(50)},
	})
	if err != nil {
		return err
	}
	id, first := agent.ID, agent.Version
	// What is made is deleted, however the example ends.
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), client, id)) }()
	fmt.Printf("created %s, version %d\n", agent.Name, first)

	agent, err = agents.Update(ctx, id, generated.UpdateAgentRequest{
		Instructions:   ratelimited.Ptr("Greet in French, in at most five words."),
		VersionMessage: ratelimited.Ptr("French"),
	})
	if err != nil {
		return err
	}
	second := agent.Version
	fmt.Printf("updated %s, version %d\n", agent.Name, second)

	// An alias is a name for a version, which callers use in place of its number.
	if _, err := agents.CreateVersionAlias(ctx, id, "stable", first); err != nil {
		return err
	}
	greet := func(version string) error {
		response, err := conversations.Start(ctx, generated.StartConversationRequest{
			AgentID: id, AgentVersion: generated.StringOrInteger(version), Inputs: ratelimited.Text("I am Ada."),
			Store: ratelimited.Ptr(false), // nothing to delete
		})
		if err != nil {
			return err
		}
		fmt.Printf("%-7s says: %s\n", version, ratelimited.OutputText(response))
		return nil
	}
	for _, version := range []string{"stable", strconv.Itoa(second)} {
		if err := greet(version); err != nil {
			return err
		}
	}

	// Moving the alias changes what its users get, and nothing else.
	if _, err := agents.CreateVersionAlias(ctx, id, "stable", second); err != nil {
		return err
	}
	fmt.Printf("stable is version %d now\n", second)
	if err := greet("stable"); err != nil {
		return err
	}

	aliases, err := agents.ListVersionAliases(ctx, id)
	if err != nil {
		return err
	}
	versions, err := agents.ListVersions(ctx, id, generated.ListAgentVersionsParams{})
	if err != nil {
		return err
	}
	fmt.Printf("it has %d versions and %d alias\n", len(versions), len(aliases))
	return nil
}

// remove deletes an agent, with its versions and aliases, and sees that it is gone.
func remove(ctx context.Context, client *ratelimited.Client, id string) error {
	if err := client.Beta.Agents.Delete(ctx, id); err != nil {
		return err
	}
	_, err := client.Beta.Agents.Get(ctx, id, generated.GetAgentParams{})
	if !errors.Is(err, ratelimited.ErrNotFound) {
		return errors.Join(errors.New("the deleted agent is still there"), err)
	}
	fmt.Println("deleted, and gone")
	return nil
}

// greeter is the emulator's model in this example: it says what it was instructed to do.
func greeter(_ context.Context, p emulator.Prompt) emulator.Reply {
	return emulator.Reply{Text: fmt.Sprintf("(%s) %s", p.Instructions, p.Text())}
}
