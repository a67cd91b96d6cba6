package wire

import (
	"cmp"
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// ServiceTool returns the name and the configuration of one of the service's tools. It
// returns false for a function.
func ServiceTool(tool generated.Tool) (name string, configuration generated.ToolConfiguration, ok bool) {
	var t struct {
		Type          generated.ToolType          `json:"type"`
		ConnectorID   string                      `json:"connector_id"`
		Configuration generated.ToolConfiguration `json:"tool_configuration"`
	}
	_ = json.Unmarshal(Encode(tool), &t) // The tool was decoded from JSON.
	return cmp.Or(t.ConnectorID, string(t.Type)), t.Configuration, t.Type != "" && t.Type != generated.ToolTypeFunction
}

// ServiceTools returns the names of the service's tools in a list of tools.
func ServiceTools(tools []generated.Tool) []string {
	var names []string
	for _, tool := range tools {
		if name, _, ok := ServiceTool(tool); ok {
			names = append(names, name)
		}
	}
	return names
}
