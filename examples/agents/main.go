// Command agents creates an agent with two versions, gives the first version an alias, starts
// conversations with both versions, moves the alias, and deletes the agent.
//
//	go run ./examples/agents
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() { setup.Main("agents", run) }

func run(ctx context.Context) (err error) {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if setup.UsesEmulator() {
		config.RequestsPerSecond = 5
	}
	stop, err := setup.Connect(&config, emulator.Config{RequestsPerSecond: 5, Model: model})
	if err != nil {
		return err
	}
	defer stop()
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	agents, conversations := client.Beta.Agents, client.Beta.Conversations

	// Create stores version 0 of an agent; each Update stores a new version.
	agent, err := agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Greeter", Instructions: "Greet in English, in at most five words.",
		CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.2), MaxTokens: ratelimited.Ptr(50)},
	})
	if err != nil {
		return err
	}
	id, first := agent.ID, agent.Version
	// Delete the agent at the end, also after an error.
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

	// An alias is a name for a version. Callers use it instead of the version number.
	if _, err := agents.CreateVersionAlias(ctx, id, "stable", first); err != nil {
		return err
	}
	greet := func(version string) error {
		response, err := conversations.Start(ctx, generated.StartConversationRequest{
			AgentID: id, AgentVersion: generated.StringOrInteger(version), Inputs: ratelimited.Text("I am Ada."),
			Store: ratelimited.Ptr(false), // the server does not store the conversation
		})
		if err != nil {
			return err
		}
		fmt.Printf("%-7s %s\n", version, ratelimited.OutputText(response))
		return nil
	}
	for _, version := range []string{"stable", strconv.Itoa(second)} {
		if err := greet(version); err != nil {
			return err
		}
	}

	// Callers that use the alias now get the second version.
	if _, err := agents.CreateVersionAlias(ctx, id, "stable", second); err != nil {
		return err
	}
	fmt.Printf("stable is now version %d\n", second)
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
	fmt.Printf("the agent has %d versions and %d alias\n", len(versions), len(aliases))
	return nil
}

// remove deletes an agent with its versions and aliases, and checks that it is deleted.
func remove(ctx context.Context, client *ratelimited.Client, id string) error {
	if err := client.Beta.Agents.Delete(ctx, id); err != nil {
		return err
	}
	_, err := client.Beta.Agents.Get(ctx, id, generated.GetAgentParams{})
	if !errors.Is(err, ratelimited.ErrNotFound) {
		return errors.Join(errors.New("the deleted agent still exists"), err)
	}
	fmt.Println("deleted")
	return nil
}

// model is the emulator's model. It repeats its instructions and the input.
func model(_ context.Context, p emulator.Prompt) emulator.Reply {
	return emulator.Reply{Text: fmt.Sprintf("(%s) %s", p.Instructions, p.Text())}
}
