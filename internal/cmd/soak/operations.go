package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// operation is one of the 23 API operations and its share of the calls.
type operation struct {
	name   string // The name, as in [emulator.Stats.Operations].
	weight int
	call   func(ctx context.Context, w *worker, c *call, options ...ratelimited.CallOption) error
}

// models are the models in use. Each has separate limits.
var models = []string{"mistral-soak-large", "mistral-soak-small"}

// Calls use these ids, which do not exist on the server, if the pool is empty.
var (
	missingConversation = conversation{"conv_none", "msg_none"}
	missingAgent        = "ag_none"
)

var operations = []operation{
	{"StartConversation", 3, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.plainResult(c)(w.beta.Conversations.Start(ctx, w.startRequest(), o...))
	}},
	{"StartConversationStream", 3, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.streamResult(c)(w.beta.Conversations.StartStream(ctx, w.startRequest(), o...))
	}},
	{"AppendConversation", 4, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.plainResult(c)(w.beta.Conversations.Append(ctx, w.conversation().id, w.appendRequest(), o...))
	}},
	{"AppendConversationStream", 4, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		return w.streamResult(c)(w.beta.Conversations.AppendStream(ctx, w.conversation().id, w.appendRequest(), o...))
	}},
	{"RestartConversation", 2, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		from := w.conversation()
		return w.plainResult(c)(w.beta.Conversations.Restart(ctx, from.id, w.restartRequest(from), o...))
	}},
	{"RestartConversationStream", 2, func(ctx context.Context, w *worker, c *call, o ...ratelimited.CallOption) error {
		from := w.conversation()
		return w.streamResult(c)(w.beta.Conversations.RestartStream(ctx, from.id, w.restartRequest(from), o...))
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
			w.pool.conversations.addUnknown(conversation{id: item.ID}, func(known conversation) bool { return known.id == item.ID })
		}
		return err
	}},
	{"DeleteConversation", 8, func(ctx context.Context, w *worker, _ *call, o ...ratelimited.CallOption) error {
		w.pool.mu.Lock()
		deleted := w.pool.conversations.take(w.random, missingConversation)
		w.pool.mu.Unlock()
		return w.beta.Conversations.Delete(ctx, deleted.id, o...)
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
			w.pool.agents.addUnknown(item.ID, func(known string) bool { return known == item.ID })
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
		deleted := w.pool.agents.take(w.random, missingAgent)
		w.pool.mu.Unlock()
		return w.beta.Agents.Delete(ctx, deleted, o...)
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

// pickOperation returns a random operation by weight.
func pickOperation(random *rand.Rand) operation {
	n := random.IntN(allWeights)
	for _, op := range operations {
		if n -= op.weight; n < 0 {
			return op
		}
	}
	panic("soak: the weights do not add up to their sum")
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
	return w.pool.conversations.pick(w.random, missingConversation)
}

func (w *worker) agent() string {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.pool.agents.pick(w.random, missingAgent)
}

func (w *worker) startRequest() generated.StartConversationRequest {
	request := generated.StartConversationRequest{Inputs: w.inputs(), CompletionArgs: w.args()}
	if agent := w.agent(); agent != missingAgent && w.random.IntN(4) == 0 {
		request.AgentID = agent
		return request
	}
	request.Model, request.Instructions = w.model(), "Be brief."
	return request
}

func (w *worker) appendRequest() generated.AppendConversationRequest {
	return generated.AppendConversationRequest{Inputs: w.inputs(), CompletionArgs: w.args()}
}

func (w *worker) restartRequest(from conversation) generated.RestartConversationRequest {
	if from.entry == "" {
		from.entry = missingConversation.entry
	}
	return generated.RestartConversationRequest{FromEntryID: from.entry, Inputs: w.inputs(), CompletionArgs: w.args()}
}

// inputs returns a prompt for a random number of words.
func (w *worker) inputs() generated.ConversationInputs {
	return ratelimited.Text(fmt.Sprintf("Count to %d.", 1+w.random.IntN(40)))
}

// maxReply is the max_tokens of every call. It is therefore also the client's initial estimate of a
// reply.
const maxReply = 60

func (w *worker) args() generated.CompletionArgs {
	return generated.CompletionArgs{MaxTokens: ratelimited.Ptr(maxReply)}
}
