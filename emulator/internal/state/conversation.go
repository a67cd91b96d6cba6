package state

import (
	"fmt"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Conversation is a conversation with its entries.
type Conversation struct {
	View    generated.Conversation // the response of GetConversation
	Own     Settings               // the settings without those of its agent
	Entries []generated.Entry
	Turns   int // number of completed requests
	Bytes   int // estimated memory of its requests and outputs
}

func (c *Conversation) size() int { return c.Bytes }

// NewConversation returns the conversation that a request starts. It does not store it.
func NewConversation(request generated.StartConversationRequest, bytes int) Conversation {
	c := Conversation{Bytes: bytes, Own: Settings{
		Author: Author{Model: request.Model, Agent: request.AgentID}, Instructions: request.Instructions,
		Tools: request.Tools, Args: request.CompletionArgs, Guardrails: request.Guardrails,
	}}
	carry(&c.View, request)
	if request.AgentID == "" {
		c.View.AgentVersion = ""
	} else { // The settings are those of the agent, and the view omits them.
		c.View.Instructions, c.View.Tools, c.View.Guardrails = "", nil, nil
		c.View.CompletionArgs = generated.CompletionArgs{}
	}
	c.stamp()
	return c
}

// Restarted returns the conversation that a request starts with the entries of c, up to and
// including the requested entry.
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

// stamp sets the id and the times of a new conversation.
func (c *Conversation) stamp() {
	now := wire.Now()
	c.View.Object, c.View.ID, c.View.CreatedAt, c.View.UpdatedAt = "conversation", wire.NewID(wire.ConversationID), now, now
}

// full returns a failure if the conversation would have too many entries or bytes.
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

// AddConversation stores a new conversation.
func (s *Store) AddConversation(c Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations.add(c.View.ID, &c)
}

// Addition is the inputs and confirmations that a call adds to a conversation.
type Addition struct {
	Inputs        []generated.Entry
	Confirmations []generated.ToolCallConfirmation
	First         bool // whether the call starts the conversation; only then it may be empty
}

// Admit returns the entries of the conversation with the statuses of the confirmed calls
// updated. It returns a failure if the addition is too large or does not match the entries.
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

// Extend adds the addition and the outputs of a call to a conversation; bytes is their size.
// If the conversation was deleted, it does nothing. It checks the addition again, because
// other calls may have changed the conversation since [Conversation.Admit].
func (s *Store) Extend(id string, a Addition, outputs []generated.Entry, bytes int) *wire.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conversations.get(id)
	if !ok {
		return nil
	}
	history, refused := c.Admit(a, 0) // Without a check of the size: the outputs already exist.
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

// Conversations returns one page of the conversations whose metadata contains all members of
// a filter, newest first. A nil filter matches all conversations.
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

// DeleteConversation deletes a conversation.
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
