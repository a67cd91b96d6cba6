package emulator

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// CreateAgent creates an agent with version 0.
func (e api) CreateAgent(_ http.ResponseWriter, r *http.Request) {
	var request generated.CreateAgentRequest
	refused := decode(r, &request)
	if refused == nil {
		refused = e.checkRequest(&request.Model, request.Tools, request.CompletionArgs)
	}
	if c, ok := e.admitWithoutModel(r, refused); ok {
		e.respond(c, e.store.CreateAgent(request, wire.KeptMemory(c.body)), nil)
	}
}

// GetAgent returns the current or the requested version of an agent.
func (e api) GetAgent(_ http.ResponseWriter, r *http.Request, id string, params generated.GetAgentParams) {
	version := ""
	if params.AgentVersion != nil {
		version = string(*params.AgentVersion)
	}
	e.GetAgentVersion(nil, r, id, version)
}

// GetAgentVersion returns the version of an agent with a number or an alias.
func (e api) GetAgentVersion(_ http.ResponseWriter, r *http.Request, id, version string) {
	view, missing := e.store.Agent(id, version)
	if c, ok := e.admitWithoutModel(r, missing); ok {
		e.respond(c, view, nil)
	}
}

// UpdateAgent creates a new version of an agent and makes it current.
func (e api) UpdateAgent(_ http.ResponseWriter, r *http.Request, id string) {
	var request generated.UpdateAgentRequest
	refused := decode(r, &request)
	if refused == nil {
		refused = failureOf(e.store.Agent(id, ""))
	}
	if refused == nil {
		refused = e.checkRequest(request.Model, request.Tools, request.CompletionArgs)
	}
	if c, ok := e.admitWithoutModel(r, refused); ok {
		view, missing := e.store.UpdateAgent(id, request, wire.KeptMemory(c.body))
		e.respond(c, view, missing)
	}
}

// DeleteAgent deletes an agent and all its versions.
func (e api) DeleteAgent(_ http.ResponseWriter, r *http.Request, id string) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Agent(id, ""))); ok {
		e.respond(c, nil, e.store.DeleteAgent(id))
	}
}

const agentsPerPage = 20

// ListAgents returns the page with a number, newest first.
func (e api) ListAgents(_ http.ResponseWriter, r *http.Request, p generated.ListAgentsParams) {
	page, refused := state.NewPage(p.Page, p.PageSize, agentsPerPage)
	if c, ok := e.admitWithoutModel(r, refused); ok {
		e.respond(c, e.store.Agents(p, "", page), nil)
	}
}

// ListAgentPages returns the page with a token, newest first. The token is the id of the
// last agent on the previous page, so that new agents do not shift the pages.
func (e api) ListAgentPages(_ http.ResponseWriter, r *http.Request, p generated.ListAgentPagesParams) {
	page, refused := state.NewPage(nil, p.PageSize, agentsPerPage)
	after := ""
	if p.PageToken != nil && *p.PageToken != "" && refused == nil {
		token, err := base64.RawURLEncoding.DecodeString(*p.PageToken)
		if err != nil || !strings.HasPrefix(string(token), wire.AgentID) {
			refused = wire.ValueError("page_token must be the next_page_token of a response", "query", "page_token")
		}
		after = string(token)
	}
	c, ok := e.admitWithoutModel(r, refused)
	if !ok {
		return
	}
	size := page.Size
	page.Size++ // An additional agent shows that another page follows.
	list := e.store.Agents(generated.ListAgentsParams{
		DeploymentChat: p.DeploymentChat, Sources: p.Sources, Name: p.Name, Search: p.Search, ID: p.ID, Metadata: p.Metadata,
	}, after, page)
	response := generated.AgentListPage{Object: "list", Data: list[:min(size, len(list))]}
	if len(list) > size {
		response.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(list[size-1].ID))
	}
	e.respond(c, response, nil)
}

// UpdateAgentVersion changes the current version of an agent.
func (e api) UpdateAgentVersion(_ http.ResponseWriter, r *http.Request, id string, params generated.UpdateAgentVersionParams) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Agent(id, ""))); ok {
		view, missing := e.store.SwitchVersion(id, params.Version)
		e.respond(c, view, missing)
	}
}

// ListAgentVersions returns one page of an agent's versions, newest first.
func (e api) ListAgentVersions(_ http.ResponseWriter, r *http.Request, id string, params generated.ListAgentVersionsParams) {
	page, refused := state.NewPage(params.Page, params.PageSize, agentsPerPage)
	if refused == nil {
		refused = failureOf(e.store.Agent(id, ""))
	}
	if c, ok := e.admitWithoutModel(r, refused); ok {
		views, missing := e.store.Versions(id, page)
		e.respond(c, views, missing)
	}
}

// CreateAgentVersionAlias creates an alias of a version, or moves an alias to it.
func (e api) CreateAgentVersionAlias(_ http.ResponseWriter, r *http.Request, id string, params generated.CreateAgentVersionAliasParams) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Agent(id, ""))); ok {
		alias, refused := e.store.SetAlias(id, params.Alias, params.Version)
		e.respond(c, alias, refused)
	}
}

// ListAgentVersionAliases returns the aliases of an agent in alphabetical order.
func (e api) ListAgentVersionAliases(_ http.ResponseWriter, r *http.Request, id string) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Agent(id, ""))); ok {
		list, missing := e.store.Aliases(id)
		e.respond(c, list, missing)
	}
}

// DeleteAgentVersionAlias deletes an alias of an agent's version.
func (e api) DeleteAgentVersionAlias(_ http.ResponseWriter, r *http.Request, id string, params generated.DeleteAgentVersionAliasParams) {
	if c, ok := e.admitWithoutModel(r, failureOf(e.store.Agent(id, ""))); ok {
		e.respond(c, nil, e.store.DeleteAlias(id, params.Alias))
	}
}
