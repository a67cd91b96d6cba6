package emulator

import (
	"context"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
)

// Prompt is all that a model reads; see [model.Prompt].
type Prompt = model.Prompt

// Reply is what a model returns for a prompt; see [model.Reply].
type Reply = model.Reply

// Error is a failure of a model that has a form of its own on the wire; see [model.Error].
type Error = model.Error

// DefaultModel is the model of an emulator that has no other: a small program, deterministic
// and without intelligence. [model.Default] lists what it answers to which prompt.
func DefaultModel(ctx context.Context, p Prompt) Reply { return model.Default(ctx, p) }

// Step is one reply of a script; see [model.Step].
type Step = model.Step

// Call is a function call of a [Step]; see [model.Call].
type Call = model.Call

// Run is an execution of a tool of the service in a [Step]; see [model.Run].
type Run = model.Run

// Usage is the tokens of a [Step]; see [model.Usage].
type Usage = model.Usage

// Rule answers the requests that fit its conditions; see [model.Rule].
type Rule = model.Rule

// Turn is a [Step] or a [Rule].
type Turn = model.Turn

// Script is a model that answers by steps and rules; see [model.Script]. Its Reply method is
// a [Config.Model].
type Script = model.Script

// Say returns a step that is a message.
func Say(text string) Step { return model.Say(text) }

// Calls returns a step that calls functions, all in one reply.
func Calls(calls ...Call) Step { return model.Calls(calls...) }

// NewScript returns a script of steps, which are the model's replies in their order, and
// rules; see [model.NewScript].
func NewScript(turns ...Turn) *Script { return model.NewScript(turns...) }

// ParseScript returns a [Config.Model] that answers by rules, in YAML or JSON; see
// [model.ParseScript].
func ParseScript(data []byte) (func(context.Context, Prompt) Reply, error) {
	return model.ParseScript(data)
}

// Fault is something that goes wrong with some requests; see [fault.Fault].
type Fault = fault.Fault

// FaultKind is what goes wrong; see [fault.Kind].
type FaultKind = fault.Kind

// ParseFaults reads a list of faults, as YAML or JSON; see [fault.Parse].
func ParseFaults(data []byte) ([]Fault, error) { return fault.Parse(data) }

// FaultKinds returns all kinds, in alphabetical order.
func FaultKinds() []FaultKind { return fault.Kinds() }

// The bounds of a list of faults, and of [Fault.Bytes].
const (
	MaxFaults     = fault.Max
	MaxFaultBytes = fault.MaxBytes
)

// The kinds of faults; the constants of package fault describe each.
const (
	FaultClose             = fault.Close
	FaultReset             = fault.Reset
	FaultStall             = fault.Stall
	FaultRefuse            = fault.Refuse
	FaultUnauthorized      = fault.Unauthorized
	FaultPayment           = fault.Payment
	FaultForbidden         = fault.Forbidden
	FaultRateLimit         = fault.RateLimit
	FaultTokenLimit        = fault.TokenLimit
	FaultRequestLimit      = fault.RequestLimit
	FaultToolLimit         = fault.ToolLimit
	FaultCapacity          = fault.Capacity
	FaultQuota             = fault.Quota
	FaultInternal          = fault.Internal
	FaultBadGateway        = fault.BadGateway
	FaultUnavailable       = fault.Unavailable
	FaultGatewayTimeout    = fault.GatewayTimeout
	FaultSlowHeaders       = fault.SlowHeaders
	FaultLostReply         = fault.LostReply
	FaultSlowBody          = fault.SlowBody
	FaultResetAfterHeaders = fault.ResetAfterHeaders
	FaultContentType       = fault.ContentType
	FaultUnknownFields     = fault.UnknownFields
	FaultMissingFields     = fault.MissingFields
	FaultOversize          = fault.Oversize
	FaultTruncated         = fault.Truncated
	FaultResetStream       = fault.ResetStream
	FaultStallStream       = fault.StallStream
	FaultMalformedEvent    = fault.MalformedEvent
	FaultUnknownEvent      = fault.UnknownEvent
	FaultDuplicateEvent    = fault.DuplicateEvent
	FaultMissingBlankLine  = fault.MissingBlankLine
	FaultStrayLines        = fault.StrayLines
)
