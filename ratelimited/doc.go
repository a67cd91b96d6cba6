// Package ratelimited calls Mistral's beta Conversations and Agents API within
// the account's limits: so many requests a second, so many tokens a minute.
//
//	client, err := ratelimited.New(ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000})
//	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
//		Model:  "mistral-large-latest",
//		Inputs: ratelimited.Text("Hello!"),
//	})
//	fmt.Println(ratelimited.OutputText(response))
//
// # The way of a call
//
// Every operation goes the same way. Its tokens are estimated: the prompt is
// counted, with the history of a stored conversation, and the reply guessed. The
// limiter admits it when both a request and the tokens are there, first come,
// first served, but for small calls that pass a large one without delaying it. The
// request is sent, and sent again after a failure that may pass: 408, 425, 429, 500, 502,
// 503, 504, 520 to 527, 529, 530, a broken connection. In the end what the reply
// reports as used is settled: a surplus goes back to the bucket and lets the next
// call start at once, a shortfall is charged. Calls that manage things (Get, List,
// Delete and their like, and all of [Agents]) cost a request and no tokens.
//
// # Limits
//
// [Config.RequestsPerSecond] and [Config.TokensPerMinute] are those of the account,
// which all models share that have none of their own in [Config.Limits]. By default
// calls start a little later than two token buckets would allow, so that servers that
// count by windows refuse nothing either; [Config.Jitter] and [Config.BareBuckets]
// decide that, and package limiter says how. A 429 pauses every call under the same
// limit. [Client.WaitTime] and [Client.Snapshot] look, and [Client.SetLimit]
// changes a limit while calls wait.
//
// # Outages
//
// While the server is down, or one of its models, the client holds the calls that need
// it, without permits and in their places in the queue. When it is back they go on, in
// order. [Config.MaxOutage] bounds that; then they fail with an [ErrOutage].
//
// # Concurrency
//
// A [Client] is made to be shared. Each method blocks until its call has ended,
// whoever calls; [Async] and [Gather] run calls side by side. Contexts bound a
// whole call, its wait for the limiter included; [Config.Timeout] one attempt. A call whose
// context has a deadline gives way without being sent if less time is left than such calls take.
// [Client.Shutdown] lets calls in flight end and refuses all others.
//
// # Errors
//
// [*ConfigError] and [*RequestError] report bad input before anything is sent,
// [*TokenCountError] a prompt that cannot be counted, [*WaitError] a context that
// ended before the call was sent, or would have, [*LimiterError] limits that are kept elsewhere and
// could not be reached, [*OutageError] a server that was down for too long,
// [*APIError] a response that is not a success,
// [*RateLimitError] a 429 after the last attempt, [*TransportError] a request
// without a reply, [*StreamError] a stream that broke. Each implements [Error] and
// wraps its cause; [ErrNotFound] and its like say what kind of failure it is.
//
// # Testing
//
// Package emulator is the API on your own machine, limits and faults included; give
// its address to [Config.BaseURL]. Package contract checks what passes.
package ratelimited
