// Package fault defines the faults that the emulator injects into requests. Package
// emulator re-exports the names, for example as emulator.Fault and emulator.FaultReset.
package fault

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nearest"
)

// Fault is a fault to inject into the requests that match all conditions that are set:
// Operation, Model, Nth, Every, Times and Probability. Without conditions it matches every
// request. The other fields define the fault.
//
// The emulator can inject a fault into each request that carries a valid key and belongs
// to an operation, even if its content is invalid. It injects at most one fault into a
// request: the first of the list that matches.
//
// Kinds that replace the response ([Kind.Replaces]) take effect before the rate limits are
// applied. Such a request uses neither requests nor tokens, and the emulator stores nothing.
// With all other kinds the call runs: the emulator applies the limits, charges the call and
// stores it as usual. If a stream is interrupted, it charges and stores the part that was
// sent.
type Fault struct {
	// Kind is the kind of fault.
	Kind Kind `yaml:"kind" json:"kind"`
	// Operation is one of three: the name of an operation, such as "AppendConversation"; a
	// name with the suffix Stream, such as "AppendConversationStream", for only its streamed
	// calls; or a pattern of method and path, such as "POST /v1/conversations/*". In a
	// pattern * and {name} match one segment, and the method is optional. "" matches every
	// operation.
	Operation string `yaml:"operation" json:"operation,omitempty"`
	// Model is the model that the call runs; "" matches any model, and calls without one.
	Model string `yaml:"model" json:"model,omitempty"`
	// Nth is the number of a single request among those that match Operation and Model,
	// from 1; 0 matches any. Requests count even if they have another fault.
	Nth int `yaml:"nth" json:"nth,omitempty"`
	// Every selects every n-th of these requests: 3 selects the third, the sixth and so on;
	// 0 selects each.
	Every int `yaml:"every" json:"every,omitempty"`
	// Times is the maximum number of injections; 0 means unlimited.
	Times int `yaml:"times" json:"times,omitempty"`
	// Probability is the chance, from 0 to 1, that the fault is injected into a request that
	// meets the other conditions; 0 means always. The same seed selects the same requests, in
	// order of arrival.
	Probability float64 `yaml:"probability" json:"probability,omitempty"`

	// Delay is the time between the request and the fault. For [SlowBody] it is the time
	// between two pieces, and for [Refuse] the time for which connections are refused.
	Delay time.Duration `yaml:"delay" json:"-"`
	// Events is the number of events sent before a fault that changes an event. A stream
	// without further events is not changed, but counts as a request with the fault.
	Events int `yaml:"events" json:"events,omitempty"`
	// Bytes is the size of the pieces of [SlowBody] (default 1), or the number of bytes that
	// [Oversize] adds (default 64 MiB). It is at most 256 MiB.
	Bytes int `yaml:"bytes" json:"bytes,omitempty"`
	// Fields lists the properties that [MissingFields] omits, at any depth. The default is
	// object, created_at, usage, arguments, versions, source and deployment_chat.
	Fields []string `yaml:"fields" json:"fields,omitempty"`
	// Header is a set of additional header fields, such as {"Retry-After": "2"}, for kinds
	// that respond with an error status.
	Header map[string]string `yaml:"header" json:"header,omitempty"`
}

// The bounds of a list of faults.
const (
	Max      = 1_000     // number of faults
	MaxBytes = 256 << 20 // maximum of Fault.Bytes
)

// Validate reports an invalid field.
func (f Fault) Validate() error {
	kind, ok := kinds[f.Kind]
	if !ok {
		names := strings.Split(strings.Trim(fmt.Sprint(Kinds()), "[]"), " ")
		return fmt.Errorf("Kind: unknown kind %q%s; must be one of %s", f.Kind, nearest.Hint(string(f.Kind), names), strings.Join(names, ", "))
	}
	for _, count := range []struct {
		name  string
		value int
	}{{"Nth", f.Nth}, {"Every", f.Every}, {"Times", f.Times}, {"Events", f.Events}, {"Bytes", f.Bytes}} {
		if count.value < 0 {
			return invalid(count.name, count.value, "0 or more")
		}
	}
	switch {
	case f.Nth > 0 && f.Every > 0:
		return invalid("Nth", fmt.Sprintf("%d with Every %d", f.Nth, f.Every), "0 if Every is set")
	case math.IsNaN(f.Probability) || f.Probability < 0 || f.Probability > 1:
		return invalid("Probability", f.Probability, "a number from 0 to 1")
	case f.Delay < 0:
		return invalid("Delay", f.Delay, "0 or more")
	case f.Delay == 0 && kind.waits:
		return invalid("Delay", f.Delay, fmt.Sprintf("more than 0 for kind %s", f.Kind))
	case f.Events > 0 && !kind.events:
		return f.unused("Events", f.Events)
	case f.Bytes > 0 && f.Kind != SlowBody && f.Kind != Oversize:
		return f.unused("Bytes", f.Bytes)
	case f.Bytes > MaxBytes:
		return invalid("Bytes", f.Bytes, fmt.Sprintf("at most %d", MaxBytes))
	case len(f.Fields) > 0 && f.Kind != MissingFields:
		return f.unused("Fields", fmt.Sprintf("%q", f.Fields))
	}
	for name, value := range f.Header {
		if !kind.status {
			return f.unused("Header", strconv.Quote(name))
		}
		if err := wire.CheckHeader(name, value); err != nil {
			return err
		}
	}
	_, err := f.Matcher()
	return err
}

func invalid(field string, value any, want string) error {
	return fmt.Errorf("%s: must be %s, got %v", field, want, value)
}

func (f Fault) unused(field string, value any) error {
	return fmt.Errorf("%s: must not be set for kind %s, got %v", field, f.Kind, value)
}

// Validate reports a list that is too long, or the first invalid fault.
func Validate(list []Fault) error {
	if len(list) > Max {
		return fmt.Errorf("emulator: Faults: must be at most %d, got %d", Max, len(list))
	}
	for i, f := range list {
		if err := f.Validate(); err != nil {
			return fmt.Errorf("emulator: Faults[%d]: %w", i, err)
		}
	}
	return nil
}
