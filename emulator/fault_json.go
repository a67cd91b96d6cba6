package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

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
	var wire faultJSON
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return err
	}
	var delay time.Duration
	if wire.Delay != "" {
		var err error
		if delay, err = time.ParseDuration(wire.Delay); err != nil {
			return fmt.Errorf("delay is %q: want a time as \"300ms\"", wire.Delay)
		}
	}
	*f = Fault{
		Kind: wire.Kind, Operation: wire.Operation, Nth: wire.Nth, Every: wire.Every, Times: wire.Times,
		Probability: wire.Probability, Delay: delay, Events: wire.Events, Bytes: wire.Bytes, Fields: wire.Fields,
		Header: wire.Header,
	}
	return nil
}

// ParseFaults reads a list of faults, as YAML or JSON:
//
//   - {kind: 503-text, operation: StartConversation, times: 2, header: {Retry-After: "1"}}
//   - {kind: reset-mid-stream, probability: 0.1, events: 3}
//   - {kind: slow-headers, every: 5, delay: 2s}
//
// The fields are those of [Fault] in lower case. An error names the fault, counted from
// 0, and what is wrong with it.
func ParseFaults(data []byte) ([]Fault, error) {
	var items []any
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&items); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("emulator: Faults: want a list: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("emulator: Faults: there is more behind the list")
	}
	list := make([]Fault, len(items))
	for i, item := range items {
		text, err := json.Marshal(asTexts(item))
		if err == nil {
			err = json.Unmarshal(text, &list[i])
		}
		if err != nil {
			return nil, fmt.Errorf("emulator: Faults[%d]: %w", i, err)
		}
	}
	return list, validateFaults(list)
}

// asTexts makes texts of the numbers that YAML sees where they are meant as such: the
// kind 503 and a header's 1.
func asTexts(item any) any {
	fault, ok := item.(map[string]any)
	if !ok {
		return item
	}
	text := func(in map[string]any, name string) {
		if n, ok := in[name].(int); ok {
			in[name] = strconv.Itoa(n)
		}
	}
	text(fault, "kind")
	if header, ok := fault["header"].(map[string]any); ok {
		for name := range header {
			text(header, name)
		}
	}
	return fault
}
