package fault

import (
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/strictyaml"
)

// plain is a Fault without methods.
type plain Fault

// MarshalJSON encodes the fields that are not zero, with names in lower case and the delay
// in the form "300ms".
func (f Fault) MarshalJSON() ([]byte, error) {
	fields := struct {
		plain
		Delay string `json:"delay,omitempty"`
	}{plain: plain(f)}
	if f.Delay != 0 {
		fields.Delay = f.Delay.String()
	}
	return json.Marshal(fields)
}

// UnmarshalJSON decodes the form that MarshalJSON writes. It rejects unknown fields.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var read plain
	err := strictyaml.Decode(data, "fault", "", &read)
	if err == nil {
		*f = Fault(read)
	}
	return err
}

// Parse parses a list of faults in YAML or JSON:
//
//   - {kind: 503-text, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
//   - {kind: reset-mid-stream, probability: 0.1, events: 3}
//   - {kind: slow-headers, every: 5, delay: 2s}
//
// The names of the fields are those of [Fault] in lower case. An error reports the number
// of the fault, from 1, the field, its value and its line.
func Parse(data []byte) ([]Fault, error) {
	var list []Fault
	if err := strictyaml.Decode(data, "faults", "fault", &list); err != nil {
		return nil, err
	}
	return list, Validate(list)
}
