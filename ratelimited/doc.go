// Package ratelimited is a client for Mistral's beta Conversations and Agents API
// that keeps to the account's rate limits: requests per second and tokens per minute.
//
//	client, err := ratelimited.New(ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000})
//	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
//		Model:  "mistral-large-latest",
//		Inputs: ratelimited.Text("Hello!"),
//	})
//	fmt.Println(ratelimited.OutputText(response))
//
// # Calls, requests and attempts
//
// A call is one use of a method, a request is an HTTP request, and an attempt is one
// request of a call. Every call takes the same steps:
//
//  1. The client estimates how many tokens the call will use. It counts the prompt,
//     with the history of a stored conversation, and estimates the length of the response.
//  2. The limiter admits the call when one request and these tokens are available. Calls
//     start in the order in which they arrive. A small call may start before a large one
//     if this does not delay the large one.
//  3. The client sends the request. It retries temporary failures: the status codes 408,
//     425, 429, 500, 502, 503, 504, 520–527, 529 and 530, and broken connections.
//  4. The client settles the usage that the response reports. It returns unused tokens to the
//     limiter, so the next call can start at once. It charges usage above the estimate.
//
// Calls that do not use a model, such as Get, List, Delete and all of [Agents], cost one
// request and no tokens.
//
// # Limits
//
// [Config.RequestsPerSecond] and [Config.TokensPerMinute] are the account's limits. All
// models share them, except the models in [Config.Limits]. By default the client also keeps
// to servers that count by fixed or sliding windows, so calls start a little later than two
// token buckets would allow. [Config.Jitter] and [Config.BareBuckets] change this; package
// limiter explains it. A 429 pauses all calls under the same limit. [Client.WaitTime] and
// [Client.Snapshot] return the current state, and [Client.SetLimit] changes a limit while
// calls wait.
//
// # Outages
//
// While the server or one of its models is down, the client holds the calls that need it,
// without permits and in queue order. They continue when the server is back. After
// [Config.MaxOutage] they fail with an [ErrOutage].
//
// # Concurrency
//
// All goroutines can share one [Client]. Each method blocks until its call has ended;
// [Async], [Gather] and [Each] run calls concurrently. A context bounds the whole call,
// including its wait for the limiter; [Config.Timeout] bounds one attempt. If a context has
// a deadline and too little time is left for the call, the call fails without being sent.
// [Client.Shutdown] lets calls in flight end and rejects all others.
//
// # Errors
//
//   - [*ConfigError] and [*RequestError] report invalid input. Nothing was sent.
//   - [*TokenCountError] reports a prompt whose tokens could not be counted.
//   - [*WaitError] reports a call that was not sent, because its context ended or because
//     it would have waited too long.
//   - [*LimiterError] reports a shared limiter, such as Redis, that could not be reached.
//   - [*OutageError] reports an outage longer than [Config.MaxOutage].
//   - [*APIError] reports a response that is not a success.
//   - [*RateLimitError] reports a 429 after the last attempt.
//   - [*TransportError] reports a request without a complete response.
//   - [*StreamError] reports a stream that did not end properly.
//
// Each of them implements [Error] and wraps its cause. Sentinel errors such as [ErrNotFound]
// match the kind of failure with [errors.Is].
//
// # Testing
//
// Package emulator runs the API on your machine, with rate limits and fault injection: set
// [Config.BaseURL] to its address. Package contract validates requests and responses.
package ratelimited
