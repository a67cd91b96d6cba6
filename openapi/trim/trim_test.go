package main

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

var (
	//go:embed testdata/upstream.yaml
	upstreamText string
	//go:embed testdata/overlay.yaml
	overlayText string
)

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

// generatedPackage returns the package of the generated code.
func generatedPackage(t *testing.T) *goPackage {
	t.Helper()
	p, err := readGenerated()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readGenerated reads the package once, because the generator stores its configuration in package
// variables.
var readGenerated = sync.OnceValues(func() (*goPackage, error) { return readPackage("../../generated") })

// trimmed trims the test documents and returns the root of the result.
func trimmed(t *testing.T, upstream string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(trimmedText(t, upstream), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Content[0]
}

// trimmedText trims the test documents.
func trimmedText(t *testing.T, upstream string) []byte {
	t.Helper()
	r, err := Trim([]byte(upstream), []byte(overlayText), generatedPackage(t), "2026-01-02")
	if err != nil {
		t.Fatal(err)
	}
	return r.document
}

// wantYAML compares a node with YAML text, as data.
func wantYAML(t *testing.T, name string, got *yaml.Node, want string) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(want), &doc); err != nil {
		t.Fatal(err)
	}
	if !tree.Equal(got, doc.Content[0]) {
		text, err := yaml.Marshal(got)
		t.Errorf("%s is (%v)\n%swant\n%s", name, err, text, want)
	}
}

func wantKeys(t *testing.T, name string, n *yaml.Node, want ...string) {
	t.Helper()
	if got := tree.Keys(n); !slices.Equal(got, want) {
		t.Errorf("%s: have %q, want %q", name, got, want)
	}
}

