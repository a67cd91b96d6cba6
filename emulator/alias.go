package emulator

import (
	"context"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
)

// Prompt is the input of a model; see [model.Prompt].
type Prompt = model.Prompt

// Reply is the output of a model for a prompt; see [model.Reply].
type Reply = model.Reply

// Error is a failure of a model with a specific HTTP response; see [model.Error].
type Error = model.Error

// DefaultModel is the model that an emulator uses if [Config.Model] is nil. It is a small
// deterministic program, not a language model. [model.Default] lists its rules.
func DefaultModel(ctx context.Context, p Prompt) Reply { return model.Default(ctx, p) }

// Step is one reply of a [Script]; see [model.Step].
type Step = model.Step

// Call is a function call of a [Step]; see [model.Call].
type Call = model.Call

// Run is an execution of one of the service's tools in a [Step]; see [model.Run].
type Run = model.Run

// Usage is the token usage of a [Step]; see [model.Usage].
type Usage = model.Usage

// Rule is a reply to the requests that match its conditions; see [model.Rule].
type Rule = model.Rule

// Turn is a [Step] or a [Rule].
type Turn = model.Turn

// Script is a model that follows steps and rules; see [model.Script]. Its Reply method is
// a [Config.Model].
type Script = model.Script

// Say returns a step whose reply is a message.
func Say(text string) Step { return model.Say(text) }

// Calls returns a step that makes all these function calls in one reply.
func Calls(calls ...Call) Step { return model.Calls(calls...) }

// NewScript returns a script of steps and rules. The steps are the model's replies in
// order; see [model.NewScript].
func NewScript(turns ...Turn) *Script { return model.NewScript(turns...) }

// ParseScript returns a [Config.Model] that follows rules written in YAML or JSON; see
// [model.ParseScript].
func ParseScript(data []byte) (func(context.Context, Prompt) Reply, error) {
	return model.ParseScript(data)
}

// Fault is a fault to inject into some requests; see [fault.Fault].
type Fault = fault.Fault

// FaultKind is a kind of fault; see [fault.Kind].
type FaultKind = fault.Kind

// ParseFaults parses a list of faults in YAML or JSON; see [fault.Parse].
func ParseFaults(data []byte) ([]Fault, error) { return fault.Parse(data) }

// FaultKinds returns all kinds of faults in alphabetical order.
func FaultKinds() []FaultKind { return fault.Kinds() }

// The maximum length of a list of faults, and the maximum of [Fault.Bytes].
const (
	MaxFaults     = fault.Max
	MaxFaultBytes = fault.MaxBytes
)

// The kinds of faults. The constants of package fault describe them.
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
