package emulator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// outcome returns the result of a call: a status, an error, or both.
func (a *api) outcome(body string) string {
	a.t.Helper()
	response, err := a.client.Do(newRequest(a.t, http.MethodPost, a.URL()+"/v1/conversations", body))
	if err != nil {
		return errorName(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Sprint(response.StatusCode, " ", errorName(err))
	}
	return fmt.Sprint(response.StatusCode)
}

func errorName(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end"
	default:
		return err.Error()
	}
}

const (
	plainHello  = `{"model":"m","inputs":"Count to 3"}`
	streamHello = `{"model":"m","inputs":"Count to 3","stream":true}`
)

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	for kind, want := range map[emulator.FaultKind][2]string{
		emulator.FaultClose:             {"end", "end"},
		emulator.FaultReset:             {"reset", "reset"},
		emulator.FaultResetAfterHeaders: {"200 reset", "200 reset"},
		emulator.FaultResetStream:       {"200", "200 reset"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Config{TokensPerMinute: 1000, Faults: []emulator.Fault{{Kind: kind}}}).unchecked()
			for i, body := range []string{plainHello, streamHello} {
				if got := a.outcome(body); got != want[i] {
					t.Errorf("%s: %s, want %s", body, got, want[i])
				}
			}
			admitted := 2
			if kind.Replaces() {
				admitted = 0
			}
			if err := a.Close(); err != nil { // Close waits for the handlers.
				t.Fatal(err)
			}
			if got := a.Stats().Total().Admitted; got != admitted {
				t.Errorf("Admitted is %d, want %d", got, admitted)
			}
		})
	}
}

// TestStatusFaults checks the response of each fault with a status, and how Stats counts it.
func TestStatusFaults(t *testing.T) {
	t.Parallel()
	const limit, remaining = "X-Ratelimit-Limit-Tokens-Minute", "X-Ratelimit-Remaining-Tokens-Minute"
	for kind, want := range map[emulator.FaultKind]struct {
		status           int
		media, body      string
		header           string
		requests, tokens int
		tools            int
	}{
		emulator.FaultUnauthorized:   {status: 401, body: `{"detail":"Unauthorized"}`},
		emulator.FaultPayment:        {status: 402, body: `"raw_status_code":402`},
		emulator.FaultForbidden:      {status: 403, body: `{"error":{"object":"error",`},
		emulator.FaultRateLimit:      {status: 429, body: `"type":"rate_limited","param":null,"code":"1300"`, requests: 1},
		emulator.FaultTokenLimit:     {status: 429, body: `{"detail":"Token rate limit reached."}`, header: remaining + ": 0", tokens: 1},
		emulator.FaultRequestLimit:   {status: 429, body: `{"message":"Requests rate limit exceeded"}`, requests: 1},
		emulator.FaultToolLimit:      {status: 429, body: `{"detail":"web_search rate limit reached."}`, tools: 1},
		emulator.FaultCapacity:       {status: 429, body: `"code":null,"message":"Service tier capacity exceeded for this model."`, requests: 1},
		emulator.FaultQuota:          {status: 429, body: `"detail"`, header: limit + ": 0", tokens: 1},
		emulator.FaultInternal:       {status: 500, body: `"type":"internal_server_error"`},
		emulator.FaultBadGateway:     {status: 502, media: "text/html", body: "<h1>502 Bad Gateway</h1>"},
		emulator.FaultUnavailable:    {status: 503, media: "text/plain", body: "no healthy upstream"},
		emulator.FaultGatewayTimeout: {status: 504, body: `{"message":"The upstream server is timing out"}`},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Config{RequestsPerSecond: 0.001, Faults: []emulator.Fault{
				{Kind: kind, Times: 1, Header: map[string]string{"retry-after": "7"}},
			}})
			got := a.post("/v1/conversations", textRequest("Hello")).want(want.status)
			if want.media == "" {
				want.media = "application/json"
			}
			name, value, _ := strings.Cut(want.header, ": ")
			if got.header.Get("Content-Type") != want.media || !strings.Contains(got.body, want.body) ||
				got.header.Get("Retry-After") != "7" || got.header.Get("Mistral-Correlation-Id") == "" || name != "" && got.header.Get(name) != value {
				t.Errorf("response is %v %s", got.header, got.body)
			}
			a.start("Hello") // The fault did not use the limits.
			s := a.Stats()
			if m := s.Models[model]; m.RefusedRequests != want.requests || m.RefusedTokens != want.tokens || m.RefusedTools != want.tools || m.Admitted != 1 {
				t.Errorf("stats are %+v", m)
			}
			if s.Faults[kind] != 1 || a.Requests()[0].Fault != kind {
				t.Errorf("faults are %v, the request is %+v", s.Faults, a.Requests()[0])
			}
		})
	}
}

