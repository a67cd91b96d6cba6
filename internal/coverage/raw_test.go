package coverage_test

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// send sends what the client does not, and returns the status and the body.
func (s *stage) send(through *http.Client, method, path, body string) (int, string) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer any")
	request.Header.Set("Content-Type", mediaJSON)
	if body == "" {
		request.Body = nil
		request.Header.Del("Content-Type")
	}
	reply, err := through.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	data, err := io.ReadAll(reply.Body)
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		s.Fatal(err)
	}
	return reply.StatusCode, string(data)
}

// otherForms has what may be written in two ways in the way that neither the client nor
// the emulator writes: the generated types have one form of each, and read both. So it
// is sent by hand, as another client may, and answered by hand, as another server.
func otherForms(s *stage) {
	status, body := s.send(s.http, http.MethodPost, "/v1/conversations", `{"model":"m","completion_args":{"stop":"END"},"inputs":[
		{"type":"message.input","role":"user","content":[{"type":"image_url","image_url":"https://example.com/a.png"}]},
		{"type":"function.call","tool_call_id":"call_1","name":"get_weather","arguments":{"city":"Paris"}},
		{"type":"function.result","tool_call_id":"call_1","result":"rain"}]}`)
	same(s, "the status of "+body, status, http.StatusOK)
	stored := got(s.Conversations.List(s.Context(), generated.ListConversationsParams{})).on(s)[0].ID
	for _, id := range []string{stored, "conv_1"} {
		conversation, err := s.Conversations.Get(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		same(s, "stop", conversation.CompletionArgs.Stop, generated.CompletionArgsStop{"END"})
		history, err := s.Conversations.GetHistory(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		input, _ := history.Entries[0].Value().(generated.MessageInputEntry)
		image, _ := input.Content.Chunks()[0].Value().(generated.ImageURLChunk)
		same(s, "the image's URL", image.ImageURL.URL, "https://example.com/a.png")
		call, _ := history.Entries[1].Value().(generated.FunctionCallEntry)
		same(s, "the arguments", call.Arguments, `{"city":"Paris"}`)
	}
	more := generated.AppendConversationRequest{Inputs: ratelimited.Text("More.")}
	same(s, "the text", ratelimited.OutputText(s.streams(s.Conversations.AppendStream(s.Context(), "conv_1", more))), "Hello there")
}

// otherServer answers what is about conv_1.
func otherServer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	bodies := map[string]string{
		"GET /v1/conversations/conv_1": `{"id":"conv_1","model":"m","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z",
			"completion_args":{"stop":"END"}}`,
		"GET /v1/conversations/conv_1/history": `{"conversation_id":"conv_1","entries":[
			{"type":"message.input","role":"user","content":[{"type":"image_url","image_url":"https://example.com/a.png"}]},
			{"type":"function.call","tool_call_id":"call_1","name":"get_weather","arguments":{"city":"Paris"}}]}`,
		"POST /v1/conversations/conv_1": `event: conversation.response.started
data: {"type":"conversation.response.started","conversation_id":"conv_1"}

event: message.output.delta
data: {"type":"message.output.delta","id":"msg_1","content":{"type":"text","text":"Hello "}}

event: message.output.delta
data: {"type":"message.output.delta","id":"msg_1","content":{"type":"text","text":"there"}}

event: conversation.response.done
data: {"type":"conversation.response.done","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}

`,
	}
	body, ok := bodies[r.Method+" "+r.URL.Path]
	if !ok {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", map[bool]string{true: mediaEvents, false: mediaJSON}[r.Method == http.MethodPost])
	_, _ = io.WriteString(w, body) // A client that has gone has failed its own test.
}

// refusals has a request for each operation that the server refuses with 422, as the
// client, for the most part, does before it sends anything. Where an operation takes
// nothing but text in its path, it is the query that cannot be read.
func refusals(s *stage) {
	for _, refused := range []struct{ method, path, body, says string }{
		{"POST", "/v1/conversations", `{"model":"m"}`, `"loc":["body","inputs"]`},
		{"POST", "/v1/conversations", `{"model":"m","inputs":"x","handoff_execution":"nobody"}`, `"ctx":`},
		{"POST", "/v1/conversations", `{"model":"m","stream":true}`, `"loc":["body","inputs"]`},
		{"GET", "/v1/conversations?page=x", "", `"loc":["query","page"]`},
		{"GET", "/v1/conversations/conv_1?%zz", "", `"query"`},
		{"DELETE", "/v1/conversations/conv_1?%zz", "", `"query"`},
		{"POST", "/v1/conversations/conv_1", `{"inputs":[{"type":"message.input","content":"x"}]}`, `"loc":["body","inputs",0,"role"]`},
		{"POST", "/v1/conversations/conv_1", `{"inputs":5,"stream":true}`, `"loc":["body","inputs"]`},
		{"GET", "/v1/conversations/conv_1/history?%zz", "", `"query"`},
		{"GET", "/v1/conversations/conv_1/messages?%zz", "", `"query"`},
		{"POST", "/v1/conversations/conv_1/restart", `{"inputs":"x"}`, `"loc":["body","from_entry_id"]`},
		{"POST", "/v1/conversations/conv_1/restart", `{"inputs":"x","stream":true}`, `"loc":["body","from_entry_id"]`},
		{"POST", "/v1/agents", `{"name":"n"}`, `"loc":["body","model"]`},
		{"GET", "/v1/agents?page_size=0", "", `"loc":["query","page_size"]`},
		{"GET", "/v1/agents/pages?page_size=1001", "", `"loc":["query","page_size"]`},
		{"GET", "/v1/agents/ag_1?agent_version=1&agent_version=2", "", `"loc":["query","agent_version"]`},
		{"PATCH", "/v1/agents/ag_1", `{"deployment_chat":"perhaps"}`, `"loc":["body","deployment_chat"]`},
		{"DELETE", "/v1/agents/ag_1?%zz", "", `"query"`},
		{"PATCH", "/v1/agents/ag_1/version", "", `"loc":["query","version"]`},
		{"GET", "/v1/agents/ag_1/versions?page_size=101", "", `"loc":["query","page_size"]`},
		{"GET", "/v1/agents/ag_1/versions/1?%zz", "", `"query"`},
		{"PUT", "/v1/agents/ag_1/aliases?alias=Prod&version=1", "", `"loc":["query","alias"]`},
		{"GET", "/v1/agents/ag_1/aliases?%zz", "", `"query"`},
		{"DELETE", "/v1/agents/ag_1/aliases?alias=", "", `"loc":["query","alias"]`},
	} {
		wrong := 0
		lax := &http.Client{Transport: &contract.Transport{Base: s.recorder, Report: func(v contract.Violation) {
			if wrong++; v.In != "path" && v.In != "query" && v.In != "body" {
				s.Errorf("%s %s: %v", refused.method, refused.path, v)
			}
		}}}
		status, body := s.send(lax, refused.method, refused.path, refused.body)
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, refused.says) || wrong == 0 {
			s.Errorf("%s %s %s: %d %s; %d violations", refused.method, refused.path, refused.body, status, body, wrong)
		}
	}

	// The client has a name for what the server found.
	started := s.start(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hi")})
	_, err := s.Conversations.Append(s.Context(), started.ConversationID, generated.AppendConversationRequest{
		ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: "call_none", Confirmation: generated.ToolConfirmationAllow}},
	})
	var refused *ratelimited.APIError
	if !errors.As(err, &refused) || len(refused.Fields) != 1 || refused.Fields[0].Location != "body.tool_confirmations.0.tool_call_id" {
		s.Errorf("a confirmation of nothing: %v", err)
	}
}
