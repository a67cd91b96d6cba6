package fault

import (
	"maps"
	"slices"
)

// Kind is a kind of fault. Its text is its name in JSON and YAML.
type Kind string

// Kinds that affect the connection instead of sending a response. If the emulator cannot
// take over the connection, as with HTTP/2, the handler panics with
// [net/http.ErrAbortHandler]. Go's client retries a GET on its own if a reused connection
// fails in this way.
const (
	// Close closes the connection normally, before any part of the response.
	Close Kind = "close"
	// Reset resets the connection (TCP RST) before any part of the response.
	Reset Kind = "reset"
	// Stall sends nothing until the client disconnects.
	Stall Kind = "stall"
	// Refuse closes the connection in the same way as Close, and also the listener for
	// Delay. During this time the operating system refuses new connections. Other open
	// connections are not affected. Only an emulator with a listener (emulator.Start,
	// emulator.Listen, the command) supports it. For others emulator.New panics and
	// SetFaults returns an error.
	Refuse Kind = "refuse"
)

// Kinds that replace the response with an error status. Their contents match the responses of
// the real API. Those of status 429 count in emulator.Stats as requests refused by the
// limit on tokens, tools or requests.
const (
	// Unauthorized is a 401 with {"detail":"Unauthorized"}.
	Unauthorized Kind = "401"
	// Payment is a 402 that reports a missing payment method.
	Payment Kind = "402"
	// Forbidden is the 403 of a guardrail, with a nested error.
	Forbidden Kind = "403-guardrail"
	// RateLimit is the platform's general 429 with code 1300. It counts as a refusal by the
	// limit on requests.
	RateLimit Kind = "429"
	// TokenLimit is the 429 for tokens per minute; its header reports 0 remaining tokens.
	TokenLimit Kind = "429-tokens"
	// RequestLimit is the 429 for requests.
	RequestLimit Kind = "429-requests"
	// ToolLimit is the 429 for web search. It counts as a refusal by the limit on tools.
	ToolLimit Kind = "429-web-search"
	// Capacity is the 429 of the service tier. It counts as a refusal by the limit on
	// requests.
	Capacity Kind = "429-capacity"
	// Quota is a 429 whose headers report a limit of 0 tokens: the plan does not include
	// the model, so waiting does not help. It counts as a refusal by the limit on tokens.
	Quota Kind = "429-quota"
	// Internal is a 500 with the platform's error object.
	Internal Kind = "500"
	// BadGateway is a 502 with an HTML page.
	BadGateway Kind = "502-html"
	// Unavailable is a 503 with plain text.
	Unavailable Kind = "503-text"
	// GatewayTimeout is the 504 of the gateway, with only a message.
	GatewayTimeout Kind = "504"
)

// Kinds that let the call run and change its response, plain or streamed.
const (
	// SlowHeaders delays the call by Delay.
	SlowHeaders Kind = "slow-headers"
	// LostReply runs the whole call, charges and stores it, and then resets the connection
	// before any part of the response. If the client retries, the call runs twice.
	LostReply Kind = "lost-reply"
	// SlowBody sends the response in pieces of Bytes, with Delay between them.
	SlowBody Kind = "slow-body"
	// ResetAfterHeaders resets the connection after the header of the response.
	ResetAfterHeaders Kind = "reset-after-headers"
	// ContentType sends the Content-Type text/html with the original content.
	ContentType Kind = "wrong-content-type"
	// UnknownFields adds a property that the document does not define. It adds it to the
	// response or event, or to each object of a list.
	UnknownFields Kind = "unknown-fields"
	// MissingFields omits properties, required or not.
	MissingFields Kind = "missing-fields"
	// Oversize adds a property of Bytes bytes to the response. In a stream it adds it to the
	// event after the first Events events.
	Oversize Kind = "oversize"
)

// Truncated sends only the first half of a plain response, with a matching Content-Length:
// the HTTP message is complete, but the JSON is not. It does not match streamed calls.
const Truncated Kind = "truncated-json"

// Kinds that change the events of a stream, after the first Events events. They do not
// match plain calls.
const (
	// ResetStream resets the connection.
	ResetStream Kind = "reset-mid-stream"
	// StallStream sends nothing more until the client disconnects.
	StallStream Kind = "stall-mid-stream"
	// MalformedEvent inserts an event with invalid JSON.
	MalformedEvent Kind = "malformed-event"
	// UnknownEvent inserts an event of a type that the document does not define.
	UnknownEvent Kind = "unknown-event"
	// DuplicateEvent sends the next event twice.
	DuplicateEvent Kind = "duplicate-event"
	// MissingBlankLine omits the blank line after the next event. A conforming reader
	// dispatches this event and the following one as one event with the data of both. It
	// never dispatches the last event of a stream in this case.
	MissingBlankLine Kind = "missing-blank-line"
	// StrayLines inserts lines at the start of the next event that a conforming reader
	// ignores: a comment, an unknown field, a field without a colon, a retry time that is not
	// a number, NUL bytes, and data after a byte order mark. A byte order mark is valid only at
	// the start of a stream.
	StrayLines Kind = "stray-lines"
)

// Replaces reports whether the fault replaces the response, so that the call does not run;
// see [Fault].
func (k Kind) Replaces() bool { return kinds[k].replaces }

// Matches reports whether the emulator can inject the kind into streamed calls, or, if
// stream is false, into plain calls.
func (k Kind) Matches(stream bool) bool {
	only := kinds[k].only
	return only == anyCall || (only == streamedCall) == stream
}

// traits is the set of properties of a kind.
type traits struct {
	replaces bool // the call does not run
	status   bool // the response is an error status
	only     calls
	events   bool // Events may be set
	waits    bool // Delay must be set
}

// calls is the set of calls that a kind applies to.
type calls uint8

const (
	anyCall calls = iota
	plainCall
	streamedCall
)

var (
	connection = traits{replaces: true}
	status     = traits{replaces: true, status: true}
	event      = traits{only: streamedCall, events: true}
)

var kinds = map[Kind]traits{
	Close: connection, Reset: connection, Stall: connection, Refuse: {replaces: true, waits: true},

	Unauthorized: status, Payment: status, Forbidden: status, RateLimit: status, TokenLimit: status,
	RequestLimit: status, ToolLimit: status, Capacity: status, Quota: status, Internal: status,
	BadGateway: status, Unavailable: status, GatewayTimeout: status,

	SlowHeaders: {waits: true}, SlowBody: {waits: true}, LostReply: {},
	ResetAfterHeaders: {}, ContentType: {}, UnknownFields: {}, MissingFields: {},
	Oversize: {events: true}, Truncated: {only: plainCall},

	ResetStream: event, StallStream: event, MalformedEvent: event, UnknownEvent: event,
	DuplicateEvent: event, MissingBlankLine: event, StrayLines: event,
}

// Kinds returns all kinds in alphabetical order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }
