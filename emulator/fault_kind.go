package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// FaultKind is what can go wrong; its text is what JSON has for it.
type FaultKind string

// Kinds that take the place of the reply: the connection. Where the connection is not
// the emulator's to take, as with HTTP/2, the handler panics with
// [http.ErrAbortHandler]. Go's client sends a GET again, on its own, when a connection
// that it used before ends so.
const (
	// FaultClose closes the connection, orderly, before any of the reply.
	FaultClose FaultKind = "close"
	// FaultReset resets the connection (TCP RST) before any of the reply.
	FaultReset FaultKind = "reset"
	// FaultStall sends nothing, and goes on so until the client leaves.
	FaultStall FaultKind = "stall"
	// FaultRefuse closes the connection as FaultClose does, and the listener too, for
	// Delay: who connects meanwhile is refused by the system. Other connections that are
	// open stay so. Only an emulator that listens itself ([Start], [Listen], the command)
	// can do it; [New] panics and [Emulator.SetFaults] returns an error otherwise.
	FaultRefuse FaultKind = "refuse"
)

// Kinds that take the place of the reply: a status, in the forms that were seen on the
// wire. Those of 429 count as refused in [Stats], as tokens, tools or requests.
const (
	// FaultUnauthorized is a 401 with {"detail":"Unauthorized"}.
	FaultUnauthorized FaultKind = "401"
	// FaultPayment is a 402: no payment method.
	FaultPayment FaultKind = "402"
	// FaultForbidden is the 403 of a guardrail, its error nested.
	FaultForbidden FaultKind = "403-guardrail"
	// FaultRateLimit is the platform's general 429, code 1300; it counts as requests.
	FaultRateLimit FaultKind = "429"
	// FaultTokenLimit is a 429 of tokens per minute, with none remaining in its header.
	FaultTokenLimit FaultKind = "429-tokens"
	// FaultRequestLimit is a 429 of requests.
	FaultRequestLimit FaultKind = "429-requests"
	// FaultToolLimit is a 429 of the web search; it counts as tools.
	FaultToolLimit FaultKind = "429-web-search"
	// FaultCapacity is a 429 of the service tier; it counts as requests.
	FaultCapacity FaultKind = "429-capacity"
	// FaultQuota is a 429 whose headers have a limit of 0 tokens: the model is not in the
	// plan, and no wait will help. It counts as tokens.
	FaultQuota FaultKind = "429-quota"
	// FaultInternal is a 500 with the platform's error object.
	FaultInternal FaultKind = "500"
	// FaultBadGateway is a 502 with a page of HTML.
	FaultBadGateway FaultKind = "502-html"
	// FaultUnavailable is a 503 in plain text.
	FaultUnavailable FaultKind = "503-text"
	// FaultGatewayTimeout is a 504 of the gateway, with its message alone.
	FaultGatewayTimeout FaultKind = "504"
)

// Kinds that let the call run and spoil its reply, of a stream too.
const (
	// FaultSlowHeaders lets Delay pass and does nothing else.
	FaultSlowHeaders FaultKind = "slow-headers"
	// FaultDrip sends the reply in pieces of Bytes, with Delay between two of them.
	FaultDrip FaultKind = "drip"
	// FaultResetAfterHeaders resets the connection when the head of the reply is sent.
	FaultResetAfterHeaders FaultKind = "reset-after-headers"
	// FaultContentType calls the reply text/html, its body being what it was.
	FaultContentType FaultKind = "wrong-content-type"
	// FaultUnknownFields adds a property that the document has not to each object that
	// the reply or an event is, and to those of a list.
	FaultUnknownFields FaultKind = "unknown-fields"
	// FaultMissingFields leaves out properties, required or not.
	FaultMissingFields FaultKind = "missing-fields"
	// FaultOversize adds a property of Bytes bytes to the reply; of a stream, to the
	// event after Events.
	FaultOversize FaultKind = "oversize"
)

// FaultTruncated cuts the body of a plain reply in half, and says so in its length:
// HTTP is content, JSON is not. Streams do not match it.
const FaultTruncated FaultKind = "truncated-json"

// Kinds about the events of a stream; plain calls do not match them. Each strikes
// after Events events, when the next is due.
const (
	// FaultResetStream resets the connection.
	FaultResetStream FaultKind = "reset-mid-stream"
	// FaultStallStream sends nothing more, until the client leaves.
	FaultStallStream FaultKind = "stall-mid-stream"
	// FaultMalformedEvent puts in an event whose data are no JSON.
	FaultMalformedEvent FaultKind = "malformed-event"
	// FaultUnknownEvent puts in an event of a type that the document has not.
	FaultUnknownEvent FaultKind = "unknown-event"
	// FaultDuplicateEvent sends the next event twice.
	FaultDuplicateEvent FaultKind = "duplicate-event"
	// FaultMissingBlankLine leaves out the blank line behind the next event, which runs
	// into the one after it: by the rules of event streams they are one, with the data of
	// both. The last event of a stream never ends then, and is none.
	FaultMissingBlankLine FaultKind = "missing-blank-line"
	// FaultStrayLines puts into the next event, before its own, lines that the rules have a
	// reader pass over: a comment, fields that are unknown or have no colon, a time that is
	// no number, NUL bytes, and data behind a byte order mark, which is a mark at the
	// beginning of a stream alone.
	FaultStrayLines FaultKind = "stray-lines"
)

