package main

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/upstream.yaml
var upstreamText string

// edit replaces texts in a document. The document must contain each old text.
func edit(t *testing.T, document string, oldNew ...string) string {
	t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(document, oldNew[i]) {
			t.Fatalf("the document does not contain %q", oldNew[i])
		}
		document = strings.ReplaceAll(document, oldNew[i], oldNew[i+1])
	}
	return document
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cutLines splits a text after its first lines.
func cutLines(text string, count int) (first, rest string, ok bool) {
	lines := strings.SplitAfterN(text, "\n", count+1)
	if len(lines) <= count {
		return text, "", false
	}
	return strings.Join(lines[:count], ""), lines[count], true
}

// committed trims the test document, which is the base of the comparisons.
func committed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "committed.yaml")
	in := inputs{upstream: "testdata/upstream.yaml", overlay: "testdata/overlay.yaml", repo: "../.."}
	if result, err := trim(t.Context(), in, path); err != nil || len(result.errors) > 0 {
		t.Fatal(result.errors, err)
	}
	return path
}

// Each changed upstream document has exactly the expected report.
func TestReport(t *testing.T) {
	t.Parallel()
	base := committed(t)
	tests := []struct {
		name     string
		upstream []string
		want     string
	}{
		{name: "no change", want: "no changes"},
		{name: "changed descriptions", upstream: []string{"The vendor's words.", "Other words of the vendor."}, want: "description only: POST /v1/conversations responses 200: changed description\n" +
			"description only: POST /v1/conversations#stream responses 200: changed description\n" +
			"description only: GET /v1/agents responses 200: changed description\n" +
			"description only: GET /v1/agents/{id} responses 200: changed description\n" +
			"description only: Agent.id: changed description\n" +
			"no changes except descriptions: 5"},
		{name: "added and removed descriptions", upstream: []string{"        id: {type: string, description: The vendor's words.}", "        id: {type: string}", "title: Vendor", "title: Vendor, description: All of it"},
			want: "description only: info: new description\n" +
				"description only: Agent.id: removed description\n" +
				"no changes except descriptions: 2"},
		{name: "an extension", upstream: []string{"      operationId: api_agents\n", "      operationId: api_agents\n      x-kind: list\n", "mode: {type: string,", "mode: {x-go-type: int, type: string,"}, want: "no changes"},
		{name: "a new optional field that is a reference", upstream: []string{agentName, agentName + "        usage: {$ref: '#/components/schemas/Usage'}\n"},
			want: "not breaking: GET /v1/agents and GET /v1/agents/{id}: added the optional property `usage` to the response with the `200` status (Agent)\n" +
				"0 breaking, 1 not breaking"},
		{name: "two new optional fields that are references", upstream: []string{agentName, agentName + "        cost: {$ref: '#/components/schemas/Usage'}\n",
			handoff, handoff + "        cost: {$ref: '#/components/schemas/Usage'}\n"},
			want: "not breaking: GET /v1/agents and GET /v1/agents/{id}: added the optional property `cost` to the response with the `200` status (Agent)\n" +
				"not breaking: POST /v1/conversations: added the new optional request property `cost` (StartRequest)\n" +
				"overlay gap: property Agent.cost: missing description\n" +
				"overlay gap: property StartRequest.cost: missing description\n" +
				"0 breaking, 2 not breaking; overlay gaps: 2"},
		{name: "a removed field that is a reference", upstream: []string{"        usage: {$ref: '#/components/schemas/Usage'}\n", "        spent: {$ref: '#/components/schemas/Usage'}\n"},
			want: "breaking: POST /v1/conversations: removed the optional property `usage` from the response with the `200` status (Reply)\n" +
				"not breaking: POST /v1/conversations: added the optional property `spent` to the response with the `200` status (Reply)\n" +
				"overlay gap: property Reply.spent: missing description\n" +
				"1 breaking, 1 not breaking; overlay gaps: 1"},
		{name: "a renamed path parameter", upstream: []string{"/v1/agents/{id}", "/v1/agents/{agent}", "{name: id, in: path,", "{name: agent, in: path,"},
			want: "not breaking: GET /v1/agents/{id}: renamed the path parameter `id` to `agent`\n" +
				"overlay error: action target not found: $.paths['/v1/agents/{id}'].get\n" +
				"overlay error: action target not found: $.paths['/v1/agents/{id}'].get.parameters.*\n" +
				"0 breaking, 1 not breaking; overlay errors: 2"},
		{name: "a second security scheme", upstream: []string{"security: [{Key: []}]", "security: [{Key: []}, {Token: []}]", "    Key: {type: http, scheme: bearer}\n", "    Key: {type: http, scheme: bearer}\n    Token: {type: apiKey, in: header, name: X-Token}\n"},
			want: "not breaking: security of the document: added `Token` (apiKey header X-Token)\n" +
				"0 breaking, 1 not breaking"},
		{name: "a second required security scheme", upstream: []string{"security: [{Key: []}]", "security: [{Key: [], Token: []}]", "    Key: {type: http, scheme: bearer}\n", "    Key: {type: http, scheme: bearer}\n    Token: {type: apiKey, in: header, name: X-Token}\n"},
			want: "breaking: security of the document: removed `Key` (http bearer)\n" +
				"not breaking: security of the document: added `Key` (http bearer) with `Token` (apiKey header X-Token)\n" +
				"1 breaking, 1 not breaking"},
		{name: "another security scheme", upstream: []string{"security: [{Key: []}]", "security: [{Token: []}]", "    Key: {type: http, scheme: bearer}\n", "    Token: {type: http, scheme: bearer}\n"},
			want: "breaking: security of the document: removed `Key` (http bearer)\n" +
				"not breaking: security of the document: added `Token` (http bearer)\n" +
				"1 breaking, 1 not breaking"},
		{name: "a security scheme of another type", upstream: []string{"    Key: {type: http, scheme: bearer}\n", "    Key: {type: apiKey, in: header, name: X-Key}\n"},
			want: "breaking: security of the document: removed `Key` (http bearer)\n" +
				"not breaking: security of the document: added `Key` (apiKey header X-Key)\n" +
				"1 breaking, 1 not breaking"},
		{name: "a new optional field", upstream: []string{agentName, agentName + "        colour: {type: string}\n"},
			want: "not breaking: GET /v1/agents and GET /v1/agents/{id}: added the optional property `colour` to the response with the `200` status (Agent)\n" +
				"overlay gap: property Agent.colour: missing description\n" +
				"0 breaking, 1 not breaking; overlay gaps: 1"},
		{name: "a new optional request field", upstream: []string{handoff, handoff + "        colour: {type: string}\n"},
			want: "not breaking: POST /v1/conversations: added the new optional request property `colour` (StartRequest)\n" +
				"overlay gap: property StartRequest.colour: missing description\n" +
				"0 breaking, 1 not breaking; overlay gaps: 1"},
		{name: "a request field that became required", upstream: []string{"required: [inputs]", "required: [inputs, store]"},
			want: "breaking: POST /v1/conversations: the request property `store` became required (StartRequest)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a new required request field", upstream: []string{handoff, handoff + "        colour: {type: string}\n", "required: [inputs]", "required: [inputs, colour]"},
			want: "breaking: POST /v1/conversations: added the new required request property `colour` (StartRequest)\n" +
				"overlay gap: property StartRequest.colour: missing description\n" +
				"1 breaking, 0 not breaking; overlay gaps: 1"},
		{name: "a response field that became optional", upstream: []string{"      required: [id]\n      properties:\n        id: {type: string}\n        outputs", "      properties:\n        id: {type: string}\n        outputs"},
			want: "breaking: POST /v1/conversations: the response property `id` became optional for the status `200` (Reply)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a removed field", upstream: []string{agentName, ""},
			want: "breaking: GET /v1/agents and GET /v1/agents/{id}: removed the optional property `name` from the response with the `200` status (Agent)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a removed request field", upstream: []string{handoff, ""},
			want: "breaking: POST /v1/conversations: removed the request property `handoff` (StartRequest)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a changed type", upstream: []string{"{total: {type: integer}}", "{total: {type: string}}"},
			want: "breaking: POST /v1/conversations: the `usage/total` response's property `type` changed from `integer` to `string` for status `200` (Usage)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a field that became nullable", upstream: []string{"{total: {type: integer}}", "{total: {type: [integer, 'null']}}"},
			want: "breaking: POST /v1/conversations: the response property `usage/total` became nullable for the status `200`\n" +
				"1 breaking, 0 not breaking"},
		{name: "a request field that became not nullable", upstream: []string{"{anyOf: [{type: boolean}, {type: 'null'}], default: null}", "{type: boolean, default: null}"},
			want: "breaking: POST /v1/conversations: request property `store` list-of-types was narrowed by removing types `null` from media type `application/json` (StartRequest)\n" +
				"1 breaking, 0 not breaking"},
		{name: "a changed default", upstream: []string{"default: 0.5", "default: 0.7"},
			want: "not breaking: GET /v1/agents and GET /v1/agents/{id}: the `temperature` response's property default value changed from `0.50` to `0.70` for the status `200` (Agent)\n" +
				"0 breaking, 1 not breaking"},
		{name: "a changed default of a parameter", upstream: []string{"default: 0}", "default: 1}"},
			want: "not breaking: GET /v1/agents/{id}: for the `query` request parameter `version`, default value was changed from `0.00` to `1.00`\n" +
				"0 breaking, 1 not breaking"},
		{name: "a new value of an enum", upstream: []string{"[client, server]", "[client, server, auto]", "[fast, slow]", "[fast, slow, idle]"},
			want: "breaking: GET /v1/agents and GET /v1/agents/{id}: added the new `idle` enum value to the `mode` response property for the response status `200` (Agent)\n" +
				"not breaking: POST /v1/conversations: added the new `auto` enum value to the request property `handoff` (StartRequest)\n" +
				"1 breaking, 1 not breaking"},
		{name: "a removed value of an enum", upstream: []string{"[client, server]", "[client]", "[fast, slow]", "[fast]"},
			want: "breaking: GET /v1/agents and GET /v1/agents/{id}: removed the `slow` enum value from the `mode` response property for the response status `200` (Agent)\n" +
				"breaking: POST /v1/conversations: removed the enum value `server` of the request property `handoff` (StartRequest)\n" +
				"2 breaking, 0 not breaking"},
		{name: "a changed const", upstream: []string{"const: message", "const: text"},
			want: "breaking: POST /v1/conversations: the `type` request property const value changed from `message` to `text` (Message)\n" +
				"breaking: POST /v1/conversations: the `type` response property const value changed from `message` to `text` for the status `200` (Message)\n" +
				"2 breaking, 0 not breaking"},
		{name: "additional properties allowed", upstream: []string{"      additionalProperties: false\n", ""},
			want: "breaking: component StartRequest: additionalProperties changed from false to absent\n" +
				"1 breaking, 0 not breaking"},
		{name: "rarely used keywords", upstream: []string{"{total: {type: integer}}", "{total: {type: integer, contentEncoding: base64}}",
			"security: [{Key: []}]", "security: [{Key: []}]\nservers: [{url: https://api.example.com}]"},
			want: "breaking: POST /v1/conversations: the `usage/total` response property contentEncoding changed from `` to `base64` for the status `200` (Usage)\n" +
				"breaking: servers of the document: changed from absent to - url: https://api.example.com\n" +
				"2 breaking, 0 not breaking"},
		{name: "a minor keyword", upstream: []string{"minProperties: 1, ", "minProperties: 2, x-kind: 2, "},
			want: "not breaking: GET /v1/agents and GET /v1/agents/{id}: the `labels` response property's minProperties was increased from `1` to `2` for the response status `200` (Agent)\n" +
				"0 breaking, 1 not breaking"},
		{name: "a new event type", upstream: []string{doneMember, doneMember + "            - $ref: '#/components/schemas/PausedEvent'\n",
			doneMapping, doneMapping + "              paused: '#/components/schemas/PausedEvent'\n", "[started, done]", "[started, done, paused]",
			doneEvent, pausedEvent + doneEvent},
			want: "breaking: POST /v1/conversations: added `PausedEvent` to the `data` response property `oneOf` list for the response status `200` (StreamEvent)\n" +
				"breaking: POST /v1/conversations: added the new `paused` enum value to the `event` response property for the response status `200` (StreamEventType)\n" +
				"not breaking: POST /v1/conversations: added `paused` discriminator mapping keys to the `data` response property for the response status `200` (StreamEvent)\n" +
				"not breaking: component PausedEvent: added\n" +
				"overlay gap: schema PausedEvent: missing description\n" +
				"2 breaking, 2 not breaking; overlay gaps: 1"},
		{name: "an event type that is missing in upstream's enum", upstream: []string{doneMember, doneMember + "            - $ref: '#/components/schemas/PausedEvent'\n",
			doneMapping, doneMapping + "              paused: '#/components/schemas/PausedEvent'\n", doneEvent, pausedEvent + doneEvent},
			want: "breaking: POST /v1/conversations: added `PausedEvent` to the `data` response property `oneOf` list for the response status `200` (StreamEvent)\n" +
				"not breaking: POST /v1/conversations: added `paused` discriminator mapping keys to the `data` response property for the response status `200` (StreamEvent)\n" +
				"not breaking: component PausedEvent: added\n" +
				"overlay error: StreamEventType lacks \"paused\", a discriminator value of StreamEvent\n" +
				"1 breaking, 2 not breaking; overlay errors: 1"},
		{name: "a union member without a discriminator value", upstream: []string{doneMember, doneMember + "            - $ref: '#/components/schemas/PausedEvent'\n", doneEvent, pausedEvent + doneEvent},
			want: "breaking: POST /v1/conversations: added `PausedEvent` to the `data` response property `oneOf` list for the response status `200` (StreamEvent)\n" +
				"not breaking: component PausedEvent: added\n" +
				"overlay error: /components/schemas/StreamEvent: member PausedEvent lacks a discriminator value; its type is fixed to \"paused\"\n" +
				"1 breaking, 1 not breaking; overlay errors: 1"},
		{name: "another discriminator value", upstream: []string{"const: started", "const: begun", "started: '#", "begun: '#", "[started, done]", "[begun, done]"},
			want: "breaking: POST /v1/conversations: added the new `begun` enum value to the `event` response property for the response status `200` (StreamEventType)\n" +
				"breaking: POST /v1/conversations: removed `started` discriminator mapping keys from the `data` response property for the response status `200` (StreamEvent)\n" +
				"breaking: POST /v1/conversations: removed the `started` enum value from the `event` response property for the response status `200` (StreamEventType)\n" +
				"breaking: POST /v1/conversations: the `type` response property const value changed from `started` to `begun` for the status `200` (StartedEvent)\n" +
				"not breaking: POST /v1/conversations: added `begun` discriminator mapping keys to the `data` response property for the response status `200` (StreamEvent)\n" +
				"4 breaking, 1 not breaking"},
		{name: "a renamed component", upstream: []string{"schemas/DoneEvent", "schemas/FinishedEvent", "    DoneEvent:", "    FinishedEvent:"},
			want: "breaking: component DoneEvent: renamed to FinishedEvent\n" +
				"overlay gap: schema FinishedEvent: missing description\n" +
				"1 breaking, 0 not breaking; overlay gaps: 1"},
		{name: "a renamed component in the overlay", upstream: []string{"schemas/Usage", "schemas/Cost", "    Usage:", "    Cost:"},
			want: "breaking: component Usage: renamed to Cost\n" +
				"overlay error: action target not found: $.components.schemas.Usage\n" +
				"1 breaking, 0 not breaking; overlay errors: 1"},
		{name: "a new operation", upstream: []string{agentsPath, countPath + agentsPath},
			want: "not breaking: GET /v1/agents/count: endpoint added\n" +
				"overlay error: GET /v1/agents/count: the overlay must set the operationId to an exported Go name\n" +
				"0 breaking, 1 not breaking; overlay errors: 1"},
		{name: "a removed operation", upstream: []string{agentGet, agentGet + "      x-none: 1\n", "      operationId: api_agents\n      tags: [beta.agents]", "      operationId: api_agents\n      tags: [other]"},
			want: "breaking: GET /v1/agents: api path removed without deprecation\n" +
				"overlay error: action target not found: $.paths['/v1/agents'].get\n" +
				"1 breaking, 0 not breaking; overlay errors: 1"},
		{name: "a changed path", upstream: []string{agentsPath, "  /v1/assistants:\n"},
			want: "breaking: GET /v1/agents: api path removed without deprecation\n" +
				"not breaking: GET /v1/assistants: endpoint added\n" +
				"overlay error: action target not found: $.paths['/v1/agents'].get\n" +
				"1 breaking, 1 not breaking; overlay errors: 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			upstream := write(t, filepath.Join(t.TempDir(), "upstream.yaml"), edit(t, upstreamText, test.upstream...))
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), []string{"-upstream", upstream, "-overlay", "testdata/overlay.yaml", "-committed", base}, &stdout, &stderr)
			if stderr.Len() > 0 {
				t.Fatalf("standard error: %s", &stderr)
			}
			want := strings.TrimSpace(test.want)
			origins, got, _ := cutLines(strings.TrimSpace(stdout.String()), 2)
			if !strings.HasPrefix(origins, "committed: generated from upstream with date: ") || !strings.Contains(origins, "\nupstream: ") {
				t.Errorf("the report begins with %q", origins)
			}
			if got != want {
				t.Errorf("have\n%s\nwant\n%s", got, want)
			}
			wantStatus := statusChanged
			if strings.Contains(want, "no changes") {
				wantStatus = statusSame
			}
			if status != wantStatus {
				t.Errorf("exit status %d, want %d", status, wantStatus)
			}
		})
	}
}

