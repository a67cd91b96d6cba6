package ratelimited_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The client decodes all known forms of error bodies.
func TestErrorBodies(t *testing.T) {
	for name, test := range map[string]struct {
		status             int
		contentType, body  string
		code, typ, message string
		text               string // of the error
	}{
		"object": {400, "application/json", `{"object":"error","message":"bad model","type":"invalid_model","param":"model","code":"1500"}`,
			"1500", "invalid_model", "bad model", `mistral: POST /v1/conversations: 400 invalid_model (code 1500): bad model`},
		"null code": {400, "application/json", `{"message":"no tier","type":"invalid_request_error","code":null}`,
			"", "invalid_request_error", "no tier", `mistral: POST /v1/conversations: 400 invalid_request_error: no tier`},
		"detail as text": {401, "application/json", `{"detail":"Invalid API Key"}` + "\n",
			"", "", "Invalid API Key", `mistral: POST /v1/conversations: 401: Invalid API Key`},
		"message with detail": {422, "application/json", `{"object":"Error","message":{"detail":[{"type":"missing","loc":["body","inputs",0],"msg":"Field required"}]},"code":3000}`,
			"3000", "", "", `mistral: POST /v1/conversations: 422 (code 3000): body.inputs.0: Field required`},
		"validation errors": {422, "application/json", `{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required"},{"loc":["query"],"msg":"no"}]}`,
			"", "", "", `mistral: POST /v1/conversations: 422: body.model: Field required; query: no`},
		"guardrail": {403, "application/json", `{"error":{"message":"blocked","type":"guardrail","code":7},"guardrails":[{"x":1}]}`,
			"7", "guardrail", "blocked", `mistral: POST /v1/conversations: 403 guardrail (code 7): blocked`},
		"text": {400, "text/plain", "upstream connect error\nor disconnect",
			"", "", "upstream connect error or disconnect", `mistral: POST /v1/conversations: 400: upstream connect error or disconnect`},
		"page": {404, "text/html", "<html><body>" + strings.Repeat("x", 5000), "", "", "Not Found (an HTML page instead of a response of the API)",
			`mistral: POST /v1/conversations: 404: Not Found (an HTML page instead of a response of the API)`},
		"empty":       {400, "", "", "", "", "", `mistral: POST /v1/conversations: 400: Bad Request`},
		"JSON number": {400, "application/json", `17`, "", "", "17", `mistral: POST /v1/conversations: 400: 17`},
		"deep":        {400, "application/json", strings.Repeat(`{"error":`, 9) + `"x"` + strings.Repeat("}", 9), "", "", "", `mistral: POST /v1/conversations: 400: "{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":\"x\"}}}}}}}}}"`},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, status(test.status, test.body, "Content-Type", test.contentType, "X-Kong-Request-Id", ""), func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client)
				var api *ratelimited.APIError
				if !errors.As(err, &api) {
					t.Fatalf("error is %T, want *APIError", err)
				}
				if api.Code != test.code || api.Type != test.typ || api.Message != test.message || string(api.Body) != test.body {
					t.Errorf("code %q, type %q, message %q, body %q", api.Code, api.Type, api.Message, api.Body)
				}
				if err.Error() != test.text {
					t.Errorf("error is\n%s, want\n%s", err, test.text)
				}
			})
		})
	}
}

// A 200 response that is not the documented object is an APIError with a cause.
func TestInvalidResponses(t *testing.T) {
	for name, test := range map[string]struct {
		body, want string
	}{
		"HTML":      {"<html>hello</html>", `200: the response does not match the API's documentation: invalid character '<' looking for beginning of value: the response begins "<html>hello</html>"`},
		"truncated": {`{"conversation_id":"c","outp`, `unexpected end of JSON input: the response begins "{\"conversation_id\":\"c\",\"outp"`},
		"empty":     {"", `unexpected end of JSON input: the response begins ""`},
		"null":      {" null\n", `200: the response is not a ConversationResponse: it is null: the response begins "null"`},
		"list":      {`[]`, `200: the response is not a ConversationResponse: it is a list`},
		"text":      {`"hello"`, `it is "hello"`},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, status(200, test.body), func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client)
				var api *ratelimited.APIError
				if !errors.As(err, &api) || api.StatusCode != 200 || api.Err == nil || string(api.Body) != test.body {
					t.Fatalf("error is %#v, want an APIError with status, cause, and body", err)
				}
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error is\n%s, want it to contain\n%s", err, test.want)
				}
			})
		})
	}
}

