package ratelimited

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Text returns inputs that consist of one user message.
func Text(text string) generated.ConversationInputs {
	return generated.NewTextInputs(text)
}

// Entries returns inputs that consist of a list of entries:
//
//	ratelimited.Entries(ratelimited.User("2+2?"), ratelimited.Assistant("4"), ratelimited.User("And times 3?"))
func Entries(entries ...generated.Entry) generated.ConversationInputs {
	return generated.NewEntryInputs(entries)
}

// User returns a message of the user.
func User(text string) generated.Entry {
	return message(generated.MessageRoleUser, generated.NewTextContent(text))
}

// UserChunks returns a message of the user that consists of several chunks, such as text and images.
func UserChunks(chunks ...generated.ContentChunk) generated.Entry {
	return message(generated.MessageRoleUser, generated.NewChunkContent(chunks...))
}

// Assistant returns a message of the model. It need not be one that a model has written.
func Assistant(text string) generated.Entry {
	return message(generated.MessageRoleAssistant, generated.NewTextContent(text))
}

func message(role generated.MessageRole, content generated.MessageContent) generated.Entry {
	return generated.NewEntry(generated.MessageInputEntry{Role: role, Content: content})
}

// FunctionResult returns the result of a function call of the model.
func FunctionResult(toolCallID, result string) generated.Entry {
	return generated.NewEntry(generated.FunctionResultEntry{ToolCallID: toolCallID, Result: result})
}

// OutputText returns the text of the response: see [generated.ConversationResponse.OutputText].
func OutputText(response *generated.ConversationResponse) string { return response.OutputText() }

// FunctionCalls returns the function calls that the model makes in the response: see
// [generated.ConversationResponse.FunctionCalls]. Return their results with [FunctionResult].
func FunctionCalls(response *generated.ConversationResponse) []generated.FunctionCallEntry {
	return response.FunctionCalls()
}

// Ptr returns a pointer to a value. Use it for optional fields whose zero value is a valid setting:
// Temperature: ratelimited.Ptr(0.0).
func Ptr[T any](value T) *T { return &value }
