package contract_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// exchange is a valid request and its valid response.
type exchange struct {
	operation string
	method    string
	path      string // with the query
	request   string
	status    int
	response  string
}

const (
	agent = `{"object":"agent","id":"ag_1","model":"mistral-medium-latest","name":"helper","version":0,"versions":[0],
		"created_at":"2025-06-01T10:00:00Z","updated_at":"2025-06-01T10:00:00.123456+02:00","deployment_chat":false,"source":"api",
		"instructions":null,"description":null,"handoffs":null,"metadata":{"team":{"a":[1]}},"guardrails":null,"version_message":null,
		"tools":[{"type":"web_search"},{"type":"function","function":{"name":"f","parameters":{"type":"object","x":1}}}],
		"completion_args":{"stop":null,"temperature":0.3,"response_format":null,"tool_choice":"auto"}}`
	alias             = `{"alias":"prod","version":3,"created_at":"2025-06-01T10:00:00Z","updated_at":"2025-06-01T10:00:00Z"}`
	modelConversation = `{"object":"conversation","id":"conv_1","model":"mistral-small-latest","name":null,
		"created_at":"2025-06-01T10:00:00Z","updated_at":"2025-06-01T10:00:00Z"}`
	agentConversation = `{"object":"conversation","id":"conv_2","agent_id":"ag_1","agent_version":2,
		"created_at":"2025-06-01T10:00:00Z","updated_at":"2025-06-01T10:00:00Z"}`
	reply = `{"object":"conversation.response","conversation_id":"conv_1",
		"outputs":[{"object":"entry","type":"message.output","id":"msg_1","role":"assistant","content":"Bonjour","model":"m",
			"created_at":"2025-06-01T10:00:00Z","completed_at":null},
			{"type":"tool.execution","name":"web_search","arguments":"","info":{"result":"{}","n":[1]}},
			{"type":"function.call","tool_call_id":"t","name":"f","arguments":{"city":"Paris"}},
			{"type":"message.output","content":[{"type":"text","text":"a"},{"type":"tool_reference","tool":"web_search","title":"t"}]}],
		"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"connector_tokens":null,"connectors":{"web_search":1}},
		"guardrails":null}`
	history = `{"object":"conversation.history","conversation_id":"conv_1","entries":[
		{"type":"message.input","role":"user","content":"hi","prefix":false},
		{"type":"message.output","content":"Bonjour"},
		{"type":"function.result","tool_call_id":"t","result":"4"},
		{"type":"agent.handoff","previous_agent_id":"a","previous_agent_name":"A","next_agent_id":"b","next_agent_name":"B"}]}`
	messages = `{"object":"conversation.messages","conversation_id":"conv_1","messages":[
		{"type":"message.input","role":"user","content":[{"type":"image_url","image_url":"https://e.org/a.png"}]},
		{"type":"message.output","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true}]}]}`
	filters = `page_size=1000&deployment_chat=true&sources=api&sources=playground&name=null&search=&id=5&metadata=%7B%22a%22%3A%5B1%5D%7D`
)

// exchanges holds a valid exchange of every operation.
var exchanges = []exchange{
	{"StartConversation", "POST", "/v1/conversations",
		`{"model":"mistral-small-latest","inputs":"hi","stream":false,"store":null,"metadata":{"deep":{"free":true}},
		"tools":[{"type":"document_library","library_ids":["l"]},{"type":"connector","connector_id":"c","authorization":{"type":"api-key","value":"v"}}],
		"completion_args":{"stop":["a"],"max_tokens":5,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"free":1}}}}}`,
		200, reply},
	{"ListConversations", "GET", "/v1/conversations?page=0&page_size=100&metadata=null", "", 200,
		"[" + modelConversation + "," + agentConversation + "]"},
	{"GetConversation", "GET", "/v1/conversations/conv_1", "", 200, modelConversation},
	{"DeleteConversation", "DELETE", "/v1/conversations/conv_1", "", 204, ""},
	{"AppendConversation", "POST", "/v1/conversations/conv%2F1",
		`{"inputs":[{"type":"message.input","role":"user","content":"hi"},{"role":"user","content":[{"type":"text","text":"x"}],"type":"message.input"}],
		"tool_confirmations":[{"tool_call_id":"t","confirmation":"allow"}]}`, 200, reply},
	{"GetConversationHistory", "GET", "/v1/conversations/conv_1/history", "", 200, history},
	{"GetConversationMessages", "GET", "/v1/conversations/conv_1/messages", "", 200, messages},
	{"RestartConversation", "POST", "/v1/conversations/conv_1/restart",
		`{"from_entry_id":"msg_1","inputs":"again","agent_version":3}`, 200, reply},
	{"CreateAgent", "POST", "/v1/agents", `{"model":"m","name":"n","handoffs":["ag_2"],"version_message":"first"}`, 200, agent},
	{"ListAgents", "GET", "/v1/agents?page=2&" + filters, "", 200, "[" + agent + "]"},
	{"ListAgentPages", "GET", "/v1/agents/pages?page_token=abc&" + filters, "", 200, `{"object":"list","data":[` + agent + `],"next_page_token":null}`},
	{"GetAgent", "GET", "/v1/agents/ag_1?agent_version=prod", "", 200, agent},
	{"UpdateAgent", "PATCH", "/v1/agents/ag_1", `{"name":null,"deployment_chat":true}`, 200, agent},
	{"DeleteAgent", "DELETE", "/v1/agents/ag_1", "", 204, ""},
	{"UpdateAgentVersion", "PATCH", "/v1/agents/ag_1/version?version=3", "", 200, agent},
	{"ListAgentVersions", "GET", "/v1/agents/ag_1/versions?page=1&page_size=100", "", 200, "[" + agent + "]"},
	{"GetAgentVersion", "GET", "/v1/agents/ag_1/versions/3", "", 200, agent},
	{"CreateAgentVersionAlias", "PUT", "/v1/agents/ag_1/aliases?alias=prod&version=3", "", 200, alias},
	{"ListAgentVersionAliases", "GET", "/v1/agents/ag_1/aliases", "", 200, "[" + alias + "]"},
	{"DeleteAgentVersionAlias", "DELETE", "/v1/agents/ag_1/aliases?alias=prod", "", 204, ""},
}

func newRequest(t testing.TB, method, path, contentType string) *http.Request {
	t.Helper()
	u, err := url.Parse("http://example.org" + path)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Header: http.Header{}}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (x exchange) httpRequest(t testing.TB) *http.Request {
	t.Helper()
	if x.request == "" {
		return newRequest(t, x.method, x.path, "")
	}
	return newRequest(t, x.method, x.path, "application/json")
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// text returns the violations, one per line.
func text(list []contract.Violation) string {
	lines := make([]string, len(list))
	for i, v := range list {
		lines[i] = v.String()
	}
	return strings.Join(lines, "\n")
}

// wantViolation checks that the only violation has this place and rule.
func wantViolation(t *testing.T, got []contract.Violation, in, pointer, rule string) {
	t.Helper()
	if len(got) != 1 || got[0].In != in || got[0].Pointer != pointer || got[0].Rule != rule {
		t.Errorf("got:\n%s\nwant one violation %s %s: %s", text(got), in, pointer, rule)
	}
}

// wantRule checks that one of the violations breaks the rule.
func wantRule(t *testing.T, got []contract.Violation, operation, in, rule string) {
	t.Helper()
	for _, v := range got {
		if v.Operation == operation && v.In == in && v.Rule == rule {
			return
		}
	}
	t.Errorf("got:\n%s\nwant %s: %s: %s among them", text(got), operation, in, rule)
}
