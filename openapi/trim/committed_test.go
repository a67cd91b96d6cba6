package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// TestCommittedDocument checks openapi/openapi.yaml.
func TestCommittedDocument(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("is valid OpenAPI 3.1", func(t *testing.T) {
		if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
			t.Errorf("the document is OpenAPI %s", doc.OpenAPI)
		}
		if err := doc.Validate(t.Context()); err != nil {
			t.Error(err)
		}
	})

	// The documentation counts 23 operations: the three that can stream count twice.
	t.Run("has every operation", func(t *testing.T) {
		want := map[string][]string{
			"beta.conversations": {
				"POST /v1/conversations StartConversation, streams",
				"GET /v1/conversations ListConversations",
				"GET /v1/conversations/{conversation_id} GetConversation",
				"DELETE /v1/conversations/{conversation_id} DeleteConversation",
				"POST /v1/conversations/{conversation_id} AppendConversation, streams",
				"GET /v1/conversations/{conversation_id}/history GetConversationHistory",
				"GET /v1/conversations/{conversation_id}/messages GetConversationMessages",
				"POST /v1/conversations/{conversation_id}/restart RestartConversation, streams",
			},
			"beta.agents": {
				"POST /v1/agents CreateAgent",
				"GET /v1/agents ListAgents",
				"GET /v1/agents/pages ListAgentPages",
				"GET /v1/agents/{agent_id} GetAgent",
				"PATCH /v1/agents/{agent_id} UpdateAgent",
				"DELETE /v1/agents/{agent_id} DeleteAgent",
				"PATCH /v1/agents/{agent_id}/version UpdateAgentVersion",
				"GET /v1/agents/{agent_id}/versions ListAgentVersions",
				"GET /v1/agents/{agent_id}/versions/{version} GetAgentVersion",
				"PUT /v1/agents/{agent_id}/aliases CreateAgentVersionAlias",
				"GET /v1/agents/{agent_id}/aliases ListAgentVersionAliases",
				"DELETE /v1/agents/{agent_id}/aliases DeleteAgentVersionAlias",
			},
		}
		have := map[string][]string{}
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				line := method + " " + path + " " + op.OperationID
				if ok := op.Responses.Value("200"); ok != nil && ok.Value.Content["text/event-stream"] != nil {
					if ok.Value.Content["application/json"] == nil {
						t.Errorf("%s streams but does not return JSON", line)
					}
					line += ", streams"
				}
				if len(op.Tags) != 1 {
					t.Fatalf("%s has the tags %v, want one", line, op.Tags)
				}
				have[op.Tags[0]] = append(have[op.Tags[0]], line)
			}
		}
		count := 0
		for tag, lines := range want {
			slices.Sort(lines)
			slices.Sort(have[tag])
			if !slices.Equal(have[tag], lines) {
				t.Errorf("%s: have\n\t%s\nwant\n\t%s", tag, strings.Join(have[tag], "\n\t"), strings.Join(lines, "\n\t"))
			}
			for _, line := range have[tag] {
				count += 1 + strings.Count(line, ", streams")
			}
		}
		if len(have) != len(want) || count != 23 {
			t.Errorf("have %d operations in %d groups, want 23 in %d", count, len(have), len(want))
		}
	})

	t.Run("is generated from upstream.yaml and overlay.yaml", func(t *testing.T) {
		read := func(name string) []byte {
			content, err := os.ReadFile("../" + name)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
		r, err := Trim(read("upstream.yaml"), read("overlay.yaml"), generatedPackage(t), "")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.document, openapi.Document()) {
			t.Error("openapi.yaml is out of date: run make openapi UPSTREAM=openapi/upstream.yaml")
		}
		if r.origin.String() != string(read("UPSTREAM")) {
			t.Errorf("UPSTREAM is %q, want %q", read("UPSTREAM"), r.origin)
		}
	})

	t.Run("describes everything", func(t *testing.T) {
		gaps, err := undescribed(openapi.Document())
		if err != nil {
			t.Fatal(err)
		}
		for _, gap := range gaps {
			t.Errorf("%s: add it to openapi/overlay.yaml, then run make openapi and make generate", gap)
		}
	})
}
