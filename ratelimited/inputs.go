package ratelimited

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Text makes the inputs of a call of one user message.
func Text(text string) generated.ConversationInputs {
	return generated.NewTextInputs(text)
}

// Entries makes the inputs of a call of a list of entries:
//
//	ratelimited.Entries(ratelimited.User("2+2?"), ratelimited.Assistant("4"), ratelimited.User("And times 3?"))
func Entries(entries ...generated.Entry) generated.ConversationInputs {
	return generated.NewEntryInputs(entries)
}

// User is a message that the user wrote.
func User(text string) generated.Entry {
	return message(generated.MessageRoleUser, generated.NewTextContent(text))
}

// UserChunks is a message that the user wrote, of several pieces such as text and images.
func UserChunks(chunks ...generated.ContentChunk) generated.Entry {
	return message(generated.MessageRoleUser, generated.NewChunkContent(chunks...))
}

// Assistant is a message that the model wrote, or is to be taken to have written.
func Assistant(text string) generated.Entry {
	return message(generated.MessageRoleAssistant, generated.NewTextContent(text))
}

func message(role generated.MessageRole, content generated.MessageContent) generated.Entry {
	return generated.NewEntry(generated.MessageInputEntry{Role: role, Content: content})
}

// FunctionResult answers a function call of the model.
func FunctionResult(toolCallID, result string) generated.Entry {
	return generated.NewEntry(generated.FunctionResultEntry{ToolCallID: toolCallID, Result: result})
}

// OutputText is [generated.ConversationResponse.OutputText].
func OutputText(response *generated.ConversationResponse) string { return response.OutputText() }

// FunctionCalls is [generated.ConversationResponse.FunctionCalls]. [FunctionResult] answers
// a call.
func FunctionCalls(response *generated.ConversationResponse) []generated.FunctionCallEntry {
	return response.FunctionCalls()
}

// Ptr returns a pointer to a value, for the optional fields whose zero value
// means something: Temperature: ratelimited.Ptr(0.0).
func Ptr[T any](value T) *T { return &value }
