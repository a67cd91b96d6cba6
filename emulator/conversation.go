package emulator

import (
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// GetConversation returns a conversation.
func (e api) GetConversation(_ http.ResponseWriter, r *http.Request, id string) {
	conversation, missing := e.store.Conversation(id)
	if c, ok := e.admitWithoutModel(r, missing); ok {
		e.respond(c, conversation.View, nil)
	}
}

// GetConversationHistory returns all entries of a conversation.
func (e api) GetConversationHistory(_ http.ResponseWriter, r *http.Request, id string) {
	conversation, missing := e.store.Conversation(id)
	if c, ok := e.admitWithoutModel(r, missing); ok {
		e.respond(c, generated.ConversationHistory{
			Object: "conversation.history", ConversationID: id, Entries: append([]generated.Entry{}, conversation.Entries...),
		}, nil)
	}
}

// GetConversationMessages returns the messages of a conversation.
func (e api) GetConversationMessages(_ http.ResponseWriter, r *http.Request, id string) {
	conversation, missing := e.store.Conversation(id)
	if c, ok := e.admitWithoutModel(r, missing); ok {
		e.respond(c, generated.ConversationMessages{
			Object: "conversation.messages", ConversationID: id, Messages: state.Messages(conversation.Entries),
		}, nil)
	}
}

// ListConversations returns one page of conversations, newest first.
func (e api) ListConversations(_ http.ResponseWriter, r *http.Request, params generated.ListConversationsParams) {
	page, refused := state.NewPage(params.Page, params.PageSize, 100)
	if c, ok := e.admitWithoutModel(r, refused); ok {
		e.respond(c, e.store.Conversations(params.Metadata, page), nil)
	}
}

// DeleteConversation deletes a conversation.
func (e api) DeleteConversation(_ http.ResponseWriter, r *http.Request, id string) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Conversation(id))); ok {
		e.respond(c, nil, e.store.DeleteConversation(id))
	}
}
