package emulator

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with some requests. Which ones Operation, Nth,
// Every, Times and Probability say, all of which must agree; with none of them set it
// is every request. The other fields say what goes wrong.
//
// A fault strikes a request that has a right key and belongs to an operation, be it
// well-formed or not, and one request is struck by one fault at most: the first in the
// list that may. Kinds that take the place of a reply ([FaultKind.Replaces]) come
// before the limits are judged and take nothing from them; nothing is stored. All
// others let the call run: it is judged, by the time at which it arrived, charged and
// stored as if nothing were wrong, a stream that breaks off with what was sent.
type Fault struct {
	// Kind is what goes wrong.
	Kind FaultKind
	// Operation is an operation's name, as "AppendConversation"; with Stream behind it,
	// as "AppendConversationStream", its streamed calls only. Or it is a pattern of
	// method and path in which * or {name} is one segment: "POST /v1/conversations/*";
	// without the method, any. "" is every operation.
	Operation string
	// Nth is the one request to strike, of those that match Operation, from 1; 0 is no
	// such condition. A request counts whether or not some fault strikes it.
	Nth int
	// Every strikes every so manieth of these requests: 3 is the third, the sixth and so
	// on; 0 is no such condition.
	Every int
	// Times is how often the fault strikes at most; 0 is without an end.
	Times int
	// Probability is the chance of each request that the conditions above leave, from 0
	// to 1; 0 is no such condition. [Config.Seed] decides, and the same seed decides the
	// same for the same request, in order of arrival.
	Probability float64

	// Delay is how long a request waits before it is struck; 0 is not at all. Of
	// [FaultDrip] it is the time between two pieces, of [FaultRefuse] the time for which
	// connections are refused.
	Delay time.Duration
	// Events is how many events of a stream are sent before those kinds strike that are
	// about events. A stream that has no more than these is left alone, and counts as
	// struck.
	Events int
	// Bytes is the size of a piece of [FaultDrip], 1 by default, and how many bytes
	// [FaultOversize] adds, 64 MiB by default; at most 256 MiB.
	Bytes int
	// Fields names the properties that [FaultMissingFields] leaves out, at any depth;
	// by default object, created_at, usage, arguments, versions, source and
	// deployment_chat.
	Fields []string
	// Header is added to that of kinds that have a status of their own, as
	// {"Retry-After": "2"}.
	Header map[string]string
}

// The bounds of a list of faults.
const (
	MaxFaults     = 1_000
	MaxFaultBytes = 256 << 20
)

const (
	usualDrip     = 1
	usualOversize = 64 << 20
)

func usualFields() []string {
	return []string{"object", "created_at", "usage", "arguments", "versions", "source", "deployment_chat"}
}

// validate says what of a fault makes no sense.
func (f Fault) validate() error {
	kind, ok := kinds[f.Kind]
	if !ok {
		return unfit("Kind", strconv.Quote(string(f.Kind)), "one of "+kindNames())
	}
	for _, count := range []struct {
		name  string
		value int
	}{{"Nth", f.Nth}, {"Every", f.Every}, {"Times", f.Times}, {"Events", f.Events}, {"Bytes", f.Bytes}} {
		if count.value < 0 {
			return unfit(count.name, count.value, "0 or more")
		}
	}
	switch {
	case f.Nth > 0 && f.Every > 0:
		return unfit("Nth", fmt.Sprintf("%d and Every is %d", f.Nth, f.Every), "one of them")
	case math.IsNaN(f.Probability) || f.Probability < 0 || f.Probability > 1:
		return unfit("Probability", f.Probability, "a number from 0 to 1")
	case f.Delay < 0:
		return unfit("Delay", f.Delay, "0 or more")
	case f.Delay == 0 && kind.waits:
		return unfit("Delay", f.Delay, fmt.Sprintf("more for kind %s", f.Kind))
	case f.Events > 0 && !kind.events:
		return f.useless("Events", f.Events)
	case f.Bytes > 0 && f.Kind != FaultDrip && f.Kind != FaultOversize:
		return f.useless("Bytes", f.Bytes)
	case f.Bytes > MaxFaultBytes:
		return unfit("Bytes", f.Bytes, fmt.Sprintf("at most %d", MaxFaultBytes))
	case len(f.Fields) > 0 && f.Kind != FaultMissingFields:
		return f.useless("Fields", fmt.Sprintf("%q", f.Fields))
	}
	if err := f.validateHeader(kind); err != nil {
		return err
	}
	_, err := parseTarget(f.Operation)
	return err
}

func unfit(field string, value any, want string) error {
	return fmt.Errorf("%s is %v: want %s", field, value, want)
}

func (f Fault) useless(field string, value any) error {
	return fmt.Errorf("%s is %v: kind %s has no use for it", field, value, f.Kind)
}

func (f Fault) validateHeader(kind traits) error {
	for name, value := range f.Header {
		switch {
		case kind.reply == nil:
			return f.useless("Header", strconv.Quote(name))
		case name == "" || strings.ContainsFunc(name, noTokenRune):
			return unfit("Header", strconv.Quote(name), "the name of a header")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return unfit(fmt.Sprintf("Header[%q]", name), strconv.Quote(value), "no control characters")
		case slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Connection"}, http.CanonicalHeaderKey(name)):
			return unfit("Header", strconv.Quote(name), "none that the server sets")
		}
	}
	return nil
}

// noTokenRune reports whether a header's name cannot have a rune: see RFC 9110, 5.6.2.
func noTokenRune(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func validateFaults(list []Fault) error {
	if len(list) > MaxFaults {
		return fmt.Errorf("emulator: Faults has %d: want at most %d", len(list), MaxFaults)
	}
	for i, f := range list {
		if err := f.validate(); err != nil {
			return fmt.Errorf("emulator: Faults[%d]: %w", i, err)
		}
	}
	return nil
}
