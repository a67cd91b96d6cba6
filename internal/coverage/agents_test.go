package coverage_test

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// agents has all operations on agents, with all that can be said of one.
func agents(s *stage) {
	ctx := s.Context()
	expert := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "expert"})).on(s)
	agent := got(s.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: model, Name: "helper", Description: "helps", Instructions: "Be brief.", Tools: allTools(configured()),
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Handoffs: []string{expert.ID}, Metadata: metadata, VersionMessage: "first",
	})).on(s)
	updated := got(s.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{
		Model: ptr("other"), Name: ptr("assistant"), Description: ptr("assists"), Instructions: ptr("Be kind."), Tools: allTools(configured()),
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Handoffs: []string{expert.ID}, Metadata: metadata,
		DeploymentChat: ptr(true), VersionMessage: ptr("second"),
	})).on(s)
	same(s, "the new version", updated.Version, agent.Version+1)

	same(s, "the alias", got(s.Agents.CreateVersionAlias(ctx, agent.ID, "prod", 0)).on(s).Version, 0)
	same(s, "aliases", len(got(s.Agents.ListVersionAliases(ctx, agent.ID)).on(s)), 1)
	for _, version := range []generated.StringOrInteger{"1", "prod"} {
		found := got(s.Agents.Get(ctx, agent.ID, generated.GetAgentParams{AgentVersion: &version})).on(s)
		same(s, "the name at "+string(version), found.Name, map[generated.StringOrInteger]string{"1": "assistant", "prod": "helper"}[version])
	}
	same(s, "the first version's name", got(s.Agents.GetVersion(ctx, agent.ID, "0")).on(s).Name, "helper")
	versions := got(s.Agents.ListVersions(ctx, agent.ID, generated.ListAgentVersionsParams{Page: ptr(0), PageSize: ptr(2)})).on(s)
	same(s, "versions", len(versions), 2)
	same(s, "the version switched to", got(s.Agents.UpdateVersion(ctx, agent.ID, 0)).on(s).Version, 0)

	sources := []generated.RequestSource{
		generated.RequestSourceAPI, generated.RequestSourcePlayground, generated.RequestSourceAgentBuilderV1,
	}
	list := got(s.Agents.List(ctx, generated.ListAgentsParams{
		Page: ptr(0), PageSize: ptr(5), DeploymentChat: ptr(false), Sources: &sources, Name: ptr("helper"), Search: ptr("help"),
		ID: &agent.ID, Metadata: &metadata,
	})).on(s)
	same(s, "agents listed", len(list), 1)
	page := got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{PageSize: ptr(1)})).on(s)
	page = got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{
		PageSize: ptr(1), PageToken: &page.NextPageToken, DeploymentChat: ptr(false), Sources: &sources, Name: ptr("expert"), Search: ptr("exp"),
		ID: &expert.ID,
	})).on(s)
	same(s, "agents on the page", len(page.Data), 1)
	page = got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{Metadata: &metadata})).on(s)
	same(s, "agents with the metadata", len(page.Data), 1)

	for _, end := range []error{s.Agents.DeleteVersionAlias(ctx, agent.ID, "prod"), s.Agents.Delete(ctx, agent.ID)} {
		if end != nil {
			s.Error(end)
		}
	}
}

// choices has all values of what is a choice of a few.
func choices(s *stage) {
	for _, effort := range []generated.ReasoningEffort{
		generated.ReasoningEffortNone, generated.ReasoningEffortMinimal, generated.ReasoningEffortLow, generated.ReasoningEffortMedium,
		generated.ReasoningEffortHigh, generated.ReasoningEffortXhigh,
	} {
		agent := s.agentWith(generated.CompletionArgs{ReasoningEffort: effort})
		same(s, "reasoning_effort", agent.CompletionArgs.ReasoningEffort, effort)
	}
	for _, choice := range []generated.ToolChoiceEnum{
		generated.ToolChoiceEnumAuto, generated.ToolChoiceEnumNone, generated.ToolChoiceEnumAny, generated.ToolChoiceEnumRequired,
	} {
		same(s, "tool_choice", s.agentWith(generated.CompletionArgs{ToolChoice: choice}).CompletionArgs.ToolChoice, choice)
	}
	for _, format := range []generated.ResponseFormats{generated.ResponseFormatsText, generated.ResponseFormatsJSONObject} {
		args := generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: format}}
		same(s, "response_format", s.agentWith(args).CompletionArgs.ResponseFormat.Type, format)
	}
}

func (s *stage) agentWith(args generated.CompletionArgs) *generated.Agent {
	s.Helper()
	return got(s.Agents.Create(s.Context(), generated.CreateAgentRequest{Model: model, Name: "n", CompletionArgs: args})).on(s)
}
