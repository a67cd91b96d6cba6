package emulator_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// TestConcurrentAppends sends two appends that are both valid on arrival. The second is
// invalid after the first is stored. The server rejects it with an error response or with
// the last event of its stream.
func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	handOver := generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: "ag_x", NextAgentName: "x"})
	pending := generated.NewEntry(generated.FunctionCallEntry{
		Name: "web_search", ToolCallID: "aaaaaaaaa", Arguments: "{}", ConfirmationStatus: generated.ConfirmationStatusPending,
	})
	open := generated.NewEntry(generated.FunctionCallEntry{Name: "f", ToolCallID: "aaaaaaaaa", Arguments: "{}"})
	said := generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewTextContent("ok")})
	for name, test := range map[string]struct {
		first, then generated.Entry // the model's output at the start, and in both appends
		content     string          // of both appends
		error       string
	}{
		"the same result":       {open, said, `{"inputs":[` + result("aaaaaaaaa") + `]}`, "already have a result: aaaaaaaaa"},
		"the same confirmation": {pending, said, `{"tool_confirmations":[{"tool_call_id":"aaaaaaaaa","confirmation":"deny"}]}`, "must be the tool_call_id of a pending call"},
		"two empty appends":     {handOver, said, `{"inputs":[]}`, "Cannot append an empty list"},
		"text after a call":     {said, open, `{"inputs":"go on"}`, "still missing: aaaaaaaaa"},
	} {
		for _, stream := range []bool{false, true} {
			both := sync.WaitGroup{}
			both.Add(2)
			a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
				if p.Turn == 1 {
					return emulator.Reply{Entries: []generated.Entry{test.first}}
				}
				both.Done()
				both.Wait() // The server has validated both appends and stored neither.
				return emulator.Reply{Entries: []generated.Entry{test.then}}
			}})
			request := startRequests()["search"]
			request.HandoffExecution = generated.HandoffExecutionClient
			c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
			content := test.content
			if stream {
				content = strings.TrimSuffix(content, "}") + `,"stream":true}`
			}
			responses := make(chan fullResponse, 2)
			for range 2 {
				go func() { responses <- a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, content) }()
			}
			rejected := 0
			for range 2 {
				got := <-responses
				if !strings.Contains(got.body, test.error) {
					continue
				}
				rejected++
				if stream != (got.status == http.StatusOK) || stream != strings.Contains(got.body, "event: conversation.response.error") {
					t.Errorf("%s, stream %t: %d %s", name, stream, got.status, got.body)
				}
			}
			history := read[generated.ConversationHistory](a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", ""))
			inputs := strings.Count(encoded(t, history), `"type":"`+map[bool]string{true: "message.input", false: "function.result"}[name == "text after a call"])
			if rejected != 1 || name == "the same result" && inputs != 1 || name == "text after a call" && inputs != 2 {
				t.Errorf("%s, stream %t: the server rejected %d, want 1; history is %s", name, stream, rejected, encoded(t, history))
			}
		}
	}
}

// TestConcurrentUse has many goroutines append to one conversation and read it.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const workers = 16
	waiting := make(chan struct{}, workers)
	all := make(chan struct{})
	a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Text() == "together" { // Wait for all workers.
			if waiting <- struct{}{}; len(waiting) == workers {
				close(all)
			}
			<-all
		}
		return emulator.Reply{Text: "ok"}
	}})
	c := a.start("Hello")
	path := "/v1/conversations/" + c.ConversationID
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			request := generated.AppendConversationRequest{Inputs: generated.NewTextInputs("together"), Stream: i%2 == 0}
			if got := a.post(path, request); got.status != http.StatusOK {
				t.Errorf("status is %d", got.status)
			}
			for _, read := range []string{path, path + "/history", "/v1/conversations"} {
				if got := a.do(http.MethodGet, read, ""); got.status != http.StatusOK {
					t.Errorf("status is %d", got.status)
				}
			}
		})
	}
	group.Wait()
	history := read[generated.ConversationHistory](a.do(http.MethodGet, path+"/history", ""))
	if got := len(history.Entries); got != 2+2*workers {
		t.Errorf("history has %d entries, want %d", got, 2+2*workers)
	}
	for i, entry := range history.Entries {
		if _, input := entry.Value().(generated.MessageInputEntry); input != (i%2 == 0) {
			t.Errorf("entry %d is %T, want the entries of a call to be adjacent", i, entry.Value())
		}
	}
	if s := a.Stats(); s.MaxInFlight < workers {
		t.Errorf("MaxInFlight is %d, want at least %d", s.MaxInFlight, workers)
	}
}

// TestConcurrentLimit sends many requests at the same instant.
func TestConcurrentLimit(t *testing.T) {
	t.Parallel()
	for _, mode := range []emulator.Mode{emulator.TokenBucket, emulator.FixedWindow, emulator.SlidingWindow} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Config{RequestsPerSecond: 7, Mode: mode, Latency: time.Second})
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() { run(t, e, "Hello") })
			}
			group.Wait()
			if s := e.Stats(); s.Models[model].Admitted != 7 || s.Models[model].RefusedRequests != 43 || s.InFlight != 0 {
				t.Errorf("%s: stats are %+v", mode, s)
			}
		})
	}
}
