package emulator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// builtInRequests returns a request for each built-in tool, with a prompt that uses the tool.
func builtInRequests(c generated.ToolConfiguration) map[string]generated.StartConversationRequest {
	list := map[string]generated.StartConversationRequest{}
	for name, use := range map[string]struct {
		prompt string
		tool   generated.ToolVariant
	}{
		"web_search":         {"Search for gophers", generated.WebSearchTool{ToolConfiguration: c}},
		"web_search_premium": {"What is in the news?", generated.WebSearchPremiumTool{ToolConfiguration: c}},
		"code_interpreter":   {"Compute 6 x 7 with code", generated.CodeInterpreterTool{ToolConfiguration: c}},
		"image_generation":   {"Draw a gopher", generated.ImageGenerationTool{ToolConfiguration: c}},
		"document_library":   {"Which document tells?", generated.DocumentLibraryTool{LibraryIDs: []string{"lib"}, ToolConfiguration: c}},
		"my_crm":             {"Ask my_crm", generated.CustomConnector{ConnectorID: "my_crm", ToolConfiguration: c}},
	} {
		request := textRequest(use.prompt)
		request.Tools = []generated.Tool{generated.NewTool(use.tool)}
		list[name] = request
	}
	return list
}

func TestBuiltInTools(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	chunks := map[string]generated.ContentChunkType{
		"web_search": generated.ContentChunkTypeToolReference, "web_search_premium": generated.ContentChunkTypeToolReference,
		"document_library": generated.ContentChunkTypeToolReference, "image_generation": generated.ContentChunkTypeToolFile,
	}
	for name, request := range builtInRequests(generated.ToolConfiguration{}) {
		plain := a.post("/v1/conversations", request)
		c := read[generated.ConversationResponse](plain)
		if len(c.Outputs) != 2 {
			t.Fatalf("%s: got %d outputs, want 2", name, len(c.Outputs))
		}
		run, _ := c.Outputs[0].Value().(generated.ToolExecutionEntry)
		if run.Name != name || !strings.HasPrefix(run.Arguments, "{") || c.Usage.Connectors[name] != 1 {
			t.Errorf("%s: %+v, usage %+v", name, run, c.Usage)
		}
		if want := chunks[name]; want != "" && !strings.Contains(plain.body, `"type":"`+string(want)+`"`) {
			t.Errorf("%s: response is %s, want %s in it", name, plain.body, want)
		}
		request.Stream = true
		if got, want := stableParts(t, joinDeltas(t, events(t, a.post("/v1/conversations", request).want(http.StatusOK).body))), stableParts(t, c.Outputs); name != "image_generation" && got != want {
			t.Errorf("%s: stream has %s, want %s", name, got, want)
		}
	}
	// The emulator does not run excluded tools, or tools that are not included.
	for _, c := range []generated.ToolConfiguration{{Exclude: []string{"web_search"}}, {Include: []string{"other"}}} {
		request := builtInRequests(c)["web_search"]
		if outputs := read[generated.ConversationResponse](a.post("/v1/conversations", request)).Outputs; len(outputs) != 1 {
			t.Errorf("%+v: %d outputs, want only a message", c, len(outputs))
		}
	}
}

func TestConfirmations(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	for name, request := range builtInRequests(generated.ToolConfiguration{
		RequiresConfirmation: []string{"web_search", "web_search_premium", "code_interpreter", "image_generation", "document_library", "my_crm"},
	}) {
		for _, confirmation := range []generated.ToolConfirmation{generated.ToolConfirmationAllow, generated.ToolConfirmationDeny} {
			c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
			call, ok := c.Outputs[0].Value().(generated.FunctionCallEntry)
			if !ok || len(c.Outputs) != 1 || call.Name != name || call.ConfirmationStatus != generated.ConfirmationStatusPending {
				t.Fatalf("%s: outputs are %+v, want a pending call", name, c.Outputs[0].Value())
			}
			confirm := func(id string) fullResponse {
				return a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
					ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: id, Confirmation: confirmation}},
				})
			}
			if rejected := confirm("call_other").want(http.StatusUnprocessableEntity); !strings.Contains(rejected.body, "tool_confirmations") {
				t.Errorf("%s: confirming an unknown call returned %s", name, rejected.body)
			}
			outputs := read[generated.ConversationResponse](confirm(call.ToolCallID)).Outputs
			run, _ := outputs[0].Value().(generated.ToolExecutionEntry)
			if allowed := confirmation == generated.ToolConfirmationAllow; allowed != (run.Name == name) || !allowed && !strings.Contains(textOf(outputs), "not allowed to use "+name) {
				t.Errorf("%s: after %s the output is %+v", name, confirmation, outputs[0].Value())
			}
			confirm(call.ToolCallID).want(http.StatusUnprocessableEntity) // The call is not pending any more.
			history := a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", "").body
			want := `"confirmation_status":"` + map[generated.ToolConfirmation]string{"allow": "allowed", "deny": "denied"}[confirmation] + `"`
			if strings.Count(history, want) != 1 || strings.Contains(history, `"pending"`) {
				t.Errorf("%s: history after %s is %s", name, confirmation, history)
			}
		}
	}
}

