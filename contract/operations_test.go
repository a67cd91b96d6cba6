package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

func TestEveryOperationHasAnExchange(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, x := range exchanges {
		tested[x.operation] = true
	}
	operations := contract.Default().Operations()
	for _, op := range operations {
		if !tested[op.ID] {
			t.Errorf("operation %s (%s %s) is not in exchanges", op.ID, op.Method, op.Path)
		}
	}
	if len(operations) != len(tested) {
		t.Errorf("exchanges has %d operations, want %d", len(tested), len(operations))
	}
}

func TestValidExchanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*contract.Contract{"strict": contract.Default(), "lenient": contract.Lenient()} {
		for _, x := range exchanges {
			t.Run(name+"/"+x.operation, func(t *testing.T) {
				t.Parallel()
				op, got := c.CheckRequest(x.httpRequest(t), []byte(x.request))
				if op == nil || op.ID != x.operation || got != nil {
					t.Fatalf("request: %+v\n%s", op, text(got))
				}
				header := jsonHeader
				if x.response == "" {
					header = http.Header{}
				}
				if got := op.CheckResponse(x.status, header, []byte(x.response)); got != nil {
					t.Errorf("response:\n%s", text(got))
				}
				unprocessable := `{"detail":[{"loc":["body","inputs",0],"msg":"m","type":"missing","input":{"a":1},"ctx":{"e":1}}]}`
				if got := op.CheckResponse(422, jsonHeader, []byte(unprocessable)); got != nil {
					t.Errorf("422:\n%s", text(got))
				}
				if got := op.CheckResponse(503, http.Header{"Content-Type": {"text/plain"}}, []byte("later")); got != nil {
					t.Errorf("503:\n%s", text(got))
				}
			})
		}
	}
}

// TestEveryKindOfViolation makes every part of every exchange invalid in turn.
func TestEveryKindOfViolation(t *testing.T) {
	t.Parallel()
	c := contract.Default()
	for _, x := range exchanges {
		t.Run(x.operation, func(t *testing.T) {
			t.Parallel()
			op, _ := c.CheckRequest(x.httpRequest(t), []byte(x.request))
			request := func(change func(r *http.Request), body, in, rule string) {
				t.Helper()
				r := x.httpRequest(t)
				change(r)
				_, got := c.CheckRequest(r, []byte(body))
				wantRule(t, got, x.operation, in, rule)
			}
			unchanged := func(*http.Request) {}
			request(func(r *http.Request) { r.URL.RawQuery = strings.TrimPrefix(r.URL.RawQuery+"&nope=1", "&") }, x.request, "query", "unknown")
			request(func(r *http.Request) { r.URL.RawQuery = "%zz" }, x.request, "query", "encoding")
			if x.request == "" {
				request(unchanged, "{}", "body", "unexpected")
			} else {
				request(unchanged, "", "body", "required")
				request(unchanged, "{", "body", "json")
				request(unchanged, x.request+"]", "body", "json")
				request(unchanged, "5", "body", "type")
				request(unchanged, "null", "body", "type")
				request(unchanged, `{"nope":1,`+x.request[1:], "body", "additionalProperties")
				request(unchanged, `{"metadata":{"a":1,"a":2},`+x.request[1:], "body", "duplicate")
				request(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, x.request, "header", "mediaType")
				request(func(r *http.Request) { r.Header.Del("Content-Type") }, x.request, "header", "required")
			}

			response := func(status int, contentType, body, in, rule string) {
				t.Helper()
				header := http.Header{}
				if contentType != "" {
					header.Set("Content-Type", contentType)
				}
				wantRule(t, op.CheckResponse(status, header, []byte(body)), x.operation, in, rule)
			}
			const asJSON = "application/json"
			response(201, asJSON, "{}", "response", "status")
			response(418, asJSON, "{}", "response", "status")
			response(429, asJSON, "{", "response", "json")
			response(422, asJSON, `{"detail":"no"}`, "response", "type")
			response(422, asJSON, `{"detail":[{"msg":"m","type":"t"}]}`, "response", "required")
			if x.response == "" {
				response(204, "", "{}", "response", "unexpected")
				response(200, asJSON, "{}", "response", "status")
				return
			}
			response(200, "text/html", x.response, "header", "mediaType")
			response(200, "", x.response, "header", "required")
			response(200, asJSON, "", "response", "json")
			response(200, asJSON, x.response+"x", "response", "json")
			response(200, asJSON, "null", "response", "type")
			response(200, asJSON, strings.Replace(x.response, "{", `{"nope":1,`, 1), "response", "additionalProperties")
			response(200, asJSON, strings.Replace(x.response, "{", `{"id":"a","id":"b",`, 1), "response", "duplicate")
			if strings.HasPrefix(x.response, "[") {
				response(200, asJSON, "[{}]", "response", "required")
			} else {
				response(200, asJSON, "{}", "response", "required")
			}
		})
	}
}

func TestOperationFields(t *testing.T) {
	t.Parallel()
	op, ok := contract.Default().Route("POST", "/v1/conversations")
	if !ok {
		t.Fatal("POST /v1/conversations is not an operation")
	}
	if op.Path != "/v1/conversations" || op.Method != "POST" || len(op.Statuses) != 2 || op.Statuses[0] != 200 || op.Statuses[1] != 422 {
		t.Errorf("%+v", op)
	}
	if got := strings.Join(op.ResponseMediaTypes(200), " "); got != "application/json text/event-stream" {
		t.Errorf("media types of response 200 are %s", got)
	}
	if got := strings.Join(op.RequestMediaTypes(), " "); got != "application/json" {
		t.Errorf("media types of the request are %s", got)
	}
	if got := op.ResponseMediaTypes(500); len(got) != 0 {
		t.Errorf("media types of response 500 are %s, want none", got)
	}
}
