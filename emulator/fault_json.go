package emulator

import (
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"
)

// faultJSON is a Fault as JSON and YAML have it.
type faultJSON struct {
	Kind        FaultKind         `json:"kind"`
	Operation   string            `json:"operation,omitempty"`
	Nth         int               `json:"nth,omitempty"`
	Every       int               `json:"every,omitempty"`
	Times       int               `json:"times,omitempty"`
	Probability float64           `json:"probability,omitempty"`
	Delay       string            `json:"delay,omitempty"`
	Events      int               `json:"events,omitempty"`
	Bytes       int               `json:"bytes,omitempty"`
	Fields      []string          `json:"fields,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
}

// MarshalJSON writes the fields in lower case, without those that are zero; a delay as
// "300ms".
func (f Fault) MarshalJSON() ([]byte, error) {
	wire := faultJSON{
		Kind: f.Kind, Operation: f.Operation, Nth: f.Nth, Every: f.Every, Times: f.Times, Probability: f.Probability,
		Events: f.Events, Bytes: f.Bytes, Fields: f.Fields, Header: f.Header,
	}
	if f.Delay != 0 {
		wire.Delay = f.Delay.String()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses unknown fields.
func (f *Fault) UnmarshalJSON(data []byte) error {
	document, err := readDocument(data, "fault")
	if err != nil {
		return err
	}
	fault, err := parseFault(document, "fault")
	if err == nil {
		*f = fault
	}
	return err
}

// ParseFaults reads a list of faults, as YAML or JSON:
//
//   - {kind: 503-text, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
//   - {kind: reset-mid-stream, probability: 0.1, events: 3}
//   - {kind: slow-headers, every: 5, delay: 2s}
//
// The fields are those of [Fault] in lower case. An error names the fault, counted from
// 1, the field, its value and its line.
func ParseFaults(data []byte) ([]Fault, error) {
	document, err := readDocument(data, "faults")
	if err != nil || document == nil {
		return nil, err
	}
	var list []Fault
	err = readList(func(i int, item *yaml.Node) error {
		f, err := parseFault(item, fmt.Sprintf("fault %d", i+1))
		if err == nil {
			err = f.validate()
			if err != nil {
				err = fmt.Errorf("fault %d: %w (line %d)", i+1, err, item.Line)
			}
		}
		list = append(list, f)
		return err
	})("faults", document)
	if err != nil {
		return nil, err
	}
	return list, validateFaults(list)
}

func parseFault(node *yaml.Node, path string) (Fault, error) {
	const whole = "a whole number"
	var f Fault
	var kind string
	err := readMapping(node, path, fields{
		"kind": text(&kind), "operation": text(&f.Operation),
		"nth": value(&f.Nth, whole), "every": value(&f.Every, whole), "times": value(&f.Times, whole),
		"probability": value(&f.Probability, "a number"), "delay": duration(&f.Delay),
		"events": value(&f.Events, whole), "bytes": value(&f.Bytes, whole),
		"fields": value(&f.Fields, "a list of texts"), "header": texts(&f.Header),
	})
	f.Kind = FaultKind(kind)
	return f, err
}
