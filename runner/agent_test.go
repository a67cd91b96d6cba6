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

func (w *world) agent(request generated.CreateAgentRequest) *generated.Agent {
	w.Helper()
	request.Model = "mistral-small-latest"
	agent, err := w.client.Beta.Agents.Create(w.Context(), request)
	if err != nil {
		w.Fatal(err)
	}
	return agent
}

// An agent is run with the tools it has, and never updated.
func TestAgent(t *testing.T) {
	t.Parallel()
	in(t, settings{emulator: emulator.Config{Model: inTurn(calls("f#a", "{}"), say("done"))}}, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", nothing), tool(w, "g", nothing)}})
		agent := w.agent(generated.CreateAgentRequest{Name: "A", Tools: append(r.Definitions()[:1:1], generated.NewTool(generated.WebSearchTool{}), tool(w, "h", nothing).Definition())})
		result, err := r.Start(w.Context(), generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?")})
		if err != nil || result.OutputText() != "done" || result.Turns[0].Calls[0].AgentID != agent.ID {
			w.Fatalf("%+v, %v", result, err)
		}
		if strings.Contains(strings.Join(w.requests(), ""), `"tools"`) {
			w.Errorf("requests are %s", w.requests())
		}
		found, err := r.CheckAgent(w.Context(), agent.ID)
		if err != nil || !slices.Equal(found.Missing, []string{"g"}) || !slices.Equal(found.Surplus, []string{"h"}) || found.Different != nil || found.IsEqual() {
			w.Errorf("%+v, %v", found, err)
		}
		other := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "f", func(context.Context, location) (string, error) { return "", nil })}})
		if found, err := other.UpdateAgent(w.Context(), agent.ID); err != nil || !slices.Equal(found.Different, []string{"f"}) {
			w.Errorf("%+v, %v", found, err)
		}
		updated, err := w.client.Beta.Agents.Get(w.Context(), agent.ID, generated.GetAgentParams{})
		if err != nil || len(updated.Tools) != 3 || updated.Version != 1 || updated.Name != "A" || !strings.Contains(updated.Tools[0].String(), "name of the city") {
			w.Errorf("the agent is %v, %v", updated, err)
		}
		if _, err := other.UpdateAgent(w.Context(), agent.ID); err != nil {
			w.Error(err)
		}
		if again, err := w.client.Beta.Agents.Get(w.Context(), agent.ID, generated.GetAgentParams{}); err != nil || again.Version != 1 {
			w.Errorf("version %d, %v", again.Version, err)
		}
		if _, err := r.CheckAgent(w.Context(), "ag_none"); !errors.Is(err, ratelimited.ErrNotFound) {
			w.Errorf("%v", err)
		}
	})
}

// Agents that the service hands over between are one turn; a call is of the agent that made it.
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
	in(t, settings{emulator: emulator.Config{Model: model}}, func(w *world) {
		r := w.runner(runner.Config{Tools: []*runner.Tool{tool(w, "multiply", func(_ context.Context, in struct {
			A int `json:"a"`
			B int `json:"b"`
		}) (int, error) {
			return in.A * in.B, nil
		})}})
		next := w.agent(generated.CreateAgentRequest{Name: "maths", Tools: r.Definitions()})
		first := w.agent(generated.CreateAgentRequest{Name: "front", Handoffs: []string{next.ID}})
		front.Store(first.ID)
		maths.Store(next.ID)
		request := generated.StartConversationRequest{AgentID: first.ID, Inputs: ratelimited.Text("6 by 7?")}
		result, err := r.Start(w.Context(), request)
		if err != nil || result.OutputText() != "42" || len(result.Turns) != 2 || result.Turns[0].Calls[0].AgentID != next.ID {
			w.Fatalf("%+v, %v", result, err)
		}
		if _, ok := result.Entries()[0].Value().(generated.AgentHandoffEntry); !ok {
			w.Errorf("entries are %v", result.Entries())
		}
		w.wantResults(result.ConversationID)

		request.HandoffExecution = generated.HandoffExecutionClient
		_, err = r.Start(w.Context(), request)
		var pending *runner.PendingError
		if !errors.As(err, &pending) || pending.Pending[0].Reason != runner.PendingHandoff {
			w.Fatalf("%v", err)
		}
		if handoff := pending.Pending[0].Entry.Value().(generated.AgentHandoffEntry); handoff.PreviousAgentID != first.ID || handoff.NextAgentID != next.ID {
			w.Errorf("%+v", handoff)
		}

		// A run that nothing is kept of goes on with the agent that it was handed to.
		request.HandoffExecution, request.Store = "", ratelimited.Ptr(false)
		before := len(w.requests())
		if result, err := r.Start(w.Context(), request); err != nil || result.OutputText() != "42" {
			w.Fatalf("%+v, %v", result, err)
		}
		if sent := decoded(w, w.requests()[before+1]); sent["agent_id"] != next.ID {
			w.Errorf("the last request is %s", w.requests()[before+1])
		}
	})
}

func TestEndlessHandoffs(t *testing.T) {
	t.Parallel()
	var id atomic.Value
	model := func(context.Context, emulator.Prompt) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: id.Load().(string)})}}
	}
	in(t, settings{emulator: emulator.Config{Model: model}}, func(w *world) {
		agent := w.agent(generated.CreateAgentRequest{Name: "A"})
		id.Store(agent.ID)
		_, err := w.runner(runner.Config{}).Start(w.Context(), generated.StartConversationRequest{AgentID: agent.ID, Inputs: ratelimited.Text("?")})
		var limit *runner.LimitError
		if !errors.As(err, &limit) || limit.Limit != runner.LimitHandoffs || limit.Max != 16 {
			w.Errorf("%v", err)
		}
	})
}
