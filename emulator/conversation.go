package emulator

import (
	"net/http"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// conversation returns a conversation and its entries, which may be read and not
// modified; of the conversation, what does not change.
func (e *Emulator) conversation(id string) (conversation, []generated.Entry, bool) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	c, ok := e.store.conversations.get(id)
	if !ok {
		return conversation{}, nil, false
	}
	return *c, slices.Clip(c.entries), true
}

func (e *Emulator) keepConversation(c *conversation) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.store.conversations.add(c.view.ID, c)
}

// extend adds to a conversation entries that are so many bytes; to one that is gone by
// now, nothing.
func (e *Emulator) extend(id string, confirmations []generated.ToolCallConfirmation, added []generated.Entry, bytes int) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	c, ok := e.store.conversations.get(id)
	if !ok {
		return
	}
	if len(confirmations) > 0 {
		c.entries = slices.Clone(c.entries) // Others read those.
	}
	for _, confirmation := range confirmations {
		mark(c.entries, confirmation) // Another call may have been faster.
	}
	c.entries = append(c.entries, added...)
	c.view.UpdatedAt = timestamp()
	c.bytes += bytes
	e.store.conversations.weigh(id)
}

// GetConversation returns a conversation.
func (e api) GetConversation(_ http.ResponseWriter, r *http.Request, id string) {
	c, _, ok := e.conversation(id)
	if x, reply := e.found(r, ok, errNoConversation); reply {
		e.ok(x, c.view)
	}
}

// GetConversationHistory returns all entries of a conversation.
func (e api) GetConversationHistory(_ http.ResponseWriter, r *http.Request, id string) {
	_, entries, ok := e.conversation(id)
	if x, reply := e.found(r, ok, errNoConversation); reply {
		e.ok(x, generated.ConversationHistory{
			Object: "conversation.history", ConversationID: id, Entries: append([]generated.Entry{}, entries...),
		})
	}
}

// GetConversationMessages returns the messages of a conversation.
func (e api) GetConversationMessages(_ http.ResponseWriter, r *http.Request, id string) {
	_, entries, ok := e.conversation(id)
	if x, reply := e.found(r, ok, errNoConversation); reply {
		messages := []generated.Entry{}
		for _, entry := range entries {
			if isMessage(entry) {
				messages = append(messages, entry)
			}
		}
		e.ok(x, generated.ConversationMessages{Object: "conversation.messages", ConversationID: id, Messages: messages})
	}
}

// ListConversations returns one page, newest first.
func (e api) ListConversations(_ http.ResponseWriter, r *http.Request, params generated.ListConversationsParams) {
	number, size, refused := paging(params.Page, params.PageSize, 100)
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	x, ok := e.manage(r)
	if !ok {
		return
	}
	e.ok(x, e.conversations(params.Metadata, number, size))
}

// conversations returns one page of the conversations that carry what a filter asks
// for; nil lets all pass.
func (e *Emulator) conversations(filter *map[string]any, number, size int) []generated.Conversation {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	list := page(e.store.conversations.newest(), number, size, func(c *conversation) bool {
		return filter == nil || carries(object(c.view.Metadata), *filter)
	})
	views := make([]generated.Conversation, len(list))
	for i, c := range list {
		views[i] = c.view
	}
	return views
}

// DeleteConversation forgets a conversation.
func (e api) DeleteConversation(_ http.ResponseWriter, r *http.Request, id string) {
	_, _, ok := e.conversation(id)
	if x, reply := e.found(r, ok, errNoConversation); reply {
		e.store.mu.Lock()
		removed := e.store.conversations.remove(id)
		e.store.mu.Unlock()
		if !removed { // Another was faster.
			errNoConversation.write(e.Emulator, x)
			return
		}
		e.noContent(x)
	}
}

// found admits a call about something that is there, and refuses it otherwise.
func (e *Emulator) found(r *http.Request, ok bool, missing *failure) (*exchange, bool) {
	if !ok {
		x := exchangeOf(r)
		missing.write(e, x)
		return x, false
	}
	return e.manage(r)
}
