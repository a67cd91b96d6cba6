package ratelimited

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzAPIError creates errors from any response, also from responses that contain the key. The text of
// the error must be one short line and must not contain the key.
func FuzzAPIError(f *testing.F) {
	const key = `sk-"THE"/SECRET\KEY`
	for _, body := range []string{
		"", "null", "[]", "{}", "no healthy upstream", "<html><h1>502</h1></html>",
		`{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`,
		`{"detail":"Token rate limit reached."}`, `{"message":"web_search rate limit reached."}`,
		`{"message":{"detail":[{"type":"missing","loc":["body","inputs",0],"msg":"Field required"}]}}`,
		`{"error":{"message":{"detail":{"message":"deep"}},"type":"guardrail_violation","code":1920}}`,
		`{"detail":[{"loc":["sk-\"THE\"","KEY"],"msg":"` + `sk-\"THE\"\/SECRET\\KEY"}]}`,
		`{"message":"bad key sk-\u0022THE\u0022/SECRET\u005cKEY","code":"sk-\"the\"/secret\\key"}`,
		"bad key " + key, "line\nbreak\x1b[31m\u202e\u2028\xff\xfe", strings.Repeat("é", 10_000),
		`{"message":"` + strings.Repeat("x", 10_000), `{"message":"a","message":"b","detail":7,"code":true,"type":1e999}`,
		`{"detail":[` + strings.Repeat(`{"loc":["a"],"msg":"b"},`, 100) + `{}]}`,
	} {
		f.Add(429, "application/json", "id-1", "", []byte(body))
		f.Add(502, "text/html; charset=utf-8", "", "/v1/agents/\n", []byte(body))
		f.Add(200, "", strings.Repeat("\xff", 1000), strings.Repeat("/", 1000), []byte(body))
	}
	f.Add(-1, "\x00", "\r\n", "%", []byte(`{"code":-0}`))
	f.Fuzz(func(t *testing.T, status int, contentType, id, path string, body []byte) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}, "X-Kong-Request-Id": {id}}}
		call := &call{
			client: &Client{secret: newSecret(key)}, request: &http.Request{Method: http.MethodPost, URL: &url.URL{Path: path}}, attempts: 2, latest: &attempt{resp: resp},
		}
		for _, err := range []error{call.apiError(body, nil), call.unusableResponse(body, errors.New("is of no use:\n"+contentType))} {
			text := err.Error()
			if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(text) || len(text) > 10_000 {
				t.Errorf("the text of %d bytes is not one short line: %q", len(text), text)
			}
			if !strings.HasPrefix(text, "mistral: POST ") {
				t.Errorf("the error does not begin with \"mistral: POST \": %q", text)
			}
			var api *APIError
			if !errors.As(err, &api) || len(api.Body) > maxErrorBody {
				t.Fatalf("%T is not an APIError, or its body exceeds %d bytes", err, maxErrorBody)
			}
			if bytes.Contains(bytes.ToLower(api.Body), []byte(strings.ToLower(key))) {
				t.Errorf("the body contains the key: %q", api.Body)
			}
			texts := []string{api.Message, api.Type, api.Code, api.Param}
			if !strings.Contains(id+path+contentType, "sk-") { // the text also contains these values
				texts = append(texts, text)
			}
			for _, field := range api.Fields {
				texts = append(texts, field.Location, field.Type, field.Message)
			}
			for _, text := range texts {
				if strings.Contains(strings.ToLower(text), strings.ToLower(key)) {
					t.Errorf("the error contains the key: %q", text)
				}
			}
		}
	})
}
