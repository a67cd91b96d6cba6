package emulator_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func (a *api) agent(name string) generated.Agent {
	a.t.Helper()
	return read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{
		Model: model, Name: name, Instructions: "Be brief.", Metadata: map[string]any{"team": name[:1]},
	}))
}

func TestAgentVersions(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	created := a.agent("sums")
	if !strings.HasPrefix(created.ID, "ag_") || created.Version != 0 || !slices.Equal(created.Versions, []int{0}) || created.Source != "api" {
		t.Errorf("agent is %+v", created)
	}
	path := "/v1/agents/" + created.ID
	changed := read[generated.Agent](a.do(http.MethodPatch, path, `{"instructions":"Be long.","version_message":"longer"}`))
	if changed.Version != 1 || !slices.Equal(changed.Versions, []int{0, 1}) || changed.Instructions != "Be long." || changed.Name != "sums" {
		t.Errorf("agent is %+v", changed)
	}
	if alias := read[generated.AgentAliasResponse](a.do(http.MethodPut, path+"/aliases?alias=old&version=0", "")); alias.Version != 0 || alias.Alias != "old" {
		t.Errorf("alias is %+v", alias)
	}
	for suffix, want := range map[string]string{
		"":                   "Be long.",
		"?agent_version=0":   "Be brief.",
		"?agent_version=1":   "Be long.",
		"?agent_version=old": "Be brief.",
		"/versions/0":        "Be brief.",
		"/versions/old":      "Be brief.",
	} {
		if got := read[generated.Agent](a.do(http.MethodGet, path+suffix, "")).Instructions; got != want {
			t.Errorf("GET %s has instructions %q, want %q", suffix, got, want)
		}
	}
	for _, suffix := range []string{"?agent_version=7", "?agent_version=new", "/versions/7", "/versions/x%2Fy"} {
		a.do(http.MethodGet, path+suffix, "").want(http.StatusNotFound)
	}
	if back := read[generated.Agent](a.do(http.MethodPatch, path+"/version?version=0", "")); back.Version != 0 || back.Instructions != "Be brief." {
		t.Errorf("agent is %+v", back)
	}
	a.do(http.MethodPatch, path+"/version?version=9", "").want(http.StatusNotFound)
	a.do(http.MethodPut, path+"/aliases?alias=old&version=9", "").want(http.StatusNotFound)

	versions := read[[]generated.Agent](a.do(http.MethodGet, path+"/versions?page=0&page_size=1", ""))
	if len(versions) != 1 || versions[0].Version != 1 {
		t.Errorf("first page of versions is %+v", versions)
	}
	moved := read[generated.AgentAliasResponse](a.do(http.MethodPut, path+"/aliases?alias=old&version=1", ""))
	aliases := read[[]generated.AgentAliasResponse](a.do(http.MethodGet, path+"/aliases", ""))
	if len(aliases) != 1 || aliases[0].Version != 1 || aliases[0] != moved {
		t.Errorf("aliases are %+v", aliases)
	}
	a.do(http.MethodDelete, path+"/aliases?alias=old", "").want(http.StatusNoContent)
	a.do(http.MethodDelete, path+"/aliases?alias=old", "").want(http.StatusNotFound)
	if body := a.do(http.MethodGet, path+"/aliases", "").body; body != "[]" {
		t.Errorf("aliases are %s", body)
	}
	if deleted := a.do(http.MethodDelete, path, "").want(http.StatusNoContent); deleted.body != "" {
		t.Errorf("body of delete is %q, want none", deleted.body)
	}
	a.do(http.MethodGet, path, "").want(http.StatusNotFound)
	a.do(http.MethodDelete, path, "").want(http.StatusNotFound)
}

