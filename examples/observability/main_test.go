package main

import (
	"strings"
	"testing"
)

func TestSpansAndMetrics(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"span mistral.Conversations.Start: Unset",
		"acquired model=mistral-small-latest tokens=4104",
		"span mistral.Conversations.AppendStream: Unset",
		"attempted http.response.status_code=503",
		"retrying wait_seconds=0.01",
		"span mistral.Conversations.Get: Error mistral: GET /v1/conversations/conv_none: 404: Conversation not found",
		`mistral_calls_total{ok="false",operation="Conversations.Get"} 1`,
		`mistral_calls_total{ok="true",operation="Conversations.AppendStream"} 1`,
		`mistral_attempts_total{operation="Conversations.AppendStream",status="503"} 1`,
		`mistral_tokens_total{kind="used",operation="Conversations.Start"} 8`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output does not contain %q:\n%s", want, out.String())
		}
	}
}
