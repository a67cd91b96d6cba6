package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

func TestControlState(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{
		Control: true, RequestsPerSecond: 0.001, TokensPerMinute: 50, Mode: emulator.FixedWindow,
		Limits: map[string]emulator.Limit{emulator.NoModel: {}},
	}).unchecked()
	a.start("Say a")
	a.do(http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`).want(http.StatusOK)
	a.post("/v1/conversations", textRequest("Say a")).want(http.StatusTooManyRequests)
	waitForRecords(a, 3)
	type state struct {
		Stats  emulator.Stats
		Limits struct {
			RequestsPerSecond float64 `json:"requests_per_second"`
			TokensPerMinute   int     `json:"tokens_per_minute"`
			Mode              emulator.Mode
			Models            map[string]struct {
				RequestsLeft *int `json:"requests_left"`
				TokensLeft   *int `json:"tokens_left"`
			}
		}
		Conversations, Agents, Faults int
	}
	got := read[state](a.do(http.MethodGet, "/_emulator/state", ""))
	m := got.Limits.Models[model]
	if got.Conversations != 1 || got.Agents != 1 || got.Limits.RequestsPerSecond != 0.001 || got.Limits.Mode != emulator.FixedWindow ||
		m.RequestsLeft == nil || *m.RequestsLeft != 0 || m.TokensLeft == nil || *m.TokensLeft != 44 || got.Limits.Models[""].TokensLeft != nil {
		t.Errorf("state is %+v", got)
	}
	if s := got.Stats; s.Requests != 3 || s.Models[model].RefusedRequests != 1 || s.Statuses[429] != 1 || s.Operations["CreateAgent"] != 1 {
		t.Errorf("stats are %+v", s)
	}

	if got := a.do(http.MethodPost, "/_emulator/reset", ""); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("response to reset is %d %s, want 204", got.status, got.body)
	}
	got = read[state](a.do(http.MethodGet, "/_emulator/state", ""))
	if got.Conversations+got.Agents+got.Stats.Requests+len(got.Stats.Models)+len(got.Limits.Models) != 0 {
		t.Errorf("state after reset is %+v", got)
	}
	a.start("Say a") // The reset has refilled the limits.
}

// waitForRecords waits until the server has recorded this number of requests. A client may
// receive a response earlier.
func waitForRecords(a *api, requests int) {
	for len(a.Requests()) < requests {
		runtime.Gosched()
	}
}

func TestControlFaults(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Control: true, Faults: []emulator.Fault{{Kind: emulator.FaultReset, Nth: 1000}}}).unchecked()
	const configured = `[{"kind":"reset","nth":1000}]`
	const other = `[{"kind":"503-text","operation":"ListAgents","times":1}]`
	faults := func(method, body string, status int, want string) {
		t.Helper()
		if got := a.do(method, "/_emulator/faults", body); got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%s %s: %d %s, want %d %s", method, body, got.status, got.body, status, want)
		}
	}
	faults(http.MethodGet, "", 200, configured)
	faults(http.MethodPut, `[{"kind":"nonsense"}]`, 422, `fault 1: Kind: unknown kind \"nonsense\"`)
	faults(http.MethodPut, `{}`, 422, "must be a list")
	faults(http.MethodPut, strings.Repeat(" ", 2<<20), 400, "too large")
	faults(http.MethodGet, "", 200, configured)
	faults(http.MethodPut, other, 200, other)
	a.do(http.MethodGet, "/v1/agents", "").want(http.StatusServiceUnavailable)
	a.do(http.MethodGet, "/v1/agents", "").want(http.StatusOK)
	faults(http.MethodDelete, "", 204, "")
	faults(http.MethodGet, "", 200, "[]")
	a.Reset()
	faults(http.MethodGet, "", 200, configured)
}

