// Package mistral documents a Go SDK for Mistral AI's beta Conversations and Agents API. The
// SDK keeps requests within the account's rate limits. This package contains only
// documentation. Import these packages:
//
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited] is the client. It
//     covers all 23 operations, with rate limiting, retries and token accounting.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/bulk] sends many prompts within a
//     small quota. [github.com/mistral-ratelimit/mistral-ratelimit-go/cmd/mistral-bulk] is its
//     command.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/generated] contains the types of
//     requests, responses and stream events, generated from the OpenAPI document.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/limiter] is the rate limiter. It
//     enforces limits on requests per second and tokens per minute together.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter] shares one
//     account's limits between processes. It is a separate module.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/runner] runs the functions that a model
//     calls. [github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools], a separate
//     module, gets the functions from MCP servers.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/sse] decodes server-sent events.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/tokens] counts tokens offline.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/emulator] is a local server that
//     emulates the API, with rate limits and fault injection.
//     [github.com/mistral-ratelimit/mistral-ratelimit-go/cmd/mistral-emulator] is its command.
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/contract] checks requests and
//     responses in tests against the OpenAPI document in
//     [github.com/mistral-ratelimit/mistral-ratelimit-go/openapi].
//   - [github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest] connects a client to an
//     emulator in tests.
//
// The first call, with the API key in MISTRAL_API_KEY:
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
// README.md explains how to use the SDK, and docs/architecture.md explains its design. Mistral
// documents the API at https://docs.mistral.ai/api/endpoint/beta/conversations and
// https://docs.mistral.ai/api/endpoint/beta/agents.
package mistral
