package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A model with wrong responses fails every trial, and so does a model that returns errors. The
// error names the trials, and the program deletes the conversations.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]emulator.Reply{
		"wrong responses": {Text: "No.", Usage: &generated.ConversationUsageInfo{PromptTokens: 1, CompletionTokens: 80, TotalTokens: 81}},
		"errors":          {Err: &emulator.Error{Status: 400, Message: "failure"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := emulator.Start(emulator.Config{
				Model: func(context.Context, emulator.Prompt) emulator.Reply { return reply },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			client, err := ratelimited.New(ratelimited.Config{
				BaseURL: server.URL(), APIKey: "any", RequestsPerSecond: 1000, MaxRetries: ratelimited.NoRetries,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()

			var out bytes.Buffer
			err = report(t.Context(), client.Beta.Conversations, &out)
			for _, trial := range trials {
				if err == nil || !strings.Contains(err.Error(), trial.name+": ") || !strings.Contains(out.String(), fmt.Sprintf("%-16s FAIL", trial.name)) {
					t.Errorf("%s did not fail: error %v, output:\n%s", trial.name, err, out.String())
				}
			}
			if !strings.Contains(out.String(), "0 of 5") {
				t.Errorf("the sum is wrong, want 0 of 5:\n%s", out.String())
			}
			if n := server.Stats().Operations["DeleteConversation"]; name == "wrong responses" && n != 1 {
				t.Errorf("%d conversations were deleted, want 1, the one with two turns", n)
			}
		})
	}
}
