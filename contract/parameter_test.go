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
		want                string // of the first violation; empty for none
	}{
		{"GET", agents, "page=0", ""},
		{"GET", agents, "page=-1", `ListAgents: query page: minimum: want at least 0, have -1`},
		{"GET", agents, "page=one", `ListAgents: query page: type: want integer, have "one"`},
		{"GET", agents, "page=1.0", `ListAgents: query page: type: want integer, have "1.0"`},
		{"GET", agents, "page=%2B1", `ListAgents: query page: type: want integer, have "+1"`},
		{"GET", agents, "page=01", `ListAgents: query page: type: want integer, have "01"`},
		{"GET", agents, "page=", `ListAgents: query page: type: want integer, have ""`},
		{"GET", agents, "page=1&page=2", `ListAgents: query page: repeated: want one value, have ["1","2"]`},
		{"GET", agents, "page_size=1001", `ListAgents: query page_size: maximum: want at most 1000, have 1001`},
		{"GET", agents, "deployment_chat=false", ""},
		{"GET", agents, "deployment_chat=1", `ListAgents: query deployment_chat: type: want boolean or null, have "1"`},
		{"GET", agents, "deployment_chat=null", `ListAgents: query deployment_chat: type: want boolean or null, have "null"`},
		{"GET", agents, "sources=api&sources=agent_builder_v1", ""},
		{"GET", agents, "sources=api&sources=bad", `ListAgents: query sources/1: enum: want one of "api", "playground", "agent_builder_v1", have "bad"`},
		{"GET", agents, "sources=api,playground", `ListAgents: query sources/0: enum: want one of "api", "playground", "agent_builder_v1", have "api,playground"`},
		{"GET", agents, "name=5", ""},
		{"GET", agents, "name=a&name=b", `ListAgents: query name: repeated: want one value, have ["a","b"]`},
		{"GET", agents, `metadata={"a":{"b":null}}`, ""},
		{"GET", agents, `metadata=[1]`, `ListAgents: query metadata: type: want object or null, have [1]`},
		{"GET", agents, `metadata=zzz`, `ListAgents: query metadata: json: want one JSON value (invalid character 'z' looking for beginning of value), have "zzz"`},
		{"GET", agents, `metadata={"a":1,"a":2}`, `ListAgents: query metadata/a: duplicate: want the property once, have 2`},
		{"GET", agents, `metadata[a]=1`, `ListAgents: query metadata[a]: unknown: want no such parameter, have ["1"]`},
		{"GET", agents, "a=1;b=2", `ListAgents: query: encoding: want a query that decodes (invalid semicolon separator in query), have "a=1;b=2"`},
		{"GET", one, "agent_version=3", ""},
		{"GET", one, "agent_version=prod", ""},
		{"PUT", aliases, "alias=a-b_1&version=0", ""},
		{"PUT", aliases, "version=0", `CreateAgentVersionAlias: query alias: required: parameter is missing`},
		{"PUT", aliases, "alias=a", `CreateAgentVersionAlias: query version: required: parameter is missing`},
		{"PUT", aliases, "alias=Prod&version=0", `CreateAgentVersionAlias: query alias: pattern: want a match of ^[a-z]([a-z0-9_-]*[a-z0-9])?$, have "Prod"`},
		{"PUT", aliases, "alias=a&version=latest", `CreateAgentVersionAlias: query version: type: want integer, have "latest"`},
		{"DELETE", aliases, "alias=a&version=1", `DeleteAgentVersionAlias: query version: unknown: want no such parameter, have ["1"]`},
	} {
		t.Run(tt.path+tt.query, func(t *testing.T) {
			t.Parallel()
			_, got := contract.Default().CheckRequest(newRequest(t, tt.method, tt.path+tt.query, ""), nil)
			if text(got) != tt.want {
				t.Errorf("have:\n%s\nwant:\n%s", text(got), tt.want)
			}
		})
	}
}

// The two faults of an alias that is empty come in one order, whatever the map says.
func TestQueryOrder(t *testing.T) {
	t.Parallel()
	for range 20 {
		_, got := contract.Default().CheckRequest(newRequest(t, "PUT", "/v1/agents/a/aliases?alias=&z=1&y=1", ""), nil)
		const want = "CreateAgentVersionAlias: query alias: minLength: want a length of at least 1, have \"\"\n" +
			"CreateAgentVersionAlias: query alias: pattern: want a match of ^[a-z]([a-z0-9_-]*[a-z0-9])?$, have \"\"\n" +
			"CreateAgentVersionAlias: query version: required: parameter is missing\n" +
			"CreateAgentVersionAlias: query y: unknown: want no such parameter, have [\"1\"]\n" +
			"CreateAgentVersionAlias: query z: unknown: want no such parameter, have [\"1\"]"
		if text(got) != want {
			t.Fatal(text(got))
		}
	}
}
