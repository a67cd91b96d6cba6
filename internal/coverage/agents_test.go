package coverage_test

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// agents exercises all operations on agents, with all fields of an agent.
func agents(s *env) {
	ctx := s.Context()
	expert := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "expert"})).check(s)
	agent := got(s.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: model, Name: "helper", Description: "helps", Instructions: "Be brief.", Tools: allTools(configured()),
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Handoffs: []string{expert.ID}, Metadata: metadata, VersionMessage: "first",
	})).check(s)
	updated := got(s.Agents.Update(ctx, agent.ID, generated.UpdateAgentRequest{
		Model: ptr("other"), Name: ptr("assistant"), Description: ptr("assists"), Instructions: ptr("Be kind."), Tools: allTools(configured()),
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Handoffs: []string{expert.ID}, Metadata: metadata,
		DeploymentChat: ptr(true), VersionMessage: ptr("second"),
	})).check(s)
	equal(s, "the new version", updated.Version, agent.Version+1)

	equal(s, "the alias", got(s.Agents.CreateVersionAlias(ctx, agent.ID, "prod", 0)).check(s).Version, 0)
	equal(s, "aliases", len(got(s.Agents.ListVersionAliases(ctx, agent.ID)).check(s)), 1)
	for _, version := range []generated.StringOrInteger{"1", "prod"} {
		found := got(s.Agents.Get(ctx, agent.ID, generated.GetAgentParams{AgentVersion: &version})).check(s)
		equal(s, "the name at "+string(version), found.Name, map[generated.StringOrInteger]string{"1": "assistant", "prod": "helper"}[version])
	}
	equal(s, "the first version's name", got(s.Agents.GetVersion(ctx, agent.ID, "0")).check(s).Name, "helper")
	versions := got(s.Agents.ListVersions(ctx, agent.ID, generated.ListAgentVersionsParams{Page: ptr(0), PageSize: ptr(2)})).check(s)
	equal(s, "versions", len(versions), 2)
	equal(s, "the version switched to", got(s.Agents.UpdateVersion(ctx, agent.ID, 0)).check(s).Version, 0)

	sources := []generated.RequestSource{
		generated.RequestSourceAPI, generated.RequestSourcePlayground, generated.RequestSourceAgentBuilderV1,
	}
	list := got(s.Agents.List(ctx, generated.ListAgentsParams{
		Page: ptr(0), PageSize: ptr(5), DeploymentChat: ptr(false), Sources: &sources, Name: ptr("helper"), Search: ptr("help"),
		ID: &agent.ID, Metadata: &metadata,
	})).check(s)
	equal(s, "agents listed", len(list), 1)
	page := got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{PageSize: ptr(1)})).check(s)
	page = got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{
		PageSize: ptr(1), PageToken: &page.NextPageToken, DeploymentChat: ptr(false), Sources: &sources, Name: ptr("expert"), Search: ptr("exp"),
		ID: &expert.ID,
	})).check(s)
	equal(s, "agents on the page", len(page.Data), 1)
	page = got(s.Agents.ListPages(ctx, generated.ListAgentPagesParams{Metadata: &metadata})).check(s)
	equal(s, "agents with the metadata", len(page.Data), 1)

	for _, err := range []error{s.Agents.DeleteVersionAlias(ctx, agent.ID, "prod"), s.Agents.Delete(ctx, agent.ID)} {
		if err != nil {
			s.Error(err)
		}
	}
}

// enumValues exercises all values of the enumerations of an agent.
func enumValues(s *env) {
	for _, effort := range []generated.ReasoningEffort{
		generated.ReasoningEffortNone, generated.ReasoningEffortMinimal, generated.ReasoningEffortLow, generated.ReasoningEffortMedium,
		generated.ReasoningEffortHigh, generated.ReasoningEffortXhigh,
	} {
		agent := s.agentWith(generated.CompletionArgs{ReasoningEffort: effort})
		equal(s, "reasoning_effort", agent.CompletionArgs.ReasoningEffort, effort)
	}
	for _, choice := range []generated.ToolChoiceEnum{
		generated.ToolChoiceEnumAuto, generated.ToolChoiceEnumNone, generated.ToolChoiceEnumAny, generated.ToolChoiceEnumRequired,
	} {
		equal(s, "tool_choice", s.agentWith(generated.CompletionArgs{ToolChoice: choice}).CompletionArgs.ToolChoice, choice)
	}
	for _, format := range []generated.ResponseFormats{generated.ResponseFormatsText, generated.ResponseFormatsJSONObject} {
		args := generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: format}}
		equal(s, "response_format", s.agentWith(args).CompletionArgs.ResponseFormat.Type, format)
	}
}

func (s *env) agentWith(args generated.CompletionArgs) *generated.Agent {
	s.Helper()
	return got(s.Agents.Create(s.Context(), generated.CreateAgentRequest{Model: model, Name: "n", CompletionArgs: args})).check(s)
}