func TestAgentLists(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	if body := a.do(http.MethodGet, "/v1/agents/pages", "").body; body != `{"data":[],"object":"list"}` {
		t.Errorf("empty page is %s", body)
	}
	names := map[string]string{}
	for _, name := range []string{"a1", "a2", "z1", "z2", "z3"} {
		names[a.agent(name).ID] = name
	}
	joined := func(list []generated.Agent) string {
		var got []string
		for _, agent := range list {
			got = append(got, names[agent.ID])
		}
		return strings.Join(got, " ")
	}
	for query, want := range map[string]string{
		"":                      "z3 z2 z1 a2 a1",
		"?page=1&page_size=2":   "z1 a2",
		"?name=a2":              "a2",
		"?search=Z":             "z3 z2 z1",
		"?sources=api":          "z3 z2 z1 a2 a1",
		"?sources=playground":   "",
		"?deployment_chat=true": "",
		"?metadata=" + url.QueryEscape(`{"team":"a"}`): "a2 a1",
	} {
		if got := joined(read[[]generated.Agent](a.do(http.MethodGet, "/v1/agents"+query, ""))); got != want {
			t.Errorf("list%s is %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"page_size=2":          "z3 z2; z1 a2; a1",
		"page_size=5":          "z3 z2 z1 a2 a1",
		"page_size=2&search=z": "z3 z2; z1",
		"page_size=1&metadata=" + url.QueryEscape(`{"team":"a"}`): "a2; a1",
	} {
		var pages []string
		for token := ""; len(pages) < 10; {
			p := read[generated.AgentListPage](a.do(http.MethodGet, "/v1/agents/pages?"+query+"&page_token="+token, ""))
			pages = append(pages, joined(p.Data))
			if token = p.NextPageToken; token == "" {
				break
			}
		}
		if got := strings.Join(pages, "; "); got != want {
			t.Errorf("pages of %s are %s, want %s", query, got, want)
		}
	}
	a.unchecked().do(http.MethodGet, "/v1/agents/pages?page_token=nonsense", "").want(http.StatusUnprocessableEntity)
}

func TestConversationWithAgent(t *testing.T) {
	t.Parallel()
	got := make(chan emulator.Prompt, 1)
	a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		got <- p
		return emulator.Reply{Text: "ok"}
	}})
	agent := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{
		Model: "agent-model", Name: "n", Instructions: "Of the agent.",
		Tools:          []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
		CompletionArgs: generated.CompletionArgs{Temperature: ptr(0.5), MaxTokens: ptr(9)},
	}))
	request := generated.StartConversationRequest{
		AgentID: agent.ID, Inputs: generated.NewTextInputs("Hello"),
		CompletionArgs: generated.CompletionArgs{MaxTokens: ptr(5)},
	}
	c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
	p := <-got
	if p.Model != "agent-model" || p.Agent != agent.ID || p.Instructions != "Of the agent." || len(p.Tools) != 1 ||
		*p.Args.Temperature != 0.5 || *p.Args.MaxTokens != 5 {
		t.Errorf("prompt is %+v", p)
	}
	output := c.Outputs[0].Value().(generated.MessageOutputEntry)
	if output.AgentID != agent.ID || output.Model != "agent-model" {
		t.Errorf("output is %+v", output)
	}
	if view := read[generated.Conversation](a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID, "")); view.AgentID != agent.ID || view.Model != "" {
		t.Errorf("conversation is %+v", view)
	}
	if m := a.Stats().Models["agent-model"]; m.Admitted != 1 || m.Tokens != c.Usage.TotalTokens {
		t.Errorf("stats of the agent's model are %+v", m)
	}
	// Without a version, a conversation uses the current version of the agent.
	a.do(http.MethodPatch, "/v1/agents/"+agent.ID, `{"instructions":"Changed."}`).want(http.StatusOK)
	a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("Again")}).want(http.StatusOK)
	if p := <-got; p.Instructions != "Changed." || len(p.History) != 2 || len(p.Inputs) != 1 {
		t.Errorf("prompt is %+v", p)
	}
	request.AgentVersion = "0"
	a.post("/v1/conversations", request).want(http.StatusOK)
	if p := <-got; p.Instructions != "Of the agent." {
		t.Errorf("prompt is %+v", p)
	}
	request.AgentVersion = "none"
	a.post("/v1/conversations", request).want(http.StatusNotFound)
	request.AgentID = "ag_none"
	a.post("/v1/conversations", request).want(http.StatusNotFound)
}
