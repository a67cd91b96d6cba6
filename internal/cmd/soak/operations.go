package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// An operation is one of the 23, and how many of a round's calls are its.
type operation struct {
	name   string // as in [emulator.Stats.Operations]
	weight int
	call   func(ctx context.Context, w *worker, c *call, options ...ratelimited.CallOption) error
}

// Models have limits of their own.
var models = []string{"mistral-soak-large", "mistral-soak-small"}

// The ids that a call takes where the pool has none: nothing is there.
var (
	noConversation = conversation{"conv_none", "msg_none"}
	noAgent        = "ag_none"
)

var operations = []operation{
	{"StartConversation", 3, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.replied(c)(w.beta.Conversations.Start(ctx, w.start(), o...))
	}},
	{"StartConversationStream", 3, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.streamed(c)(w.beta.Conversations.StartStream(ctx, w.start(), o...))
	}},
	{"AppendConversation", 4, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.replied(c)(w.beta.Conversations.Append(ctx, w.conversation().id, w.more(), o...))
	}},
	{"AppendConversationStream", 4, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.streamed(c)(w.beta.Conversations.AppendStream(ctx, w.conversation().id, w.more(), o...))
	}},
	{"RestartConversation", 2, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		from := w.conversation()
		return w.replied(c)(w.beta.Conversations.Restart(ctx, from.id, w.again(from), o...))
	}},
	{"RestartConversationStream", 2, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		from := w.conversation()
		return w.streamed(c)(w.beta.Conversations.RestartStream(ctx, from.id, w.again(from), o...))
	}},
	{"GetConversation", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Conversations.Get(ctx, w.conversation().id, o...)
		return err
	}},
	{"GetConversationHistory", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Conversations.GetHistory(ctx, w.conversation().id, o...)
		return err
	}},
	{"GetConversationMessages", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Conversations.GetMessages(ctx, w.conversation().id, o...)
		return err
	}},
	{"ListConversations", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		list, err := w.beta.Conversations.List(ctx, generated.ListConversationsParams{PageSize: ratelimited.Ptr(100)}, o...)
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		for _, item := range list {
			w.pool.conversations.found(conversation{id: item.ID}, func(known conversation) bool { return known.id == item.ID })
		}
		return err
	}},
	{"DeleteConversation", 8, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		w.pool.mu.Lock()
		gone := w.pool.conversations.take(w.random, noConversation)
		w.pool.mu.Unlock()
		return w.beta.Conversations.Delete(ctx, gone.id, o...)
	}},
	{"CreateAgent", 2, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		agent, err := w.beta.Agents.Create(ctx, generated.CreateAgentRequest{
			Model: w.model(), Name: "soak", Instructions: "Be brief.", Metadata: map[string]any{"by": w.number},
		}, o...)
		if err == nil {
			w.pool.mu.Lock()
			defer w.pool.mu.Unlock()
			w.pool.agents.put(agent.ID)
		}
		return err
	}},
	{"GetAgent", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.Get(ctx, w.agent(), generated.GetAgentParams{}, o...)
		return err
	}},
	{"ListAgents", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		list, err := w.beta.Agents.List(ctx, generated.ListAgentsParams{PageSize: ratelimited.Ptr(100)}, o...)
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		for _, item := range list {
			w.pool.agents.found(item.ID, func(known string) bool { return known == item.ID })
		}
		return err
	}},
	{"ListAgentPages", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.ListPages(ctx, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(10)}, o...)
		return err
	}},
	{"UpdateAgent", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.Update(ctx, w.agent(), generated.UpdateAgentRequest{Description: ratelimited.Ptr("changed")}, o...)
		return err
	}},
	{"DeleteAgent", 2, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		w.pool.mu.Lock()
		gone := w.pool.agents.take(w.random, noAgent)
		w.pool.mu.Unlock()
		return w.beta.Agents.Delete(ctx, gone, o...)
	}},
	{"UpdateAgentVersion", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.UpdateVersion(ctx, w.agent(), w.random.IntN(2), o...)
		return err
	}},
	{"ListAgentVersions", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.ListVersions(ctx, w.agent(), generated.ListAgentVersionsParams{}, o...)
		return err
	}},
	{"GetAgentVersion", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.GetVersion(ctx, w.agent(), "0", o...)
		return err
	}},
	{"CreateAgentVersionAlias", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.CreateVersionAlias(ctx, w.agent(), "prod", 0, o...)
		return err
	}},
	{"ListAgentVersionAliases", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		_, err := w.beta.Agents.ListVersionAliases(ctx, w.agent(), o...)
		return err
	}},
	{"DeleteAgentVersionAlias", 1, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		return w.beta.Agents.DeleteVersionAlias(ctx, w.agent(), "prod", o...)
	}},
}

// pickOperation draws one by weight.
func pickOperation(random *rand.Rand) operation {
	n := random.IntN(allWeights)
	for _, op := range operations {
		if n -= op.weight; n < 0 {
			return op
		}
	}
	panic("soak: weights do not add up")
}

var allWeights = func() (sum int) {
	for _, op := range operations {
		sum += op.weight
	}
	return sum
}()

func (w *worker) model() string { return models[w.random.IntN(len(models))] }

func (w *worker) conversation() conversation {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.pool.conversations.pick(w.random, noConversation)
}

func (w *worker) agent() string {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.pool.agents.pick(w.random, noAgent)
}

func (w *worker) start() generated.StartConversationRequest {
	request := generated.StartConversationRequest{Inputs: w.inputs(), CompletionArgs: w.args()}
	if agent := w.agent(); agent != noAgent && w.random.IntN(4) == 0 {
		request.AgentID = agent
		return request
	}
	request.Model, request.Instructions = w.model(), "Be brief."
	return request
}

func (w *worker) more() generated.AppendConversationRequest {
	return generated.AppendConversationRequest{Inputs: w.inputs(), CompletionArgs: w.args()}
}

func (w *worker) again(from conversation) generated.RestartConversationRequest {
	if from.entry == "" {
		from.entry = noConversation.entry
	}
	return generated.RestartConversationRequest{FromEntryID: from.entry, Inputs: w.inputs(), CompletionArgs: w.args()}
}

// inputs ask for so many words.
func (w *worker) inputs() generated.ConversationInputs {
	return ratelimited.Text(fmt.Sprintf("Count to %d.", 1+w.random.IntN(40)))
}

// mostReply bounds every reply, so that what the client guesses of one whose like it
// has not seen is known here: this.
const mostReply = 60

func (w *worker) args() generated.CompletionArgs {
	return generated.CompletionArgs{MaxTokens: ratelimited.Ptr(mostReply)}
}
