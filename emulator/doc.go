// Package emulator is an HTTP server that behaves like Mistral's beta Conversations
// and Agents API: all operations, streams included, with limits, in memory, with no
// key and no network.
//
//	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 1.2, TokensPerMinute: 10_000})
//	defer server.Close()
//	// send requests to server.URL(), then ask server.Stats() what came
//
// It is the judge of the client in this module and therefore shares no code with it:
// it counts requests and tokens on its own, and refuses with 429 what is too much.
// As a handler ([New]) it uses no goroutine and no clock but the standard time
// package, so a test may call it within a testing/synctest bubble.
//
// # How limits are counted
//
// Every model has a count of its own, and so have all calls without a model together
// (get, list, delete, agents): [NoModel]. A call is judged by the time at which it
// arrived, when it is known to be well-formed and to be about something that exists;
// what is answered 400, 401, 404, 405, 413 or 422 is not counted, unless the model itself
// refuses it, such as a schema beyond the bounds of [DefaultModel]. It is refused when no
// request is left, or, if it runs a model, when no token is left; a refused call takes
// nothing. Prompt and completion tokens are taken when the reply is ready, or at the
// end of the stream, so that one large reply may leave a debt. [Mode] says how counts
// come back. Requests are counted exactly, in fractions and to the nanosecond of the
// clock: a call that comes one nanosecond early is refused. [Config.ToolLimits] counts the
// runs of the service's tools likewise, for all models together.
//
// # What the model is
//
// [DefaultModel] is a small program, deterministic and of no intelligence: see there
// for what it does. Tokens are counted by a rule of its own, deliberately none of a
// real vocabulary: a word of n characters is n/3.5 tokens, rounded up; an entry is 3
// more, an image 512, a document 1024. A prompt is the instructions, the tools as
// JSON, the whole history and the new entries.
//
// [ParseScript] makes a model of a file of rules: what to answer to which message.
//
// # What goes wrong
//
// [Config.Faults] has requests fail, by operation, by their number or by chance: cut
// connections, error statuses in the forms of the real service, waits, and replies and
// streams that are not what they should be. [Fault] says whether one comes before the
// limits or after; [FaultKind] has all of them.
//
// # Control
//
// With [Config.Control], a client in any language can use these, below /_emulator/.
// None of them is counted, recorded, limited or struck. They take any key or none,
// unless [Config.APIKey] is set: then it is theirs too.
//
//	GET    state     statistics (as Stats), limits and what is left of them, the numbers
//	                 of conversations, agents and faults
//	POST   reset     as Emulator.Reset; answers 204
//	GET    faults    the faults in force, a list as ParseFaults reads it
//	PUT    faults    puts the list that is the body in their place
//	DELETE faults    removes all; answers 204
//	GET    requests  the last 100 requests (as Recorded), the newest at the end; with
//	                 ?last=N the last N, 1 to MaxRecorded
//
// What is refused has an object with "detail".
//
// # Who may use it
//
// A web page that is open on the same machine must not read or change anything here. So
// each request, to the API and to /_emulator/, must name the loopback interface, or the address
// that [Listen] was given, in its Host, and must not come from a page of another origin. [Config.AllowedHosts] and
// [Config.AllowedOrigins] add others. All other requests are refused with 403, which says
// what to change, and are not counted.
//
// # What it keeps
//
// All in memory, and at most [MaxConversations] conversations, [MaxAgents] agents,
// [MaxVersions] versions of an agent, [MaxEntries] entries of a conversation,
// [MaxKeptBytes] of memory for conversations and as much for agents, [MaxRecorded]
// requests and [MaxRecordedBodies] of their bodies, each at most [MaxRecordedBody] bytes,
// and 1,000 models that are counted one by one. The oldest conversations, agents,
// versions and requests give way to new ones, and to others that grow; a conversation
// that is full by itself refuses more; models beyond are counted together. Only the
// first [MaxRecordedText] bytes of a model's name distinguish it.
//
// At most [MaxInFlight] requests are served at one time, which hold at most
// [MaxInFlightBytes] for their contents and outputs; requests beyond these bounds get status
// 503. The content of a request has at most 32 MiB, and 65,536 values, or it gets status 413. So the emulator
// takes at most about 1.2 GiB for what it keeps, records and has in flight, and 64
// KiB for each stream that waits for its client: 2,000 streams that nobody reads take
// less than 160 MiB, and 22,000 short conversations, of which 10,000 are kept, 20 MiB.
//
// A client has 10 s for the header of a request, 10 s for each further part of its content,
// and a minute for the whole content. A client that reads nothing of a response for a minute is
// cut off. The bound on headers, and one of 2 minutes on idle connections, apply only to a
// [Server]: if you serve the handler with another http.Server, set them there.
//
// # What it does not do
//
// It keeps nothing on disk. Any model name is good. The tools of the service find what
// the emulator makes up, and its moderation goes by a few words: see [DefaultModel] and
// below.
//
// # Tools, handoffs, guardrails
//
// They are the emulator's, so that they work with every [Config.Model]. A tool's
// execution that a model returns is an output, and its result counts as connector
// tokens. A call whose tool needs a confirmation is returned as one that is pending, and
// goes on with the tool_confirmations of an append; what waits for none is refused with
// 422. An agent's handoff, when it is the last output, is carried out at once: the next
// agent reads all that there is and goes on, 16 times at most; with handoff_execution
// "client" the reply ends there. Either way the agent that a conversation was last
// handed to answers the next append. All of it counts against the model of the first, and
// is one usage. An agent whose tools may not be run any more ends the call with 429.
//
// Guardrails judge the messages that a call adds. Each category has its words ("bomb" is
// dangerous, an e-mail address is pii): a text that has one scores 1, any other 0. A
// score that reaches its threshold (0.5 by default) blocks the call if the action says
// so: 403, which takes a request and no tokens, and stores nothing.
package emulator
