package emulator

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// CreateAgent creates an agent, in its version 0.
func (e api) CreateAgent(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	var request generated.CreateAgentRequest
	if !e.decode(x, &request) {
		return
	}
	if _, ok := e.manage(r); !ok {
		return
	}
	e.store.mu.Lock()
	now := timestamp()
	a := &agent{id: newID(agentID), aliases: map[string]generated.AgentAliasResponse{}}
	a.add(generated.Agent{
		Object: "agent", ID: a.id, OwnerID: ownerID, CreatedAt: now, UpdatedAt: now, Source: string(generated.RequestSourceAPI),
		Model: request.Model, Name: request.Name, Description: request.Description, Instructions: request.Instructions,
		Tools: request.Tools, CompletionArgs: request.CompletionArgs, Guardrails: request.Guardrails,
		Handoffs: request.Handoffs, Metadata: request.Metadata, VersionMessage: request.VersionMessage,
	}, keptMemory(x.body))
	e.store.agents.add(a.id, a) // Under one lock with its id, so that ids are in order.
	view := a.view(a.current)
	e.store.mu.Unlock()
	e.ok(x, view)
}

// GetAgent returns an agent in its current version or in one that is asked for.
func (e api) GetAgent(_ http.ResponseWriter, r *http.Request, id string, params generated.GetAgentParams) {
	ref := ""
	if params.AgentVersion != nil {
		ref = string(*params.AgentVersion)
	}
	e.version(r, id, ref)
}

// GetAgentVersion returns a version by its number or an alias.
func (e api) GetAgentVersion(_ http.ResponseWriter, r *http.Request, id, version string) {
	e.version(r, id, version)
}

func (e api) version(r *http.Request, id, ref string) {
	view, refused := e.agentVersion(id, ref)
	if x, reply := e.found(r, refused == nil, refused); reply {
		e.ok(x, view)
	}
}

// UpdateAgent makes a new version of an agent, which becomes the current one.
func (e api) UpdateAgent(_ http.ResponseWriter, r *http.Request, id string) {
	x := exchangeOf(r)
	var request generated.UpdateAgentRequest
	if !e.decode(x, &request) {
		return
	}
	e.change(r, id, func(a *agent) (any, *failure) {
		version := updated(*a.version(a.current), request)
		a.add(version, keptMemory(x.body)+memoryOf(encode(version.CompletionArgs))) // All else is shared with the last.
		e.store.agents.weigh(a.id)
		return a.view(a.current), nil
	})
}

// updated returns a version with what is set in a request on top.
func updated(version generated.Agent, request generated.UpdateAgentRequest) generated.Agent {
	version.UpdatedAt = timestamp()
	version.VersionMessage = ""
	set(&version.Model, request.Model)
	set(&version.Name, request.Name)
	set(&version.Description, request.Description)
	set(&version.Instructions, request.Instructions)
	set(&version.DeploymentChat, request.DeploymentChat)
	set(&version.VersionMessage, request.VersionMessage)
	if request.Tools != nil {
		version.Tools = request.Tools
	}
	if request.Guardrails != nil {
		version.Guardrails = request.Guardrails
	}
	if request.Handoffs != nil {
		version.Handoffs = request.Handoffs
	}
	if request.Metadata != nil {
		version.Metadata = request.Metadata
	}
	version.CompletionArgs = mergeArgs(version.CompletionArgs, request.CompletionArgs)
	return version
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// DeleteAgent forgets an agent with all its versions.
func (e api) DeleteAgent(_ http.ResponseWriter, r *http.Request, id string) {
	e.change(r, id, func(a *agent) (any, *failure) {
		e.store.agents.remove(a.id)
		return nil, nil
	})
}

// ListAgents returns one page by its number, newest first.
func (e api) ListAgents(_ http.ResponseWriter, r *http.Request, p generated.ListAgentsParams) {
	number, size, refused := paging(p.Page, p.PageSize, 20)
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	if x, ok := e.manage(r); ok {
		f := agentFilter{p.DeploymentChat, p.Sources, p.Name, p.Search, p.ID, p.Metadata}
		e.ok(x, e.agents(f, "", number, size))
	}
}

// ListAgentPages returns one page by a token, newest first. The token is the id of
// the last agent on the page before, so that agents made meanwhile shift nothing.
func (e api) ListAgentPages(_ http.ResponseWriter, r *http.Request, p generated.ListAgentPagesParams) {
	_, size, refused := paging(nil, p.PageSize, 20)
	after := ""
	if p.PageToken != nil && *p.PageToken != "" && refused == nil {
		token, err := base64.RawURLEncoding.DecodeString(*p.PageToken)
		if err != nil || !strings.HasPrefix(string(token), agentID) {
			refused = valueError("page_token is none that was given out", "query", "page_token")
		}
		after = string(token)
	}
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	x, ok := e.manage(r)
	if !ok {
		return
	}
	list := e.agents(agentFilter{p.DeploymentChat, p.Sources, p.Name, p.Search, p.ID, p.Metadata}, after, 0, size+1)
	reply := generated.AgentListPage{Object: "list", Data: list[:min(size, len(list))]}
	if len(list) > size { // There is one more than was asked for.
		reply.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(list[size-1].ID))
	}
	e.ok(x, reply)
}

// agentFilter is what both lists can be asked for; what is nil lets all pass.
type agentFilter struct {
	deployed         *bool
	sources          *[]generated.RequestSource
	name, search, id *string
	metadata         *map[string]any
}

func (f agentFilter) passes(a *generated.Agent) bool {
	switch {
	case f.deployed != nil && a.DeploymentChat != *f.deployed,
		f.sources != nil && !slices.Contains(*f.sources, generated.RequestSource(a.Source)),
		f.name != nil && a.Name != *f.name,
		f.id != nil && a.ID != *f.id,
		f.metadata != nil && !carries(object(a.Metadata), *f.metadata):
		return false
	case f.search != nil:
		text := strings.ToLower(*f.search)
		return strings.Contains(strings.ToLower(a.Name), text) || strings.Contains(a.ID, text)
	}
	return true
}

// agents returns one page, newest first, of the agents that a filter lets pass and that
// are older than the one of the id after, unless that is "".
func (e *Emulator) agents(f agentFilter, after string, number, size int) []generated.Agent {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	list := page(e.store.agents.newest(), number, size, func(a *agent) bool {
		return (after == "" || a.id < after) && f.passes(a.version(a.current))
	})
	views := make([]generated.Agent, len(list))
	for i, a := range list {
		views[i] = a.view(a.current)
	}
	return views
}