// The client stops reading a response at the size limit.
func TestEndlessResponse(t *testing.T) {
	t.Parallel()
	body := &endlessBody{}
	config := fast
	config.APIKey, config.HTTPClient = secretKey, &http.Client{Transport: body}
	client := newClient(t, config)
	_, err := start(t.Context(), client)
	var api *ratelimited.APIError
	if !errors.As(err, &api) || !strings.Contains(err.Error(), "the response is larger than 67108864 bytes") {
		t.Fatalf("error is %v, want an APIError with the size limit", err)
	}
	if len(api.Body) != 1<<20 || body.read > 65<<20 || !body.closed {
		t.Errorf("%d bytes were read and %d kept (closed: %v), want 64 MiB and 1 MiB", body.read, len(api.Body), body.closed)
	}
	wantNoPermits(t, client)
}

// endlessBody is a body of spaces that does not end. It is also a transport whose responses have that body.
type endlessBody struct {
	read   int // bytes
	closed bool
}

// spaces is a part of an endlessBody.
const spaces = "                                                                "

func (e *endlessBody) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: e}, nil
}

func (e *endlessBody) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], spaces)
	}
	e.read += len(p)
	return len(p), nil
}

func (e *endlessBody) Close() error { e.closed = true; return nil }

// If the connection breaks within a response, the client does not retry the call.
func TestTruncatedResponse(t *testing.T) {
	requests := 0
	truncated := func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Content-Length", strconv.Itoa(5000))
		writeJSON(w, 200, `{"conversation_id":"c",`)
	}
	runWithHandler(t, fast, truncated, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || !strings.Contains(err.Error(), "the response is incomplete: unexpected EOF") {
			t.Errorf("error is %v, want an APIError that reports the truncation", err)
		}
		if requests != 1 {
			t.Errorf("%d requests, want 1", requests)
		}
	})
}

// The client decodes responses of the real API that do not match its schema.
func TestResponsesThatViolateTheSchema(t *testing.T) {
	body := `{"object":"conversation.response","conversation_id":"c","guardrails":null,"outputs":[
		{"type":"tool.execution","function":"web_search","name":"web_search","id":"t1","created_at":"2026-01-02T03:04:05.123","completed_at":null,"info":{"result":"[{\"a\":1}]"}},
		{"type":"message.output","role":"assistant","content":[{"type":"text","text":"It is "},{"type":"tool_reference","tool":"web_search","title":"T","source":"brave"},{"type":"hologram","x":1},{"type":"text","text":"noon."}]},
		{"type":"brand.new","payload":[1,2,3]},
		{"type":"message.output","content":"!","created_at":"not a time"}],
		"usage":{"prompt_tokens":10,"completion_tokens":null,"total_tokens":12,"connector_tokens":null}}`
	runWithHandler(t, fast, status(200, body), func(t *testing.T, client *ratelimited.Client) {
		response, err := start(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if got := ratelimited.OutputText(response); got != "It is noon.!" {
			t.Errorf("text is %q", got)
		}
		execution, ok := response.Outputs[0].Value().(generated.ToolExecutionEntry)
		if !ok || execution.CreatedAt.Format("15:04:05.000 MST") != "03:04:05.123 UTC" || execution.Arguments != "" {
			t.Errorf("first entry is %#v", response.Outputs[0].Value())
		}
		if !strings.Contains(string(response.Outputs[0].Raw()), `"function":"web_search"`) {
			t.Error("Raw does not contain the undeclared field")
		}
		unknown, ok := response.Outputs[2].Value().(generated.UnknownEntry)
		if !ok || unknown.Type != "brand.new" || string(unknown.Raw) != `{"type":"brand.new","payload":[1,2,3]}` {
			t.Errorf("the entry of an unknown type is %#v", response.Outputs[2].Value())
		}
		if message, ok := response.Outputs[3].Value().(generated.MessageOutputEntry); !ok || message.Type != "message.output" || len(response.Mismatches()) == 0 {
			t.Errorf("the entry with an invalid value is %v, with mismatches %v", response.Outputs[3], response.Mismatches())
		}
	})
}
