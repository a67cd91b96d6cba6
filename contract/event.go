package contract

import "slices"

// CheckEvent checks the name and the data of one server-sent event. The document must
// define the name, and the data's `type` must equal it. The data must match the schema
// of that type. The violations do not name an operation.
func (c *Contract) CheckEvent(event string, data []byte) []Violation {
	if c.events == nil {
		return []Violation{{In: "event", Rule: "unexpected", Message: "the document does not define events"}}
	}
	var found []finding
	value, invalid := decodeJSON(data, c.strict)
	for _, f := range invalid {
		f.path = append([]string{"data"}, f.path...)
		found = append(found, f)
	}
	instance := map[string]any{"data": value}
	if event != "" {
		instance["event"] = event
	}
	switch {
	case invalid == nil:
		found = append(found, validate(c.events, instance)...)
	case event == "":
		found = append(found, finding{path: []string{"event"}, rule: "required", message: "property is missing"})
	}
	if object, ok := value.(map[string]any); ok {
		found = checkType(event, object, found)
	}
	return violations("", "event", "", found)
}

// checkType adds a finding if the data's `type` is missing or differs from the event's
// name. The schemas of the document do not require the two to be equal.
func checkType(event string, data map[string]any, found []finding) []finding {
	path := []string{"data", "type"}
	kind, ok := data["type"]
	if !ok {
		// Without a type, the schema errors only guess which type was intended.
		found = slices.DeleteFunc(found, func(f finding) bool { return len(f.path) > 0 && f.path[0] == "data" })
		return append(found, finding{path: path, rule: "required", message: "property is missing"})
	}
	if _, reported := (branch{found: found}).at(path, ""); reported || event == "" || kind == any(event) {
		return found
	}
	return append(found, finding{
		path: path, rule: "const", message: "must be the event's name, " + compact(event), value: kind, hasValue: true,
	})
}
