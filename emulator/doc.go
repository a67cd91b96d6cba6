// Package emulator is an HTTP server that behaves like Mistral's beta Conversations
// and Agents API: all operations, streams included, with limits, in memory, with no
// key and no network.
//
//	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 1.2, TokensPerMinute: 10_000})
//	defer server.Close()
//	// send requests to server.URL(), then ask server.Stats() what came
//
// It shares no code with the client in this module, so that it can judge it: it counts
// requests and tokens in its own way. As a handler ([New]) it uses no goroutine and no clock
// but the standard time package, so a test may call it within a testing/synctest bubble.
//
// # How limits are counted
//
// Every model has a count, and so have all calls without a model together (get, list,
// delete, agents): [NoModel]. The emulator checks a call against the limits of the time at
// which it arrived, once it is known to be well-formed and about something that exists.
// Responses 400, 401, 404, 405, 413 and 422 are not counted, unless the model refuses the
// call. A call is refused when no request is left, or, if it runs a model, when no token is
// left; a refused call takes nothing. Prompt and completion tokens are taken when the
// response is ready, or at the end of the stream, so that one large response may leave a
// debt. [Mode] says how counts come back. Requests are counted exactly, in fractions and to
// the nanosecond: a call that comes one nanosecond early is refused. [Config.ToolLimits]
// counts the runs of the service's tools likewise, for all models together.
//
// # What the model is
//
// [DefaultModel] is a small, deterministic program without intelligence; [ParseScript] makes
// a model of rules. Tokens are counted by a rule of the emulator's: a word of n characters is
// n/3.5 tokens, rounded up; an entry is 3 more, an image 512, a document 1024. A prompt is the
// instructions, the tools as JSON, the whole history and the new entries.
//
// # Tools, handoffs, guardrails
//
// They work with every [Config.Model]. A tool execution that a model returns is an output,
// and its result counts as connector tokens. A call whose tool needs a confirmation is
// pending, and goes on with the tool_confirmations of an append. When an agent's handoff is
// the last output, the next agent reads everything and goes on, at most 16 times; with
// handoff_execution "client" the response ends there. The agent that a conversation was last
// handed to answers the next append. All of it counts against the model of the first agent,
// and is one usage.
//
// Guardrails check the messages that a call adds. Each category has its words ("bomb" is
// dangerous, an e-mail address is pii): a text that has one scores 1, any other 0. A score
// that reaches its threshold (0.5 by default) blocks the call if the action says so: 403,
// which takes a request and no tokens, and stores nothing.
//
// # Faults and control
//
// [Config.Faults] injects faults by operation, by number or by chance; see [fault.Fault].
// With [Config.Control], clients in any language can use these, below /_emulator/. The
// emulator neither counts nor records nor limits them. They take any key or none, unless
// [Config.APIKey] is set. A refusal has an object with "detail".
//
//	GET    state     statistics (as Stats), limits and what is left of them, and the numbers
//	                 and bytes of conversations and agents
//	POST   reset     as Emulator.Reset; responds 204
//	GET    faults    the faults in force, a list as ParseFaults reads it
//	PUT    faults    replaces them with the list that is the content
//	DELETE faults    removes all; responds 204
//	GET    requests  the last 100 requests (as Recorded), the newest at the end; with
//	                 ?last=N the last N, 1 to MaxRecorded
//
// # Access
//
// A web page that is open on the same machine must not read or change anything here. So
// each request must name the loopback interface, or the address that [Listen] was given, in
// its Host, and must not come from a page of another origin. [Config.AllowedHosts] and
// [Config.AllowedOrigins] add others. All other requests get 403 and are not counted.
//
// # Bounds
//
// The emulator keeps nothing on disk, and in memory at most what its Max constants say; the
// oldest conversations, agents, versions and requests give way to new ones. A conversation
// that is full refuses more. Models beyond 1,000 are counted together. The content of a
// request has at most 32 MiB and 65,536 values, or it gets status 413. All of it takes at most
// about 1.2 GiB, and 64 KiB for each stream that waits for its client.
//
// A client has 10 s for the header of a request, 10 s for each further part of its content,
// and a minute for the whole content. A client that reads nothing of a response for a minute is
// cut off. The bound on headers, and one of 2 minutes on idle connections, apply only to a
// [Server]: if you serve the handler with another http.Server, set them there.
package emulator
