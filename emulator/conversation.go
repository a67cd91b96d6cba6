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

// extend adds to a conversation; to one that is gone by now, nothing.
func (e *Emulator) extend(id string, confirmations []generated.ToolCallConfirmation, added []generated.Entry) {
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
	e.store.mu.Lock()
	list := []generated.Conversation{}
	for _, c := range e.store.conversations.newest() {
		if params.Metadata == nil || carries(c.view.Metadata, *params.Metadata) {
			list = append(list, c.view)
		}
	}
	e.store.mu.Unlock()
	e.ok(x, page(list, number, size))
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

// paging returns the page that is asked for, which the document does not bound.
func paging(number, size *int, usual int) (int, int, *failure) {
	n, s := 0, usual
	if number != nil {
		n = *number
	}
	if size != nil {
		s = *size
	}
	switch {
	case n < 0:
		return 0, 0, refuse(fieldError{
			Type: "greater_than_equal", Loc: []any{"query", "page"}, Msg: "Input should be greater than or equal to 0", Input: n,
		})
	case s < 1:
		return 0, 0, refuse(fieldError{
			Type: "greater_than_equal", Loc: []any{"query", "page_size"}, Msg: "Input should be greater than or equal to 1", Input: s,
		})
	}
	return n, s, nil
}