const (
	agentName   = "        name: {anyOf: [{type: string}, {type: 'null'}]}\n"
	handoff     = "        handoff: {type: string, enum: [client, server]}\n"
	doneMember  = "            - $ref: '#/components/schemas/DoneEvent'\n"
	doneMapping = "              done: '#/components/schemas/DoneEvent'\n"
	doneEvent   = "    DoneEvent:\n"
	pausedEvent = "    PausedEvent:\n      type: object\n      properties: {type: {type: string, const: paused}}\n"
	agentsPath  = "  /v1/agents:\n"
	agentGet    = "      operationId: api_agent\n"
	countPath   = "  /v1/agents/count:\n    get: {operationId: api_count, tags: [beta.agents], responses: {'204': {description: None.}}}\n"
)

// A comparison of the committed document with itself does not find a change.
func TestCommittedDocumentIsReadable(t *testing.T) {
	t.Parallel()
	found, err := oasdiff(t.Context(), inputs{repo: "../..", committed: "../openapi.yaml"}, "../openapi.yaml")
	if err != nil || len(found) > 0 {
		t.Errorf("have %v and %v, want neither", found, err)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := write(t, filepath.Join(dir, "text.yaml"), "just text\n")
	broken := write(t, filepath.Join(dir, "broken.yaml"), "openapi: [\n")
	empty := write(t, filepath.Join(dir, "empty.yaml"), "")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"a missing flag", nil, "-upstream is required"},
		{"a missing file", []string{"-upstream", filepath.Join(dir, "none.yaml")}, "none.yaml: no such file"},
		{"not OpenAPI", []string{"-upstream", text}, "text.yaml is not an OpenAPI 3.1 document"},
		{"an empty document", []string{"-upstream", empty}, "empty.yaml is not an OpenAPI 3.1 document"},
		{"not YAML", []string{"-upstream", broken}, "broken.yaml is not YAML"},
		{"a missing overlay", []string{"-upstream", "testdata/upstream.yaml", "-overlay", filepath.Join(dir, "none.yaml")}, "none.yaml: no such file"},
		{"an unknown flag", []string{"-downstream", text}, "not defined: -downstream"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), test.args, &stdout, &stderr); status != statusFailed {
				t.Errorf("exit status %d, want %d", status, statusFailed)
			}
			if !strings.Contains(stderr.String(), test.want) || stdout.Len() > 0 {
				t.Errorf("have %q and the report %q, want %q and an empty report", &stderr, &stdout, test.want)
			}
		})
	}
}
