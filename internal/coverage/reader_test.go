package coverage_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// small is a document with one operation that uses every keyword the walker supports.
const small = `
openapi: 3.1.0
paths:
  /things/{id}:
    post:
      operationId: Do
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: n, in: query, schema: {anyOf: [{type: integer}, {type: string}, {type: 'null'}]}}
        - {name: list, in: query, schema: {anyOf: [{type: array, items: {enum: [a, b]}}, {type: 'null'}]}}
        - {name: meta, in: query, content: {application/json: {schema: {$ref: '#/components/schemas/Meta'}}}}
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
      responses:
        '200':
          content:
            application/json: {schema: {type: array, items: {anyOf: [{type: string, enum: [x, y]}, {type: string}]}}}
            text/event-stream: {schema: {$ref: '#/components/schemas/Events'}}
        '204': {}
        '422': {content: {application/json: {schema: {$ref: '#/components/schemas/Meta'}}}}
components:
  schemas:
    Events: {properties: {event: {enum: [go, stop]}, data: {}}}
    Thing:
      anyOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}]
      discriminator:
        propertyName: type
        mapping: {cat: '#/components/schemas/Cat', dog: '#/components/schemas/Dog'}
    Cat: {additionalProperties: false, properties: {type: {type: string}, friend: {anyOf: [{$ref: '#/components/schemas/Thing'}, {type: 'null'}]}}}
    Dog: {additionalProperties: false, properties: {type: {type: string}, toys: {type: object, additionalProperties: {anyOf: [{type: integer}, {type: array}]}}}}
    Meta: {properties: {k: {type: string}}}
    Unused: {enum: [never, ever]}
`

func parse(t *testing.T, text string) *document {
	t.Helper()
	doc, err := readDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func names(list []item) []string {
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = one.String()
	}
	slices.Sort(texts)
	return texts
}

func wantNames(t *testing.T, name string, items []item, want ...string) {
	t.Helper()
	slices.Sort(want)
	if texts := names(items); !slices.Equal(texts, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
}

const (
	query         = "/paths/~1things~1{id}/post/parameters/"
	responseUnion = "/paths/~1things~1{id}/post/responses/200/content/application~1json/schema/items/anyOf/"
)

func TestItems(t *testing.T) {
	t.Parallel()
	list, err := parse(t, small).items()
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, "items", list,
		"operation Do", "operation DoStream",
		"response Do 200 application/json", "response DoStream 200 text/event-stream", "response Do 204",
		"response Do 422 application/json", "response DoStream 422 application/json",
		"event go", "event stop",
		"union member sent "+query+"1/schema/anyOf/0 (integer)", "union member sent "+query+"1/schema/anyOf/1 (string)",
		"union member sent /components/schemas/Thing/anyOf/0 (Cat)", "union member sent /components/schemas/Thing/anyOf/1 (Dog)",
		"union member sent /components/schemas/Dog/properties/toys/additionalProperties/anyOf/0 (integer)",
		"union member sent /components/schemas/Dog/properties/toys/additionalProperties/anyOf/1 (array)",
		"union member received "+responseUnion+"0 (string)", "union member received "+responseUnion+"1 (string)",
		"enum value sent "+query+"2/schema/anyOf/0/items/enum (a)", "enum value sent "+query+"2/schema/anyOf/0/items/enum (b)",
		"enum value received "+responseUnion+"0/enum (x)", "enum value received "+responseUnion+"0/enum (y)",
		"enum value received /components/schemas/Events/properties/event/enum (go)",
		"enum value received /components/schemas/Events/properties/event/enum (stop)",
		"property received /components/schemas/Events/properties/event", "property received /components/schemas/Events/properties/data",
		"property sent /components/schemas/Cat/properties/type", "property sent /components/schemas/Cat/properties/friend",
		"property sent /components/schemas/Dog/properties/type", "property sent /components/schemas/Dog/properties/toys",
		"property sent /components/schemas/Meta/properties/k", "property received /components/schemas/Meta/properties/k",
		"parameter Do id", "parameter Do n", "parameter Do list", "parameter Do meta",
	)
}

