package ratelimited_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// An agent is a model with instructions, tools, and settings. A conversation with an agent
// counts against the limit of the agent's model.
func ExampleAgents_Create() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	agent, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Accountant", Instructions: "You add.",
	})
	if err != nil {
		log.Fatal(err)
	}
	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		AgentID: agent.ID, Inputs: ratelimited.Text("What is 40+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.Name+":", ratelimited.OutputText(response))
	if err := client.Beta.Agents.Delete(ctx, agent.ID); err != nil {
		log.Fatal(err)
	}
	// Output: Accountant: 42
}

// An update changes only the fields that are set. Nil tools, guardrails, and metadata keep
// their values; empty ones remove the stored values.
func ExampleAgents_Update() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	agent, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Clerk", Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
	})
	if err != nil {
		log.Fatal(err)
	}
	renamed, err := client.Beta.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{Name: ratelimited.Ptr("Scribe")})
	if err != nil {
		log.Fatal(err)
	}
	withoutTools, err := client.Beta.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{Tools: []generated.Tool{}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(renamed.Name, len(renamed.Tools))
	fmt.Println(withoutTools.Name, len(withoutTools.Tools))
	// Output:
	// Scribe 1
	// Scribe 0
}

// The server keeps every version, so UpdateVersion can undo an update.
func ExampleAgents_UpdateVersion() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	agent, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "mistral-small-latest", Name: "Old"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Beta.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{Name: ratelimited.Ptr("New")}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.Beta.Agents.UpdateVersion(ctx, agent.ID, agent.Version); err != nil {
		log.Fatal(err)
	}
	current, err := client.Beta.Agents.Get(ctx, agent.ID, generated.GetAgentParams{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(current.Name)
	// Output: Old
}

// Each update creates a new version. An alias names one version and keeps naming it after
// an update.
func ExampleAgents_CreateVersionAlias() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	agent, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "mistral-small-latest", Name: "Old"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Beta.Agents.CreateVersionAlias(ctx, agent.ID, "stable", agent.Version); err != nil {
		log.Fatal(err)
	}
	updated, err := client.Beta.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{Name: ratelimited.Ptr("New")})
	if err != nil {
		log.Fatal(err)
	}
	stable, err := client.Beta.Agents.GetVersion(ctx, agent.ID, "stable")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(updated.Name, updated.Version-agent.Version)
	fmt.Println(stable.Name, stable.Version-agent.Version)
	// Output:
	// New 1
	// Old 0
}

// Each page contains the token of the next page. The last page does not.
func ExampleAgents_ListPages() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()
	for _, name := range []string{"one", "two", "three"} {
		if _, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "mistral-small-latest", Name: name}); err != nil {
			log.Fatal(err)
		}
	}

	params := generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(2)}
	for {
		page, err := client.Beta.Agents.ListPages(ctx, params)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(page.Data), "agents")
		if page.NextPageToken == "" {
			break
		}
		params.PageToken = &page.NextPageToken
	}
	// Output:
	// 2 agents
	// 1 agents
}

// All requests further pages for as long as the loop runs.
func ExampleAgents_All() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	for _, name := range []string{"Ada", "Grace", "Hedy"} {
		if _, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "mistral-small-latest", Name: name}); err != nil {
			log.Fatal(err)
		}
	}
	for agent, err := range client.Beta.Agents.All(ctx, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(2)}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(agent.Name)
	}
	// Unordered output:
	// Ada
	// Grace
	// Hedy
}

// The server returns free-form values unchanged. DecodeJSON decodes them.
func ExampleAgents_Get() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	created, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Clerk", Metadata: `{"team": "support", "order": 9007199254740993}`,
	})
	if err != nil {
		log.Fatal(err)
	}
	agent, err := client.Beta.Agents.Get(ctx, created.ID, generated.GetAgentParams{})
	if err != nil {
		log.Fatal(err)
	}
	var metadata struct {
		Team  string
		Order int64
	}
	if err := generated.DecodeJSON(agent.Metadata, &metadata); err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.Metadata)
	fmt.Println(metadata.Team, metadata.Order)
	// Output:
	// {"team":"support","order":9007199254740993}
	// support 9007199254740993
}
