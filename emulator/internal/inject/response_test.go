package inject_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/inject"
)

// TestOnlyKindsWithHeaderHaveResponses checks that a kind has a response if and only if
// its Header may be set.
func TestOnlyKindsWithHeaderHaveResponses(t *testing.T) {
	t.Parallel()
	for _, kind := range fault.Kinds() {
		f := fault.Fault{Kind: kind, Delay: 1, Header: map[string]string{"Retry-After": "1"}}
		takesHeader := f.Validate() == nil
		f.Header = nil
		response, refusal := inject.NewPlan(0, []fault.Fault{f}).Pick(fault.Call{Stream: kind.Matches(true)}).Response()
		if (response != nil) != takesHeader || refusal != nil && response.Status != 429 {
			t.Errorf("%s: response is %v, refusal %v", kind, response, refusal)
		}
	}
}
