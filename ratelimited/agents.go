package ratelimited

import (
	"context"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Agents is the agents API: /v1/agents. Each call costs one request and no tokens. The methods are safe
// for concurrent use. An unknown id, version or alias is an [ErrNotFound].
type Agents struct{ client *Client }

// Create creates an agent. Model and Name are required.
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

// Get returns an agent. It returns the current version, unless params names another one by number or
// alias.
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

// List returns one page of the account's agents. Pages count from 0. The API marks this operation as
// deprecated: [Agents.ListPages] also returns shared agents.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list
func (s *Agents) List(ctx context.Context, params generated.ListAgentsParams, options ...CallOption) ([]generated.Agent, error) {
	params.Sources = nilIfEmpty(params.Sources)
	return complete[[]generated.Agent](ctx, s.owner(), operation{
		name:    "Agents.List",
		invalid: firstInvalid(checkAtLeast("page", params.Page, 0), checkRange("page_size", params.PageSize, 1, 1000)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgents(ctx, &params) //nolint:staticcheck // deprecated by the API, but supported
		},
	}, options)
}

// ListPages returns one page of the agents that the account can see. Pass its NextPageToken as PageToken
// to get the next page. On the last page, NextPageToken is empty.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_list_pages
func (s *Agents) ListPages(ctx context.Context, params generated.ListAgentPagesParams, options ...CallOption) (*generated.AgentListPage, error) {
	params.Sources = nilIfEmpty(params.Sources)
	return complete[*generated.AgentListPage](ctx, s.owner(), operation{
		name:    "Agents.ListPages",
		invalid: checkRange("page_size", params.PageSize, 1, 1000),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.ListAgentPages(ctx, &params)
		},
	}, options)
}

// Update changes the fields that are set, and creates a new version of the agent. Nil values of Tools,
// Guardrails and Metadata leave them unchanged. Empty values, such as []generated.Tool{}, remove them
// from the agent.
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
	_, err := complete[noContent](ctx, s.owner(), operation{
		name:    "Agents.Delete",
		invalid: checkAgentID(agentID),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.DeleteAgent(ctx, agentID)
		},
	}, options)
	return err
}

// UpdateVersion makes another version the current version of an agent, and returns it.
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

// ListVersions returns one page of an agent's versions. Pages count from 0.
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

// GetVersion returns one version of an agent, by its decimal number or its alias.
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

// CreateVersionAlias adds an alias to a version of an agent, or moves the alias to it. Aliases are unique
// within an agent.
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

// DeleteVersionAlias deletes an alias. It does not delete the version.
//
// Mistral's documentation: https://docs.mistral.ai/api/endpoint/beta/agents#operation-agents_api_v1_agents_delete_alias
func (s *Agents) DeleteVersionAlias(ctx context.Context, agentID, alias string, options ...CallOption) error {
	_, err := complete[noContent](ctx, s.owner(), operation{
		name:    "Agents.DeleteVersionAlias",
		invalid: firstInvalid(checkAgentID(agentID), checkAlias(alias)),
		send: func(ctx context.Context, api *generated.Client) (*http.Response, error) {
			return api.DeleteAgentVersionAlias(ctx, agentID, &generated.DeleteAgentVersionAliasParams{Alias: alias})
		},
	}, options)
	return err
}
