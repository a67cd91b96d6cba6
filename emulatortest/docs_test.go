package emulatortest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// README.md and docs/testing.md quote these tests.

func TestGreeting(t *testing.T) {
	client, _ := emulatortest.New(t)
	response, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil || response.OutputText() != "hello" {
		t.Errorf("the response is %v, %v", response, err)
	}
}

func TestAnHourOfCalls(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		began := time.Now()
		for range 288 { // one in 12.5 s, for an hour
			_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
				Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began).Round(time.Minute); took != time.Hour || server.Stats().Total().Refused() > 0 {
			t.Errorf("%s, %+v", took, server.Stats().Total())
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 0.08, Mode: emulator.SlidingWindow}))
}

func TestTravelAgent(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		tools := []generated.Tool{generated.NewTool(generated.WebSearchTool{})}
		for _, name := range []string{"flights", "hotels", "weather"} {
			tools = append(tools, generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: name, Parameters: `{"type": "object"}`}}))
		}
		booking, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Model: "mistral-small-latest", Name: "booking", Tools: tools})
		if err != nil {
			t.Fatal(err)
		}
		desk, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Model: "mistral-small-latest", Name: "desk", Handoffs: []string{booking.ID}})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{AgentID: desk.ID, Inputs: ratelimited.Text("To Paris, please")})
		if err != nil {
			t.Fatal(err)
		}
		var next generated.AppendConversationRequest // what your program does with the calls
		var results []generated.Entry
		for _, call := range reply.FunctionCalls() {
			if call.ConfirmationStatus == generated.ConfirmationStatusPending {
				next.ToolConfirmations = append(next.ToolConfirmations, generated.ToolCallConfirmation{ToolCallID: call.ToolCallID, Confirmation: generated.ToolConfirmationAllow})
				continue
			}
			results = append(results, ratelimited.FunctionResult(call.ToolCallID, `{"ok": true}`))
		}
		next.Inputs = ratelimited.Entries(results...)
		reply, err = client.Beta.Conversations.Append(t.Context(), reply.ConversationID, next) // waits for the end of the 429
		if err != nil || reply.OutputText() != "Booked." || len(emulatortest.Requests[generated.AppendConversationRequest](t, server)) != 2 {
			t.Errorf("%v, %v", reply, err)
		}
	}, emulatortest.WithScript(
		emulator.Step{Handoff: "booking"},
		emulator.Calls(emulator.Call{Name: "flights"}, emulator.Call{Name: "hotels"}, emulator.Call{Name: "weather"}, emulator.Call{Name: "web_search", Pending: true}),
		emulator.Say("Booked."),
	), emulatortest.WithServer(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultTokenLimit, Operation: "AppendConversation", Times: 1}}}))
}

// The documentation may quote only test functions of this file, so that they all run.
func TestDocumentedTestsRun(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range []string{"../README.md", "../docs/testing.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range regexp.MustCompile(`(?ms)^func Test\w+\(t \*testing\.T\) \{$.*?^\}$`).FindAllString(string(text), -1) {
			if count++; strings.Contains(function, "emulatortest.") && !strings.Contains(string(source), function) {
				t.Errorf("%s quotes a test that is not in docs_test.go:\n%s", name, function)
			}
		}
	}
	if count < 2 {
		t.Errorf("the documentation quotes %d tests, want at least 2", count)
	}
}