// TestFaultSelection checks which of ten requests receive a fault. "." is a request without
// a fault. A digit is the last digit of the status.
func TestFaultSelection(t *testing.T) {
	t.Parallel()
	const busy = emulator.FaultUnavailable
	for _, test := range []struct {
		faults []emulator.Fault
		want   string
	}{
		{nil, ".........."},
		{[]emulator.Fault{{Kind: busy}}, "3333333333"},
		{[]emulator.Fault{{Kind: busy, Nth: 4}}, "...3......"},
		{[]emulator.Fault{{Kind: busy, Every: 3}}, "..3..3..3."},
		{[]emulator.Fault{{Kind: busy, Times: 2}}, "33........"},
		{[]emulator.Fault{{Kind: busy, Every: 2, Times: 3}}, ".3.3.3...."},
		{[]emulator.Fault{{Kind: busy, Probability: 1, Nth: 1}}, "3........."},
		{[]emulator.Fault{{Kind: busy, Times: 2}, {Kind: emulator.FaultInternal, Every: 4}}, "33.0...0.."},
		{[]emulator.Fault{{Kind: busy, Times: 1}, {Kind: emulator.FaultInternal, Times: 1}}, "30........"},
		{[]emulator.Fault{{Kind: busy, Operation: "GET /v1/agents", Every: 2}}, ".3.3.3.3.3"},
		{[]emulator.Fault{{Kind: busy, Operation: "/v1/*"}}, "3333333333"},
		{[]emulator.Fault{{Kind: busy, Operation: "ListAgents"}}, "3333333333"},
		{[]emulator.Fault{{Kind: busy, Operation: "POST /v1/agents"}, {Kind: busy, Operation: "GET /v1/agents/{agent_id}"}, {Kind: busy, Operation: "GetAgent"}}, ".........."},
		{[]emulator.Fault{{Kind: emulator.FaultResetStream}, {Kind: busy, Nth: 1}}, "3........."},
	} {
		e := emulator.New(emulator.Config{Faults: test.faults})
		var got strings.Builder
		for range len(test.want) {
			w := direct(t.Context(), e, http.MethodGet, "/v1/agents", "")
			got.WriteString(map[int]string{200: ".", 500: "0", 503: "3"}[w.Code])
		}
		if got.String() != test.want {
			t.Errorf("%+v: %s, want %s", test.faults, &got, test.want)
		}
	}
}

func TestFaultsSelectStreams(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string][2]int{
		"StartConversation":       {500, 500},
		"StartConversationStream": {200, 500},
		"AppendConversation":      {200, 200},
	} {
		e := emulator.New(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultInternal, Operation: operation}}})
		for i, body := range []string{plainHello, streamHello} {
			if w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", body); w.Code != want[i] {
				t.Errorf("%s: %s: status %d, want %d", operation, body, w.Code, want[i])
			}
		}
	}
}

// TestFaultProbability checks that the seed determines the faults, and that their share is
// close to the probability.
func TestFaultProbability(t *testing.T) {
	t.Parallel()
	const requests = 2_000
	sample := func(seed uint64) string {
		e := emulator.New(emulator.Config{Seed: seed, Faults: []emulator.Fault{
			{Kind: emulator.FaultInternal, Probability: 0.3}, {Kind: emulator.FaultInternal, Probability: 0.5, Operation: "CreateAgent"},
		}})
		var text strings.Builder
		for range requests {
			_, _ = fmt.Fprint(&text, direct(t.Context(), e, http.MethodGet, "/v1/agents", "").Code, " ")
		}
		return text.String()
	}
	first := sample(1)
	if sample(1) != first || sample(2) == first {
		t.Error("the seed does not determine the faults")
	}
	if share := float64(strings.Count(first, "500")) / requests; math.Abs(share-0.3) > 0.04 {
		t.Errorf("share of requests with a fault is %.3f, want about 0.3", share)
	}
}

