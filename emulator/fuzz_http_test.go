package emulator_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// valid is a request to which the emulator of FuzzHTTP responds with 200 or 204. CONV, ENTRY
// and AGENT are placeholders for the ids of existing objects.
type valid struct{ method, target, json string }

func (v valid) body() any {
	if v.json == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(v.json))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(err) // requestsOf contains invalid JSON.
	}
	return value
}

func (v valid) message() *message {
	path, query, _ := strings.Cut(v.target, "?")
	m := &message{method: v.method, path: strings.Split(path[1:], "/"), header: http.Header{}, body: v.body()}
	m.header.Set("Authorization", "Bearer key")
	if v.json != "" {
		m.header.Set("Content-Type", "application/json")
	}
	if query != "" {
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			m.query = append(m.query, [2]string{name, value})
		}
	}
	return m
}

const everyTool = `[{"type":"web_search"},{"type":"code_interpreter","tool_configuration":{"requires_confirmation":["code_interpreter"]}},{"type":"image_generation"},{"type":"document_library","library_ids":["l"]},` +
	`{"type":"function","function":{"name":"weather","description":"d","parameters":{"type":"object","properties":{"city":{"type":"string","pattern":"^[A-Z]+$"},"days":{"type":"array","items":{"$ref":"#/$defs/day"},"minItems":2}},"$defs":{"day":{"enum":["mon",2,null]}},"required":["city","days"]}}}]`

// requestsOf holds a valid request of each operation, and of each streaming variant.
var requestsOf = map[string]valid{
	"StartConversation": {"POST", "/v1/conversations", `{"model":"m","inputs":[{"type":"message.input","role":"user","content":[{"type":"text","text":"What is the weather?"},{"type":"image_url","image_url":"https://example.com/a.png"}]},` +
		`{"type":"message.output","content":"ok"},{"role":"user","content":"weather"}],"instructions":"Be brief","tools":` + everyTool + `,"completion_args":{"max_tokens":50,"temperature":0.5,"stop":["x"],"tool_choice":"auto"},` +
		`"metadata":{"a":1},"name":"n","description":"d","store":true,"handoff_execution":"server","guardrails":[{"block_on_error":true}]}`},
	"StartConversation, structured": {"POST", "/v1/conversations", `{"model":"m","inputs":"Say 7","completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"s","strict":true,"schema":{"type":"object","additionalProperties":false,"required":["a","b"],` +
		`"properties":{"a":{"anyOf":[{"type":"integer","minimum":3},{"type":"null"}]},"b":{"type":"string","minLength":5,"pattern":"^(ab)+$"},"c":{"allOf":[{"$ref":"#"},{"required":["a"]}]}}}}}}}`},
	"StartConversationStream":   {"POST", "/v1/conversations", `{"agent_id":"AGENT","inputs":"Count to 3","stream":true}`},
	"AppendConversation":        {"POST", "/v1/conversations/CONV", `{"inputs":"search the news","completion_args":{"max_tokens":5},"store":true,"handoff_execution":"client"}`},
	"AppendConversationStream":  {"POST", "/v1/conversations/CONV", `{"inputs":[{"type":"message.input","role":"user","content":"What is 2+2?"}],"stream":true}`},
	"RestartConversation":       {"POST", "/v1/conversations/CONV/restart", `{"inputs":"Say a","from_entry_id":"ENTRY","metadata":{"b":null}}`},
	"RestartConversationStream": {"POST", "/v1/conversations/CONV/restart", `{"inputs":"Say a","from_entry_id":"ENTRY","stream":true,"store":false}`},
	"ListConversations":         {"GET", "/v1/conversations?page=0&page_size=5&metadata={\"a\":1}", ""},
	"GetConversation":           {"GET", "/v1/conversations/CONV", ""},
	"DeleteConversation":        {"DELETE", "/v1/conversations/CONV", ""},
	"GetConversationHistory":    {"GET", "/v1/conversations/CONV/history", ""},
	"GetConversationMessages":   {"GET", "/v1/conversations/CONV/messages", ""},
	"CreateAgent":               {"POST", "/v1/agents", `{"model":"m","name":"n","description":"d","instructions":"i","tools":` + everyTool + `,"handoffs":["AGENT"],"completion_args":{"top_p":1},"metadata":{"a":[1]},"version_message":"v"}`},
	"ListAgents":                {"GET", "/v1/agents?page=0&page_size=5&deployment_chat=false&sources=api&sources=playground&name=n&search=n&metadata={}", ""},
	"ListAgentPages":            {"GET", "/v1/agents/pages?page_size=1&sources=api", ""},
	"GetAgent":                  {"GET", "/v1/agents/AGENT?agent_version=0", ""},
	"UpdateAgent":               {"PATCH", "/v1/agents/AGENT", `{"name":"weather","instructions":"j","tools":[],"handoffs":["AGENT"],"completion_args":{"stop":"y"},"deployment_chat":true}`},
	"DeleteAgent":               {"DELETE", "/v1/agents/AGENT", ""},
	"UpdateAgentVersion":        {"PATCH", "/v1/agents/AGENT/version?version=0", ""},
	"ListAgentVersions":         {"GET", "/v1/agents/AGENT/versions?page=0&page_size=5", ""},
	"GetAgentVersion":           {"GET", "/v1/agents/AGENT/versions/first", ""},
	"CreateAgentVersionAlias":   {"PUT", "/v1/agents/AGENT/aliases?alias=second&version=0", ""},
	"ListAgentVersionAliases":   {"GET", "/v1/agents/AGENT/aliases", ""},
	"DeleteAgentVersionAlias":   {"DELETE", "/v1/agents/AGENT/aliases?alias=first", ""},
}