// The collector reports unsupported parts of a document instead of skipping them.
func TestUnsupportedDocuments(t *testing.T) {
	t.Parallel()
	for change, want := range map[[2]string]string{
		{"data: {}", "data: {allOf: [{type: string}]}"}:                                 "allOf is not supported",
		{"data: {}", "data: {$ref: '#/components/schemas/Cat', enum: [1]}"}:             "enum beside a $ref",
		{"data: {}", "data: {$ref: '#/components/schemas/Nothing'}"}:                    "target not found",
		{"data: {}", "data: {$ref: 'other.yaml#/Cat'}"}:                                 "must refer to this document",
		{"data: {}", "data: {$ref: '#/components/schemas/Events/properties/data'}"}:     "forms a cycle",
		{"application/json: {schema: {type: array", "text/html: {schema: {type: array"}: "media type is not supported",
		{"operationId: Do", "summary: Do"}:                                              "operationId is missing",
	} {
		_, err := parse(t, strings.Replace(small, change[0], change[1], 1)).items()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", change[1], err, want)
		}
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	const thing = "/components/schemas/"
	cat := []string{"union member sent " + thing + "Thing/anyOf/0 (Cat)", "property sent " + thing + "Cat/properties/type"}
	dog := []string{"union member sent " + thing + "Thing/anyOf/1 (Dog)", "property sent " + thing + "Dog/properties/type"}
	toys := "property sent " + thing + "Dog/properties/toys"
	for value, want := range map[string][]string{
		`{"type":"cat"}`:                         slices.Concat(cat),
		`{"type":"cat","friend":null}`:           slices.Concat(cat),
		`{"type":"cat","friend":{"type":"dog"}}`: slices.Concat(cat, dog, []string{"property sent " + thing + "Cat/properties/friend"}),
		`{"type":"dog"}`:                         slices.Concat(dog), // Cat would accept it, too.
		`{"type":"dog","toys":{"ball":1}}`:       slices.Concat(dog, []string{toys, "union member sent " + thing + "Dog/properties/toys/additionalProperties/anyOf/0 (integer)"}),
		`{"type":"dog","toys":{"ball":[]}}`:      slices.Concat(dog, []string{toys, "union member sent " + thing + "Dog/properties/toys/additionalProperties/anyOf/1 (array)"}),
		`{"friend":{"friend":{"type":"dog"}}}`:   slices.Concat(cat[:1], dog, []string{"property sent " + thing + "Cat/properties/friend"}),
	} {
		doc := parse(t, small)
		w := walker{doc, marks{}, sent}
		if err := w.walk(doc.root.child("components").child("schemas").child("Thing"), decoded(t, value)); err != nil {
			t.Errorf("%s: %v", value, err)
		}
		wantNames(t, value, w.marks.list(), want...)
	}
	doc := parse(t, small)
	schema := doc.root.child("components").child("schemas").child("Dog")
	if err := (walker{doc, marks{}, sent}).walk(schema, decoded(t, `{"toys":{"ball":"red"}}`)); err == nil {
		t.Error("a value that matches none of the union members returns nil, want an error")
	}
}

