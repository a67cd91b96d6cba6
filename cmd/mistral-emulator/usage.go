package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// usage says all that a user of the command needs, before and after the flags.
func usage(flags *flag.FlagSet) {
	_, _ = fmt.Fprint(flags.Output(), introduction+examples+"\nFlags:\n")
	flags.PrintDefaults()
	_, _ = fmt.Fprint(flags.Output(), scripts+indented(sampleScript)+faults+indented(sampleFaults)+"\nKinds of faults:\n"+kinds()+control+kept()+ending)
}

const introduction = `Usage: mistral-emulator [flags]
       go run ./cmd/mistral-emulator [flags]     in a copy of the module

Serves an emulation of Mistral's beta Conversations and Agents API: all operations,
streams and limits, in memory, with no account and no network. Point a client's base URL
at the address it prints. It runs until it is interrupted.
`

const examples = `
Examples:
  mistral-emulator                                  no limits, any key that is not empty
  mistral-emulator -rps 1.2 -tpm 100000 -mode sliding-window
  mistral-emulator -limit mistral-large-latest=0.08/50000 -tool-limit web_search=5/100
  mistral-emulator -model mistral-large-latest -model mistral-small-latest
  mistral-emulator -script replies.yaml -faults faults.yaml -seed 7
  mistral-emulator -latency 300ms -token-delay 20ms -retry-after -chat-headers
  mistral-emulator -latency 800ms -latency-spread 300ms -tokens-per-second 60
  mistral-emulator -addr 127.0.0.1:0 -key secret -control=false
  mistral-emulator -addr 0.0.0.0:8585 -allow-host emulator     in a container
  mistral-emulator -allow-origin http://localhost:3000         for a web page's requests
`

const scripts = `
A script (-script) has the model answer by rules. The first whose conditions (match,
model, agent, turn, function, result) fit answers; what none fits goes to the built-in
model, or with "strict: true" gets 400. A rule has one or more of reply, thought, call,
calls, runs, handoff, error and delay, and "then" for the turns that follow:
`

const sampleScript = `rules:
  - {match: "(?i)weather", call: {name: get_weather, arguments: {city: Paris}}}
  - {match: weather, result: rain, reply: Take an umbrella.}
  - {match: "^slow", model: mistral-small-latest, delay: 2s, reply: Here I am.}
  - {match: "^book", calls: [{name: flight}, {name: hotel}], then: [{reply: Booked.}]}
  - {match: "^fail", error: {status: 503, message: busy, header: {Retry-After: "1"}}}
`

const faults = `
Faults (-faults) are injected into the requests that operation, model, nth, every, times
and probability leave; the first in the list that matches. Some have a delay, events,
bytes, fields or a header; refuse has a delay, for which the port is closed:
`

const sampleFaults = `- {kind: 429-tokens, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
- {kind: reset-mid-stream, events: 3, probability: 0.1}
- {kind: slow-headers, operation: POST /v1/conversations/*, every: 5, delay: 2s}
`

const control = `
While it runs (with -control), below the address it prints:
  GET    /_emulator/state     what came and what was refused, limits and what is left
  POST   /_emulator/reset     forgets all of that, and what is stored
  GET    /_emulator/faults    the faults in force, as JSON
  PUT    /_emulator/faults    others in their place: a list as above
  DELETE /_emulator/faults    none
  GET    /_emulator/requests  the last 100 requests; ?last=N for another number
`

// kept is the most that the emulator keeps.
func kept() string {
	return fmt.Sprintf(`
All is kept in memory: at most %d conversations and %d agents, each kind of at most
%d MiB; %d versions of an agent; %d requests that were served, and the bodies of
%d. The oldest give way. A conversation of %d entries is full. More than %d
requests at one time, or %d MiB of them, are answered 503. A client that stops
sending a request for 10 s, or reading a response for a minute, is cut off.
`, emulator.MaxConversations, emulator.MaxAgents, emulator.MaxKeptBytes>>20, emulator.MaxVersions,
		emulator.MaxRecorded, emulator.MaxRecordedBodies, emulator.MaxEntries, emulator.MaxInFlight, emulator.MaxInFlightBytes>>20)
}

const ending = `
It ends with status 0 when it is interrupted, 1 if it cannot serve or a file is not
right, 2 if a flag is not. More: go doc ./emulator
`

// kinds are all kinds of faults, in lines.
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
