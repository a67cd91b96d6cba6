// Package mistral is the overview of a Go SDK for Mistral AI's beta Conversations and Agents
// API that keeps to the account's rate limits. It has nothing to import; the packages are:
//
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited] is the client: all 23
//     operations, each with rate limiting, retries and settlement of what it used.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/bulk] sends many prompts through a small
//     quota; [github.com/mistral-ratelimit/mistral-ratelimit-go/cmd/mistral-bulk] is its command.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/generated] has the types of requests,
//     responses and stream events, made from the OpenAPI document.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/limiter] is the rate limiter by itself:
//     requests per second and tokens per minute, taken together.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter], a module of its
//     own, shares one account's limits between processes.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/runner] carries out the functions that a
//     model calls; [github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools], a module of
//     its own, takes them from servers of MCP.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/sse] decodes server-sent events.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/tokens] counts tokens offline.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/emulator] is the API on your own machine,
//     limits and faults included; [github.com/mistral-ratelimit/mistral-ratelimit-go/cmd/mistral-emulator]
//     is its command.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/contract] checks HTTP exchanges in tests
//     against the document, [github.com/mistral-ratelimit/mistral-ratelimit-go/openapi].
//
// A first call, with the API key in MISTRAL_API_KEY:
//
//	client, err := ratelimited.New(ratelimited.Config{RequestsPerSecond: 1, TokensPerMinute: 500_000})
//	if err != nil {
//		log.Fatal(err)
//	}
//	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
//		Model: "mistral-small-latest", Inputs: ratelimited.Text("Hello!"),
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	fmt.Println(response.OutputText())
//
// The README explains the use, docs/architecture.md the design. The API's own documentation is
// at https://docs.mistral.ai/api/endpoint/beta/conversations and
// https://docs.mistral.ai/api/endpoint/beta/agents.
package mistral
