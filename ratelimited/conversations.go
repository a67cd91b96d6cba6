package ratelimited

import (
	"context"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Conversations is the conversations API: /v1/conversations. Its methods wait for the limiter, retry
// temporary failures, and settle the tokens that were used. They are safe for concurrent use.
//
// If the connection breaks before the response arrives, the client retries, so the server may carry
// out a call twice. Pass [AtMostOnce] to prevent this. An unknown id is an [ErrNotFound].
type Conversations struct{ client *Client }

// Start starts a conversation with a model or an agent and returns the response. Inputs and either
// Model or AgentID are required. The client sets Stream.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_start
func (s *Conversations) Start(ctx context.Context, request generated.StartConversationRequest, options ...CallOption) (*generated.ConversationResponse, error) {
	return complete[*generated.ConversationResponse](ctx, s.owner(), startOperation(request, false), options)
}

// StartStream is like [Conversations.Start], but returns a stream of events. It returns when the first
// event has arrived; until then the client may retry. The context bounds the whole stream.
//
// Range over [Stream.Events] or close the stream. Otherwise it keeps its connection and its tokens until
// the context ends or the garbage collector finds it.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_start_stream
func (s *Conversations) StartStream(ctx context.Context, request generated.StartConversationRequest, options ...CallOption) (*Stream, error) {
	return openStream(ctx, s.owner(), startOperation(request, true), options)
}

func startOperation(request generated.StartConversationRequest, stream bool) operation {
	request.Stream = stream
	return operation{
		name: streamName("Conversations.Start", stream), stream: stream,
		invalid: firstInvalid(checkModelOrAgent(request.Model, request.AgentID), checkInputs(request.Inputs), checkTools(request.Tools), checkFormat(request.CompletionArgs)),
		prompt: &prompt{
			model: request.Model, agentID: request.AgentID, inputs: request.Inputs, instructions: request.Instructions,
			tools: request.Tools, format: request.CompletionArgs.ResponseFormat, maxTokens: copyOf(request.CompletionArgs.MaxTokens),
		},
		body: request,
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.StartConversationWithBody(ctx, jsonType, http.NoBody)
		},
	}
}

// Append adds entries to a conversation and returns the response. Inputs or ToolConfirmations are
// required. If the model has handed the conversation to another agent and left the handoff to the
// caller, Entries() without an entry continues it. The model reads the whole stored conversation again,
// so its tokens count in every call.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_append
func (s *Conversations) Append(ctx context.Context, conversationID string, request generated.AppendConversationRequest, options ...CallOption) (*generated.ConversationResponse, error) {
	return complete[*generated.ConversationResponse](ctx, s.owner(), appendOperation(conversationID, request, false), options)
}

// AppendStream is like [Conversations.Append], but returns a stream of events, like
// [Conversations.StartStream].
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_append_stream
func (s *Conversations) AppendStream(ctx context.Context, conversationID string, request generated.AppendConversationRequest, options ...CallOption) (*Stream, error) {
	return openStream(ctx, s.owner(), appendOperation(conversationID, request, true), options)
}

func appendOperation(conversationID string, request generated.AppendConversationRequest, stream bool) operation {
	request.Stream = stream
	invalid := checkID("conversation_id", conversationID)
	if invalid == nil && !isEmpty(request.Inputs) && (!request.Inputs.IsZero() || len(request.ToolConfirmations) == 0) {
		invalid = checkInputs(request.Inputs)
	}
	return operation{
		name:   streamName("Conversations.Append", stream),
		stream: stream, invalid: firstInvalid(invalid, checkFormat(request.CompletionArgs)),
		prompt: &prompt{conversationID: conversationID, inputs: request.Inputs, format: request.CompletionArgs.ResponseFormat, maxTokens: copyOf(request.CompletionArgs.MaxTokens)},
		body:   request,
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.AppendConversationWithBody(ctx, conversationID, jsonType, http.NoBody)
		},
	}
}

