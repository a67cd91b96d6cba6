package ratelimited

import (
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// How many of each a client remembers. What is forgotten counts as new.
const (
	maxConversations = 10_000
	maxAgents        = 10_000
	maxModels        = 1000
)

// memory is what a client knows of things that only the server has: what a
// conversation holds and an agent is made of, which the model reads with every
// call, and whose limit they count against.
type memory struct {
	conversations *lru[conversation]
	agents        *lru[agent]
	models        *lru[*estimate.Model]
}

type conversation struct {
	model        string
	agentID      string
	tokens       int  // of its history, from the usage of its latest call
	historyKnown bool // that is, tokens is
}

type agent struct {
	model       string
	tokens      int  // of its instructions and tools, as counted
	tokensKnown bool // that is, tokens is
}

func newMemory() memory {
	return memory{
		conversations: newLRU[conversation](maxConversations),
		agents:        newLRU[agent](maxAgents),
		models:        newLRU[*estimate.Model](maxModels),
	}
}

// model returns what is known of how a model's calls turn out. Calls whose model
// is not known have one in common.
func (m memory) model(name string) *estimate.Model {
	if name == "" || len(name) > maxKeyLength {
		name = "?" // such keys are ignored
	}
	model := m.models.get(name)
	if model == nil {
		m.models.update(name, func(known **estimate.Model) {
			if *known == nil { // nobody else was faster
				*known = new(estimate.Model)
			}
			model = *known
		})
	}
	return model
}

// noteModel remembers which model wrote a message: that of an agent, or of a conversation of which
// nothing else is known.
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

// note remembers what a reply says of agents and conversations.
func (m memory) record(reply any, counter *tokens.Counter) {
	switch r := reply.(type) {
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

// keep sets a text to one that may be a part of a response, which must not stay in memory
// with it. A text that is too long for an id or a name is not kept.
func setCopy(text *string, value string) {
	if *text != value && len(value) <= maxKeyLength {
		*text = strings.Clone(value)
	}
}
