package contract

import "slices"

// CheckEvent checks one server-sent event: its name and its data. The name must be
// one of the document's, the same as the data's `type`, and the data what the
// document says of that type. The violations have no operation.
func (c *Contract) CheckEvent(event string, data []byte) []Violation {
	if c.events == nil {
		return []Violation{{In: "event", Rule: "unexpected", Message: "want no events: the document has none"}}
	}
	var found []finding
	value, wrong := decodeJSON(data, c.strict)
	for _, f := range wrong {
		f.path = append([]string{"data"}, f.path...)
		found = append(found, f)
	}
	instance := map[string]any{"data": value}
	if event != "" {
		instance["event"] = event
	}
	switch {
	case wrong == nil:
		found = append(found, validate(c.events, instance)...)
	case event == "":
		found = append(found, finding{path: []string{"event"}, rule: "required", message: "property is missing"})
	}
	if object, ok := value.(map[string]any); ok {
		found = sameType(event, object, found)
	}
	return violations("", "event", "", found)
}

// sameType adds that the data's `type` is missing or is not the event's name, which
// no schema of the document says.
func sameType(event string, data map[string]any, found []finding) []finding {
	path := []string{"data", "type"}
	kind, ok := data["type"]
	if !ok {
		// What the schemas say of data without a type is a guess at which was meant.
		found = slices.DeleteFunc(found, func(f finding) bool { return len(f.path) > 0 && f.path[0] == "data" })
		return append(found, finding{path: path, rule: "required", message: "property is missing"})
	}
	if _, said := (branch{found: found}).at(path, ""); said || event == "" || kind == any(event) {
		return found
	}
	return append(found, finding{
		path: path, rule: "const", message: "want the event's name, " + compact(event), value: kind, has: true,
	})
}