// Without a discriminator, the first member that accepts a value counts.
func TestWalkTakesTheFirstMember(t *testing.T) {
	t.Parallel()
	doc := parse(t, small)
	operations, err := doc.operations()
	if err != nil {
		t.Fatal(err)
	}
	schema := operations[0].responses["200"].child("content").child(mediaJSON).child("schema")
	for value, want := range map[string][]string{
		`["x"]`:     {"union member received " + responseUnion + "0 (string)", "enum value received " + responseUnion + "0/enum (x)"},
		`["z","z"]`: {"union member received " + responseUnion + "1 (string)"},
	} {
		w := walker{doc, marks{}, received}
		if err := w.walk(schema, decoded(t, value)); err != nil {
			t.Error(err)
		}
		wantNames(t, value, w.marks.list(), want...)
	}
	for _, test := range []struct {
		parameter int
		values    []string
		want      []string
	}{
		{1, []string{"5"}, []string{"union member sent " + query + "1/schema/anyOf/0 (integer)"}},
		{1, []string{"v5"}, []string{"union member sent " + query + "1/schema/anyOf/1 (string)"}},
		{2, []string{"a"}, []string{"enum value sent " + query + "2/schema/anyOf/0/items/enum (a)"}},
		{2, []string{"b", "b"}, []string{"enum value sent " + query + "2/schema/anyOf/0/items/enum (b)"}},
		{3, []string{`{"k":"v"}`}, []string{"property sent /components/schemas/Meta/properties/k"}},
	} {
		w := walker{doc, marks{}, sent}
		if err := w.parameter(operations[0].parameters[test.parameter], test.values); err != nil {
			t.Error(err)
		}
		wantNames(t, strings.Join(test.values, "&"), w.marks.list(), test.want...)
	}
	if err := (walker{doc, marks{}, sent}).parameter(operations[0].parameters[2], []string{"c"}); err == nil {
		t.Error("an invalid parameter value returns nil, want an error")
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func (m marks) list() []item {
	var list []item
	for i := range m {
		list = append(list, i)
	}
	return list
}

// Package contract has its own parser. It must find the same operations.
func TestOperationsEqualThoseOfContract(t *testing.T) {
	t.Parallel()
	operations, err := parse(t, string(openapi.Document())).operations()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, op := range operations {
		got = append(got, op.id)
	}
	for _, op := range contract.Default().Operations() {
		want = append(want, op.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("operations are %q, want %q", got, want)
	}
}

// fieldsJSON omits unknown properties, although MarshalJSON of a decoded union keeps them.
func TestFieldsJSONOmitsUnknownProperties(t *testing.T) {
	t.Parallel()
	const received = `{"type":"message.output","content":[{"type":"text","text":"x","more":1},{"type":"image_url","image_url":"u"}],"id":"","extra":2}`
	var entry generated.Entry
	if err := json.Unmarshal([]byte(received), &entry); err != nil {
		t.Fatal(err)
	}
	const want = `{"content":[{"text":"x","type":"text"},{"image_url":{"url":"u"},"type":"image_url"}],"type":"message.output"}`
	if got := encode(prune(fieldsJSON(reflect.ValueOf(entry)))); got != want || encode(entry) != received {
		t.Errorf("fields are %s, want %s", got, want)
	}
}

// fixedResponse is a transport that returns the same response to all requests.
type fixedResponse struct {
	status      int
	media, body string
}

func (c fixedResponse) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Header: http.Header{"Content-Type": {c.media}}, Body: io.NopCloser(strings.NewReader(c.body)),
	}, nil
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	const send, detail = "/components/schemas/AppendConversationRequest/properties/", "property received /components/schemas/HTTPValidationError/properties/detail"
	doc := parse(t, string(openapi.Document()))
	started := "event: conversation.response.started\ndata: {\"type\":\"conversation.response.started\",\"conversation_id\":\"c\"}\n\n"
	for name, test := range map[string]struct {
		body     string
		response fixedResponse
		want     []string
	}{
		"a call that succeeds": {`{"store":true}`, fixedResponse{204, "", ""}, []string{"operation AppendConversation", "parameter AppendConversation conversation_id", "property sent " + send + "store"}},
		"a validation error": {`{"store":true}`, fixedResponse{422, mediaJSON, `{"detail":[]}`}, []string{
			"response AppendConversation 422 application/json", detail, "parameter AppendConversation conversation_id", "property sent " + send + "store",
		}},
		"an invalid request": {`{"store":5}`, fixedResponse{422, mediaJSON, `{"detail":[]}`}, []string{"response AppendConversation 422 application/json", detail}},
		"a stream": {`{"stream":true}`, fixedResponse{200, mediaEvents + "; charset=utf-8", started}, []string{
			"operation AppendConversationStream", "parameter AppendConversation conversation_id", "property sent " + send + "stream",
			"response AppendConversationStream 200 text/event-stream", "event conversation.response.started",
			"union member received /components/schemas/StreamEvent/oneOf/0 (ResponseStartedEvent)",
			"enum value received /components/schemas/StreamEventType/enum (conversation.response.started)",
			"property received /components/schemas/ConversationEvents/properties/event", "property received /components/schemas/ConversationEvents/properties/data",
			"property received /components/schemas/ResponseStartedEvent/properties/type", "property received /components/schemas/ResponseStartedEvent/properties/conversation_id",
		}},
		"a status that is not declared": {`{"store":true}`, fixedResponse{503, "text/plain", "busy"}, []string{"parameter AppendConversation conversation_id", "property sent " + send + "store"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := newRecorder(doc, test.response)
			if err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/v1/conversations/c", strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", mediaJSON)
			response, err := r.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != test.response.body {
				t.Errorf("body is %q, %v, want %q", body, err, test.response.body)
			}
			exercised, err := r.exercised()
			if err != nil {
				t.Error(err)
			}
			wantNames(t, name, exercised.list(), test.want...)
		})
	}
}
