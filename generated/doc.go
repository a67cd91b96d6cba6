// Package generated holds the types of Mistral's beta Conversations and Agents
// API and a client that sends one request for each call. It is made from
// openapi/openapi.yaml by oapi-codegen; what people call is package ratelimited.
//
// A union, such as [Entry], [ContentChunk], [Tool] or [StreamEvent], is made with
// NewEntry and its like, and read with a type switch:
//
//	switch e := entry.Value().(type) {
//	case generated.MessageOutputEntry:
//		fmt.Println(e.Content.Text())
//	case generated.FunctionCallEntry:
//		fmt.Println(e.Name, e.Arguments)
//	case generated.UnknownEntry: // a type this version does not know: its JSON is kept
//		fmt.Println(e.Type, string(e.Raw))
//	}
//
// Reading is lenient: a value of another type than the document declares is left out, and
// Mismatches of the response returns it. Raw of a response, an event or a union returns the
// JSON as it came. Free-form values are of type [JSON]. Printed, a value of this package
// is short JSON without secrets.
//
// A field of a request is a pointer only where its zero value means something else
// than unset, and so are all parameters of queries. Nothing that is unset is sent;
// of the lists and maps of [UpdateAgentRequest], those that are nil.
//
// The functions NewXRequest, and [Client], send what they are told at once: no
// limit is kept there.
package generated