// stateful is an emulator with a conversation and an agent that has an alias.
type stateful struct {
	*emulator.Emulator
	ids *strings.Replacer
}

func newStateful(t *testing.T) stateful {
	t.Helper()
	e := emulator.New(emulator.Config{OnViolation: func(err error) { t.Errorf("emulator: %v", err) }})
	type object struct {
		ID           string `json:"id"`
		Conversation string `json:"conversation_id"`
		Outputs      []struct{ ID string }
	}
	conversation := decoded[object](t, direct(t.Context(), e, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"Count to 2","metadata":{"a":1},"tools":[{"type":"web_search"}]}`))
	agent := decoded[object](t, direct(t.Context(), e, http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`))
	direct(t.Context(), e, http.MethodPut, "/v1/agents/"+agent.ID+"/aliases?alias=first&version=0", "")
	return stateful{e, strings.NewReplacer("CONV", conversation.Conversation, "AGENT", agent.ID, "ENTRY", conversation.Outputs[0].ID)}
}

// send sends a message and checks the response against the contract. It returns the status,
// or 0 if the message is not valid HTTP.
func (e stateful) send(t *testing.T, m *message) int {
	t.Helper()
	target := "/" + strings.Join(m.path, "/")
	query := make([]string, len(m.query))
	for i, pair := range m.query {
		query[i] = url.QueryEscape(e.ids.Replace(pair[0])) + "=" + url.QueryEscape(e.ids.Replace(pair[1]))
	}
	body := m.raw
	if m.body != nil {
		data, err := json.Marshal(m.body)
		if err != nil {
			return 0
		}
		body = string(data)
	}
	body = e.ids.Replace(body)
	u, err := url.ParseRequestURI(e.ids.Replace(target))
	if err != nil {
		return 0
	}
	u.RawQuery = strings.Join(query, "&")
	r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
	r.Method, r.URL, r.Header = m.method, u, m.header
	if host := m.header.Get("Host"); host != "" {
		r.Host = host
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Errorf("%s %s %.2000s: %d %s", m.method, u, body, w.Code, w.Body)
	}
	op, ok := contract.Default().Route(m.method, u.EscapedPath())
	if !ok {
		if w.Code < 400 {
			t.Errorf("%s %s: %d %s, want an error for an unknown operation", m.method, u, w.Code, w.Body)
		}
		return w.Code
	}
	found := op.CheckResponse(w.Code, w.Header(), w.Body.Bytes())
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") && w.Code == http.StatusOK {
		for _, event := range events(t, w.Body.String()) {
			found = append(found, contract.Default().CheckEvent(event.name, event.data)...)
		}
	}
	for _, v := range found {
		t.Errorf("%s %s %.2000s: %d: %v", m.method, u, body, w.Code, v)
	}
	return w.Code
}

// Each request in requestsOf succeeds, and requestsOf has every operation.
func TestValidRequests(t *testing.T) {
	t.Parallel()
	for _, op := range contract.Default().Operations() {
		if _, ok := requestsOf[op.ID]; !ok {
			t.Errorf("requestsOf does not have %s", op.ID)
		}
	}
	for name, v := range requestsOf {
		if code := newStateful(t).send(t, v.message()); code != http.StatusOK && code != http.StatusNoContent {
			t.Errorf("%s: status is %d, want 200 or 204", name, code)
		}
	}
}

// FuzzHTTP sends up to three structurally mutated requests to an emulator with state. Every
// response must match the document and must not be a 5xx.
func FuzzHTTP(f *testing.F) {
	names := slices.Sorted(maps.Keys(requestsOf))
	for i := range names {
		f.Add(uint8(i), uint8(i+1), uint8(i+2), []byte{8, byte(i), 1, 0, 10, 3, 5, 1, 4, 12, 7, 30})
		for kind := range 12 {
			f.Add(uint8(i), uint8(i), uint8(i), []byte{byte(kind), byte(i), byte(kind), 3, 9, 5, 1, byte(i)})
		}
	}
	f.Fuzz(func(t *testing.T, first, second, third uint8, program []byte) {
		e := newStateful(t)
		m := &mutator{program: program}
		for i, one := range []uint8{first, second, third} {
			if i > 0 && len(m.program) == 0 {
				break
			}
			message := requestsOf[names[int(one)%len(names)]].message()
			for range 1 + m.next(4) {
				m.step(message)
			}
			e.send(t, message)
		}
		for _, name := range []string{"ListConversations", "GetConversationHistory", "ListAgents"} {
			e.send(t, requestsOf[name].message()) // The stored state must match the document, too.
		}
	})
}
