package fault

import (
	"maps"
	"slices"
)

// Kind is what can go wrong; its text is what JSON has for it.
type Kind string

// Kinds that take the place of the reply: the connection. Where the connection is not
// the emulator's to take, as with HTTP/2, the handler panics with
// [http.ErrAbortHandler]. Go's client sends a GET again, on its own, when a connection
// that it used before ends so.
const (
	// Close closes the connection, orderly, before any of the reply.
	Close Kind = "close"
	// Reset resets the connection (TCP RST) before any of the reply.
	Reset Kind = "reset"
	// Stall sends nothing, and goes on so until the client leaves.
	Stall Kind = "stall"
	// Refuse closes the connection as Close does, and the listener too, for
	// Delay: who connects meanwhile is refused by the system. Other connections that are
	// open stay so. Only an emulator that listens itself ([Start], [Listen], the command)
	// can do it; emulator.New panics and its SetFaults returns an error otherwise.
	Refuse Kind = "refuse"
)

// Kinds that take the place of the reply: a status, in the forms that were seen on the
// wire. Those of 429 count as refused in [Stats], as tokens, tools or requests.
const (
	// Unauthorized is a 401 with {"detail":"Unauthorized"}.
	Unauthorized Kind = "401"
	// Payment is a 402: no payment method.
	Payment Kind = "402"
	// Forbidden is the 403 of a guardrail, its error nested.
	Forbidden Kind = "403-guardrail"
	// RateLimit is the platform's general 429, code 1300; it counts as requests.
	RateLimit Kind = "429"
	// TokenLimit is a 429 of tokens per minute, with none remaining in its header.
	TokenLimit Kind = "429-tokens"
	// RequestLimit is a 429 of requests.
	RequestLimit Kind = "429-requests"
	// ToolLimit is a 429 of the web search; it counts as tools.
	ToolLimit Kind = "429-web-search"
	// Capacity is a 429 of the service tier; it counts as requests.
	Capacity Kind = "429-capacity"
	// Quota is a 429 whose headers have a limit of 0 tokens: the model is not in the
	// plan, and no wait will help. It counts as tokens.
	Quota Kind = "429-quota"
	// Internal is a 500 with the platform's error object.
	Internal Kind = "500"
	// BadGateway is a 502 with a page of HTML.
	BadGateway Kind = "502-html"
	// Unavailable is a 503 in plain text.
	Unavailable Kind = "503-text"
	// GatewayTimeout is a 504 of the gateway, with its message alone.
	GatewayTimeout Kind = "504"
)

// Kinds that let the call run and change its response, also of a stream.
const (
	// SlowHeaders lets Delay pass and does nothing else.
	SlowHeaders Kind = "slow-headers"
	// LostReply lets the call run to its end, charged and stored, and resets the connection
	// before any of the response. Repeated, the call runs twice.
	LostReply Kind = "lost-reply"
	// SlowBody sends the reply in pieces of Bytes, with Delay between two of them.
	SlowBody Kind = "slow-body"
	// ResetAfterHeaders resets the connection when the head of the reply is sent.
	ResetAfterHeaders Kind = "reset-after-headers"
	// ContentType calls the reply text/html, its body being what it was.
	ContentType Kind = "wrong-content-type"
	// UnknownFields adds a property that the document has not to each object that
	// the reply or an event is, and to those of a list.
	UnknownFields Kind = "unknown-fields"
	// MissingFields leaves out properties, required or not.
	MissingFields Kind = "missing-fields"
	// Oversize adds a property of Bytes bytes to the reply; of a stream, to the
	// event after Events.
	Oversize Kind = "oversize"
)

// Truncated cuts the body of a plain reply in half, and says so in its length:
// HTTP is content, JSON is not. Streams do not match it.
const Truncated Kind = "truncated-json"

// Kinds about the events of a stream; plain calls do not match them. Each strikes
// after Events events, when the next is due.
const (
	// ResetStream resets the connection.
	ResetStream Kind = "reset-mid-stream"
	// StallStream sends nothing more, until the client leaves.
	StallStream Kind = "stall-mid-stream"
	// MalformedEvent puts in an event whose data are not JSON.
	MalformedEvent Kind = "malformed-event"
	// UnknownEvent puts in an event of a type that the document has not.
	UnknownEvent Kind = "unknown-event"
	// DuplicateEvent sends the next event twice.
	DuplicateEvent Kind = "duplicate-event"
	// MissingBlankLine leaves out the blank line behind the next event, which runs
	// into the one after it: by the rules of event streams they are one, with the data of
	// both. The last event of a stream never ends then, and is none.
	MissingBlankLine Kind = "missing-blank-line"
	// StrayLines puts into the next event, before its own, lines that the rules have a
	// reader pass over: a comment, fields that are unknown or have no colon, a time that is
	// no number, NUL bytes, and data behind a byte order mark, which is a mark at the
	// beginning of a stream alone.
	StrayLines Kind = "stray-lines"
)

// Replaces reports whether the fault takes the place of the response, so that the call
// does not run; see [Fault].
func (k Kind) Replaces() bool { return kinds[k].replaces }

// Matches reports whether the kind can be injected into streamed calls, or into others.
func (k Kind) Matches(stream bool) bool {
	only := kinds[k].only
	return only == anyCall || (only == streamedCall) == stream
}

// traits are the properties of a kind.
type traits struct {
	replaces bool // the call does not run
	status   bool // the response is an error status
	only     calls
	events   bool // Events has a meaning
	waits    bool // Delay must be set
}

// calls are the calls that a kind can be injected into.
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

// Kinds returns all kinds, in alphabetical order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }
