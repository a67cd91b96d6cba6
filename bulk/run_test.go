package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// wantSummary compares the counts of a summary.
func wantSummary(t *testing.T, got *bulk.Summary, want bulk.Summary) {
	t.Helper()
	if got == nil {
		t.Fatal("the summary is nil")
	}
	compared := *got
	compared.Duration, compared.PromptTokens, compared.CompletionTokens = 0, 0, 0
	if compared != want {
		t.Errorf("the summary is %+v, want %+v", compared, want)
	}
}

// Each kind of row gets one line. A second run of the same input sends nothing and writes nothing.
func TestRunAndResume(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	input := []string{
		`{"custom_id": "batch", "body": {"model": "mistral-large-latest", "inputs": "Say batch"}}`,
		`{"id": "short", "prompt": "Say <short> & sweet"}`,
		``,
		`{"id": "broken", "prompt": `,
		`{"id": "short", "prompt": "Say twice"}`,
		`{"id": "empty", "prompt": ""}`,
	}
	summary := mustRun(t, client, path, jsonl(input...), options)
	wantSummary(t, summary, bulk.Summary{Rows: 5, Done: 2, Failed: 3})
	if summary.IsComplete() || summary.PromptTokens == 0 || summary.CompletionTokens == 0 || summary.Duration == 0 {
		t.Errorf("the summary is %+v", summary)
	}
	lines := byIDAndLine(t, path)
	for id, want := range map[string]string{"batch 1": "batch", "short 2": "<short> & sweet"} {
		if got := answerOf(t, lines[id]); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	for id, want := range map[string]string{
		"line 4 4": "line 4: the line is not a row: unexpected end of JSON input",
		"short 5":  `line 5: custom_id "short" is the same as in line 2: must be unique`,
		"empty 6":  "mistral: Conversations.Start: inputs is",
	} {
		if l := lines[id]; l.Error == nil || !strings.HasPrefix(l.Error.Message, want) || l.Error.Retryable || l.Response != nil {
			t.Errorf("%s: %+v, want %s", id, l.Error, want)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(before), emulatortest.Key) {
		t.Error("the output has the key")
	}
	requests := server.Stats().Requests
	wantSummary(t, mustRun(t, client, path, jsonl(input...), options), bulk.Summary{Rows: 5, Already: 2, AlreadyFailed: 3})
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) || server.Stats().Requests != requests {
		t.Errorf("the second run sent %d requests and wrote %d bytes, %v", server.Stats().Requests-requests, len(after)-len(before), err)
	}

	// A changed row is sent again, a new row is sent, and other rows are not sent.
	input[1] = `{"id": "short", "prompt": "Say changed"}`
	input = append(input, `{"id": "new", "prompt": "Say new"}`)
	wantSummary(t, mustRun(t, client, path, jsonl(input...), options), bulk.Summary{Rows: 6, Done: 2, Already: 1, AlreadyFailed: 3})
	if n := server.Stats().Requests - requests; n != 2 {
		t.Errorf("the third run sent %d requests, want 2", n)
	}
	last := map[string]string{}
	for _, l := range read(t, path) {
		if l.Error == nil {
			last[l.id()] = answerOf(t, l)
		}
	}
	if last["short"] != "changed" || last["new"] != "new" || last["batch"] != "batch" {
		t.Errorf("the answers are %v", last)
	}
}

func byIDAndLine(t *testing.T, path string) map[string]line {
	t.Helper()
	lines := map[string]line{}
	for _, l := range read(t, path) {
		lines[fmt.Sprintf("%s %d", l.id(), l.Bulk.Line)] = l
	}
	return lines
}

func TestOtherInput(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	mustRun(t, client, path, prompts(3), options)
	requests := server.Stats().Requests
	changed := options
	changed.Defaults.Instructions = "Be brief."
	for name, other := range map[string]struct {
		source bulk.Source
		o      bulk.Options
	}{
		"other ids":            {jsonl(`{"id": "x", "prompt": "Say x"}`), options},
		"plain lines":          {bulk.Lines(strings.NewReader("Say 1\nSay 2\n")), options},
		"other settings":       {prompts(3), changed},
		"more than 1,000 rows": {otherPrompts(5000), options},
	} {
		summary, err := run(t, client, path, other.source, other.o)
		if !errors.Is(err, bulk.ErrOtherInput) || summary.Done != 0 || summary.Stopped != bulk.StoppedByError || len(read(t, path)) != 3 {
			t.Errorf("%s: %+v, %v", name, summary, err)
		}
		j := open(t, path)
		other.o.Journal = j
		if _, err := bulk.Plan(t.Context(), client, other.source, other.o); !errors.Is(err, bulk.ErrOtherInput) && name != "other ids" && name != "plain lines" {
			t.Errorf("%s: Plan: %v", name, err)
		}
		_ = j.Close()
	}
	if n := server.Stats().Requests; n != requests {
		t.Errorf("%d requests were sent, want %d", n, requests)
	}
	// The only row of an input may change.
	path = output(t)
	mustRun(t, client, path, jsonl(`{"id": "x", "prompt": "Say x"}`), options)
	wantSummary(t, mustRun(t, client, path, jsonl(`{"id": "x", "prompt": "Say y"}`), options), bulk.Summary{Rows: 1, Done: 1})
}

// otherPrompts returns a source of n rows with other IDs than those of prompts.
func otherPrompts(n int) bulk.Source {
	return bulk.Rows(func(yield func(bulk.Row) bool) {
		for i := range n {
			if !yield(prompt(fmt.Sprintf("other-%d", i), "Say other")) {
				return
			}
		}
	})
}

// The settings of a row take precedence over Defaults. A row with an agent gets no model.
func TestDefaults(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	agent, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Model: "mistral-medium-latest", Name: "A"})
	if err != nil {
		t.Fatal(err)
	}
	o := options
	o.Defaults.Instructions = "Be brief."
	o.Defaults.CompletionArgs = generated.CompletionArgs{MaxTokens: ratelimited.Ptr(50), Temperature: ratelimited.Ptr(0.5)}
	mustRun(t, client, output(t), jsonl(
		`{"id":"a","prompt":"Say a"}`,
		`{"id":"b","body":{"model":"m","inputs":"Say b","instructions":"Be long.","completion_args":{"temperature":0}}}`,
		`{"id":"c","body":{"agent_id":"`+agent.ID+`","inputs":"Say c","store":true}}`,
	), o)
	got := map[string]string{}
	for _, r := range emulatortest.Requests[generated.StartConversationRequest](t, server) {
		text, _ := r.Inputs.Text()
		got[text] = fmt.Sprintf("%q %v %q %v %v %v", r.Model, r.AgentID == agent.ID, r.Instructions, *r.CompletionArgs.MaxTokens, *r.CompletionArgs.Temperature, *r.Store)
	}
	for text, want := range map[string]string{
		"Say a": `"mistral-small-latest" false "Be brief." 50 0.5 false`,
		"Say b": `"m" false "Be long." 50 0 false`,
		"Say c": `"" true "Be brief." 50 0.5 true`,
	} {
		if got[text] != want {
			t.Errorf("%s: sent with %q, want %q", text, got[text], want)
		}
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	const schema = `{"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": false}`
	for _, test := range []struct {
		name   string
		output bulk.Output
		schema generated.JSON
		reply  string
		want   string // the beginning of the body
	}{
		{"response", bulk.OutputResponse, nil, "Hi <b>", `{"conversation_id":"conv_`},
		{"text", bulk.OutputText, nil, "Hi <b>", `"Hi <b>"`},
		{"object", bulk.OutputObject, schema, `{"word": "hi"}`, `{"word":"hi"}`},
		{"text of an object", bulk.OutputText, schema, `{"word": "hi"}`, `"{\"word\": \"hi\"}"`},
		{"response with an object", bulk.OutputResponse, schema, `{"word": "hi"}`, `{"conversation_id":"conv_`},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := emulatortest.New(t, emulatortest.WithScript(emulator.Say(test.reply)))
			o := options
			o.Output, o.Schema = test.output, test.schema
			path := output(t)
			wantSummary(t, mustRun(t, client, path, prompts(1), o), bulk.Summary{Rows: 1, Done: 1})
			if l := read(t, path)[0]; l.Response == nil || !strings.HasPrefix(string(l.Response.Body), test.want) {
				t.Errorf("the line is %+v", l)
			}
			sent := emulatortest.Requests[generated.StartConversationRequest](t, server)[0]
			if hasSchema := sent.CompletionArgs.ResponseFormat.JSONSchema.Name == "answer"; hasSchema != (test.schema != nil) {
				t.Errorf("the response format is %v", sent.CompletionArgs.ResponseFormat)
			}
			wantSummary(t, mustRun(t, client, path, prompts(1), o), bulk.Summary{Rows: 1, Already: 1})
		})
	}
}

// An answer that does not match the schema is requested once more. If the second answer does not match either, the row
// fails.
func TestAnswerDoesNotMatch(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t, emulatortest.WithScript(
		emulator.Say("no JSON"), emulator.Say(`{"word": "hi"}`), emulator.Say("no JSON"), emulator.Say(`{"word": 7}`),
	))
	o := options
	o.Output, o.Schema = bulk.OutputObject, map[string]any{
		"type": "object", "properties": map[string]any{"word": map[string]any{"type": "string"}}, "required": []string{"word"},
	}
	for i, want := range []bulk.Summary{{Rows: 1, Done: 1}, {Rows: 1, Failed: 1}} {
		path := output(t)
		wantSummary(t, mustRun(t, client, path, prompts(1), o), want)
		l := read(t, path)[0]
		if i == 1 && (l.Error == nil || !strings.Contains(l.Error.Message, "/word: must be of type string, got 7") || l.Error.Retryable ||
			string(l.Response.Body) != `{"word":7}`) {
			t.Errorf("the line is %+v", l.Error)
		}
	}
}

// Rows that fail temporarily are sent again at the end. If they fail again, the next run sends them
// again.
func TestTransientFailures(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		path := output(t)
		setFault := func(n int) {
			if err := server.SetFaults(emulator.Fault{Kind: "500", Times: n}); err != nil {
				t.Fatal(err)
			}
		}
		setFault(4)
		wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Done: 1})

		path = output(t)
		setFault(8)
		wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Failed: 1})
		if l := read(t, path)[0]; l.Error == nil || !l.Error.Retryable || l.Response == nil || l.Response.StatusCode != 500 {
			t.Errorf("the line is %+v", l)
		}
		wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Done: 1})
		if lines := read(t, path); len(lines) != 2 || lines[1].Error != nil {
			t.Errorf("the output has %d lines", len(lines))
		}
		wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Already: 1})
	})
}

// A response with status 200 that ends early is a temporary failure. If all responses are like
// this, the server is not the API, and the job ends.
func TestUnreadableResponses(t *testing.T) {
	for _, kind := range []emulator.FaultKind{emulator.FaultTruncated, emulator.FaultResetAfterHeaders} {
		emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
			path := output(t)
			setFault := func(n int) {
				if err := server.SetFaults(emulator.Fault{Kind: kind, Times: n}); err != nil {
					t.Fatal(err)
				}
			}
			setFault(1)
			wantSummary(t, mustRun(t, client, path, prompts(3), options), bulk.Summary{Rows: 3, Done: 3})

			path = output(t)
			setFault(2)
			wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Failed: 1})
			if l := read(t, path)[0]; l.Error == nil || !l.Error.Retryable {
				t.Errorf("%s: the line is %+v", kind, l)
			}
			wantSummary(t, mustRun(t, client, path, prompts(1), options), bulk.Summary{Rows: 1, Done: 1})

			setFault(0)
			before := server.Stats().Requests
			_, err := run(t, client, output(t), prompts(300), options)
			if n := server.Stats().Requests - before; err == nil || !strings.Contains(err.Error(), "the first 20 rows were rejected") || n > 30 {
				t.Errorf("%s: %d requests, %v", kind, n, err)
			}
		}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 1}), emulatortest.Unchecked())
	}
}

// A failure that affects all rows stops the job at once. The next run sends the rows.
func TestFatalFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		header string // the token limit and the remaining tokens
		kind   error
	}{
		"key":     {http.StatusUnauthorized, `{"detail":"Unauthorized"}`, "", ratelimited.ErrUnauthorized},
		"payment": {http.StatusPaymentRequired, `{"detail":"No payment method"}`, "", nil},
		"plan":    {http.StatusTooManyRequests, `{"detail":"Token rate limit reached."}`, "0", ratelimited.ErrRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failing atomic.Bool
			var requests atomic.Int64
			failing.Store(true)
			client, _ := emulatortest.New(t, emulatortest.Unchecked(), emulatortest.WithServer(emulator.Config{
				Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if requests.Add(1); !failing.Load() || requests.Load() == 1 {
						next.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Content-Type", "application/json")
					if test.header != "" {
						w.Header().Set("X-Ratelimit-Limit-Tokens-Minute", test.header)
						w.Header().Set("X-Ratelimit-Remaining-Tokens-Minute", test.header)
					}
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.body))
				},
			}), emulatortest.WithClient(func(c *ratelimited.Config) { c.MaxInFlight = 2 }))
			path := output(t)
			summary, err := run(t, client, path, prompts(300), options)
			if err == nil || test.kind != nil && !errors.Is(err, test.kind) || !strings.Contains(err.Error(), "all other rows would fail, too") {
				t.Errorf("error %v", err)
			}
			if summary.Stopped != bulk.StoppedByError || summary.Failed != 0 || summary.Left == 0 || requests.Load() > 50 {
				t.Errorf("%d requests, %+v", requests.Load(), summary)
			}
			failing.Store(false)
			client2, _ := emulatortest.New(t)
			done := mustRun(t, client2, path, prompts(300), options)
			if done.Done+done.Already != 300 || len(byID(t, path)) != 300 {
				t.Errorf("the second run: %+v", done)
			}
		})
	}
}

// If the first rows fail permanently, the job ends before it sends all rows, because the settings
// are wrong.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t, emulatortest.WithServer(emulator.Config{Models: []string{"mistral-large-latest"}}),
		emulatortest.WithClient(func(c *ratelimited.Config) { c.MaxInFlight = 2 }))
	path := output(t)
	summary, err := run(t, client, path, prompts(300), options)
	if err == nil || !strings.Contains(err.Error(), "the first 20 rows were rejected: check the settings: ") || !errors.Is(err, ratelimited.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if n := server.Stats().Requests; n < 20 || n > 200 || summary.Stopped != bulk.StoppedByError {
		t.Errorf("%d requests, %+v", n, summary)
	}
	// An output without responses belongs to any input.
	o := options
	o.Defaults.Model = "mistral-large-latest"
	wantSummary(t, mustRun(t, client, path, prompts(300), o), bulk.Summary{Rows: 300, Done: 300})
}

// A row that is larger than the token limit fails. Other rows do not.
func TestRowLargerThanTheLimit(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t, emulatortest.WithClient(func(c *ratelimited.Config) { c.TokensPerMinute = 50_000 }))
	path := output(t)
	large := prompt("large", strings.Repeat("many words ", 1_900_000)) // 20 MB
	wantSummary(t, mustRun(t, client, path, bulk.Rows(func(yield func(bulk.Row) bool) {
		_ = yield(prompt("a", "Say a")) && yield(large) && yield(prompt("b", "Say b"))
	}), options), bulk.Summary{Rows: 3, Done: 2, Failed: 1})
	if l := byID(t, path)["large"]; l.Error == nil || !strings.Contains(l.Error.Message, "must be at most 50000") || len(l.Error.Message) > 1000 {
		t.Errorf("the line is %+v", l)
	}
}

// The end of the context cancels the calls in flight. The next run makes them again.
func TestCancel(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		path := output(t)
		j := open(t, path)
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		summary, err := bulk.Run(ctx, client, prompts(20), j, options)
		if !errors.Is(err, context.DeadlineExceeded) || summary.Stopped != bulk.StoppedByError || summary.Done != 2 || summary.Duration != 25*time.Second {
			t.Errorf("%+v, %v", summary, err)
		}
		if done, err := bulk.Run(t.Context(), client, prompts(20), j, options); err != nil || done.Done != 18 || done.Already != 2 {
			t.Errorf("the second run: %+v, %v", done, err)
		}
		if len(byID(t, path)) != 20 {
			t.Error("not every row has a line")
		}
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 0.1, Latency: 9 * time.Second}))
}

// Every kind of stop waits for the calls in flight. The next run sends the other rows.
func TestStops(t *testing.T) {
	for name, test := range map[string]struct {
		set   func(o *bulk.Options)
		want  bulk.Stop
		done  int
		after time.Duration
	}{
		"deadline": {func(o *bulk.Options) { o.Deadline = time.Now().Add(35 * time.Second) }, bulk.StoppedDeadline, 4, 39*time.Second + 150*time.Millisecond},
		"caller": {func(o *bulk.Options) {
			stop := make(chan struct{})
			time.AfterFunc(34500*time.Millisecond, func() { close(stop) })
			o.Stop = stop
		}, bulk.StoppedByCaller, 4, 39*time.Second + 150*time.Millisecond},
		"rows": {func(o *bulk.Options) { o.MaxRows = 3 }, bulk.StoppedMaxRows, 3, 29*time.Second + 100*time.Millisecond},
		"budget": {func(o *bulk.Options) { // each row uses 10 tokens
			o.TokenBudget, o.Defaults.CompletionArgs.MaxTokens = 42, ratelimited.Ptr(5)
		}, bulk.StoppedBudget, 3, 0},
		"at the end": {func(o *bulk.Options) {
			o.MaxRows, o.Deadline, o.TokenBudget = 20, time.Now().Add(time.Hour), 100_000
		}, "", 20, 199*time.Second + 950*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
				path := output(t)
				j := open(t, path)
				o := options
				test.set(&o)
				summary, err := bulk.Run(t.Context(), client, prompts(20), j, o)
				if err != nil || summary.Stopped != test.want || summary.Done != test.done || summary.Failed != 0 {
					t.Fatalf("%+v, %v; want %d done", summary, err, test.done)
				}
				if test.after != 0 && summary.Duration != test.after {
					t.Errorf("it took %v, want %v", summary.Duration, test.after)
				}
				if n := server.Stats().Requests; n != test.done {
					t.Errorf("%d requests were sent, want %d", n, test.done)
				}
				if len(read(t, path)) != test.done {
					t.Errorf("the output has %d lines", len(read(t, path)))
				}
				if name == "budget" && summary.PromptTokens+summary.CompletionTokens > o.TokenBudget {
					t.Errorf("%d tokens were used", summary.PromptTokens+summary.CompletionTokens)
				}
				o = bulk.Options{Defaults: o.Defaults}
				if done, err := bulk.Run(t.Context(), client, prompts(20), j, o); err != nil || done.Already != test.done || done.Done != 20-test.done {
					t.Errorf("the second run: %+v, %v", done, err)
				}
			}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 0.1, Latency: 9 * time.Second}))
		})
	}
}

// Answers that do not match the schema count toward the budget, because their tokens are billed.
func TestBudgetOfAnswersThatDoNotMatch(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		o := options
		o.TokenBudget, o.Defaults.CompletionArgs.MaxTokens = 2000, ratelimited.Ptr(100)
		o.Schema = map[string]any{"type": "object"}
		summary := mustRun(t, client, output(t), prompts(200), o)
		used := server.Stats().Models["mistral-small-latest"].Tokens
		if summary.Stopped != bulk.StoppedBudget || summary.Failed < 2 || used > 4*o.TokenBudget { // calls that were sent before the first one ended may exceed the budget
			t.Errorf("%d tokens were used of %d: %+v", used, o.TokenBudget, summary)
		}
	}, emulatortest.WithServer(emulator.Config{
		RequestsPerSecond: 1,
		Model: func(context.Context, emulator.Prompt) emulator.Reply {
			return emulator.Reply{Text: strings.Repeat("word ", 60)}
		},
	}))
}

// If the caller closes the source to stop the run, the read error is ignored.
func TestStopClosesTheSource(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t)
	for range 20 {
		stop := make(chan struct{})
		o := options
		o.Stop = stop
		pipe, into := io.Pipe()
		go func() {
			_, _ = io.WriteString(into, `{"id":"a","prompt":"Say a"}`+"\n"+`{"id":"b",`)
			close(stop)
			_ = into.CloseWithError(errors.New("closed"))
		}()
		summary := mustRun(t, client, output(t), bulk.JSONL(pipe), o)
		if summary.Stopped != bulk.StoppedByCaller || summary.Failed != 0 {
			t.Errorf("%+v", summary)
		}
	}
}

// A job waits for the end of an outage, longer than the client itself does, and reports it. No row
// fails.
func TestOutage(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		path := output(t)
		o := options
		var shown string
		o.Progress = func(p bulk.Progress) {
			if p.Outage != "" {
				shown = p.Outage
			}
		}
		time.AfterFunc(10*time.Second, func() {
			if err := server.SetFaults(emulator.Fault{Kind: "503-text"}); err != nil {
				t.Error(err)
			}
		})
		time.AfterFunc(time.Hour, func() {
			if err := server.SetFaults(); err != nil {
				t.Error(err)
			}
		})
		summary := mustRun(t, client, path, prompts(100), o)
		wantSummary(t, summary, bulk.Summary{Rows: 100, Done: 100})
		if !strings.Contains(shown, "503") || summary.Duration < time.Hour || summary.Duration > 63*time.Minute {
			t.Errorf("it took %v, and the outage was shown as %q", summary.Duration, shown)
		}
		byID(t, path)
	}, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 1}))
}

// A server that never responds is not an outage, because its address may be wrong.
func TestNoServer(t *testing.T) {
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		path := output(t)
		summary, err := run(t, client, path, prompts(5), options)
		if err == nil || !strings.Contains(err.Error(), "connection refused") || summary.Stopped != bulk.StoppedByError || len(read(t, path)) != 0 {
			t.Errorf("%+v, %v", summary, err)
		}
	})
}

func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	client, _ := emulatortest.New(t)
	j := open(t, output(t))
	with := func(change func(*bulk.Options)) bulk.Options {
		o := options
		change(&o)
		return o
	}
	for want, o := range map[string]bulk.Options{
		"Options.Defaults.Inputs is set":           with(func(o *bulk.Options) { o.Defaults.Inputs = ratelimited.Text("x") }),
		`Options.Output is "json"`:                 with(func(o *bulk.Options) { o.Output = "json" }),
		"must be set together with Options.Schema": with(func(o *bulk.Options) { o.Output = bulk.OutputObject }),
		"Options.MaxRows is -1":                    with(func(o *bulk.Options) { o.MaxRows = -1 }),
		"Options.TokenBudget is -1":                with(func(o *bulk.Options) { o.TokenBudget = -1 }),
		"Options.Schema: runner: SchemaOf":         with(func(o *bulk.Options) { o.Schema = "nonsense" }),
		"set together with a response form": with(func(o *bulk.Options) {
			o.Schema, o.Defaults.CompletionArgs.ResponseFormat.Type = `{"type":"object"}`, generated.ResponseFormatsJSONObject
		}),
	} {
		if _, err := bulk.Run(t.Context(), client, prompts(1), j, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: %v, want %s", err, want)
		}
		if _, err := bulk.Plan(t.Context(), client, prompts(1), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Plan: %v, want %s", err, want)
		}
	}
	for want, call := range map[string]func() error{
		"the client is nil": func() error { _, err := bulk.Run(t.Context(), nil, prompts(1), j, options); return err },
		"the source is nil": func() error { _, err := bulk.Run(t.Context(), client, nil, j, options); return err },
		"journal is closed": func() error { _, err := bulk.Run(t.Context(), client, prompts(1), nil, options); return err },
		"is closed: must": func() error {
			_, err := bulk.Run(t.Context(), client, prompts(1), new(bulk.Journal), options)
			return err
		},
		"source is nil:": func() error { _, err := bulk.Plan(t.Context(), client, nil, options); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
