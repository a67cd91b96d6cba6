package ratelimited_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// step is a call of one operation. The steps run in order and use the agents and conversations of earlier
// steps.
type step struct {
	method    string // the service and method
	operation string // the operation ID in the OpenAPI document, with the suffix "Stream" for streaming
	tokens    bool   // whether the operation uses tokens
	call      func(ctx context.Context, s *scenario) error
}

// scenario contains the services and the IDs that steps pass on.
type scenario struct {
	conversations *ratelimited.Conversations
	agents        *ratelimited.Agents
	conversation  string
	entry         string
	agent         string
}

// checkResponse checks a response and stores its conversation ID.
func (s *scenario) checkResponse(response *generated.ConversationResponse, err error) error {
	if err != nil {
		return err
	}
	s.conversation = response.ConversationID
	return want(ratelimited.OutputText(response) != "" && response.Usage.TotalTokens > 0, "a text and its usage")
}

// checkStream reads a stream, checks it, and stores its conversation ID.
func (s *scenario) checkStream(stream *ratelimited.Stream, err error) error {
	if err != nil {
		return err
	}
	_, err = collect(stream)
	s.conversation = stream.ConversationID()
	return errors.Join(err, want(s.conversation != "" && stream.Text() != "" && stream.Usage() != nil, "an ID, a text, and its usage"))
}

// want returns an error if ok is false.
func want(ok bool, what string) error {
	if !ok {
		return errors.New("the response does not contain " + what)
	}
	return nil
}

