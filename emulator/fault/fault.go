// Package fault describes what goes wrong with requests to the emulator, and when. Package
// emulator has the same names, as emulator.Fault and emulator.FaultReset.
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

// Fault is injected into requests that match Operation, Model, Nth, Every, Times and Probability,
// all of those that are set; into every request if none is. The other fields say what goes
// wrong.
//
// A request can have a fault if its key is right and it belongs to an operation, whether it
// is well-formed or not. It has at most one: the first of the list that matches. Kinds that
// replace the response ([Kind.Replaces]) come before the limits are checked and take nothing
// from them; nothing is stored. With all other kinds the call runs: it is checked against the
// limits by the time at which it arrived, charged and stored as if nothing were wrong; of a
// stream that breaks off, what was sent.
type Fault struct {
	// Kind is what goes wrong.
	Kind Kind `yaml:"kind" json:"kind"`
	// Operation is an operation's name, as "AppendConversation"; with Stream behind it,
	// as "AppendConversationStream", its streamed calls only. Or it is a pattern of
	// method and path in which * or {name} is one segment: "POST /v1/conversations/*";
	// without the method, any. "" is every operation.
	Operation string `yaml:"operation" json:"operation,omitempty"`
	// Model is the model that the call runs; "" is any, and calls without one.
	Model string `yaml:"model" json:"model,omitempty"`
	// Nth is the number of the one request, among those that match Operation and Model, from 1; 0 is
	// any. Requests count whether or not they have another fault.
	Nth int `yaml:"nth" json:"nth,omitempty"`
	// Every injects the fault into every n-th of these requests: 3 is the third, the sixth
	// and so on; 0 is each.
	Every int `yaml:"every" json:"every,omitempty"`
	// Times is how often the fault is injected at most; 0 means no bound.
	Times int `yaml:"times" json:"times,omitempty"`
	// Probability is the chance of each request that the conditions above leave, from 0
	// to 1; 0 is certain. The emulator's seed decides: the same seed decides the same for the
	// same requests in order of arrival.
	Probability float64 `yaml:"probability" json:"probability,omitempty"`

	// Delay is how long a request waits before the fault; 0 is not at all. Of
	// [SlowBody] it is the time between two pieces, of [Refuse] the time for which
	// connections are refused.
	Delay time.Duration `yaml:"delay" json:"-"`
	// Events is how many events of a stream are sent before a fault of an event. A stream
	// that has no more events than that is left alone, and counts as having had the fault.
	Events int `yaml:"events" json:"events,omitempty"`
	// Bytes is the size of a piece of [SlowBody], 1 by default, and how many bytes
	// [Oversize] adds, 64 MiB by default; at most 256 MiB.
	Bytes int `yaml:"bytes" json:"bytes,omitempty"`
	// Fields names the properties that [MissingFields] leaves out, at any depth;
	// by default object, created_at, usage, arguments, versions, source and
	// deployment_chat.
	Fields []string `yaml:"fields" json:"fields,omitempty"`
	// Header is added to that of kinds that have a status of their own, as
	// {"Retry-After": "2"}.
	Header map[string]string `yaml:"header" json:"header,omitempty"`
}

// The bounds of a list of faults.
const (
	Max      = 1_000     // faults
	MaxBytes = 256 << 20 // of Fault.Bytes
)

// Validate reports a field that makes no sense.
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

// Validate reports a list that is too long, or the first fault that makes no sense.
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
