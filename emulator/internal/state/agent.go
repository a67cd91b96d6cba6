package state

import (
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// CreateAgent stores a new agent with version 0 and returns it.
func (s *Store) CreateAgent(request generated.CreateAgentRequest, bytes int) generated.Agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := wire.Now()
	// The id is created under the lock, so that agents are added in the order of their ids.
	a := &agent{id: wire.NewID(wire.AgentID), aliases: map[string]generated.AgentAliasResponse{}}
	version := generated.Agent{
		Object: "agent", ID: a.id, OwnerID: wire.OwnerID, CreatedAt: now, UpdatedAt: now, Source: string(generated.RequestSourceAPI),
	}
	carry(&version, request)
	a.add(version, bytes)
	s.agents.add(a.id, a)
	return a.view(a.current)
}

// Agent returns the version of an agent with a number or an alias. "" refers to the current
// version.
func (s *Store) Agent(id, ref string) (generated.Agent, *wire.Failure) {
	return withAgent(s, id, func(a *agent) (generated.Agent, *wire.Failure) {
		number, ok := a.find(ref)
		if !ok {
			return generated.Agent{}, wire.ErrNoVersion
		}
		return a.view(number), nil
	})
}

// withAgent calls do with an agent while it holds the lock.
func withAgent[T any](s *Store, id string, do func(*agent) (T, *wire.Failure)) (none T, _ *wire.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.agents.get(id)
	if !ok {
		return none, wire.ErrNoAgent
	}
	return do(a)
}

// UpdateAgent adds a version to an agent, with the changes of a request, and makes it
// current.
func (s *Store) UpdateAgent(id string, request generated.UpdateAgentRequest, bytes int) (generated.Agent, *wire.Failure) {
	return withAgent(s, id, func(a *agent) (generated.Agent, *wire.Failure) {
		version := *a.version(a.current)
		version.UpdatedAt, version.VersionMessage = wire.Now(), ""
		carry(&version, request)
		a.add(version, bytes+wire.Memory(wire.Encode(version.CompletionArgs))) // Other values are shared with the previous version.
		s.agents.update(a.id)
		return a.view(a.current), nil
	})
}

// DeleteAgent deletes an agent and all its versions.
func (s *Store) DeleteAgent(id string) *wire.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.agents.remove(id) {
		return wire.ErrNoAgent
	}
	return nil
}

// matches reports whether an agent matches the filters of a list request.
func matches(f generated.ListAgentsParams, a *generated.Agent) bool {
	switch {
	case f.DeploymentChat != nil && a.DeploymentChat != *f.DeploymentChat,
		f.Sources != nil && !slices.Contains(*f.Sources, generated.RequestSource(a.Source)),
		f.Name != nil && a.Name != *f.Name,
		f.ID != nil && a.ID != *f.ID,
		f.Metadata != nil && !contains(a.Metadata, *f.Metadata):
		return false
	case f.Search != nil:
		text := strings.ToLower(*f.Search)
		return strings.Contains(strings.ToLower(a.Name), text) || strings.Contains(a.ID, text)
	}
	return true
}

// Agents returns one page of the agents that match the filters, newest first. If after is
// not "", it returns only agents older than the one with this id.
func (s *Store) Agents(f generated.ListAgentsParams, after string, page Page) []generated.Agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := paged(s.agents.newest(), page, func(a *agent) bool {
		return (after == "" || a.id < after) && matches(f, a.version(a.current))
	})
	views := make([]generated.Agent, len(list))
	for i, a := range list {
		views[i] = a.view(a.current)
	}
	return views
}
