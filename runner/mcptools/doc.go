// Package mcptools makes the tools of a server of the Model Context Protocol (MCP) tools of a
// run:
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
// The session is the caller's, who opens and closes it. Its tools are those that the server has
// when Tools is called: a list that changes counts from the next call of Tools.
//
// # Calls
//
// A name keeps letters, digits, _ and -; any other character becomes _. The server's schema is sent
// as it is, and arguments are checked against it before the server is called. It is strict if it
// has no open part. Its properties are in alphabetical order, and numbers beyond 2^53 are rounded,
// because the SDK for MCP does not keep them as they came.
//
// The model is told the text parts of a result with line breaks between them. Of images, audio
// and resources it is told the kind. A result that has structured content alone is told as JSON.
// The text of a result with isError is told as that of a failed call. If the connection fails, or
// the server reports an error of the protocol, the model is told "The function failed.".
//
// # Trust
//
// Names, descriptions and results are the server's and reach the model. What the server says of
// its tools, such as that one only reads, is a hint: [Options] decides which need approval.
package mcptools
