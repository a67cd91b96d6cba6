package emulator_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// FuzzServeHTTP sends arbitrary requests to an emulator with state. The emulator must not
// panic, and each response must have a status of the API and match the document.
func FuzzServeHTTP(f *testing.F) {
	const c, a = "/v1/conversations", "/v1/agents"
	for _, seed := range [][3]string{
		{http.MethodPost, c, `{"model":"m","inputs":"What is 2+2?","stream":true}`},
		{http.MethodPost, c, `{"model":"m","inputs":[{"type":"function.call","tool_call_id":"x","name":"f","arguments":"{}"},{"type":"function.result","tool_call_id":"x","result":"1"}],"completion_args":{"max_tokens":1,"stop":"a"}}`},
		{http.MethodPost, c, `{"model":"m","inputs":"weather","tools":[{"type":"function","function":{"name":"weather","parameters":{"properties":{"a":true,"b":{"type":["array"],"items":{"enum":[null]}}}}}}]}`},
		{http.MethodPost, c, `{"model":"m","inputs":"x","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":true,"a":{}}}}}]}`},
		{http.MethodPost, c, `{"model":"m","inputs":"search","tools":[{"type":"web_search"}],"stream":true}`},
		{http.MethodPost, c, `{"model":"m","inputs":[{"role":"user","content":[{"type":"image_url","image_url":"u"},{"type":"thinking","thinking":[]}]}]}`},
		{http.MethodPost, c, `{"model":"m","inputs":"x","completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"$ref":"#/$defs/a","$defs":{"a":{"required":["b"],"properties":{"b":{"oneOf":[{"$ref":"#"},{"pattern":"^a+$","minLength":3}]}}}}}}}}}`},
		{http.MethodPost, c + "/CONV", `{"tool_confirmations":[{"tool_call_id":"x","confirmation":"deny"}]}`},
		{http.MethodPost, c + "/CONV/restart", `{"from_entry_id":"x","stream":true}`},
		{http.MethodGet, c + `?metadata={"a":1}&page=1&page_size=3`, ``},
		{http.MethodGet, c + "/CONV/history", ``},
		{http.MethodDelete, c + "/x", ``},
		{http.MethodPost, a, `{"model":"m","name":"n"}`},
		{http.MethodPatch, a + "/AGENT", `{"handoffs":["x"],"instructions":null}`},
		{http.MethodPatch, a + "/AGENT/version?version=0", ``},
		{http.MethodPut, a + "/AGENT/aliases?alias=x&version=0", ``},
		{http.MethodGet, a + "/pages?page_token=x&sources=api&sources=playground", ``},
		{http.MethodGet, a + "/a%2Fb/versions/%00", ``},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	statuses := map[int]bool{200: true, 204: true, 404: true, 405: true, 422: true}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		e := emulator.New(emulator.Config{OnViolation: func(err error) { t.Errorf("%s %s %s: %v", method, target, body, err) }})
		conversation := decoded[struct {
			ID string `json:"conversation_id"`
		}](t, run(t, e, "Count to 2"))
		agent := decoded[struct {
			ID string `json:"id"`
		}](t, direct(t.Context(), e, http.MethodPost, a, `{"model":"m","name":"n"}`))
		target = strings.NewReplacer("CONV", conversation.ID, "AGENT", agent.ID).Replace(target)
		parsed, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http rejects the request.
		}
		request := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		request.Method, request.URL = method, parsed
		request.Header.Set("Authorization", "Bearer key")
		request.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, request)
		isRejected := w.Code == http.StatusBadRequest && slices.ContainsFunc([]string{"3000", "3001", "3230"}, func(code string) bool {
			return strings.Contains(w.Body.String(), `"code":"`+code+`"`) // invalid schemas and names, missing or unexpected function results
		})
		if !statuses[w.Code] && !isRejected {
			t.Errorf("%s %s %s: status %d %s", method, target, body, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "text/event-stream; charset=utf-8" {
			events(t, w.Body.String())
		}
		for _, path := range []string{c, a, c + "/" + conversation.ID + "/history"} {
			direct(t.Context(), e, http.MethodGet, path, "") // The stored state must match the document, too.
		}
	})
}