// twoCalls is a model that first returns two searches that need a confirmation.
func twoCalls(ctx context.Context, p emulator.Prompt) emulator.Reply {
	if len(p.History) > 0 {
		return emulator.DefaultModel(ctx, p)
	}
	var reply emulator.Reply
	for _, id := range []string{"call_a", "call_b"} {
		reply.Entries = append(reply.Entries, generated.NewEntry(generated.FunctionCallEntry{
			Name: "web_search", ToolCallID: id, Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
		}))
	}
	return reply
}

func allow(ids ...string) generated.AppendConversationRequest {
	var request generated.AppendConversationRequest
	for _, id := range ids {
		request.ToolConfirmations = append(request.ToolConfirmations, generated.ToolCallConfirmation{ToolCallID: id, Confirmation: generated.ToolConfirmationAllow})
	}
	return request
}

// A client may confirm pending calls in separate requests.
func TestConfirmationsOneByOne(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: twoCalls})
	c := read[generated.ConversationResponse](a.post("/v1/conversations", startRequests()["search"]))
	for _, id := range []string{"call_a", "call_b"} {
		outputs := read[generated.ConversationResponse](a.post("/v1/conversations/"+c.ConversationID, allow(id))).Outputs
		if _, ok := outputs[0].Value().(generated.ToolExecutionEntry); !ok {
			t.Errorf("after allowing %s the output is %T, want a ToolExecutionEntry", id, outputs[0].Value())
		}
	}
}

// If two concurrent appends confirm the same call, the server rejects the slower one with
// all its confirmations.
func TestConcurrentConfirmations(t *testing.T) {
	t.Parallel()
	reached, proceed := make(chan struct{}), make(chan struct{})
	a := start(t, emulator.Config{Model: func(ctx context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.Confirmations) == 2 {
			close(reached)
			<-proceed
		}
		return twoCalls(ctx, p)
	}})
	c := read[generated.ConversationResponse](a.post("/v1/conversations", startRequests()["search"]))
	both := make(chan fullResponse)
	go func() { both <- a.post("/v1/conversations/"+c.ConversationID, allow("call_a", "call_b")) }()
	<-reached
	a.post("/v1/conversations/"+c.ConversationID, allow("call_b")).want(http.StatusOK)
	close(proceed)
	(<-both).want(http.StatusUnprocessableEntity)
	if history := a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", "").body; strings.Count(history, `"pending"`) != 1 {
		t.Errorf("history is %s, want one pending call: call_a", history)
	}
	a.post("/v1/conversations/"+c.ConversationID, allow("call_a")).want(http.StatusOK)
}

// TestConfirmationsWithResults confirms one call and sends the result of another in one
// append.
func TestConfirmationsWithResults(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: func(ctx context.Context, p emulator.Prompt) emulator.Reply {
		if len(p.History) > 0 {
			return emulator.DefaultModel(ctx, p)
		}
		return emulator.Reply{Entries: []generated.Entry{
			generated.NewEntry(generated.FunctionCallEntry{Name: "f", ToolCallID: "aaaaaaaaa", Arguments: "{}"}),
			generated.NewEntry(generated.FunctionCallEntry{
				Name: "web_search", ToolCallID: "bbbbbbbbb", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
			}),
		}}
	}})
	c := read[generated.ConversationResponse](a.post("/v1/conversations", startRequests()["search"]))
	path := "/v1/conversations/" + c.ConversationID
	a.post(path, allow("bbbbbbbbb")).want(400) // The result is missing.
	request := allow("bbbbbbbbb")
	request.Inputs = generated.NewEntryInputs([]generated.Entry{
		generated.NewEntry(generated.FunctionResultEntry{ToolCallID: "aaaaaaaaa", Result: "one"}),
	})
	outputs := read[generated.ConversationResponse](a.post(path, request)).Outputs
	if run, _ := outputs[0].Value().(generated.ToolExecutionEntry); run.Name != "web_search" || !strings.Contains(textOf(outputs), "The result of f is: one") {
		t.Errorf("outputs are %s", encoded(t, outputs))
	}
}

// TestResultOfADeniedCall sends a result for a denied call, in the append that denies it and
// in a later one.
func TestResultOfADeniedCall(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: twoCalls})
	c := read[generated.ConversationResponse](a.post("/v1/conversations", startRequests()["search"]))
	path := "/v1/conversations/" + c.ConversationID
	deny := `{"tool_confirmations":[{"tool_call_id":"call_a","confirmation":"deny"}],"inputs":[`
	for _, body := range []string{deny + result("call_a") + `]}`, deny + `]}`, `{"inputs":[` + result("call_a") + `]}`} {
		want := 400
		if body == deny+`]}` {
			want = 200
		}
		if got := a.do(http.MethodPost, path, body).want(want); want == 400 && !strings.Contains(got.body, `"message":"Tool calls were denied: call_a"`) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
}
