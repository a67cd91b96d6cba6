package contract_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/v1/agents/pages", "ListAgentPages"},
		{"PATCH", "/v1/agents/pages", "UpdateAgent"}, // ListAgentPages has only GET, so "pages" is an agent's id.
		{"GET", "/v1/agents/pages%2F", "GetAgent"},
		{"GET", "/v1/agents/p%61ges", "ListAgentPages"},
		{"GET", "/v1/agents/a%2Fb", "GetAgent"},
		{"GET", "/v1/agents/a%2Fversions", "GetAgent"},
		{"GET", "/v1/agents/%20", "GetAgent"},
		{"GET", "/v1/agents/a/versions", "ListAgentVersions"},
		{"GET", "/v1/agents/a/versions/1", "GetAgentVersion"},
		{"PATCH", "/v1/agents/a/version", "UpdateAgentVersion"},
		{"POST", "/v1/conversations", "StartConversation"},
		{"POST", "/v1/conversations/c", "AppendConversation"},
		{"POST", "/v1/conversations/c/restart", "RestartConversation"},
		{"GET", "/v1/agents/", ""},
		{"GET", "/v1/agents/a/", ""},
		{"GET", "/v1/conversations//history", ""},
		{"GET", "/v1/agents/%zz", ""},
		{"get", "/v1/agents", ""},
		{"HEAD", "/v1/agents", ""},
		{"POST", "/v1/chat/completions", ""},
		{"GET", "v1/agents", ""},
		{"GET", "", ""},
		{"", "/", ""},
	} {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			t.Parallel()
			op, ok := contract.Default().Route(tt.method, tt.path)
			switch {
			case ok != (tt.want != ""), ok && op.ID != tt.want:
				t.Errorf("got %v %v, want %q", op, ok, tt.want)
			}
		})
	}
}

func TestRequestWithoutOperation(t *testing.T) {
	t.Parallel()
	c := contract.Default()
	op, got := c.CheckRequest(newRequest(t, "POST", "/v1/chat/completions", ""), nil)
	if op != nil {
		t.Errorf("operation %v", op)
	}
	wantViolation(t, got, "path", "/v1/chat/completions", "route")

	_, got = c.CheckRequest(newRequest(t, "PUT", "/v1/conversations", ""), nil)
	wantViolation(t, got, "path", "/v1/conversations", "method")
	if got[0].String() != `path /v1/conversations: method: must be GET or POST, got "PUT"` {
		t.Error(got[0])
	}

	_, got = c.CheckRequest(nil, nil)
	wantViolation(t, got, "path", "", "route")

	op, got = c.CheckRequest(newRequest(t, "", "/v1/agents", ""), nil)
	if op == nil || op.ID != "ListAgents" || got != nil { // net/http sends an empty method as GET.
		t.Errorf("%v %s", op, text(got))
	}
}
