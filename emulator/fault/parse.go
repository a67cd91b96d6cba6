package fault

import (
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/strictyaml"
)

// plain is a Fault without methods.
type plain Fault

// MarshalJSON writes the fields in lower case, without those that are zero; a delay as
// "300ms".
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

// UnmarshalJSON reads what MarshalJSON writes, and refuses unknown fields.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var read plain
	err := strictyaml.Decode(data, "fault", "", &read)
	if err == nil {
		*f = Fault(read)
	}
	return err
}

// Parse reads a list of faults, as YAML or JSON:
//
//   - {kind: 503-text, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
//   - {kind: reset-mid-stream, probability: 0.1, events: 3}
//   - {kind: slow-headers, every: 5, delay: 2s}
//
// The fields are those of [Fault] in lower case. An error names the fault, counted from
// 1, the field, its value and its line.
func Parse(data []byte) ([]Fault, error) {
	var list []Fault
	if err := strictyaml.Decode(data, "faults", "fault", &list); err != nil {
		return nil, err
	}
	return list, Validate(list)
}
