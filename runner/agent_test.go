package runner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

func (env *environment) agent(request generated.CreateAgentRequest) *generated.Agent {
	env.Helper()
	request.Model = "mistral-small-latest"
	agent, err := env.client.Beta.Agents.Create(env.Context(), request)
	if err != nil {
		env.Fatal(err)
	}
	return agent
}

// A run of an agent uses the agent's tools and never updates the agent.
func TestAgent(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", "{}"), say("done"))}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", nothing), tool(env, "g", nothing)}})
		agent := env.agent(generated.CreateAgentRequest{Name: "A", Tools: append(r.Definitions()[:1:1], generated.NewTool(generated.WebSearchTool{}), tool(env, "h", nothing).Definition())})
		result, err := r.Start(env.Context(), generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?")})
		if err != nil || result.OutputText() != "done" || result.Turns[0].Calls[0].AgentID != agent.ID {
			env.Fatalf("%+v, %v", result, err)
		}
		if strings.Contains(strings.Join(env.requests(), ""), `"tools"`) {
			env.Errorf("requests are %s", env.requests())
		}
		found, err := r.CheckAgent(env.Context(), agent.ID)
		if err != nil || !slices.Equal(found.Missing, []string{"g"}) || !slices.Equal(found.Surplus, []string{"h"}) || found.Different != nil || found.IsEqual() {
			env.Errorf("%+v, %v", found, err)
		}
		other := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(context.Context, location) (string, error) { return "", nil })}})
		if found, err := other.UpdateAgent(env.Context(), agent.ID); err != nil || !slices.Equal(found.Different, []string{"f"}) {
			env.Errorf("%+v, %v", found, err)
		}
		updated, err := env.client.Beta.Agents.Get(env.Context(), agent.ID, generated.GetAgentParams{})
		if err != nil || len(updated.Tools) != 3 || updated.Version != 1 || updated.Name != "A" || !strings.Contains(updated.Tools[0].String(), "name of the city") {
			env.Errorf("the agent is %v, %v", updated, err)
		}
		if _, err := other.UpdateAgent(env.Context(), agent.ID); err != nil {
			env.Error(err)
		}
		if again, err := env.client.Beta.Agents.Get(env.Context(), agent.ID, generated.GetAgentParams{}); err != nil || again.Version != 1 {
			env.Errorf("version %d, %v", again.Version, err)
		}
		if _, err := r.CheckAgent(env.Context(), "ag_none"); !errors.Is(err, ratelimited.ErrNotFound) {
			env.Errorf("%v", err)
		}
	})
}

// Handoffs that the service executes are part of one turn. A call belongs to the agent that made
// it.
func TestHandoffs(t *testing.T) {
	t.Parallel()
	var front, maths atomic.Value
	model := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		switch {
		case p.Agent == front.Load():
			return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: maths.Load().(string), NextAgentName: "maths"})}}
		case len(p.Inputs) == 0:
			return calls("multiply#a", `{"a":6,"b":7}`)
		}
		return say("42")
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "multiply", func(_ context.Context, in struct {
			A int `json:"a"`
			B int `json:"b"`
		}) (int, error) {
			return in.A * in.B, nil
		})}})
		next := env.agent(generated.CreateAgentRequest{Name: "maths", Tools: r.Definitions()})
		first := env.agent(generated.CreateAgentRequest{Name: "front", Handoffs: []string{next.ID}})
		front.Store(first.ID)
		maths.Store(next.ID)
		request := generated.StartConversationRequest{AgentID: first.ID, Inputs: ratelimited.Text("6 by 7?")}
		result, err := r.Start(env.Context(), request)
		if err != nil || result.OutputText() != "42" || len(result.Turns) != 2 || result.Turns[0].Calls[0].AgentID != next.ID {
			env.Fatalf("%+v, %v", result, err)
		}
		if _, ok := result.Entries()[0].Value().(generated.AgentHandoffEntry); !ok {
			env.Errorf("entries are %v", result.Entries())
		}
		env.wantResults(result.ConversationID)

		request.HandoffExecution = generated.HandoffExecutionClient
		_, err = r.Start(env.Context(), request)
		var pending *runner.PendingError
		if !errors.As(err, &pending) || pending.Pending[0].Reason != runner.PendingHandoff {
			env.Fatalf("%v", err)
		}
		if handoff := pending.Pending[0].Entry.Value().(generated.AgentHandoffEntry); handoff.PreviousAgentID != first.ID || handoff.NextAgentID != next.ID {
			env.Errorf("%+v", handoff)
		}

		// A run that is not stored continues with the agent of the handoff.
		request.HandoffExecution, request.Store = "", ratelimited.Ptr(false)
		before := len(env.requests())
		if result, err := r.Start(env.Context(), request); err != nil || result.OutputText() != "42" {
			env.Fatalf("%+v, %v", result, err)
		}
		if sent := decoded(env, env.requests()[before+1]); sent["agent_id"] != next.ID {
			env.Errorf("the last request is %s", env.requests()[before+1])
		}
	})
}

func TestEndlessHandoffs(t *testing.T) {
	t.Parallel()
	var id atomic.Value
	model := func(context.Context, emulator.Prompt) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: id.Load().(string)})}}
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: model}}, func(env *environment) {
		agent := env.agent(generated.CreateAgentRequest{Name: "A"})
		id.Store(agent.ID)
		_, err := env.runner(runner.Config{}).Start(env.Context(), generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?")})
		var limit *runner.LimitError
		if !errors.As(err, &limit) || limit.Limit != runner.LimitHandoffs || limit.Max != 16 {
			env.Errorf("%v", err)
		}
	})
}
