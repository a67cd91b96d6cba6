package contract_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	const agents, one, aliases = "/v1/agents?", "/v1/agents/a?", "/v1/agents/a/aliases?"
	for _, tt := range []struct {
		method, path, query string
		want                string // the violations; empty if the query is valid
	}{
		{"GET", agents, "page=0", ""},
		{"GET", agents, "page=-1", `ListAgents: query page: minimum: must be at least 0, got -1`},
		{"GET", agents, "page=one", `ListAgents: query page: type: must be integer, got "one"`},
		{"GET", agents, "page=1.0", `ListAgents: query page: type: must be integer, got "1.0"`},
		{"GET", agents, "page=%2B1", `ListAgents: query page: type: must be integer, got "+1"`},
		{"GET", agents, "page=01", `ListAgents: query page: type: must be integer, got "01"`},
		{"GET", agents, "page=", `ListAgents: query page: type: must be integer, got ""`},
		{"GET", agents, "page=1&page=2", `ListAgents: query page: repeated: must be set only once, got ["1","2"]`},
		{"GET", agents, "page_size=1001", `ListAgents: query page_size: maximum: must be at most 1000, got 1001`},
		{"GET", agents, "deployment_chat=false", ""},
		{"GET", agents, "deployment_chat=1", `ListAgents: query deployment_chat: type: must be boolean or null, got "1"`},
		{"GET", agents, "deployment_chat=null", `ListAgents: query deployment_chat: type: must be boolean or null, got "null"`},
		{"GET", agents, "sources=api&sources=agent_builder_v1", ""},
		{"GET", agents, "sources=api&sources=bad", `ListAgents: query sources/1: enum: must be one of "api", "playground", "agent_builder_v1", got "bad"`},
		{"GET", agents, "sources=api,playground", `ListAgents: query sources/0: enum: must be one of "api", "playground", "agent_builder_v1", got "api,playground"`},
		{"GET", agents, "name=5", ""},
		{"GET", agents, "name=a&name=b", `ListAgents: query name: repeated: must be set only once, got ["a","b"]`},
		{"GET", agents, `metadata={"a":{"b":null}}`, ""},
		{"GET", agents, `metadata=[1]`, `ListAgents: query metadata: type: must be object or null, got [1]`},
		{"GET", agents, `metadata=zzz`, `ListAgents: query metadata: json: must be one JSON value (invalid character 'z' looking for beginning of value), got "zzz"`},
		{"GET", agents, `metadata={"a":1,"a":2}`, `ListAgents: query metadata/a: duplicate: must be set only once, got 2`},
		{"GET", agents, `metadata[a]=1`, `ListAgents: query metadata[a]: unknown: parameter is not allowed, got ["1"]`},
		{"GET", agents, "a=1;b=2", `ListAgents: query: encoding: must be a valid query (invalid semicolon separator in query), got "a=1;b=2"`},
		{"GET", one, "agent_version=3", ""},
		{"GET", one, "agent_version=prod", ""},
		{"PUT", aliases, "alias=a-b_1&version=0", ""},
		{"PUT", aliases, "version=0", `CreateAgentVersionAlias: query alias: required: parameter is missing`},
		{"PUT", aliases, "alias=a", `CreateAgentVersionAlias: query version: required: parameter is missing`},
		{"PUT", aliases, "alias=Prod&version=0", `CreateAgentVersionAlias: query alias: pattern: must match ^[a-z]([a-z0-9_-]*[a-z0-9])?$, got "Prod"`},
		{"PUT", aliases, "alias=a&version=latest", `CreateAgentVersionAlias: query version: type: must be integer, got "latest"`},
		{"DELETE", aliases, "alias=a&version=1", `DeleteAgentVersionAlias: query version: unknown: parameter is not allowed, got ["1"]`},
	} {
		t.Run(tt.path+tt.query, func(t *testing.T) {
			t.Parallel()
			_, got := contract.Default().CheckRequest(newRequest(t, tt.method, tt.path+tt.query, ""), nil)
			if text(got) != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", text(got), tt.want)
			}
		})
	}
}

// The order of the violations does not depend on the order of the query map.
func TestQueryViolationsAreSorted(t *testing.T) {
	t.Parallel()
	for range 20 {
		_, got := contract.Default().CheckRequest(newRequest(t, "PUT", "/v1/agents/a/aliases?alias=&z=1&y=1", ""), nil)
		const want = "CreateAgentVersionAlias: query alias: minLength: length must be at least 1, got \"\"\n" +
			"CreateAgentVersionAlias: query alias: pattern: must match ^[a-z]([a-z0-9_-]*[a-z0-9])?$, got \"\"\n" +
			"CreateAgentVersionAlias: query version: required: parameter is missing\n" +
			"CreateAgentVersionAlias: query y: unknown: parameter is not allowed, got [\"1\"]\n" +
			"CreateAgentVersionAlias: query z: unknown: parameter is not allowed, got [\"1\"]"
		if text(got) != want {
			t.Fatal(text(got))
		}
	}
}
