package mcptools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// Option configures [Tools]: [Prefix], [Include], [Exclude] or [Options].
type Option func(*settings)

type settings struct {
	prefix           string
	include, exclude []string
	options          []func(*mcp.Tool) []runner.ToolOption
}

// Prefix adds a prefix to the name of each tool, to distinguish the tools of several servers.
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Include selects only the tools with these names, as the server names them.
func Include(names ...string) Option {
	return func(s *settings) { s.include = append(s.include, names...) }
}

// Exclude omits the tools with these names, as the server names them.
func Exclude(names ...string) Option {
	return func(s *settings) { s.exclude = append(s.exclude, names...) }
}

// Options sets a function that returns the options of each tool, such as [runner.NeedsApproval] for
// tools that change something. The function should not trust the annotations of a tool, because the
// server sets them.
func Options(of func(tool *mcp.Tool) []runner.ToolOption) Option {
	return func(s *settings) { s.options = append(s.options, of) }
}

// Tools returns all tools of a session as tools for a run, in the order of the server. It reads all
// pages of the list.
//
// The error is that of the session, or a [*runner.ConfigError] if a name or a schema is invalid, if
// two tools have the same name, or if [Include] or [Exclude] names an unknown tool.
func Tools(ctx context.Context, session *mcp.ClientSession, options ...Option) ([]*runner.Tool, error) {
	if session == nil {
		return nil, &runner.ConfigError{Field: "session", Rule: "must be a session returned by mcp.Client.Connect"}
	}
	var s settings
	for i, option := range options {
		if option == nil {
			return nil, &runner.ConfigError{Field: fmt.Sprintf("options[%d]", i), Rule: "must be an Option, got nil"}
		}
		option(&s)
	}
	var tools []*runner.Tool
	var found []string
	servers := map[string]string{} // the server's tool names, by runner name
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("mcptools: cannot list the tools: %w", err)
		}
		found = append(found, tool.Name)
		if len(s.include) > 0 && !slices.Contains(s.include, tool.Name) || slices.Contains(s.exclude, tool.Name) {
			continue
		}
		made, err := s.tool(session, tool)
		if err != nil {
			return nil, err
		}
		if other, ok := servers[made.Name()]; ok {
			return nil, &runner.ConfigError{Tool: made.Name(), Field: "name", Value: tool.Name, Rule: fmt.Sprintf("must be unique: the server's tool %q has the same name", other)}
		}
		servers[made.Name()] = tool.Name
		tools = append(tools, made)
	}
	for _, name := range slices.Concat(s.include, s.exclude) {
		if !slices.Contains(found, name) {
			return nil, &runner.ConfigError{Tool: name, Field: "Include, Exclude", Value: name, Rule: "must be a tool of the server: " + strings.Join(found, ", ")}
		}
	}
	return tools, nil
}

// tool converts one tool.
func (s *settings) tool(session *mcp.ClientSession, tool *mcp.Tool) (*runner.Tool, error) {
	name := s.prefix + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, tool.Name)
	text, err := json.Marshal(tool.InputSchema)
	if err != nil {
		return nil, &runner.ConfigError{Tool: name, Field: "inputSchema", Rule: "must be a JSON Schema: " + err.Error(), Err: err}
	}
	isClosed := false
	if parameters, err := schema.Compile(text); err == nil {
		if !parameters.IsObject() {
			return nil, &runner.ConfigError{Tool: name, Field: "inputSchema", Value: string(text), Rule: `must be a JSON Schema of type "object"`}
		}
		isClosed = parameters.IsClosed()
	}
	var options []runner.ToolOption
	for _, of := range s.options {
		if of == nil {
			return nil, &runner.ConfigError{Field: "Options", Rule: "must be a function, got nil"}
		}
		options = append(options, of(tool)...)
	}
	definition := generated.Function{Name: name, Description: describe(tool), Parameters: json.RawMessage(text), Strict: isClosed}
	serverName := tool.Name
	return runner.RawTool(definition, func(ctx context.Context, arguments json.RawMessage) (string, error) {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: serverName, Arguments: arguments})
		if err != nil {
			return "", fmt.Errorf("mcptools: call of %q: %w", serverName, err)
		}
		return resultText(result)
	}, options...)
}

// describe returns the first nonblank text of a tool's description, title and name.
func describe(tool *mcp.Tool) string {
	texts := []string{tool.Description, tool.Title}
	if tool.Annotations != nil {
		texts = append(texts, tool.Annotations.Title)
	}
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return tool.Name
}

// errInput is the error of a call to which the server responds with input requests.
var errInput = errors.New("mcptools: the server requested input, which is not supported")

// resultText returns the text that the model receives for a result.
func resultText(result *mcp.CallToolResult) (string, error) {
	if len(result.InputRequests) > 0 {
		return "", errInput
	}
	parts := make([]string, len(result.Content))
	for i, content := range result.Content {
		parts[i] = textOf(content)
	}
	text := strings.Join(parts, "\n")
	if len(parts) == 0 && result.StructuredContent != nil {
		structured, err := json.Marshal(result.StructuredContent)
		if err != nil {
			return "", fmt.Errorf("mcptools: cannot encode the structured content as JSON: %w", err)
		}
		text = string(structured)
	}
	if result.IsError {
		return "", runner.Explain(text, nil)
	}
	return text, nil
}

// textOf returns a text unchanged, and a short description of other content.
func textOf(content mcp.Content) string {
	switch c := content.(type) {
	case *mcp.TextContent:
		return c.Text
	case *mcp.ImageContent:
		return fmt.Sprintf("[image, %s, %d bytes]", c.MIMEType, len(c.Data))
	case *mcp.AudioContent:
		return fmt.Sprintf("[audio, %s, %d bytes]", c.MIMEType, len(c.Data))
	case *mcp.ResourceLink:
		return fmt.Sprintf("[link to resource %s]", c.URI)
	case *mcp.EmbeddedResource:
		if c.Resource == nil {
			return "[resource]"
		}
		return fmt.Sprintf("[resource %s]", c.Resource.URI)
	}
	return "[content of an unknown kind]"
}
