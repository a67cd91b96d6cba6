package contract_test

import (
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

const small = `
openapi: 3.1.0
paths:
  /a/{id}:
    parameters:
      - $ref: '#/components/parameters/ID'
    get:
      operationId: Get
      responses:
        200: {$ref: '#/components/responses/OK'}
        4XX: {}
components:
  parameters:
    ID: {name: id, in: path, required: true, schema: {type: integer, minimum: 1, example: 2025-01-01}}
  responses:
    OK: {content: {application/json: {schema: {$ref: '#/components/schemas/S'}}}}
  schemas:
    S: {type: object, properties: {properties: {type: string}}, example: {properties: {a: 1}}}
`

func TestCustomDocument(t *testing.T) {
	t.Parallel()
	c, err := contract.New(contract.Options{Document: []byte(small)})
	if err != nil {
		t.Fatal(err)
	}
	op, got := c.CheckRequest(newRequest(t, "GET", "/a/0", ""), nil)
	wantViolation(t, got, "path", "id", "minimum")
	_, got = c.CheckRequest(newRequest(t, "GET", "/a/x%2F", ""), nil)
	wantViolation(t, got, "path", "id", "type")
	if got := op.CheckResponse(200, jsonHeader, []byte(`{"properties":"a"}`)); got != nil {
		t.Error(text(got))
	}
	wantViolation(t, op.CheckResponse(200, jsonHeader, []byte(`{"other":"a"}`)), "response", "/other", "additionalProperties")
	wantViolation(t, op.CheckResponse(418, jsonHeader, []byte(`{}`)), "response", "", "unexpected") // 4XX does not declare a body.
	wantViolation(t, c.CheckEvent("a", nil), "event", "", "unexpected")
}

// A literal segment takes precedence over a parameter, whichever path comes first.
func TestLiteralSegmentTakesPrecedence(t *testing.T) {
	t.Parallel()
	second := "  /a/~text:\n    get: {operationId: Text, responses: {}}\ncomponents:"
	c, err := contract.New(contract.Options{Document: []byte(strings.Replace(small, "components:", second, 1))})
	if err != nil {
		t.Fatal(err)
	}
	if op, ok := c.Route("GET", "/a/~text"); !ok || op.ID != "Text" {
		t.Errorf("%v %v", op, ok)
	}
}

// New rejects a document that the package cannot check completely.
func TestUnsupportedDocumentsAreRejected(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) string {
		if !strings.Contains(small, old) {
			t.Fatalf("the document does not contain %q", old)
		}
		return strings.Replace(small, old, with, 1)
	}
	for name, tt := range map[string]struct{ document, want string }{
		"not YAML":                {"{", "document"},
		"not an object":           {"5", "must be an object"},
		"another version":         {replace("3.1.0", "3.0.3"), "3.0.3"},
		"header parameter":        {replace("in: path", "in: header"), "header"},
		"style":                   {replace("in: path,", "in: path, style: matrix,"), "style"},
		"object parameter":        {replace("type: integer", "type: object"), "object"},
		"array in path":           {replace("type: integer,", "type: array, items: {type: string},"), "type must be a scalar"},
		"parameter not in path":   {replace("name: id", "name: other"), "other"},
		"parameter undeclared":    {replace("/a/{id}", "/a/{id}/{more}"), "more"},
		"mixed segment":           {replace("/a/{id}", "/a/x{id}"), "segment must be"},
		"missing operationId":     {replace("operationId: Get", "summary: Get"), "operationId"},
		"missing schema":          {replace("schema: {$ref: '#/components/schemas/S'}", ""), "schema is missing"},
		"another media type":      {replace("application/json", "text/csv"), "text/csv"},
		"bad schema":              {replace("type: string", "type: 5"), "jsonschema"},
		"dangling ref":            {replace("'#/components/responses/OK'", "'#/components/responses/No'"), "not found"},
		"ref cycle":               {replace("{content: {application/json: {schema: {$ref: '#/components/schemas/S'}}}}", "{$ref: '#/components/responses/OK'}"), "cycle"},
		"ref to another document": {replace("'#/components/schemas/S'", "'file:///etc/passwd'"), "must refer to this document"},
		"allOf":                   {replace("{type: string}", "{allOf: [{type: string}]}"), "allOf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := contract.New(contract.Options{Document: []byte(tt.document)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q in it", err, tt.want)
			}
		})
	}
}
