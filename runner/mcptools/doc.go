// Package mcptools converts the tools of a Model Context Protocol (MCP) server into tools of
// package runner:
//
//	transport := &mcp.StreamableClientTransport{Endpoint: "https://mcp.example.com"}
//	session, err := mcp.NewClient(&mcp.Implementation{Name: "mine"}, nil).Connect(ctx, transport, nil)
//	if err != nil {
//		return err
//	}
//	defer session.Close()
//	tools, err := mcptools.Tools(ctx, session, mcptools.Prefix("files_"))
//	if err != nil {
//		return err
//	}
//	r, err := runner.New(client, runner.Config{Tools: tools})
//
// The caller opens and closes the session. Tools lists the server's tools once. If the list
// changes, call Tools again.
//
// # Calls
//
// A tool name keeps letters, digits, _ and -. Any other character becomes _. The model receives the
// server's schema unchanged, and the runner validates arguments against it before it calls the
// server. Strict mode is on if the schema has no open part. The SDK for MCP does not preserve JSON
// text: properties are in alphabetical order, and numbers above 2^53 are rounded.
//
// The model receives the text parts of a result, separated by line breaks. For images, audio and
// resources it receives a short description. If a result has only structured content, the model
// receives it as JSON. If a result has isError set, its text becomes the text of a failed call. If
// the connection fails or the server returns a protocol error, the model receives "The function
// failed.".
//
// # Trust
//
// Names, descriptions and results come from the server and reach the model. The server's
// annotations, such as readOnlyHint, are not trustworthy. Use [Options] to decide which tools need
// approval.
package mcptools
