package main

import (
	"flag"
	"fmt"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// usage prints the help text of the command.
func usage(flags *flag.FlagSet) {
	_, _ = fmt.Fprint(flags.Output(), introduction+examples+"\nFlags:\n")
	flags.PrintDefaults()
	_, _ = fmt.Fprint(flags.Output(), scripts+indented(sampleScript)+faults+indented(sampleFaults)+"\nKinds of faults:\n"+kinds()+control+bounds()+exitStatus)
}

const introduction = `Usage: mistral-emulator [flags]
       go run ./cmd/mistral-emulator [flags]     in a copy of the module

Emulates Mistral's beta Conversations and Agents API: all operations, streams and rate
limits. It works in memory and needs neither an account nor a network. It prints an
address: use it as the base URL of your client. It runs until you interrupt it.
`

const examples = `
Examples:
  mistral-emulator                                  without limits, with any nonempty API key
  mistral-emulator -rps 1.2 -tpm 100000 -mode sliding-window
  mistral-emulator -limit mistral-large-latest=0.08/50000 -tool-limit web_search=5/100
  mistral-emulator -model mistral-large-latest -model mistral-small-latest
  mistral-emulator -script replies.yaml -faults faults.yaml -seed 7
  mistral-emulator -latency 300ms -token-delay 20ms -retry-after -chat-headers
  mistral-emulator -latency 800ms -latency-spread 300ms -tokens-per-second 60
  mistral-emulator -addr 127.0.0.1:0 -key secret -control=false
  mistral-emulator -addr 0.0.0.0:8585 -allow-host emulator     in a container
  mistral-emulator -allow-origin http://localhost:3000         for requests from a web page
`

const scripts = `
A script (-script) defines the model by rules. The first rule whose conditions match
determines the reply. The conditions are match, model, agent, turn, function, result and
times. If no rule matches, the built-in model replies, or, with "strict: true", the request
receives status 400. A rule has one or more of reply, thought, call, calls, runs, handoff,
error and delay, and optionally "then" with the replies to the next requests:
`

const sampleScript = `rules:
  - {match: "(?i)weather", call: {name: get_weather, arguments: {city: Paris}}}
  - {match: weather, result: rain, reply: Take an umbrella.}
  - {match: "^slow", model: mistral-small-latest, delay: 2s, reply: Here I am.}
  - {match: "^book", calls: [{name: flight}, {name: hotel}], then: [{reply: Booked.}]}
  - {match: "^fail", error: {status: 503, message: busy, header: {Retry-After: "1"}}}
`

const faults = `
Faults (-faults) define errors to inject. Each request receives the first fault in the list
that matches it. The conditions are operation, model, nth, every, times and probability.
Some kinds also take a delay, events, bytes, fields or a header. The kind refuse closes the
port for its delay:
`

const sampleFaults = `- {kind: 429-tokens, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
- {kind: reset-mid-stream, events: 3, probability: 0.1}
- {kind: slow-headers, operation: POST /v1/conversations/*, every: 5, delay: 2s}
`

const control = `
The control endpoint (-control), below the printed address:
  GET    /_emulator/state     shows the requests admitted and refused, and the limits
  POST   /_emulator/reset     restores the initial state, faults included
  GET    /_emulator/faults    shows the faults in force, as JSON
  PUT    /_emulator/faults    replaces the faults with a list as above
  DELETE /_emulator/faults    removes all faults
  GET    /_emulator/requests  shows the last 100 requests; ?last=N shows the last N
`

// bounds returns the section about the bounds of the emulator.
func bounds() string {
	return message.NewPrinter(language.AmericanEnglish).Sprintf(`
The emulator keeps all data in memory: at most %d conversations (%d MiB in total),
%d agents (%d MiB in total), %d versions of each agent, the last %d requests,
and the content of the last %d requests. New data evicts the oldest. A conversation has
at most %d entries. At most %d requests or %d MiB may be in flight; further
requests receive status 503. The emulator disconnects clients that stop sending a request
for 10 s or stop reading a response for one minute.
`, emulator.MaxConversations, emulator.MaxKeptBytes>>20, emulator.MaxAgents, emulator.MaxKeptBytes>>20, emulator.MaxVersions,
		emulator.MaxRecorded, emulator.MaxRecordedBodies, emulator.MaxEntries, emulator.MaxInFlight, emulator.MaxInFlightBytes>>20)
}

const exitStatus = `
Exit status: 0 after an interrupt, 1 if the emulator cannot start with these flags and
files, 2 if a flag cannot be read. For more, run go doc ./emulator.
`

// kinds returns the names of all kinds of faults, wrapped into lines.
func kinds() string {
	const width = 84
	var b strings.Builder
	column := 0
	for _, kind := range emulator.FaultKinds() {
		if column == 0 || column+1+len(kind) > width {
			column, _ = fmt.Fprintf(&b, "\n  %s", kind)
			continue
		}
		n, _ := fmt.Fprintf(&b, " %s", kind)
		column += n
	}
	return strings.TrimPrefix(b.String(), "\n") + "\n"
}

func indented(text string) string {
	return "\n  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
