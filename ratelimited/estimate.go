package ratelimited

import (
	"container/list"
	"sync"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// firstReply is how many tokens a reply is taken to have before it is known.
const firstReply = 500

// prompt is what a call asks of a model.
type prompt struct {
	model          string // empty: that of the conversation, or of an agent
	conversationID string // of the conversation whose history the model reads too
	inputs         generated.ConversationInputs
	instructions   string
	tools          []generated.Tool
	maxTokens      *int // the caller's bound of the reply
}

// estimate is what a call is expected to use, in tokens.
type estimate struct {
	prompt int // what the model reads
	total  int // with its reply; never above the bucket's capacity
}

// estimate counts the prompt and guesses the reply. A guess of the reply
// that does not fit the bucket beside the prompt is cut; a prompt that does not
// fit is for the limiter to refuse.
func (c *Client) estimate(op operation, options callOptions, history, capacity int) (estimate, error) {
	if op.prompt == nil {
		return estimate{}, nil
	}
	if options.tokenEstimate >= 0 {
		return estimate{prompt: options.tokenEstimate, total: options.tokenEstimate}, nil
	}
	if err := c.counter.Load(); err != nil {
		return estimate{}, &TokenCountError{Operation: op.name, Err: err}
	}
	p := op.prompt
	e := estimate{prompt: history + c.counter.Inputs(p.inputs) + c.counter.Instructions(p.instructions) + c.counter.Tools(p.tools)}
	reply := firstReply
	if p.maxTokens != nil {
		reply = min(reply, max(0, *p.maxTokens))
	}
	e.total = max(e.prompt, min(e.prompt+reply, capacity))
	return e, nil
}

// conversationsKept bounds how many conversations a client remembers.
const conversationsKept = 10_000

// memory remembers of each conversation what its next call needs to know: the
// server reads the whole history anew, and only it has the history. The
// conversations used least recently are forgotten; they count as new.
type memory struct {
	mu     sync.Mutex
	byID   map[string]*list.Element
	recent list.List // of conversation, the latest first
}

type conversation struct {
	id     string
	model  string
	tokens int // of its history, from the usage of its latest call
}

func (m *memory) recall(id string) conversation {
	m.mu.Lock()
	defer m.mu.Unlock()
	element := m.byID[id]
	if element == nil {
		return conversation{}
	}
	m.recent.MoveToFront(element)
	return element.Value.(conversation)
}

func (m *memory) remember(id, model string, tokens int) {
	if id == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := conversation{id: id, model: model, tokens: tokens}
	if element := m.byID[id]; element != nil {
		element.Value = c
		m.recent.MoveToFront(element)
		return
	}
	if m.byID == nil {
		m.byID = map[string]*list.Element{}
	}
	m.byID[id] = m.recent.PushFront(c)
	if m.recent.Len() > conversationsKept {
		oldest := m.recent.Back()
		delete(m.byID, m.recent.Remove(oldest).(conversation).id)
	}
}

func (m *memory) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if element := m.byID[id]; element != nil {
		m.recent.Remove(element)
		delete(m.byID, id)
	}
}