// A 429 of a fault counts for the model that the call would have run.
func TestFaultsCountForTheModel(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	agent := read[generated.Agent](a.post("/v1/agents", generated.CreateAgentRequest{Model: "of the agent", Name: "n"}))
	c := a.start("Hello")
	if err := a.SetFaults(emulator.Fault{Kind: emulator.FaultTokenLimit}); err != nil {
		t.Fatal(err)
	}
	a.post("/v1/conversations", generated.StartConversationRequest{AgentID: agent.ID, Inputs: generated.NewTextInputs("x")}).want(429)
	a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("x")}).want(429)
	a.do(http.MethodGet, "/v1/agents/"+agent.ID, "").want(429)
	a.do(http.MethodGet, "/v1/agents/none", "").want(429)
	for name, want := range map[string]int{"of the agent": 1, model: 1, emulator.NoModel: 2} {
		if got := a.Stats().Models[name].RefusedTokens; got != want {
			t.Errorf("%q: RefusedTokens is %d, want %d", name, got, want)
		}
	}
	if err := a.SetFaults(); err != nil || len(a.Faults()) != 0 {
		t.Errorf("faults are %v, %v", a.Faults(), err)
	}
	a.do(http.MethodGet, "/v1/agents/"+agent.ID, "").want(200)
}