func TestControlRequests(t *testing.T) {
	t.Parallel()
	const key = "s3cret-key"
	a := start(t, emulator.Config{Control: true, APIKey: key}).unchecked()
	ask := func(method, path, body, with string) fullResponse {
		t.Helper()
		request := newRequest(t, method, a.URL()+path, body)
		request.Header.Set("Authorization", "Bearer "+with)
		response, err := a.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return readResponse(t, response)
	}
	ask(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"My key is `+key+`"}`, key).want(200)
	waitForRecords(a, 1)
	ask(http.MethodGet, "/v1/agents/"+key+"?agent_version="+key, "", key).want(404)
	waitForRecords(a, 2)
	ask(http.MethodPost, "/v1/agents", `{"model":"m"}`, "another-key").want(401)
	waitForRecords(a, 3)
	ask(http.MethodPost, "/v1/agents", `"`+strings.Repeat("x", emulator.MaxRecordedBody)+`"`, key).want(422)
	waitForRecords(a, 4)
	got := ask(http.MethodGet, "/_emulator/requests", "", key)
	for _, secret := range []string{key, "another-key", "Bearer", "uthorization"} {
		if strings.Contains(got.body, secret) {
			t.Errorf("%s is in %.2000s", secret, got.body)
		}
	}
	list := read[[]emulator.Recorded](got)
	for i, want := range []emulator.Recorded{
		{Method: "POST", Path: "/v1/conversations", Status: 200, Body: `{"model":"m","inputs":"My key is [key]"}`},
		{Method: "GET", Path: "/v1/agents/[key]", Query: "agent_version=[key]", Status: 404},
		{Method: "POST", Path: "/v1/agents", Status: 401},
		{Method: "POST", Path: "/v1/agents", Status: 422, Body: `"` + strings.Repeat("x", emulator.MaxRecordedBody-1)},
	} {
		r := list[i]
		if r.Method != want.Method || r.Path != want.Path || r.Query != want.Query || r.Status != want.Status || r.Body != want.Body {
			t.Errorf("request %d is %.500s", i, fmt.Sprint(r))
		}
	}
	if got := read[[]emulator.Recorded](ask(http.MethodGet, "/_emulator/requests?last=1", "", key)); len(got) != 1 || got[0].Status != 422 {
		t.Errorf("with last=1 the requests are %.500s", fmt.Sprint(got))
	}
	for _, last := range []string{"0", "x", "10001"} {
		ask(http.MethodGet, "/_emulator/requests?last="+last, "", key).want(422)
	}
	for _, path := range []string{"state", "requests", "faults"} {
		ask(http.MethodGet, "/_emulator/"+path, "", "wrong").want(401)
	}
	ask(http.MethodGet, "/_emulator/", "", key).want(404)
	ask(http.MethodGet, "/_emulator/reset", "", key).want(404)
	if got := a.Stats().Requests; got != 4 {
		t.Errorf("Stats counted %d requests, want 4: requests to the control endpoint do not count", got)
	}
}

func TestControlDisabled(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{}).unchecked()
	a.start("Hello")
	a.do(http.MethodGet, "/_emulator/state", "").want(http.StatusNotFound)
	waitForRecords(a, 2)
	if r := a.Requests()[0]; r.Body != "" {
		t.Errorf("recorded body is %q, want none", r.Body)
	}
}

// TestRecordsAreTruncated sends requests whose parts are all too long to record.
func TestRecordsAreTruncated(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{Control: true, Model: func(context.Context, emulator.Prompt) emulator.Reply { return emulator.Reply{Text: "ok"} }})
	long := strings.Repeat("x", 100_000)
	direct(t.Context(), e, http.MethodPost, "/v1/"+long+"?"+long, "")
	direct(t.Context(), e, long, "/v1/agents", "")
	direct(t.Context(), e, http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":%q,"inputs":"x"}`, long))
	for _, r := range e.Requests() {
		for _, text := range []string{r.Method, r.Path, r.Query, r.Model} {
			if len(text) > emulator.MaxRecordedText {
				t.Errorf("recorded text has %d bytes, want at most %d: %.20s", len(text), emulator.MaxRecordedText, text)
			}
		}
		if len(r.Body) > emulator.MaxRecordedBody {
			t.Errorf("recorded body has %d bytes, want at most %d", len(r.Body), emulator.MaxRecordedBody)
		}
	}
	for model := range e.Stats().Models {
		if len(model) > emulator.MaxRecordedText {
			t.Errorf("name of a model has %d bytes, want at most %d", len(model), emulator.MaxRecordedText)
		}
	}
}