func TestTrim(t *testing.T) {
	doc := trimmed(t, upstreamText)
	schemas := tree.Get(doc, "components", "schemas")

	t.Run("keeps only the operations with the tags", func(t *testing.T) {
		wantKeys(t, "paths", tree.Get(doc, "paths"), "/v1/conversations", "/v1/conversations/{conversation_id}", "/v1/agents")
		wantYAML(t, "tags", tree.Get(doc, "tags"), "[{name: beta.conversations}, {name: beta.agents}]")
	})
	t.Run("merges #stream into the plain operation", func(t *testing.T) {
		start := tree.Get(doc, "paths", "/v1/conversations", "post")
		wantYAML(t, "request body", tree.Get(start, "requestBody"),
			"{required: true, content: {application/json: {schema: {$ref: '#/components/schemas/StartRequest'}}}}")
		wantYAML(t, "response", tree.Get(start, "responses", "200", "content"), `
application/json: {schema: {$ref: '#/components/schemas/Response'}}
text/event-stream: {schema: {$ref: '#/components/schemas/Frame'}}`)
	})
	t.Run("drops prose but not names and data with the same key", func(t *testing.T) {
		tree.Walk(doc, "", func(pointer string, n *yaml.Node) {
			if strings.Contains(n.Value, "rose of the vendor") {
				t.Errorf("%s: %s", pointer, n.Value)
			}
		})
		wantYAML(t, "the start request", tree.Get(schemas, "StartRequest"), `
type: object
required: [inputs, title]
properties:
  inputs: {type: array, items: {$ref: '#/components/schemas/Entry'}}
  stream: {type: boolean, default: false}
  title: {type: string}
  description: {type: string}
  example: {type: string}
  settings: {type: object, default: {title: kept, description: kept, example: kept}}
  kind: {const: {title: kept}}
  level: {enum: [{summary: kept}, {summary: also kept}]}
  handoff: {anyOf: [{type: string, enum: [client, server]}, {type: 'null'}], x-go-type: Handoff}`)
	})
	t.Run("drops extensions but not names and data with the same key", func(t *testing.T) {
		doc := trimmed(t, edit(t, upstreamText, "      operationId: api_agents\n", "      operationId: api_agents\n      x-kind: list\n",
			"      properties: {id: {type: string}, history:", "      x-order: [id]\n      properties: {id: {type: string, x-go-type: Id}, x-id: {type: string}, history:",
			"{type: string, example: Prose of the vendor.}", "{type: object, default: {x-kind: kept}}"))
		wantKeys(t, "the operation", tree.Get(doc, "paths", "/v1/agents", "get"), "operationId", "tags", "deprecated", "responses", "externalDocs")
		wantYAML(t, "the agent", tree.Get(doc, "components", "schemas", "Agent"),
			"{type: object, properties: {id: {type: string}, x-id: {type: string}, history: {type: array, items: {$ref: '#/components/schemas/Remark'}}}}")
		wantYAML(t, "the example", tree.Get(doc, "components", "schemas", "StartRequest", "properties", "example"), "{type: object, default: {x-kind: kept}}")
	})
	t.Run("links the vendor's page of an operation", func(t *testing.T) {
		wantYAML(t, "the link", tree.Get(doc, "paths", "/v1/conversations", "post", "externalDocs"),
			"{url: 'https://docs.mistral.ai/api/endpoint/beta/conversations#operation-api_start'}")
	})
	t.Run("keeps the referenced components", func(t *testing.T) {
		wantKeys(t, "schemas", schemas, "Agent", "ByAgent", "ByModel", "Call", "Conversation", "DoneEvent", "Entry", "EntryType", "Failure",
			"Frame", "Handoff", "Message", "Remark", "Response", "StartRequest", "StartedEvent", "StreamEvent", "StreamEventType")
		wantKeys(t, "security schemes", tree.Get(doc, "components", "securitySchemes"), "Key")
		wantKeys(t, "components", tree.Get(doc, "components"), "securitySchemes", "schemas")
	})
	t.Run("names shared unions and keeps the descriptions of references", func(t *testing.T) {
		wantYAML(t, "the data of a frame", tree.Get(schemas, "Frame", "properties", "data"),
			"{$ref: '#/components/schemas/StreamEvent', description: What happened.}")
	})
	t.Run("renames a schema and its references", func(t *testing.T) {
		wantYAML(t, "the event of a frame", tree.Get(schemas, "Frame", "properties", "event"), "{$ref: '#/components/schemas/StreamEventType'}")
		wantYAML(t, "the renamed schema", tree.Get(schemas, "StreamEventType"), "{type: string, enum: [started, done]}")
	})
	t.Run("lets the overlay describe a property without a type", func(t *testing.T) {
		wantYAML(t, "the property", tree.Get(schemas, "Failure", "properties", "input"), "{description: The rejected value.}")
	})
}

func TestTrimIsDeterministic(t *testing.T) {
	first := trimmedText(t, upstreamText)
	for range 5 {
		if !bytes.Equal(first, trimmedText(t, upstreamText)) {
			t.Fatal("two runs generate different documents")
		}
	}
}

// A change of upstream's prose must not change the result.
func TestTrimIgnoresProse(t *testing.T) {
	reworded := edit(t, upstreamText, "Prose of the vendor.", "Reworded prose of the vendor.", "title: Stream,", "title: Streaming,")
	withoutOrigin := regexp.MustCompile(`(?m)^    sha256: .*$`)
	before := withoutOrigin.ReplaceAll(trimmedText(t, upstreamText), nil)
	if !bytes.Equal(before, withoutOrigin.ReplaceAll(trimmedText(t, reworded), nil)) {
		t.Error("the result depends on upstream's prose")
	}
}

