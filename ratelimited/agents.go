package ratelimited

import (
	"context"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Agents is the agents API: /v1/agents. Its calls cost a request and no tokens.
// Its methods are safe for concurrent use. An id, version or alias that the API does
// not know is an [ErrNotFound].
type Agents struct{ client *Client }

// Create makes an agent. Model and Name must be set.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_create
func (s *Agents) Create(ctx context.Context, request generated.CreateAgentRequest, options ...CallOption) (*generated.Agent, error) {
	return complete[*generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.Create",
		invalid: firstInvalid(checkNotEmpty("model", request.Model), checkNotEmpty("name", request.Name), checkTools(request.Tools), checkFormat(request.CompletionArgs)),
		body:    request,
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.CreateAgentWithBody(ctx, jsonType, http.NoBody)
		},
	}, options)
}

// Get returns an agent, in its current version unless params names another one
// by its number or alias.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_get
func (s *Agents) Get(ctx context.Context, agentID string, params generated.GetAgentParams, options ...CallOption) (*generated.Agent, error) {
	return complete[*generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.Get",
		invalid: checkAgentID(agentID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.GetAgent(ctx, agentID, &params)
		},
	}, options)
}

// List returns one page of the account's agents. Page counts from 0. The API
// calls this operation deprecated: [Agents.ListPages] shows shared agents too.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list
func (s *Agents) List(ctx context.Context, params generated.ListAgentsParams, options ...CallOption) ([]generated.Agent, error) {
	params.Sources = notEmpty(params.Sources)
	return complete[[]generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.List",
		invalid: firstInvalid(checkAtLeast("page", params.Page, 0), checkRange("page_size", params.PageSize, 1, 1000)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgents(ctx, &params) //nolint:staticcheck // the API deprecates it and has it still
		},
	}, options)
}

// ListPages returns one page of the agents that the caller may see. Pass its
// NextPageToken as PageToken for the next one; the last page has none.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list_pages
func (s *Agents) ListPages(ctx context.Context, params generated.ListAgentPagesParams, options ...CallOption) (*generated.AgentListPage, error) {
	params.Sources = notEmpty(params.Sources)
	return complete[*generated.AgentListPage](ctx, s.owner(), operation{
		name:    "Agents.ListPages",
		invalid: checkRange("page_size", params.PageSize, 1, 1000),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgentPages(ctx, &params)
		},
	}, options)
}

// Update changes the fields that are set and makes a new version of the agent.
// Tools, Guardrails and Metadata that are nil stay as they are; empty ones,
// []generated.Tool{} for example, take away what the agent has.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_update
func (s *Agents) Update(ctx context.Context, agentID string, request generated.UpdateAgentRequest, options ...CallOption) (*generated.Agent, error) {
	return complete[*generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.Update",
		invalid: firstInvalid(checkAgentID(agentID), checkTools(request.Tools), checkFormat(request.CompletionArgs)),
		body:    request,
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.UpdateAgentWithBody(ctx, agentID, jsonType, http.NoBody)
		},
	}, options)
}

// Delete deletes an agent with all its versions. It cannot be undone.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_delete
func (s *Agents) Delete(ctx context.Context, agentID string, options ...CallOption) error {
	_, err := complete[nothing](ctx, s.owner(), operation{
		name:    "Agents.Delete",
		invalid: checkAgentID(agentID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.DeleteAgent(ctx, agentID)
		},
	}, options)
	return err
}

// UpdateVersion makes another version of an agent its current one, and returns that.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_update_version
func (s *Agents) UpdateVersion(ctx context.Context, agentID string, version int, options ...CallOption) (*generated.Agent, error) {
	return complete[*generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.UpdateVersion",
		invalid: firstInvalid(checkAgentID(agentID), checkAtLeast("version", &version, 0)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.UpdateAgentVersion(ctx, agentID, &generated.UpdateAgentVersionParams{Version: version})
		},
	}, options)
}

// ListVersions returns one page of an agent's versions. Page counts from 0.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list_versions
func (s *Agents) ListVersions(ctx context.Context, agentID string, params generated.ListAgentVersionsParams, options ...CallOption) ([]generated.Agent, error) {
	return complete[[]generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.ListVersions",
		invalid: firstInvalid(checkAgentID(agentID), checkAtLeast("page", params.Page, 0), checkRange("page_size", params.PageSize, 1, 100)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgentVersions(ctx, agentID, &params)
		},
	}, options)
}

// GetVersion returns one version of an agent, by its number in decimal or its alias.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_get_version
func (s *Agents) GetVersion(ctx context.Context, agentID, version string, options ...CallOption) (*generated.Agent, error) {
	return complete[*generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.GetVersion",
		invalid: firstInvalid(checkAgentID(agentID), checkID("version", version)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.GetAgentVersion(ctx, agentID, version)
		},
	}, options)
}

// CreateVersionAlias names a version of an agent, or moves an alias to it. An alias
// is unique within its agent.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_create_or_update_alias
func (s *Agents) CreateVersionAlias(ctx context.Context, agentID, alias string, version int, options ...CallOption) (*generated.AgentAliasResponse, error) {
	return complete[*generated.AgentAliasResponse](ctx, s.owner(), operation{
		name:    "Agents.CreateVersionAlias",
		invalid: firstInvalid(checkAgentID(agentID), checkAlias(alias), checkAtLeast("version", &version, 0)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.CreateAgentVersionAlias(ctx, agentID, &generated.CreateAgentVersionAliasParams{Alias: alias, Version: version})
		},
	}, options)
}

// ListVersionAliases returns the aliases of an agent's versions.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list_version_aliases
func (s *Agents) ListVersionAliases(ctx context.Context, agentID string, options ...CallOption) ([]generated.AgentAliasResponse, error) {
	return complete[[]generated.AgentAliasResponse](ctx, s.owner(), operation{
		name:    "Agents.ListVersionAliases",
		invalid: checkAgentID(agentID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgentVersionAliases(ctx, agentID)
		},
	}, options)
}

// DeleteVersionAlias deletes an alias; the version it named stays.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_delete_alias
func (s *Agents) DeleteVersionAlias(ctx context.Context, agentID, alias string, options ...CallOption) error {
	_, err := complete[nothing](ctx, s.owner(), operation{
		name:    "Agents.DeleteVersionAlias",
		invalid: firstInvalid(checkAgentID(agentID), checkAlias(alias)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.DeleteAgentVersionAlias(ctx, agentID, &generated.DeleteAgentVersionAliasParams{Alias: alias})
		},
	}, options)
	return err
}
