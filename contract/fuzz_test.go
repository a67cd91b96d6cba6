package contract_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// hostile lists inputs that have crashed or stalled JSON validators.
var hostile = []string{
	"", "null", "{", "[1,]", `{"a":1,}`, "1e999999999", `{"completion_args":{"temperature":1e9999999}}`,
	`{"completion_args":{"max_tokens":-0.0e-9999999,"temperature":99999999999999999999999999999999999999999999999}}`,
	`{"inputs":[[[[[[]]]]]]}`, "\xff", `"\ud800"`, "\x00", `{"":{"":1}}`, `{"inputs":[{"type":{}}]}`,
}

func FuzzCheckRequest(f *testing.F) {
	for _, x := range exchanges {
		u, err := url.Parse(x.path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(x.method, u.Path, u.RawPath, u.RawQuery, "application/json", x.request)
	}
	for _, body := range hostile {
		f.Add("POST", "/v1/conversations", "", "", "application/json", body)
		f.Add("GET", "/v1/agents", "", "metadata="+url.QueryEscape(body), "application/json", body)
	}
	f.Fuzz(func(t *testing.T, method, path, rawPath, query, contentType, body string) {
		r := &http.Request{
			Method: method,
			URL:    &url.URL{Path: path, RawPath: rawPath, RawQuery: query},
			Header: http.Header{"Content-Type": {contentType}},
		}
		for _, c := range []*contract.Contract{contract.Default(), contract.Lenient()} {
			op, found := c.CheckRequest(r, []byte(body))
			if op == nil && len(found) != 1 {
				t.Errorf("%d violations without an operation, want 1:\n%s", len(found), text(found))
			}
			checkReadable(t, found)
			if op != nil {
				for _, status := range []int{200, 204, 422, 429, len(body) - 1} {
					checkReadable(t, op.CheckResponse(status, r.Header, []byte(body)))
				}
			}
		}
	})
}

func FuzzCheckEvent(f *testing.F) {
	for name, data := range events {
		f.Add(name, data)
	}
	for _, data := range hostile {
		f.Add("message.output.delta", data)
	}
	f.Fuzz(func(t *testing.T, name, data string) {
		strict := contract.Default().CheckEvent(name, []byte(data))
		lenient := contract.Lenient().CheckEvent(name, []byte(data))
		if len(strict) == 0 && len(lenient) != 0 {
			t.Errorf("the lenient contract rejects an event that the strict one accepts:\n%s", text(lenient))
		}
		checkReadable(t, strict)
	})
}

// checkReadable checks that every violation has a place, a rule and a message.
func checkReadable(t *testing.T, list []contract.Violation) {
	t.Helper()
	for _, v := range list {
		if v.In == "" || v.Rule == "" || v.Message == "" || len(v.Value) > 110 {
			t.Errorf("violation is incomplete or too long: %+v", v)
		}
	}
}