// Each case changes the valid documents, as upstream or a mistake in the overlay might.
func TestTrimRejects(t *testing.T) {
	const (
		streamBody     = "schema: {$ref: '#/components/schemas/StreamRequest'}"
		streamResponse = "content: {text/event-stream: {schema: {$ref: '#/components/schemas/Frame'}}}"
		agentsResponse = "content: {application/json: {schema: {$ref: '#/components/schemas/Agent'}}}"
		agentsID       = "      operationId: api_agents\n"
		agentsPath     = "  /v1/agents:\n"
		doneMapping    = "              done: '#/components/schemas/DoneEvent'\n"
		messageInput   = "              - $ref: '#/components/schemas/Message'\n"
	)
	tests := []struct {
		name     string
		upstream []string // pairs of old and new text
		overlay  []string
		want     []string
	}{
		{name: "a document that is not YAML", upstream: []string{"openapi: 3.1.0", "openapi: ["}, want: []string{"reading the upstream document"}},
		{name: "another version of OpenAPI", upstream: []string{"openapi: 3.1.0", "openapi: 3.0.3"}, want: []string{"not OpenAPI 3.1"}},
		{name: "a document without schemas", upstream: []string{"\n  schemas:\n", "\n  examples:\n"}, want: []string{"lacks components.schemas"}},
		{
			name:     "a YAML alias",
			upstream: []string{"Choice: {type: string}", "Choice: &text {type: string}", "arguments: {type: string}", "arguments: *text"},
			want:     []string{"/components/schemas/Call/properties/arguments", "*text"},
		},
		{name: "a renamed tag", upstream: []string{"beta.agents", "agents"}, want: []string{`cannot find an operation with the tag "beta.agents"`}},

		{name: "an unknown fragment", upstream: []string{"#stream", "#batch"}, want: []string{"/v1/conversations#batch", `fragment "batch": must be "stream"`}},
		{
			name:     "a stream without a plain operation",
			upstream: []string{"/v1/conversations#stream", "/v1/talks#stream"},
			want:     []string{"/v1/talks#stream", "cannot find the operation post /v1/talks"},
		},
		{
			name:     "a stream path with a keyword of the whole path",
			upstream: []string{"/v1/conversations#stream:\n", "/v1/conversations#stream:\n    servers: [{url: https://stream.example.com}]\n"},
			want:     []string{"/v1/conversations#stream", `cannot merge "servers"`},
		},
		{
			name:     "a stream with another body",
			upstream: []string{streamBody, "schema: {$ref: '#/components/schemas/Agent'}"},
			want:     []string{"post /v1/conversations#stream", "schema Agent: must be allOf"},
		},
		{
			name:     "a stream with an inline body",
			upstream: []string{streamBody, "schema: {type: object}"},
			want:     []string{"post /v1/conversations#stream", "must be a reference"},
		},
		{
			name:     "a stream with another media type of the body",
			upstream: []string{"{application/json: {" + streamBody + "}}", "{application/json: {" + streamBody + "}, application/xml: {}}"},
			want:     []string{"post /v1/conversations#stream", "[application/json application/xml]"},
		},
		{
			name: "a stream that extends another schema",
			upstream: []string{"    StreamRequest:\n      title: StreamRequest\n      allOf:\n        - $ref: '#/components/schemas/RequestBase'",
				"    StreamRequest:\n      title: StreamRequest\n      allOf:\n        - $ref: '#/components/schemas/Agent'"},
			want: []string{"post /v1/conversations#stream", `extends "Agent", but the plain operation extends "RequestBase"`},
		},
		{
			name:     "a stream with another property",
			upstream: []string{"{stream: {type: boolean, enum: [true], default: true}}", "{stream: {type: boolean, enum: [true]}, pace: {type: integer}}"},
			want:     []string{"post /v1/conversations#stream", "schema StreamRequest: must be allOf"},
		},
		{
			name:     "a stream with another keyword in its schema",
			upstream: []string{"      title: StreamRequest\n", "      additionalProperties: false\n"},
			want:     []string{"post /v1/conversations#stream", "schema StreamRequest: must be allOf"},
		},
		{
			name:     "a stream flag that is not fixed",
			upstream: []string{"enum: [true], default: true", "default: true"},
			want:     []string{"post /v1/conversations#stream", "the enum of stream must be [true]"},
		},
		{
			name:     "a plain operation that may stream",
			upstream: []string{"enum: [false], default: false", "default: false"},
			want:     []string{"plain operation", "the enum of stream must be [false]"},
		},
		{
			name:     "a stream of another media type",
			upstream: []string{streamResponse, "content: {application/x-ndjson: {schema: {$ref: '#/components/schemas/Frame'}}}"},
			want:     []string{"post /v1/conversations#stream", "[application/x-ndjson]", "must be [text/event-stream]"},
		},
		{
			name:     "a stream response with a header",
			upstream: []string{streamResponse, "headers: {X-Pace: {schema: {type: integer}}}\n          " + streamResponse},
			want:     []string{"post /v1/conversations#stream", "response 200 differs"},
		},
		{
			name:     "a stream with another error",
			upstream: []string{"          " + streamResponse + "\n        '422':", "          " + streamResponse + "\n        '409':"},
			want:     []string{"post /v1/conversations#stream", "response 409 differs"},
		},
		{
			name: "a stream with another parameter",
			upstream: []string{"      operationId: api_start_stream\n",
				"      operationId: api_start_stream\n      parameters: [{name: pace, in: query, schema: {type: integer}}]\n"},
			want: []string{"post /v1/conversations#stream", `"parameters" differs`},
		},

		{
			name:     "a reference to a missing schema",
			upstream: []string{"    Remark:\n", "    Remarks:\n"},
			want:     []string{"/properties/history/items", `"Remark", which does not exist`},
		},
		{
			name:     "a reference to another kind of component",
			upstream: []string{agentsID, agentsID + "      parameters: [{$ref: '#/components/parameters/Page'}]\n"},
			want:     []string{"/parameters/0", "#/components/parameters/Page"},
		},

		{name: "a broken overlay", overlay: []string{"overlay: 1.1.0", "overlay: ["}, want: []string{"applying the overlay"}},
		{name: "an overlay of another version", overlay: []string{"overlay: 1.1.0", "overlay: 9.9.9"}, want: []string{"applying the overlay"}},
		{
			name:     "an overlay action that matches nothing",
			upstream: []string{"        handoff: ", "        handover: "},
			want:     []string{"applying the overlay", "RequestBase.properties.handoff", "did not match any targets"},
		},
		{
			name:    "an overlay action that changes nothing",
			overlay: []string{"update: ListAgents}", "update: api_agents}"},
			want:    []string{"applying the overlay", "does nothing"},
		},
		{
			name:     "a description of a removed property",
			upstream: []string{"content: {type: string}", "text: {type: string}"},
			want:     []string{"describes /components/schemas/Message/properties/content"},
		},
		{
			name:    "a description of a missing schema",
			overlay: []string{"    EntryType:", "    Vanished: {description: Nothing.}\n    EntryType:"},
			want:    []string{"describes /components/schemas/Vanished"},
		},
		{
			name:     "a description of a removed response",
			upstream: []string{"'200':\n          description: Prose of the vendor.\n          " + agentsResponse, "'201':\n          " + agentsResponse},
			want:     []string{"describes /paths/~1v1~1agents/get/responses/200"},
		},
		{
			name:    "a new name that is already used",
			overlay: []string{"x-rename: StreamEventType", "x-rename: DoneEvent"},
			want:    []string{"cannot rename EventName to DoneEvent"},
		},

		{
			name:     "a discriminator value without a member",
			upstream: []string{doneMapping, doneMapping + "              failed: '#/components/schemas/Message'\n"},
			want:     []string{"/components/schemas/StreamEvent", `value "failed" maps to Message, which is not a member`},
		},
		{
			name:     "a member without a discriminator value",
			upstream: []string{doneMapping, ""},
			want:     []string{"/components/schemas/StreamEvent", `member DoneEvent lacks a discriminator value; its type is fixed to "done"`},
		},
		{
			name:     "a member whose type is another value",
			upstream: []string{"const: done", "const: finished"},
			want:     []string{`value "done" maps to DoneEvent, whose type is fixed to "finished"`, `may be "finished", which StreamEventType does not list`},
			overlay: []string{"- target: $.components.schemas\n",
				"- {target: $.components.schemas.DoneEvent.properties.type, update: {x-go-type: StreamEventType}}\n- target: $.components.schemas\n"},
		},
		{
			name:     "a member without a name",
			upstream: []string{"          discriminator:\n", "            - {type: object}\n          discriminator:\n"},
			want:     []string{"/components/schemas/StreamEvent", "an unnamed member"},
		},
		{
			name:    "a member that is listed twice",
			overlay: []string{"    discriminator:\n", "    anyOf: [{$ref: '#/components/schemas/Call'}]\n    discriminator:\n"},
			want:    []string{"/components/schemas/Entry", "member Call is listed twice"},
		},
		{
			name:    "an enum that differs from its union",
			overlay: []string{"enum: [message, call]", "enum: [message, call, result]"},
			want:    []string{"EntryType lists [call message result], but the discriminator values of Entry are [call message]"},
		},

		{
			name: "a union that does not equal a named one",
			upstream: []string{"items: {$ref: '#/components/schemas/Remark'}",
				"items: {anyOf: [{$ref: '#/components/schemas/Message'}, {$ref: '#/components/schemas/Result'}]}"},
			want: []string{"/components/schemas/Agent/properties/history/items is a union that does not equal a named component"},
		},
		{
			name:     "a shared union with a new member",
			upstream: []string{messageInput, messageInput + "              - $ref: '#/components/schemas/Result'\n"},
			want:     []string{"/components/schemas/Entry: member Result lacks a discriminator value", `fixed to "result"`},
		},
		{
			name: "a narrow union with more members than the shared one",
			upstream: []string{"            anyOf:\n              - $ref: '#/components/schemas/Call'\n    Message:",
				"            anyOf:\n              - $ref: '#/components/schemas/Call'\n              - $ref: '#/components/schemas/Result'\n    Message:"},
			want: []string{"/components/schemas/Response/properties/outputs/items may be Result, which is not a member of Entry"},
		},
		{
			name:     "an enum with more values than the named one",
			upstream: []string{"enum: [client, server]", "enum: [client, server, auto]"},
			want:     []string{`/components/schemas/StartRequest/properties/handoff may be "auto", which Handoff does not list`},
		},
		{
			name:     "an object that allows more than the merged one",
			upstream: []string{"agent: {type: string}", "agent: {type: string}, colour: {type: string}"},
			want:     []string{"may have the property colour of ByAgent, which Conversation lacks"},
		},

		{
			name:     "a choice between scalars",
			upstream: []string{"choice: {$ref: '#/components/schemas/Choice'}", "choice: {type: string}", "arguments: {type: string}", "arguments: {anyOf: [{type: string}, {type: integer}, {type: 'null'}]}"},
			want: []string{"/components/schemas/Call/properties/arguments is a choice between string and integer",
				`{target: "$.components.schemas.Call.properties.arguments", update: {x-go-type: StringOrInteger}}`},
		},
		{
			name:     "a choice between scalars in a list of a renamed schema",
			upstream: []string{"        stream: {type: boolean, title: Stream, default: false}\n", "        stream: {type: boolean}\n        marks: {type: array, items: {oneOf: [{type: boolean}, {type: string}]}}\n"},
			want: []string{"/components/schemas/StartRequest/properties/marks/items is a choice between boolean and string",
				`{target: "$.components.schemas.RequestBase.properties.marks.items", update: {x-go-type: JSON}}`},
		},
		{
			name:     "a choice between an object and a text",
			upstream: []string{"arguments: {type: string}", "arguments: {anyOf: [{$ref: '#/components/schemas/Agent'}, {type: string}]}"},
			want:     []string{"/components/schemas/Call/properties/arguments is a choice between object and string", "update: {x-go-type: JSON}"},
		},
		{
			name:     "a Go type that does not exist",
			upstream: []string{"content: {type: string}", "content: {type: string}, mood: {type: string}"},
			overlay:  []string{"content: {description: The text.}", "content: {description: The text.}, mood: {x-go-type: Mood}"},
			want:     []string{"/components/schemas/Message/properties/mood has the Go type Mood, which does not exist"},
		},
		{
			name:     "a type that the hand-written one cannot hold",
			upstream: []string{"content: {type: string}", "content: {type: string}, mood: {anyOf: [{type: string}, {type: integer}, {type: boolean}]}"},
			overlay:  []string{"content: {description: The text.}", "content: {description: The text.}, mood: {x-go-type: StringOrInteger}"},
			want:     []string{"/components/schemas/Message/properties/mood may be boolean, which StringOrInteger cannot hold", "update: {x-go-type: JSON}"},
		},
		{
			name:     "an object in place of an enum",
			upstream: []string{"handoff: {anyOf: [{type: string, enum: [client, server]}, {type: 'null'}], title: Handoff}", "handoff: {type: object}"},
			want:     []string{"/components/schemas/StartRequest/properties/handoff may be object, which Handoff cannot hold"},
		},
		{
			name:     "the name of a hand-written type",
			upstream: []string{"    Remark:\n", "    Timestamp:\n", "schemas/Remark", "schemas/Timestamp"},
			want:     []string{"/components/schemas/Timestamp has the Go name Timestamp, which is a hand-written name", `{target: "$.components.schemas.Timestamp", update: {x-rename: …}}`},
		},
		{
			name:     "the name of a type generated for a union",
			upstream: []string{"    Remark:\n", "    UnknownEntry:\n", "schemas/Remark", "schemas/UnknownEntry"},
			want:     []string{"/components/schemas/UnknownEntry has the Go name UnknownEntry, which is generated for the union Entry"},
		},
		{
			name:     "two properties with one Go name",
			upstream: []string{"properties: {id: {type: string}, agent: {type: string}}", "properties: {id: {type: string}, agent: {type: string}}\n    Twice:\n      type: object\n      properties: {maxTurns: {type: integer}, max_turns: {type: integer}}", "items: {$ref: '#/components/schemas/Remark'}", "items: {$ref: '#/components/schemas/Twice'}"},
			want:     []string{"/components/schemas/Twice/properties/max_turns has the Go name MaxTurns, which is the name of the property maxTurns", "update: {x-go-name: …}"},
		},
		{
			name:     "a property with the name of a method",
			upstream: []string{"arguments: {type: string}", "arguments: {type: string}, string: {type: string}"},
			want:     []string{"/components/schemas/Call/properties/string has the Go name String, which is a method"},
		},
		{
			name:     "properties and additionalProperties",
			upstream: []string{"properties: {type: {type: string, enum: [call]}, arguments: {type: string}}", "properties: {type: {type: string, enum: [call]}, arguments: {type: string}}\n      additionalProperties: true"},
			want:     []string{"/components/schemas/Call/additionalProperties is combined with properties", `{target: "$.components.schemas.Call.additionalProperties", remove: true}`},
		},
		{
			name:     "a schema that contains itself",
			upstream: []string{"arguments: {type: string}", "arguments: {$ref: '#/components/schemas/Call'}"},
			want:     []string{"/components/schemas/Call/properties/arguments makes the Go type Call contain itself", "update: {x-go-type-skip-optional-pointer: false}"},
		},
		{
			name:     "a header parameter",
			upstream: []string{agentsID, agentsID + "      parameters: [{name: X-Page, in: header, schema: {type: integer}}]\n"},
			want:     []string{"is a parameter in the header, which the client cannot send", `$.paths['/v1/agents'].get.parameters[?@.name=='X-Page']`},
		},
		{
			name:     "a request body without a name",
			upstream: []string{agentsID, agentsID + "      requestBody: {content: {application/json: {schema: {type: array, items: {type: string}}}}}\n"},
			want:     []string{"/paths/~1v1~1agents/get/requestBody/content/application~1json/schema must be a reference to a component with properties"},
		},

		{
			name:     "an operation without a name in the overlay",
			upstream: []string{agentsPath, "  /v1/agents/new:\n    post: {operationId: create, tags: [beta.agents]}\n" + agentsPath},
			want:     []string{"POST /v1/agents/new", "the overlay must set the operationId"},
		},
		{
			name:     "a parameter of a whole path",
			upstream: []string{agentsPath, agentsPath + "    parameters: [{name: page, in: query, schema: {type: integer}}]\n"},
			want:     []string{`/v1/agents: "parameters" applies to the whole path and would be lost`},
		},
		{
			name:     "a server of one operation",
			upstream: []string{agentsID, agentsID + "      servers: [{url: https://agents.example.com}]\n"},
			want:     []string{`GET /v1/agents: "servers" would be lost`},
		},
		{
			name:     "a security requirement of one operation",
			upstream: []string{agentsID, agentsID + "      security: [{Cookie: []}]\n"},
			want:     []string{`GET /v1/agents: "security" would be lost`},
		},
		{
			name:     "a request body that is not JSON",
			upstream: []string{agentsID, agentsID + "      requestBody: {content: {multipart/form-data: {schema: {type: object}}}}\n"},
			want:     []string{"GET /v1/agents: the request body's media type multipart/form-data would be lost"},
		},
		{
			name:     "a response of a further media type",
			upstream: []string{agentsResponse, "content: {application/json: {schema: {$ref: '#/components/schemas/Agent'}}, text/csv: {}}"},
			want:     []string{"GET /v1/agents: the media type text/csv of response 200 would be lost"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Trim([]byte(edit(t, upstreamText, test.upstream...)), []byte(edit(t, overlayText, test.overlay...)), generatedPackage(t), "")
			if err == nil {
				t.Fatalf("got nil, want an error with %q", test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("have the error\n%v\nwant it to contain %q", err, want)
				}
			}
		})
	}
}