// steps are calls of all operations, in an order in which all succeed.
var steps = []step{
	{"Agents.Create", "CreateAgent", false, func(ctx context.Context, s *scenario) error {
		agent, err := s.agents.Create(ctx, generated.CreateAgentRequest{
			Model: "m", Name: "helper", Instructions: "Be brief.", Metadata: map[string]any{"team": "a"},
			Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
		})
		if err != nil {
			return err
		}
		s.agent = agent.ID
		return want(agent.Name == "helper" && len(agent.Tools) == 1, "the name and the tool")
	}},
	{"Agents.Get", "GetAgent", false, func(ctx context.Context, s *scenario) error {
		agent, err := s.agents.Get(ctx, s.agent, generated.GetAgentParams{})
		return errors.Join(err, want(agent != nil && agent.ID == s.agent, "the agent's ID"))
	}},
	{"Agents.Update", "UpdateAgent", false, func(ctx context.Context, s *scenario) error {
		agent, err := s.agents.Update(ctx, s.agent, generated.UpdateAgentRequest{Description: ratelimited.Ptr("helps")})
		return errors.Join(err, want(agent != nil && agent.Description == "helps" && len(agent.Versions) == 2, "a second version"))
	}},
	{"Agents.UpdateVersion", "UpdateAgentVersion", false, func(ctx context.Context, s *scenario) error {
		agents, err := s.agents.ListVersions(ctx, s.agent, generated.ListAgentVersionsParams{})
		if err != nil {
			return err
		}
		agent, err := s.agents.UpdateVersion(ctx, s.agent, agents[0].Version)
		return errors.Join(err, want(agent != nil && agent.Version == agents[0].Version, "the version"))
	}},
	{"Agents.ListVersions", "ListAgentVersions", false, func(ctx context.Context, s *scenario) error {
		agents, err := s.agents.ListVersions(ctx, s.agent, generated.ListAgentVersionsParams{Page: ratelimited.Ptr(0), PageSize: ratelimited.Ptr(1)})
		return errors.Join(err, want(len(agents) == 1, "one version"))
	}},
	{"Agents.GetVersion", "GetAgentVersion", false, func(ctx context.Context, s *scenario) error {
		agent, err := s.agents.GetVersion(ctx, s.agent, "0")
		return errors.Join(err, want(agent != nil && agent.Version == 0, "version 0"))
	}},
	{"Agents.CreateVersionAlias", "CreateAgentVersionAlias", false, func(ctx context.Context, s *scenario) error {
		alias, err := s.agents.CreateVersionAlias(ctx, s.agent, "prod", 1)
		return errors.Join(err, want(alias != nil && alias.Alias == "prod" && alias.Version == 1, "the alias"))
	}},
	{"Agents.ListVersionAliases", "ListAgentVersionAliases", false, func(ctx context.Context, s *scenario) error {
		aliases, err := s.agents.ListVersionAliases(ctx, s.agent)
		return errors.Join(err, want(len(aliases) == 1, "one alias"))
	}},
	{"Agents.DeleteVersionAlias", "DeleteAgentVersionAlias", false, func(ctx context.Context, s *scenario) error {
		return s.agents.DeleteVersionAlias(ctx, s.agent, "prod")
	}},
	{"Agents.List", "ListAgents", false, func(ctx context.Context, s *scenario) error {
		agents, err := s.agents.List(ctx, generated.ListAgentsParams{
			Page: ratelimited.Ptr(0), PageSize: ratelimited.Ptr(5), Name: ratelimited.Ptr("helper"),
			Sources: &[]generated.RequestSource{generated.RequestSourceAPI}, Metadata: &map[string]any{"team": "a"},
		})
		return errors.Join(err, want(len(agents) == 1, "one agent"))
	}},
	{"Agents.ListPages", "ListAgentPages", false, func(ctx context.Context, s *scenario) error {
		page, err := s.agents.ListPages(ctx, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(10)})
		return errors.Join(err, want(page != nil && len(page.Data) == 1 && page.NextPageToken == "", "a single page"))
	}},
	{"Conversations.Start", "StartConversation", true, func(ctx context.Context, s *scenario) error {
		return s.checkResponse(s.conversations.Start(ctx, generated.StartConversationRequest{
			AgentID: s.agent, Inputs: ratelimited.Entries(ratelimited.User("Hello!")),
			Name: "greeting", Description: "a test", Metadata: map[string]any{"n": 1}, HandoffExecution: generated.HandoffExecutionServer,
		}))
	}},
	{"Conversations.StartStream", "StartConversationStream", true, func(ctx context.Context, s *scenario) error {
		return s.checkStream(s.conversations.StartStream(ctx, generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text("Count to 5."), Instructions: "Be brief.", Store: ratelimited.Ptr(true),
			CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), TopP: ratelimited.Ptr(0.9), Stop: generated.CompletionArgsStop{"END"}},
		}))
	}},
	{"Conversations.Append", "AppendConversation", true, func(ctx context.Context, s *scenario) error {
		return s.checkResponse(s.conversations.Append(ctx, s.conversation, generated.AppendConversationRequest{Inputs: ratelimited.Text("More.")}))
	}},
	{"Conversations.AppendStream", "AppendConversationStream", true, func(ctx context.Context, s *scenario) error {
		return s.checkStream(s.conversations.AppendStream(ctx, s.conversation, generated.AppendConversationRequest{
			Inputs: ratelimited.Entries(ratelimited.UserChunks(generated.NewContentChunk(generated.TextChunk{Text: "And more."}))),
		}))
	}},
	{"Conversations.GetHistory", "GetConversationHistory", false, func(ctx context.Context, s *scenario) error {
		history, err := s.conversations.GetHistory(ctx, s.conversation)
		if err != nil || len(history.Entries) != 6 {
			return errors.Join(err, want(false, "six entries"))
		}
		entry, ok := history.Entries[1].Value().(generated.MessageOutputEntry)
		s.entry = entry.ID
		return want(ok && entry.ID != "", "a message of the model with an ID")
	}},
	{"Conversations.GetMessages", "GetConversationMessages", false, func(ctx context.Context, s *scenario) error {
		messages, err := s.conversations.GetMessages(ctx, s.conversation)
		return errors.Join(err, want(messages != nil && len(messages.Messages) == 6, "six messages"))
	}},
	{"Conversations.Restart", "RestartConversation", true, func(ctx context.Context, s *scenario) error {
		return s.checkResponse(s.conversations.Restart(ctx, s.conversation, generated.RestartConversationRequest{
			FromEntryID: s.entry, Inputs: ratelimited.Text("Again."),
		}))
	}},
	{"Conversations.RestartStream", "RestartConversationStream", true, func(ctx context.Context, s *scenario) error {
		return s.checkStream(s.conversations.RestartStream(ctx, s.conversation, generated.RestartConversationRequest{
			FromEntryID: s.entry, Inputs: ratelimited.Text("Once more."),
		}))
	}},
	{"Conversations.Get", "GetConversation", false, func(ctx context.Context, s *scenario) error {
		conversation, err := s.conversations.Get(ctx, s.conversation)
		return errors.Join(err, want(conversation != nil && conversation.ID == s.conversation && conversation.Model == "m", "the ID and the model"))
	}},
	{"Conversations.List", "ListConversations", false, func(ctx context.Context, s *scenario) error {
		list, err := s.conversations.List(ctx, generated.ListConversationsParams{Metadata: &map[string]any{"n": 1}})
		return errors.Join(err, want(len(list) == 1 && list[0].AgentID == s.agent, "the agent's conversation"))
	}},
	{"Conversations.Delete", "DeleteConversation", false, func(ctx context.Context, s *scenario) error {
		return s.conversations.Delete(ctx, s.conversation)
	}},
	{"Agents.Delete", "DeleteAgent", false, func(ctx context.Context, s *scenario) error {
		return s.agents.Delete(ctx, s.agent)
	}},
}

