package contract_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// Both contracts reject what the document forbids. Only the strict contract rejects what
// the document does not mention. Both accept free-form maps.
func TestStrictAndLenient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, path, body string
		strict, lenient    string // the violated rule; empty if the request is valid
	}{
		"closed schema":      {"POST", "/v1/agents", `{"model":"m","name":"n","nope":1}`, "additionalProperties", "additionalProperties"},
		"open schema":        {"POST", "/v1/conversations", `{"inputs":"x","nope":1}`, "additionalProperties", ""},
		"open nested schema": {"POST", "/v1/agents", `{"model":"m","name":"n","guardrails":[{"nope":1}]}`, "additionalProperties", ""},
		"free metadata":      {"POST", "/v1/agents", `{"model":"m","name":"n","metadata":{"any":{"thing":1}}}`, "", ""},
		"free parameters":    {"POST", "/v1/agents", `{"model":"m","name":"n","tools":[{"type":"function","function":{"name":"f","parameters":{"any":1}}}]}`, "", ""},
		"unknown query":      {"GET", "/v1/agents?nope=1", "", "unknown", ""},
		"undeclared body":    {"PUT", "/v1/agents/a/aliases?alias=a&version=1", `{"alias":"a"}`, "unexpected", ""},
		"duplicate key":      {"POST", "/v1/agents", `{"model":"m","name":"n","name":"o"}`, "duplicate", ""},
		"duplicate in query": {"GET", `/v1/agents?metadata={"a":1,"a":2}`, "", "duplicate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for c, want := range map[*contract.Contract]string{contract.Default(): tt.strict, contract.Lenient(): tt.lenient} {
				_, got := c.CheckRequest(newRequest(t, tt.method, tt.path, "application/json"), []byte(tt.body))
				switch {
				case want == "" && got != nil, want != "" && (len(got) != 1 || got[0].Rule != want):
					t.Errorf("got:\n%s\nwant a violation of %q", text(got), want)
				}
			}
		})
	}
}

func TestUndescribedStatuses(t *testing.T) {
	t.Parallel()
	check := func(opts contract.Options, status int, body string) []contract.Violation {
		c, err := contract.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		op, _ := c.Route("GET", "/v1/agents")
		return op.CheckResponse(status, jsonHeader, []byte(body))
	}
	wantViolation(t, check(contract.Options{Undescribed: []int{}}, 429, "{}"), "response", "status", "status")
	wantViolation(t, check(contract.Options{Undescribed: []int{418}}, 418, "{"), "response", "", "json")
	if got := check(contract.Options{Undescribed: []int{418}}, 418, `{"any":1}`); got != nil {
		t.Error(text(got))
	}
	if got := check(contract.Options{}, 429, `{"detail":"Token rate limit reached."}`); got != nil {
		t.Error(text(got))
	}
}
