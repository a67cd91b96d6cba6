// Package emulator provides an HTTP server that behaves like Mistral's beta
// Conversations and Agents API. It implements all operations, streams and rate limits.
// It works in memory and needs neither an API key nor a network.
//
//	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 1.2, TokensPerMinute: 10_000})
//	defer server.Close()
//	// Send requests to server.URL(), then read server.Stats().
//
// The emulator shares no code with the client in this module, so it can validate the
// client: it counts requests and tokens independently. As a handler ([New]) it starts no
// goroutines and takes the time only from package time. A test can therefore call it
// within a testing/synctest bubble.
//
// # Rate limits
//
// Each model has separate counters. Calls that do not run a model (get, list, delete,
// agents) share the counters of [NoModel]. The emulator applies the limits after it has
// validated the call and found the objects that the call names. It uses the time at which
// the request arrived.
//
// Responses with status 400, 401, 404, 405, 413 and 422 are not counted, unless the model
// itself fails the call. The emulator refuses a call when no request is available, and a call
// that runs a model also when no token is available. A refused call uses neither requests nor
// tokens.
//
// The emulator charges prompt and completion tokens when the response is ready, or when
// the stream ends. One large response can therefore overdraw the budget. [Mode] defines how
// the budget refills. Requests are counted exactly, in fractions and to the nanosecond: a
// call that arrives one nanosecond early is refused. [Config.ToolLimits] limits the runs of
// the service's tools in the same way, for all models together.
//
// # The model
//
// [DefaultModel] is a small deterministic program, not a language model. [ParseScript]
// returns a model that follows rules.
//
// The emulator counts tokens by a simple rule. A word of n characters is n/3.5 tokens,
// rounded up. Each entry adds 3 tokens, an image 512 and a document 1,024. A prompt consists
// of the instructions, the tools as JSON, the whole history and the new entries.
//
// # Tools, handoffs, guardrails
//
// These work with every [Config.Model]. A tool execution that a model returns is an
// output, and its result counts as connector tokens. A tool call that needs a confirmation
// is pending. It continues when an append sends its tool_confirmations.
//
// When the last output is an agent's handoff, the next agent reads all entries and
// continues, at most 16 times. With handoff_execution "client" the response ends at the
// handoff. The next append runs the agent to which the conversation was last handed off. All
// runs of a call count against the model of the first agent, as one usage.
//
// Guardrails check the messages that a call adds. Each category has trigger words: "bomb"
// is dangerous, an email address is pii. A text that contains one scores 1; all others
// score 0. A score that reaches its threshold (0.5 by default) blocks the call if the
// configured action is block. The response has status 403. The call uses a request but no
// tokens, and the emulator does not store it.
//
// # Faults and control
//
// [Config.Faults] injects faults by operation, by number or at random; see [fault.Fault].
// With [Config.Control], clients in any language can use the following endpoints under
// /_emulator/. The emulator does not count, record or limit these requests. They need an API
// key only if [Config.APIKey] is set. The content of an error is an object with "detail".
//
//	GET    state     statistics (as Stats), limits and what is left of them, and the numbers
//	                 and bytes of conversations and agents
//	POST   reset     as Emulator.Reset; responds 204
//	GET    faults    the faults in force, as a list that ParseFaults accepts
//	PUT    faults    replaces them with the list in the request's content
//	DELETE faults    removes all faults; responds 204
//	GET    requests  the last 100 requests (as Recorded), oldest first; ?last=N
//	                 returns the last N, from 1 to MaxRecorded
//
// # Access
//
// A web page that is open on the same machine must not be able to read or change data
// here. Therefore the Host of each request must name the loopback interface or the address
// passed to [Listen]. The request must not come from a page of another origin.
// [Config.AllowedHosts] and [Config.AllowedOrigins] allow more. All other requests receive
// status 403 and are not counted.
//
// # Bounds
//
// The emulator writes nothing to disk. Its Max constants bound what it keeps in memory.
// New conversations, agents, versions and requests evict the oldest. A full conversation
// rejects further entries. Models beyond 1,000 share one counter. A request has at most
// 32 MiB of content and 65,536 JSON values; larger ones receive status 413. The emulator
// uses at most about 1.2 GiB, plus 64 KiB for each stream that waits for its client.
//
// A client has 10 s to send the header of a request, 10 s for each further part of its
// content, and one minute for the whole content. If a client does not read from a response
// for one minute, the emulator closes the connection. Two bounds apply only to a [Server]:
// the bound on headers and the limit of 2 minutes for idle connections. Set them on your
// http.Server if it serves the handler.
package emulator
