package state

import (
	"fmt"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Conversation is a conversation with its entries.
type Conversation struct {
	View    generated.Conversation // what GET returns
	Own     Settings               // those of its requests, without its agent's
	Entries []generated.Entry
	Turns   int // requests that were answered
	Bytes   int // of the requests that made it and of its outputs
}

func (c *Conversation) size() int { return c.Bytes }

// NewConversation returns the conversation that a request starts, which is not kept yet.
func NewConversation(request generated.StartConversationRequest, bytes int) Conversation {
	c := Conversation{Bytes: bytes, Own: Settings{
		Author: Author{Model: request.Model, Agent: request.AgentID}, Instructions: request.Instructions,
		Tools: request.Tools, Args: request.CompletionArgs, Guardrails: request.Guardrails,
	}}
	carry(&c.View, request)
	if request.AgentID == "" {
		c.View.AgentVersion = ""
	} else { // It has these of its agent, and shows none.
		c.View.Instructions, c.View.Tools, c.View.Guardrails = "", nil, nil
		c.View.CompletionArgs = generated.CompletionArgs{}
	}
	c.stamp()
	return c
}

// Restarted returns the conversation that a request starts with the entries of another, up
// to one of them and including it.
func (c Conversation) Restarted(request generated.RestartConversationRequest, bytes int) (Conversation, *wire.Failure) {
	last := slices.IndexFunc(c.Entries, func(entry generated.Entry) bool {
		return request.FromEntryID != "" && idOf(entry) == request.FromEntryID
	})
	if last < 0 {
		return Conversation{}, wire.ErrNoEntry
	}
	c.Entries, c.Turns, c.Bytes = slices.Clip(c.Entries[:last+1]), 0, c.Bytes+bytes
	if request.Metadata != nil {
		c.View.Metadata = request.Metadata
	}
	if request.Guardrails != nil {
		c.Own.Guardrails = request.Guardrails
		if c.View.AgentID == "" {
			c.View.Guardrails = request.Guardrails
		}
	}
	if c.View.AgentID != "" && request.AgentVersion != "" {
		c.View.AgentVersion = request.AgentVersion
	}
	c.stamp()
	return c, nil
}

// stamp gives a new conversation its id and times.
func (c *Conversation) stamp() {
	now := wire.Now()
	c.View.Object, c.View.ID, c.View.CreatedAt, c.View.UpdatedAt = "conversation", wire.NewID(wire.ConversationID), now, now
}

// full refuses to add entries to a conversation that is long enough, or would have too many
// bytes.
func (c Conversation) full(added, bytes int) *wire.Failure {
	switch {
	case len(c.Entries)+added >= MaxEntries:
		return wire.BadRequest(fmt.Sprintf("Conversation has reached %d entries", MaxEntries), "3051")
	case c.Bytes+bytes > MaxKeptBytes:
		return wire.BadRequest(fmt.Sprintf("Conversation has reached %d MiB", MaxKeptBytes>>20), "3051")
	}
	return nil
}

// Conversation returns a conversation.
func (s *Store) Conversation(id string) (Conversation, *wire.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conversations.get(id)
	if !ok {
		return Conversation{}, wire.ErrNoConversation
	}
	found := *c
	found.Entries = slices.Clip(c.Entries)
	return found, nil
}

// AddConversation keeps a new conversation.
func (s *Store) AddConversation(c Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations.add(c.View.ID, &c)
}

// Addition is what a call adds to a conversation, besides its outputs.
type Addition struct {
	Inputs        []generated.Entry
	Confirmations []generated.ToolCallConfirmation
	First         bool // The call starts the conversation, and so may add nothing.
}

// Admit returns the entries of the conversation with the confirmed calls marked. It refuses
// an addition that does not match them, or is too large.
func (c Conversation) Admit(a Addition, bytes int) ([]generated.Entry, *wire.Failure) {
	history, refused := confirm(c.Entries, a.Confirmations)
	if refused == nil && !a.First {
		refused = checkAppend(history, a.Inputs, a.Confirmations)
	}
	if refused == nil {
		refused = checkInputs(history, a.Inputs)
	}
	if refused == nil {
		refused = c.full(len(a.Inputs), bytes)
	}
	return history, refused
}

// Extend adds what a call added, and its outputs, of so many bytes together, to a
// conversation, unless that is gone by now. It checks the addition again: other calls may
// have changed the conversation since [Conversation.Admit].
func (s *Store) Extend(id string, a Addition, outputs []generated.Entry, bytes int) *wire.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conversations.get(id)
	if !ok {
		return nil
	}
	history, refused := c.Admit(a, 0) // The outputs are there, however large they are.
	if refused != nil {
		return refused
	}
	c.Entries = append(append(history, a.Inputs...), outputs...)
	c.View.UpdatedAt = wire.Now()
	c.Bytes += bytes
	c.Turns++
	s.conversations.update(id)
	return nil
}

// Conversations returns one page of the conversations whose metadata has all of a filter,
// newest first; nil: all.
func (s *Store) Conversations(filter *map[string]any, page Page) []generated.Conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := paged(s.conversations.newest(), page, func(c *Conversation) bool {
		return filter == nil || contains(c.View.Metadata, *filter)
	})
	views := make([]generated.Conversation, len(list))
	for i, c := range list {
		views[i] = c.View
	}
	return views
}

// DeleteConversation forgets a conversation.
func (s *Store) DeleteConversation(id string) *wire.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.conversations.remove(id) {
		return wire.ErrNoConversation
	}
	return nil
}

// Messages returns the messages among entries.
func Messages(entries []generated.Entry) []generated.Entry {
	messages := []generated.Entry{}
	for _, entry := range entries {
		switch entry.Value().(type) {
		case generated.MessageInputEntry, generated.MessageOutputEntry:
			messages = append(messages, entry)
		}
	}
	return messages
}
