// Package generated holds the types of Mistral's beta Conversations and Agents
// API and a client that sends one request for each call. It is generated from
// openapi/openapi.yaml by oapi-codegen. Programs normally use package ratelimited.
//
// [NewEntry], [NewTool] and the other New functions create a union, such as [Entry],
// [ContentChunk], [Tool] or [StreamEvent]. A type switch reads it:
//
//	switch e := entry.Value().(type) {
//	case generated.MessageOutputEntry:
//		fmt.Println(e.Content.Text())
//	case generated.FunctionCallEntry:
//		fmt.Println(e.Name, e.Arguments)
//	case generated.UnknownEntry: // a type that this version does not support; Raw is its JSON
//		fmt.Println(e.Type, string(e.Raw))
//	}
//
// Decoding is lenient. It skips a value whose type differs from the declared one, and the
// Mismatches method of the response returns the skipped values. The Raw method of a
// response, a stream event or a union returns the received JSON. A missing property is
// not a mismatch. Free-form values are of type [JSON]. The String methods return
// abbreviated JSON with secrets redacted; Raw and MarshalJSON return secrets.
//
// The types implement [encoding/json.Marshaler]. A struct that embeds one of them encodes as
// the embedded type alone and loses its other fields.
//
// A field of a request is a pointer only if its zero value and unset have different meanings.
// Optional query parameters are always pointers. Unset fields are not sent. A list or map of
// [UpdateAgentRequest] is unset only if it is nil, so an empty one is sent.
//
// [Client] sends requests without rate limiting or retries.
package generated
