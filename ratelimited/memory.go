package ratelimited

import (
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// Maximum numbers of entries that a client remembers. Forgotten entries count as new.
const (
	maxConversations = 10_000
	maxAgents        = 10_000
	maxModels        = 1000
)

// memory holds a client's knowledge of data on the server: the models and prompt lengths of
// conversations and agents, and statistics about models.
type memory struct {
	conversations *lru[conversation]
	agents        *lru[agent]
	models        *lru[*estimate.Model]
}

type conversation struct {
	model        string
	agentID      string
	tokens       int  // length of its history, from the usage of its latest call
	historyKnown bool // tokens is valid
}

type agent struct {
	model       string
	tokens      int  // counted tokens of its instructions and tools
	tokensKnown bool // tokens is valid
}

func newMemory() memory {
	return memory{
		conversations: newLRU[conversation](maxConversations),
		agents:        newLRU[agent](maxAgents),
		models:        newLRU[*estimate.Model](maxModels),
	}
}

// model returns the statistics of a model. Calls with an unknown model share one entry.
func (m memory) model(name string) *estimate.Model {
	if name == "" || len(name) > maxKeyLength {
		name = "?" // update ignores empty and long keys
	}
	model := m.models.get(name)
	if model == nil {
		m.models.update(name, func(known **estimate.Model) {
			if *known == nil { // another goroutine may have added it
				*known = new(estimate.Model)
			}
			model = *known
		})
	}
	return model
}

// recordModel records the model that wrote a message, for its agent or, without one, for a conversation
// whose model is not known yet.
func (m memory) recordModel(conversationID, agentID, model string) {
	switch {
	case model == "":
	case agentID != "":
		m.agents.update(agentID, func(a *agent) { setCopy(&a.model, model) })
	default:
		m.conversations.update(conversationID, func(c *conversation) {
			if c.model == "" && c.agentID == "" {
				setCopy(&c.model, model)
			}
		})
	}
}

// record records the models and prompt lengths that a response contains.
func (m memory) record(response any, counter *tokens.Counter) {
	switch r := response.(type) {
	case *generated.Agent:
		m.recordAgent(r, counter)
	case *generated.Conversation:
		m.recordConversation(r)
	case []generated.Conversation:
		for i := range r {
			m.recordConversation(&r[i])
		}
	case *generated.ConversationResponse:
		for _, output := range r.Outputs {
			if e, ok := output.Value().(generated.MessageOutputEntry); ok {
				m.recordModel(r.ConversationID, e.AgentID, e.Model)
			}
		}
	}
}

func (m memory) recordAgent(a *generated.Agent, counter *tokens.Counter) {
	if a.ID == "" || counter.Load() != nil {
		return
	}
	n := counter.Instructions(a.Instructions) + counter.Tools(a.Tools) + counter.Format(a.CompletionArgs.ResponseFormat)
	m.agents.update(a.ID, func(known *agent) {
		setCopy(&known.model, a.Model)
		known.tokens, known.tokensKnown = n, true
	})
}

func (m memory) recordConversation(c *generated.Conversation) {
	m.conversations.update(c.ID, func(known *conversation) {
		setCopy(&known.model, c.Model)
		setCopy(&known.agentID, c.AgentID)
	})
}

// setCopy sets a string to a copy of value. value may be part of a response, which must not stay in memory.
// setCopy ignores values that are too long for an id or a name.
func setCopy(text *string, value string) {
	if *text != value && len(value) <= maxKeyLength {
		*text = strings.Clone(value)
	}
}