// Restart starts a new conversation from an entry of another one and returns the response. FromEntryID
// is required. The new conversation contains the entries up to and including this one, and then Inputs,
// if any. The other conversation does not change.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_restart
func (s *Conversations) Restart(ctx context.Context, conversationID string, request generated.RestartConversationRequest, options ...CallOption) (*generated.ConversationResponse, error) {
	return complete[*generated.ConversationResponse](ctx, s.owner(), restartOperation(conversationID, request, false), options)
}

// RestartStream is like [Conversations.Restart], but returns a stream of events, like
// [Conversations.StartStream].
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_restart_stream
func (s *Conversations) RestartStream(ctx context.Context, conversationID string, request generated.RestartConversationRequest, options ...CallOption) (*Stream, error) {
	return openStream(ctx, s.owner(), restartOperation(conversationID, request, true), options)
}

func restartOperation(conversationID string, request generated.RestartConversationRequest, stream bool) operation {
	request.Stream = stream
	invalid := firstInvalid(checkID("conversation_id", conversationID), checkNotEmpty("from_entry_id", request.FromEntryID))
	if invalid == nil && !request.Inputs.IsZero() {
		invalid = checkInputs(request.Inputs)
	}
	return operation{
		name:   streamName("Conversations.Restart", stream),
		stream: stream, invalid: firstInvalid(invalid, checkFormat(request.CompletionArgs)),
		prompt: &prompt{conversationID: conversationID, inputs: request.Inputs, format: request.CompletionArgs.ResponseFormat, maxTokens: copyOf(request.CompletionArgs.MaxTokens)},
		body:   request,
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.RestartConversationWithBody(ctx, conversationID, jsonType, http.NoBody)
		},
	}
}

func streamName(name string, stream bool) string {
	if stream {
		return name + "Stream"
	}
	return name
}

// Get returns the attributes of a conversation.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_get
func (s *Conversations) Get(ctx context.Context, conversationID string, options ...CallOption) (*generated.Conversation, error) {
	return complete[*generated.Conversation](ctx, s.owner(), operation{
		name:    "Conversations.Get",
		invalid: checkID("conversation_id", conversationID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.GetConversation(ctx, conversationID)
		},
	}, options)
}

// GetHistory returns all entries of a conversation, oldest first: messages, function calls and their
// results, tool executions and handoffs.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_history
func (s *Conversations) GetHistory(ctx context.Context, conversationID string, options ...CallOption) (*generated.ConversationHistory, error) {
	return complete[*generated.ConversationHistory](ctx, s.owner(), operation{
		name:    "Conversations.GetHistory",
		invalid: checkID("conversation_id", conversationID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.GetConversationHistory(ctx, conversationID)
		},
	}, options)
}

// GetMessages returns only the messages of a conversation, oldest first.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_messages
func (s *Conversations) GetMessages(ctx context.Context, conversationID string, options ...CallOption) (*generated.ConversationMessages, error) {
	return complete[*generated.ConversationMessages](ctx, s.owner(), operation{
		name:    "Conversations.GetMessages",
		invalid: checkID("conversation_id", conversationID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.GetConversationMessages(ctx, conversationID)
		},
	}, options)
}

// List returns one page of the account's conversations. Pages count from 0.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_list
func (s *Conversations) List(ctx context.Context, params generated.ListConversationsParams, options ...CallOption) ([]generated.Conversation, error) {
	return complete[[]generated.Conversation](ctx, s.owner(), operation{
		name:    "Conversations.List",
		invalid: firstInvalid(checkAtLeast("page", params.Page, 0), checkAtLeast("page_size", params.PageSize, 1)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListConversations(ctx, &params)
		},
	}, options)
}

// Delete deletes a conversation. It cannot be undone.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/conversations#operation-agents_api_v1_conversations_delete
func (s *Conversations) Delete(ctx context.Context, conversationID string, options ...CallOption) error {
	_, err := complete[noContent](ctx, s.owner(), operation{
		name:    "Conversations.Delete",
		invalid: checkID("conversation_id", conversationID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.DeleteConversation(ctx, conversationID)
		},
	}, options)
	if err == nil {
		s.owner().memory.conversations.forget(conversationID)
	}
	return err
}
