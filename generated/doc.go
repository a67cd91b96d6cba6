// Package generated holds the types of Mistral's beta Conversations and Agents
// API and a client that sends one request for each call. It is made from
// openapi/openapi.yaml by oapi-codegen; what people call is package ratelimited.
//
// A union, such as [Entry], [ContentChunk], [Tool] or [StreamEvent], is made with
// NewEntry and its like, and read with a type switch:
//
//	switch e := entry.Value().(type) {
//	case generated.MessageOutputEntry:
//	case generated.FunctionCallEntry:
//	case generated.UnknownEntry: // a type this version does not know: its JSON is kept
//	}
//
// A field is a pointer only where its zero value means something else than unset.
// Nothing that is unset is sent.
package generated
