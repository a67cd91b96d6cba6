package emulator_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	for _, test := range []struct {
		method, path, allow, body string
		status                    int
	}{
		{http.MethodGet, "/", "", `{"detail":"Not Found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/models", "", `{"detail":"Not Found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/conversations/", "", `{"detail":"Not Found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1//agents", "", `{"detail":"Not Found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/agents/..", "", `{"detail":"Not Found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/agents/a%2Fb", "", `{"detail":"Agent not found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/agents/a%2Fb/versions/1", "", `{"detail":"Agent not found"}`, http.StatusNotFound},
		{http.MethodPatch, "/v1/agents/a/version?version=1", "", `{"detail":"Agent not found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/conversations/x", "", `{"detail":"Conversation not found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/conversations/x/history", "", `{"detail":"Conversation not found"}`, http.StatusNotFound},
		{http.MethodGet, "/v1/conversations/x/messages", "", `{"detail":"Conversation not found"}`, http.StatusNotFound},
		{http.MethodPut, "/v1/conversations", "GET, POST", `{"detail":"Method Not Allowed"}`, http.StatusMethodNotAllowed},
		{http.MethodOptions, "/v1/agents/pages", "DELETE, GET, PATCH", `{"detail":"Method Not Allowed"}`, http.StatusMethodNotAllowed},
		{http.MethodHead, "/v1/agents", "GET, POST", "", http.StatusMethodNotAllowed},
	} {
		got := a.do(test.method, test.path, "")
		if got.status != test.status || got.body != test.body || got.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, Allow %q, %s", test.method, test.path, got.status, got.header.Get("Allow"), got.body)
		}
	}
	if got := a.Stats().Total().Requests; got != 0 {
		t.Errorf("the limits counted %d requests, want 0", got)
	}
}

// TestValidationErrors checks the bodies of 422 responses.
func TestValidationErrors(t *testing.T) {
	t.Parallel()
	checked := start(t, emulator.Config{})
	a := checked.unchecked()
	long := strings.Repeat("x", 10_000)
	for _, test := range []struct{ method, path, body, want string }{
		{
			http.MethodPost, "/v1/conversations", `{"model":"m"}`,
			`{"detail":[{"type":"missing","loc":["body","inputs"],"msg":"Field required","input":{"model":"m"}}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x","stream":"yes"}`,
			`{"detail":[{"type":"bool_type","loc":["body","stream"],"msg":"Input should be a valid boolean","input":"yes"}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", `{"model":"m","inputs":[{"role":"user","type":"message.input","content":7}]}`,
			`{"detail":[{"type":"string_type","loc":["body","inputs",0,"content"],"msg":"Input should be a valid string","input":7}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x","completion_args":{"temperature":7}}`,
			`{"detail":[{"type":"less_than_equal","loc":["body","completion_args","temperature"],"msg":"Input should be less than or equal to 1","input":7}]}`,
		},
		{
			http.MethodPost, "/v1/agents", `{"model":"m","name":"n","` + long + `":"` + long + `"}`,
			`{"detail":[{"type":"extra_forbidden","loc":["body","` + long + `"],"msg":"Extra inputs are not permitted"}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", `{"inputs":"x"}`,
			`{"detail":[{"type":"value_error","loc":["body"],"msg":"Value error, either model or agent_id must be set, and not both"}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", `{"inputs":"x","model":"m","agent_id":"a"}`,
			`{"detail":[{"type":"value_error","loc":["body"],"msg":"Value error, either model or agent_id must be set, and not both"}]}`,
		},
		{
			http.MethodPost, "/v1/conversations/x", `{"inputs":"x","handoff_execution":"nobody"}`,
			`{"detail":[{"type":"literal_error","loc":["body","handoff_execution"],"msg":"Input should be 'client' or 'server'","input":"nobody","ctx":{"expected":"'client' or 'server'"}}]}`,
		},
		{
			http.MethodPost, "/v1/agents", `[]`,
			`{"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}]}`,
		},
		{
			http.MethodPatch, "/v1/agents/a", `{"handoffs":[]}`,
			`{"detail":[{"type":"too_short","loc":["body","handoffs"],"msg":"List should have at least 1 items after validation","input":[]}]}`,
		},
		{
			http.MethodPost, "/v1/conversations", ``,
			`{"detail":[{"type":"missing","loc":["body"],"msg":"Field required"}]}`,
		},
		{
			http.MethodGet, "/v1/agents?page_size=0", ``,
			`{"detail":[{"type":"greater_than_equal","loc":["query","page_size"],"msg":"Input should be greater than or equal to 1","input":"0"}]}`,
		},
		{
			http.MethodGet, "/v1/conversations?page=-1", ``,
			`{"detail":[{"type":"greater_than_equal","loc":["query","page"],"msg":"Input should be greater than or equal to 0","input":-1}]}`,
		},
		{
			http.MethodGet, "/v1/conversations?page=many", ``,
			`{"detail":[{"type":"int_type","loc":["query","page"],"msg":"Input should be a valid integer","input":"many"}]}`,
		},
		{
			http.MethodPut, "/v1/agents/a/aliases?alias=A&version=1", ``,
			`{"detail":[{"type":"string_pattern_mismatch","loc":["query","alias"],"msg":"String should match pattern '^[a-z]([a-z0-9_-]*[a-z0-9])?$'","input":"A"}]}`,
		},
		{
			http.MethodPut, "/v1/agents/a/aliases?alias=a", ``,
			`{"detail":[{"type":"missing","loc":["query","version"],"msg":"Field required"}]}`,
		},
	} {
		got := a.do(test.method, test.path, test.body)
		if got.status != http.StatusUnprocessableEntity || got.body != test.want {
			t.Errorf("%s %s %.60s:\ngot  %d %.300s\nwant 422 %.300s", test.method, test.path, test.body, got.status, got.body, test.want)
		}
	}
	// The server also rejects values that the document allows but an int64 cannot hold.
	for _, body := range []string{
		`{"model":"m","inputs":"x","completion_args":{"max_tokens":99999999999999999999}}`,
	} {
		checked.do(http.MethodPost, "/v1/conversations", body).want(http.StatusUnprocessableEntity)
	}
	for _, integer := range []string{"100.0", "1e2", "7.0E0", "-0.0"} {
		checked.do(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x","completion_args":{"max_tokens":`+integer+`}}`).want(http.StatusOK)
	}
	checked.do(http.MethodGet, "/v1/conversations?page=99999999999999999999", "").want(http.StatusUnprocessableEntity)

	for body, want := range map[string]string{"{": `"type":"json_invalid"`, "\xff": `"type":"json_invalid"`} {
		if got := a.do(http.MethodPost, "/v1/agents", body).want(http.StatusUnprocessableEntity); !strings.Contains(got.body, want) {
			t.Errorf("%q: %s, want %s", body, got.body, want)
		}
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	request := newRequest(t, http.MethodPost, a.URL()+"/v1/agents", `{"model":"m","name":"n"}`)
	request.Header.Set("Content-Type", "text/plain")
	response, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("status is %d, want 422", response.StatusCode)
	}
}

func TestLargeBody(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	request := newRequest(t, http.MethodPost, a.URL()+"/v1/agents", `{}`)
	request.Body, request.ContentLength = io.NopCloser(io.LimitReader(spaces{}, 32<<20+1)), 32<<20+1
	response, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status is %d, want 413", response.StatusCode)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) { return copy(p, manySpaces), nil }

var manySpaces = bytes.Repeat([]byte(" "), 64<<10)

// TestEveryOperationIsImplemented calls each operation with an unknown id. The response must
// not say that the operation is unknown.
func TestEveryOperationIsImplemented(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	operations := contract.Default().Operations()
	fill := strings.NewReplacer("{conversation_id}", "x", "{agent_id}", "x", "{version}", "1")
	for _, op := range operations {
		got := a.do(op.Method, fill.Replace(op.Path)+"?alias=a&version=1", `{"model":"m","name":"n","inputs":"x"}`)
		if got.status == http.StatusMethodNotAllowed || got.body == `{"detail":"Not Found"}` {
			t.Errorf("%s: %d %s", op.ID, got.status, got.body)
		}
	}
	if got := len(a.Stats().Operations); got != len(operations) {
		t.Errorf("Stats counted %d operations, want %d", got, len(operations))
	}
}
