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

// send sends a request without the SDK's client. It returns the status and the body.
func (s *env) send(client *http.Client, method, path, body string) (int, string) {
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
	response, err := client.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		s.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// alternativeForms exercises JSON forms that the generated types decode but do not encode.
// The SDK's client and the emulator therefore never send them. Other clients and servers
// may, so this scenario sends raw requests and responses.
func alternativeForms(s *env) {
	status, body := s.send(s.http, http.MethodPost, "/v1/conversations", `{"model":"m","completion_args":{"stop":"END"},"inputs":[
		{"type":"message.input","role":"user","content":[{"type":"image_url","image_url":"https://example.com/a.png"}]},
		{"type":"function.call","tool_call_id":"call_1","name":"get_weather","arguments":{"city":"Paris"}},
		{"type":"function.result","tool_call_id":"call_1","result":"rain"}]}`)
	equal(s, "the status of "+body, status, http.StatusOK)
	stored := got(s.Conversations.List(s.Context(), generated.ListConversationsParams{})).check(s)[0].ID
	for _, id := range []string{stored, "conv_1"} {
		conversation, err := s.Conversations.Get(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		equal(s, "stop", conversation.CompletionArgs.Stop, generated.CompletionArgsStop{"END"})
		history, err := s.Conversations.GetHistory(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		input, _ := history.Entries[0].Value().(generated.MessageInputEntry)
		image, _ := input.Content.Chunks()[0].Value().(generated.ImageURLChunk)
		equal(s, "the image's URL", image.ImageURL.URL, "https://example.com/a.png")
		call, _ := history.Entries[1].Value().(generated.FunctionCallEntry)
		equal(s, "the arguments", call.Arguments, `{"city":"Paris"}`)
	}
	more := generated.AppendConversationRequest{Inputs: ratelimited.Text("More.")}
	equal(s, "the text", ratelimited.OutputText(s.readWholeStream(s.Conversations.AppendStream(s.Context(), "conv_1", more))), "Hello there")
}

// alternativeServer handles the requests for conv_1.
func alternativeServer(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
	_, _ = io.WriteString(w, body) // An error makes the client's call fail.
}

// validationErrors sends an invalid request to each operation, which the server rejects with
// 422. The SDK's client would reject most of them before sending. If an operation has only
// path parameters of type string, the query is malformed.
func validationErrors(s *env) {
	for _, invalid := range []struct{ method, path, body, want string }{
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
		violations := 0
		client := &http.Client{Transport: &contract.Transport{Base: s.recorder, Report: func(v contract.Violation) {
			if violations++; v.In != "path" && v.In != "query" && v.In != "body" {
				s.Errorf("%s %s: %v", invalid.method, invalid.path, v)
			}
		}}}
		status, body := s.send(client, invalid.method, invalid.path, invalid.body)
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, invalid.want) || violations == 0 {
			s.Errorf("%s %s %s: %d %s; %d violations", invalid.method, invalid.path, invalid.body, status, body, violations)
		}
	}

	// The SDK's client decodes the location of the error.
	started := s.startBoth(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hi")})
	_, err := s.Conversations.Append(s.Context(), started.ConversationID, generated.AppendConversationRequest{
		ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: "call_none", Confirmation: generated.ToolConfirmationAllow}},
	})
	var apiErr *ratelimited.APIError
	if !errors.As(err, &apiErr) || len(apiErr.Fields) != 1 || apiErr.Fields[0].Location != "body.tool_confirmations.0.tool_call_id" {
		s.Errorf("confirming an unknown call returned %v", err)
	}
}