func TestUndescribed(t *testing.T) {
	const described = `
tags: [{name: beta.agents, description: D.}]
paths:
  /v1/agents:
    get:
      operationId: ListAgents
      summary: S
      deprecated: true
      x-deprecated-reason: R.
      parameters: [{name: page, in: query, description: D.}]
      responses: {'200': {description: D.}}
components:
  schemas:
    Agent: {description: D., properties: {id: {description: D.}}}
`
	tests := []struct {
		name     string
		old, new string
		want     string
	}{
		{"tag", "beta.agents, description: D.", "beta.agents", "tag beta.agents: missing description"},
		{"summary", "      summary: S\n", "", "operation ListAgents: missing summary"},
		{"reason", "      x-deprecated-reason: R.\n", "", "deprecated operation ListAgents: missing x-deprecated-reason"},
		{"parameter", "query, description: D.", "query", "parameter page of ListAgents: missing description"},
		{"response", "'200': {description: D.}", "'200': {}", "response 200 of ListAgents: missing description"},
		{"schema", "Agent: {description: D., ", "Agent: {", "schema Agent: missing description"},
		{"property", "id: {description: D.}", "id: {}", "property Agent.id: missing description"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gaps, err := undescribed([]byte(edit(t, described, test.old, test.new)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(gaps, []string{test.want}) {
				t.Errorf("have %q, want only %q", gaps, test.want)
			}
		})
	}
	if gaps, err := undescribed([]byte(described)); err != nil || len(gaps) > 0 {
		t.Errorf("have %q and %v, want neither", gaps, err)
	}
}

// A run writes the document. Missing descriptions are warnings and not errors.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "openapi.yaml")
	var warnings bytes.Buffer
	if err := run(inputs{upstream: "testdata/upstream.yaml", overlay: "testdata/overlay.yaml", goPackage: "../../generated", out: out, date: "2026-01-02"}, &warnings); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning: operation ListAgents: missing summary", "warning: property Agent.id: missing description"} {
		if !strings.Contains(warnings.String(), want) {
			t.Errorf("have the warnings\n%swant %q", &warnings, want)
		}
	}
	if strings.Contains(warnings.String(), "Message.content") {
		t.Errorf("have a warning for Message.content, which has a description:\n%s", &warnings)
	}
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(written, []byte("# Code generated by openapi/trim")) {
		t.Errorf("the document begins with %.80q", written)
	}

	untouched := filepath.Join(dir, "untouched.yaml")
	if err := run(inputs{upstream: "testdata/overlay.yaml", overlay: "testdata/overlay.yaml", goPackage: "../../generated", out: untouched}, &warnings); err == nil {
		t.Error("got nil for a document that is not OpenAPI, want an error")
	}
	if _, err := os.Stat(untouched); err == nil {
		t.Error("a failed run wrote a document")
	}
}