func TestFaultsAreValidated(t *testing.T) {
	t.Parallel()
	const busy = emulator.FaultUnavailable
	for want, fault := range map[string]emulator.Fault{
		`Kind: unknown kind ""; must be one of 401, 402, 403-guardrail, `:                           {},
		`Kind: unknown kind "503"`:                                                                  {Kind: "503"},
		`Operation: must be the name of an operation`:                                               {Kind: busy, Operation: "Start"},
		`Operation: must be the name of an operation (`:                                             {Kind: busy, Operation: "GetAgentStream"},
		`Operation: must be a path with a method among GET, POST, PUT, PATCH, DELETE, got "LOOK /"`: {Kind: busy, Operation: "LOOK /"},
		`Operation: must be a path pattern (syntax error in pattern), got "/v1/["`:                  {Kind: busy, Operation: "/v1/["},
		"Nth: must be 0 or more, got -1":                                                            {Kind: busy, Nth: -1},
		"Times: must be 0 or more, got -2":                                                          {Kind: busy, Times: -2},
		"Nth: must be 0 if Every is set, got 1 with Every 2":                                        {Kind: busy, Nth: 1, Every: 2},
		"Probability: must be a number from 0 to 1, got 1.5":                                        {Kind: busy, Probability: 1.5},
		"Probability: must be a number from 0 to 1, got NaN":                                        {Kind: busy, Probability: math.NaN()},
		"Delay: must be 0 or more, got -1ns":                                                        {Kind: busy, Delay: -1},
		"Delay: must be more than 0 for kind slow-body, got 0s":                                     {Kind: emulator.FaultSlowBody},
		"Events: must not be set for kind 503-text, got 1":                                          {Kind: busy, Events: 1},
		"Bytes: must not be set for kind 503-text, got 1":                                           {Kind: busy, Bytes: 1},
		"Bytes: must be at most 268435456, got 268435457":                                           {Kind: emulator.FaultOversize, Bytes: emulator.MaxFaultBytes + 1},
		`Fields: must not be set for kind 503-text, got ["a"]`:                                      {Kind: busy, Fields: []string{"a"}},
		`header: must be the name of a header field, got "a b"`:                                     {Kind: busy, Header: map[string]string{"a b": ""}},
		`header "A": must not contain control characters, got "\n"`:                                 {Kind: busy, Header: map[string]string{"A": "\n"}},
		`header: must be one that the server does not set, got "content-length"`:                    {Kind: busy, Header: map[string]string{"content-length": "1"}},
		`Header: must not be set for kind reset, got "A"`:                                           {Kind: emulator.FaultReset, Header: map[string]string{"A": "1"}},
	} {
		e := emulator.New(emulator.Config{})
		if err := e.SetFaults(emulator.Fault{Kind: busy}, fault); err == nil || !strings.Contains(err.Error(), "emulator: Faults[1]: "+want) {
			t.Errorf("error is %v, want %s", err, want)
		}
		if server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{fault}}); err == nil {
			_ = server.Close()
			t.Errorf("Start accepted %+v, want an error", fault)
		}
	}
	if err := emulator.New(emulator.Config{}).SetFaults(make([]emulator.Fault, emulator.MaxFaults+1)...); err == nil {
		t.Error("SetFaults accepted more than MaxFaults faults, want an error")
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	list, err := emulator.ParseFaults([]byte(`
- {kind: 503-text, operation: StartConversation, nth: 2, times: 3, probability: 0.5, delay: 300ms, header: {Retry-After: "1"}}
- {kind: oversize, every: 4, events: 5, bytes: 6}
- {"kind": "missing-fields", "fields": ["usage"]}
- {kind: 429, header: {Retry-After: 2}}
`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"kind":"503-text","operation":"StartConversation","nth":2,"times":3,"probability":0.5,"header":{"Retry-After":"1"},"delay":"300ms"},` +
		`{"kind":"oversize","every":4,"events":5,"bytes":6},{"kind":"missing-fields","fields":["usage"]},{"kind":"429","header":{"Retry-After":"2"}}]`
	if got := encoded(t, list); got != want {
		t.Errorf("faults are %s, want %s", got, want)
	}
	var again []emulator.Fault
	if err := json.Unmarshal([]byte(want), &again); err != nil || encoded(t, again) != want {
		t.Errorf("decoding the encoded faults returned %+v, %v", again, err)
	}
	for text, want := range map[string]string{
		"kind: reset":                       "faults: must be a list, got a mapping (line 1)",
		"- {kind: reset, nht: 1}":           `fault 1: unknown field "nht" (did you mean "nth"?): must be one of kind, operation, `,
		"- {kind: reset, delay: soon}":      `fault 1: delay: must be a time above 0, such as "300ms", got "soon" (line 1)`,
		"- {kind: reset, delay: 3}":         `fault 1: delay: must be a time above 0`,
		"- {kind: reset}\n- {nth: x}":       `fault 2: nth: must be a whole number, got "x" (line 2)`,
		"- {kind: resett}":                  `fault 1: Kind: unknown kind "resett" (did you mean "reset"?); must be one of 401`,
		"- {kind: reset, operation: Start}": "must be the name of an operation (AppendConversation, ",
		"- reset":                           `fault 1: must be a mapping, got "reset"`,
		"- {kind: reset}\n---\n- {kind: x":  "expected ',' or '}' (line 3)",
	} {
		if _, err := emulator.ParseFaults([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %s", text, err, want)
		}
	}
	if list, err := emulator.ParseFaults(nil); err != nil || len(list) != 0 {
		t.Errorf("ParseFaults(nil) returned %v, %v, want no faults", list, err)
	}
}

// A fault for one model does not affect calls of other models or calls without a model.
func TestFaultOfOneModel(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultCapacity, Model: "large"}}})
	id := a.start("Say hi").ConversationID
	a.do(http.MethodPost, "/v1/conversations", `{"model":"large","inputs":"x"}`).want(429)
	a.do(http.MethodPost, "/v1/conversations", `{"model":"small","inputs":"x"}`).want(200)
	a.do(http.MethodPost, "/v1/conversations/"+id, `{"inputs":"x"}`).want(200)
	a.do(http.MethodGet, "/v1/conversations/"+id, "").want(200)
	if m := a.Stats().Models["large"]; m.RefusedRequests != 1 {
		t.Errorf("stats are %+v, want one refused request", m)
	}
}

// The emulator charges and stores the sent part of a stream that a fault cuts off.
func TestStreamResetIsChargedAndStored(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 10)
	a := start(t, emulator.Config{
		Faults: []emulator.Fault{{Kind: emulator.FaultResetStream, Events: 3, Times: 1}},
		Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			defer func() { ended <- struct{}{} }()
			next.ServeHTTP(w, r)
		},
	})
	if got := a.unchecked().outcome(streamHello); got != "200 reset" {
		t.Errorf("outcome is %s, want 200 reset", got)
	}
	<-ended // the client sees the reset before the emulator has stored the conversation
	list := read[[]generated.Conversation](a.do(http.MethodGet, "/v1/conversations", ""))
	history := a.do(http.MethodGet, "/v1/conversations/"+list[0].ID+"/history", "").want(http.StatusOK)
	if !strings.Contains(history.body, `"content":"1 2"`) {
		t.Errorf("history is %s", history.body)
	}
	prompt := 3 + 2 + 1 + 1 // an entry; count, to, 3
	if got := a.Stats().Models["m"].Tokens; got != prompt+2 {
		t.Errorf("charged %d tokens, want %d", got, prompt+2)
	}
}