// Replaces reports whether the fault takes the place of the reply, so that the call
// does not run; see [Fault].
func (k FaultKind) Replaces() bool { return kinds[k].replaces }

// traits are what there is to know of a kind of fault.
type traits struct {
	replaces bool     // the call does not run
	reply    *failure // what it is answered instead, if it is
	refused  *refusal // what that counts as, if as a refusal
	only     calls    // that it can strike
	events   bool     // Events means something
	waits    bool     // Delay must be set
	shuts    bool     // it needs a door
}

// calls are kinds of calls.
type calls uint8

const (
	anyCall calls = iota
	plainCall
	streamedCall
)

var kinds = map[FaultKind]traits{
	FaultClose: {replaces: true},
	FaultReset: {replaces: true},
	FaultStall: {replaces: true},

	FaultRefuse: {replaces: true, waits: true, shuts: true},

	FaultUnauthorized: replaced(errUnauthorized, nil),
	FaultPayment: replaced(apiError(http.StatusPaymentRequired,
		"No payment method is set up for this organization", "payment_required", "1910"), nil),
	FaultForbidden: replaced(guardrailBlock([]any{map[string]any{
		"type": "moderation_llm_v1", "categories": []string{"dangerous_and_criminal_content"}, "blocked": true,
	}}), nil),
	FaultRateLimit:    replaced(errRequestLimit, new(refusal)),
	FaultTokenLimit:   replaced(errTokenLimit.with("X-Ratelimit-Remaining-Tokens-Minute", "0"), &refusal{tokens: true}),
	FaultRequestLimit: replaced(tooManyRequests(map[string]string{"message": "Requests rate limit exceeded"}), new(refusal)),
	FaultToolLimit: replaced(toolLimit("web_search").
		with("X-Ratelimit-Remaining-Web-Search-Minute", "0"), &refusal{tool: "web_search"}),
	FaultCapacity: replaced(tooManyRequests(map[string]any{
		"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "invalid_request_error",
		"param": nil, "code": nil, "raw_status_code": http.StatusTooManyRequests,
	}), new(refusal)),
	FaultQuota: replaced(errTokenLimit.with("X-Ratelimit-Limit-Tokens-Minute", "0").
		with("X-Ratelimit-Remaining-Tokens-Minute", "0"), &refusal{tokens: true}),
	FaultInternal: replaced(apiError(http.StatusInternalServerError, "Internal server error", "internal_server_error", "3000"), nil),
	FaultBadGateway: replaced((&failure{
		status: http.StatusBadGateway,
		body:   "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n",
	}).with("Content-Type", "text/html"), nil),
	FaultUnavailable: replaced((&failure{
		status: http.StatusServiceUnavailable, body: "no healthy upstream",
	}).with("Content-Type", "text/plain"), nil),
	FaultGatewayTimeout: replaced(&failure{
		status: http.StatusGatewayTimeout, body: map[string]string{"message": "The upstream server is timing out"},
	}, nil),

	FaultSlowHeaders:       {waits: true},
	FaultDrip:              {waits: true},
	FaultResetAfterHeaders: {},
	FaultContentType:       {},
	FaultUnknownFields:     {},
	FaultMissingFields:     {},
	FaultOversize:          {events: true},
	FaultTruncated:         {only: plainCall},

	FaultResetStream:    {only: streamedCall, events: true},
	FaultStallStream:    {only: streamedCall, events: true},
	FaultMalformedEvent: {only: streamedCall, events: true},
	FaultUnknownEvent:   {only: streamedCall, events: true},
	FaultDuplicateEvent: {only: streamedCall, events: true},

	FaultMissingBlankLine: {only: streamedCall, events: true},
	FaultStrayLines:       {only: streamedCall, events: true},
}

func replaced(reply *failure, refused *refusal) traits {
	return traits{replaces: true, reply: reply, refused: refused}
}

func kindNames() string {
	var names strings.Builder
	for i, k := range FaultKinds() {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(string(k))
	}
	return names.String()
}

// FaultKinds returns all kinds, in alphabetical order.
func FaultKinds() []FaultKind { return slices.Sorted(maps.Keys(kinds)) }