// Every operation of the generated client has a method, and every method has a step.
func TestEveryOperationIsWrapped(t *testing.T) {
	t.Parallel()
	var operations, methods []string
	client := reflect.TypeFor[*generated.Client]()
	for i := range client.NumMethod() {
		operations = append(operations, strings.TrimSuffix(client.Method(i).Name, "WithBody"))
	}
	for name, service := range map[string]reflect.Type{
		"Conversations": reflect.TypeFor[*ratelimited.Conversations](), "Agents": reflect.TypeFor[*ratelimited.Agents](),
	} {
		for i := range service.NumMethod() {
			if method := service.Method(i).Name; method != "All" { // All calls other methods: see TestAll
				methods = append(methods, name+"."+method)
			}
		}
	}
	var called, exercised []string
	for _, step := range steps {
		called = append(called, strings.TrimSuffix(step.operation, "Stream"))
		exercised = append(exercised, step.method)
	}
	wantSame(t, "operations called", called, operations, 20)
	wantSame(t, "methods exercised", exercised, methods, 23)
}

// wantSame checks that got and want contain the same strings, and that want contains count strings.
func wantSame(t *testing.T, what string, got, want []string, count int) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	got, want = slices.Compact(got), slices.Compact(want)
	if !slices.Equal(got, want) || len(want) != count {
		t.Errorf("%s:\n%v\nwant %d:\n%v", what, got, count, want)
	}
}

// All 23 operations use the limiter and the emulator. Every request, response, and event must match the
// OpenAPI document.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	server, err := emulator.Start(emulator.Config{
		APIKey: secretKey, TokensPerMinute: 1_000_000,
		OnViolation: func(err error) { t.Errorf("the emulator sends %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Errorf("closing the emulator: %v", err)
		}
	}()
	client := newClient(t, ratelimited.Config{
		APIKey: secretKey, BaseURL: server.URL(), HTTPClient: contract.Client(t, nil),
		RequestsPerSecond: 1000, TokensPerMinute: 1_000_000,
	})
	s := &scenario{conversations: client.Beta.Conversations, agents: client.Beta.Agents}
	for _, step := range steps {
		before, requests := snapshot(client), server.Stats().Operations[step.operation]
		if err := step.call(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", step.method, err)
		}
		after := snapshot(client)
		if server.Stats().Operations[step.operation] <= requests {
			t.Errorf("%s: the emulator received no request for %s", step.method, step.operation)
		}
		if after.Admitted <= before.Admitted || after.Settled != after.Admitted {
			t.Errorf("%s: %d calls admitted and %d settled, want equal numbers above %d", step.method, after.Admitted, after.Settled, before.Admitted)
		}
		if used := after.TokensSettled > before.TokensSettled; used != step.tokens {
			t.Errorf("%s: uses tokens is %v, want %v", step.method, used, step.tokens)
		}
	}
	var tokens, admitted int
	for _, model := range server.Stats().Models {
		tokens += model.Tokens
		admitted += model.Admitted
	}
	if s := snapshot(client); int(s.TokensSettled) != tokens || int(s.Admitted) != admitted {
		t.Errorf("the client counts %d calls and %d tokens, the emulator %d and %d", s.Admitted, s.TokensSettled, admitted, tokens)
	}
	wantNoPermits(t, client)
}

// The comment of each operation links its page on docs.mistral.ai. The page of a streaming operation has
// the suffix _stream.
func TestEveryOperationLinksItsPage(t *testing.T) {
	t.Parallel()
	pages := pagesOf(t)
	comments := map[string]string{}
	files := token.NewFileSet()
	for _, name := range []string{"conversations.go", "agents.go"} {
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if method, ok := decl.(*ast.FuncDecl); ok && method.Recv != nil && method.Name.IsExported() {
				service := method.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
				comments[service+"."+method.Name.Name] = method.Doc.Text()
			}
		}
	}
	for _, step := range steps {
		operation, stream := strings.CutSuffix(step.operation, "Stream")
		page := pages[operation]
		if stream {
			page += "_stream"
		}
		if !slices.Contains(strings.Fields(comments[step.method]), page) || pages[operation] == "" {
			t.Errorf("the comment of %s does not link %s: %q", step.method, page, comments[step.method])
		}
	}
	if len(pages) != 20 {
		t.Errorf("the OpenAPI document links %d pages, want 20", len(pages))
	}
}

// pagesOf returns the page of each operation in the OpenAPI document.
func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID  string `yaml:"operationId"`
			ExternalDocs struct {
				URL string `yaml:"url"`
			} `yaml:"externalDocs"`
		}
	}
	if err := yaml.Unmarshal(openapi.Document(), &document); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, item := range document.Paths {
		for _, operation := range item {
			pages[operation.OperationID] = operation.ExternalDocs.URL
		}
	}
	return pages
}
