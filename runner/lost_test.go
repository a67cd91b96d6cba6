package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

func (env *environment) setFaults(faults ...emulator.Fault) {
	env.Helper()
	if err := env.emulator.SetFaults(faults...); err != nil {
		env.Fatal(err)
	}
}

// Results whose response was lost are never appended twice. Either the history has the response, or
// it does not have the results and they are sent again.
func TestLostResponse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind    emulator.FaultKind
		appends int // requests
	}{
		{emulator.FaultLostReply, 1}, {emulator.FaultTruncated, 1}, {emulator.FaultResetAfterHeaders, 1},
		{emulator.FaultClose, 2}, {emulator.FaultReset, 2}, {emulator.FaultBadGateway, 2}, {emulator.FaultGatewayTimeout, 2},
		{emulator.FaultUnavailable, 2}, {emulator.FaultTokenLimit, 2},
	} {
		for _, streamed := range []bool{false, true} {
			if streamed && (c.kind == emulator.FaultTruncated || c.kind == emulator.FaultResetAfterHeaders) {
				continue
			}
			inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`, "f#b", `{"city":"B"}`), say("done"), say("twice"))}}, func(env *environment) {
				env.setFaults(emulator.Fault{Kind: c.kind, Operation: map[bool]string{false: "AppendConversation", true: "AppendConversationStream"}[streamed], Times: 1})
				var count counter
				r := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}})
				var result *runner.Result
				var err error
				restarts := 0
				if streamed {
					run := r.StartStream(env.Context(), userRequest("?"))
					for event, failed := range run.Events() {
						if err = failed; err != nil {
							break
						}
						if e, ok := event.Value.(runner.TurnRestarted); ok && e.ConversationID == run.Result().ConversationID {
							restarts++
						}
					}
					result = run.Result()
				} else {
					result, err = r.Start(env.Context(), userRequest("?"))
				}
				if err != nil || result.OutputText() != "done" || count.Load() != 2 || len(result.Turns) != 2 || result.Unsent != nil {
					env.Fatalf("%s, streamed %v: %v, %d calls", c.kind, streamed, err, count.Load())
				}
				appends := len(env.requests()) - 1
				unconfirmed := c.kind != emulator.FaultUnavailable && c.kind != emulator.FaultTokenLimit
				if want := map[bool]int{true: 1}[streamed && unconfirmed && c.appends > 1]; restarts != want {
					env.Errorf("%s: %d TurnRestarted events, want %d", c.kind, restarts, want)
				}
				if want := c.appends; appends != want || (result.UnknownUsage == 1) != unconfirmed {
					env.Errorf("%s, streamed %v: %d appends, want %d; %d with unknown usage", c.kind, streamed, appends, want, result.UnknownUsage)
				}
				env.wantResults(result.ConversationID)
			})
		}
	}
}

// breakStream breaks the stream of the next append after a number of events.
func breakStream(env *environment, events int) {
	env.setFaults(emulator.Fault{Kind: emulator.FaultResetStream, Operation: "AppendConversationStream", Events: events, Times: 1})
}

// If a stream breaks, the history has a part of the response. With RestartLost, the run requests
// the response again in a new conversation. Otherwise the run ends, and can be resumed with
// RestartLost.
func TestBrokenResponse(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("one two three four"), say("again"))}}, func(env *environment) {
			breakStream(env, 3)
			var count counter
			config := runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}, RestartLost: restart}
			run := env.runner(config).StartStream(env.Context(), userRequest("?"))
			var got []string
			var err error
			for event, failed := range run.Events() {
				switch e := event.Value.(type) {
				case runner.TurnRestarted:
					got = append(got, fmt.Sprint(event.Turn, " restarted"))
					if e.ConversationID == "" || run.Result().ConversationID != e.ConversationID {
						env.Errorf("the new conversation is %q", e.ConversationID)
					}
				case runner.TurnStarted:
					got = append(got, fmt.Sprint(event.Turn, " started"))
				}
				err = failed
			}
			if !restart {
				var failed *runner.RunError
				if !errors.As(err, &failed) || !errors.Is(err, runner.ErrResponseLost) || !errors.As(err, new(*ratelimited.StreamError)) || len(failed.Result.Unsent) != 1 {
					env.Fatalf("%v", err)
				}
				if _, err := env.runner(config).Resume(env.Context(), written(env, failed.State)); !errors.Is(err, runner.ErrResponseLost) || len(env.requests()) != 2 {
					env.Errorf("%v", err)
				}
				env.wantResults(failed.Result.ConversationID)
				config.RestartLost = true
				result, err := env.runner(config).Resume(env.Context(), written(env, failed.State))
				if err != nil || result.OutputText() != "again" || result.ConversationID == failed.Result.ConversationID || count.Load() != 1 {
					env.Errorf("%v, %+v", err, result)
				}
				env.wantResults(result.ConversationID)
				return
			}
			if strings.Join(got, ", ") != "1 started, 2 started, 2 restarted" || err != nil || run.Result().OutputText() != "again" || count.Load() != 1 {
				env.Errorf("%v, events are %q", err, got)
			}
			env.wantResults(run.Result().ConversationID)
		})
	}
}

// A call whose arguments were cut off is not a complete response.
func TestBrokenCall(t *testing.T) {
	t.Parallel()
	for events := 1; events <= 4; events++ {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), calls("f#b", `{"city":"New York"}`), say("done"))}}, func(env *environment) {
			breakStream(env, events)
			var count counter
			run := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}, RestartLost: true}).StartStream(env.Context(), userRequest("?"))
			if err := last(run); err != nil || run.Result().OutputText() != "done" {
				env.Errorf("%d events: %v", events, err)
			}
			if count.Load() > 2 {
				env.Errorf("%d events: %d calls, the last one for %v", events, count.Load(), count.last.Load())
			}
		})
	}
}

// If the context ends during a request, the run does not know whether the service executed it.
// Resume reads the history.
func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	for after, requests := range map[time.Duration]int{500 * time.Millisecond: 3, 2 * time.Second: 2} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"), say("done"))}}, func(env *environment) {
			var count counter
			ctx, cancel := context.WithCancel(env.Context())
			r := env.runner(runner.Config{Tools: []*runner.Tool{tool(env, "f", func(_ context.Context, in location) (string, error) {
				count.Add(1)
				fault := emulator.Fault{Kind: emulator.FaultSlowHeaders, Operation: "AppendConversation", Times: 1, Delay: time.Second}
				if after > time.Second {
					fault.Kind, fault.Bytes = emulator.FaultSlowBody, 10 // the service has executed the call
				}
				env.setFaults(fault)
				time.AfterFunc(after, cancel)
				return in.City, nil
			})}})
			_, err := r.Start(ctx, userRequest("?"))
			if !errors.Is(err, context.Canceled) || runner.StateOf(err) == nil {
				env.Fatalf("after %v: %v", after, err)
			}
			result, err := r.Resume(env.Context(), written(env, runner.StateOf(err)))
			if err != nil || result.OutputText() != "done" || count.Load() != 1 || len(env.requests()) != requests {
				env.Errorf("after %v: %v, %d requests", after, err, len(env.requests()))
			}
			env.wantResults(result.ConversationID)
		})
	}
}

// A run does not continue a conversation to which somebody else has added entries.
func TestLostResponseAndOtherEntries(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string]string{
		"another result":  `{"type":"function.result","tool_call_id":"x","result":"mine"},{"type":"message.output","content":"done","completed_at":"2026-01-01T00:00:00Z"}`,
		"another message": `{"type":"message.input","role":"user","content":"And?"},{"type":"message.output","content":"done","completed_at":"2026-01-01T00:00:00Z"}`,
		"no such entry":   "",
	} {
		var call atomic.Value
		intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodGet {
				next.ServeHTTP(w, r)
				return
			}
			before := fmt.Sprintf(`{"type":"function.call","id":%q,"tool_call_id":"a","name":"f","arguments":"{}"},`, call.Load())
			if entries == "" {
				before = ""
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"object":"conversation.history","conversation_id":"c","entries":[`+before+entries+`]}`)
		}
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done")), Intercept: intercept}}, func(env *environment) {
			env.setFaults(emulator.Fault{Kind: emulator.FaultLostReply, Operation: "AppendConversation", Times: 1})
			var count counter
			r := env.runner(runner.Config{RestartLost: true, Tools: []*runner.Tool{count.tool(env, "f")}, Stop: func(turn runner.Turn) bool {
				call.Store(turn.Response.FunctionCalls()[0].ID)
				return false
			}})
			if _, err := r.Start(env.Context(), userRequest("?")); !errors.Is(err, runner.ErrResponseLost) || !errors.Is(err, ratelimited.ErrUnconfirmed) || len(env.requests()) != 2 {
				env.Errorf("%s: %v after %d requests", name, err, len(env.requests()))
			}
		})
	}
}

// A request that never arrives is resent three times.
func TestRequestThatNeverArrives(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"))}, client: ratelimited.Config{MaxOutage: -1}}, func(env *environment) {
		env.setFaults(emulator.Fault{Kind: emulator.FaultClose, Operation: "AppendConversation"})
		var count counter
		_, err := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}}).Start(env.Context(), userRequest("?"))
		if !errors.Is(err, ratelimited.ErrUnconfirmed) || len(env.requests()) != 5 || runner.ResultOf(err).UnknownUsage != 4 || count.Load() != 1 {
			env.Errorf("%v after %d requests, %d with unknown usage", err, len(env.requests()), runner.ResultOf(err).UnknownUsage)
		}
	})
}

// If the history cannot be read, the run ends. The state records that the request may have been
// executed.
func TestHistoryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	var isDown atomic.Bool
	intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isDown.Load() && r.Method == http.MethodGet {
			http.Error(w, `{"detail":"no"}`, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done")), Intercept: intercept}}, func(env *environment) {
		isDown.Store(true)
		env.setFaults(emulator.Fault{Kind: emulator.FaultLostReply, Operation: "AppendConversation", Times: 1})
		var count counter
		r := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}})
		_, err := r.Start(env.Context(), userRequest("?"))
		if !errors.Is(err, ratelimited.ErrForbidden) || !errors.Is(err, ratelimited.ErrUnconfirmed) {
			env.Fatalf("%v", err)
		}
		isDown.Store(false)
		result, err := r.Resume(env.Context(), written(env, runner.StateOf(err)))
		if err != nil || result.OutputText() != "done" || len(env.requests()) != 2 || count.Load() != 1 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
		env.wantResults(result.ConversationID)
	})
}

// A request that timed out is not sent again, because the model would probably take as long. Resume
// reads the history.
func TestTimedOutRequest(t *testing.T) {
	t.Parallel()
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done")), Latency: time.Second}}, func(env *environment) {
		var count counter
		env.setFaults(emulator.Fault{Kind: emulator.FaultSlowHeaders, Operation: "AppendConversation", Times: 1, Delay: 10 * time.Second})
		r := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}, Options: []ratelimited.CallOption{ratelimited.WithTimeout(2 * time.Second)}})
		_, err := r.Start(env.Context(), userRequest("?"))
		if !errors.Is(err, context.DeadlineExceeded) || len(env.requests()) != 2 {
			env.Fatalf("%v after %d requests", err, len(env.requests()))
		}
		if text, _ := json.Marshal(runner.StateOf(err)); !strings.Contains(string(text), `"lost":true`) {
			env.Errorf("the state is %s", text)
		}
		result, err := r.Resume(env.Context(), written(env, runner.StateOf(err)))
		if err != nil || result.OutputText() != "done" || len(env.requests()) != 3 || count.Load() != 1 {
			env.Errorf("%v after %d requests", err, len(env.requests()))
		}
	})
}

// The service may still execute a request after its connection is lost. The run reads the history
// again before it resends the request.
func TestResponseAfterALostConnection(t *testing.T) {
	t.Parallel()
	var work sync.WaitGroup
	intercept := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasPrefix(r.URL.Path, "/v1/conversations/") || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		later := r.Clone(context.WithoutCancel(r.Context()))
		work.Go(func() {
			time.Sleep(1500 * time.Millisecond)
			later.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(httptest.NewRecorder(), later)
		})
		panic(http.ErrAbortHandler)
	}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"), say("twice")), Intercept: intercept}}, func(env *environment) {
		defer work.Wait()
		var count counter
		r := env.runner(runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}})
		var result *runner.Result
		var err error
		took := elapsed(func() { result, err = r.Start(env.Context(), userRequest("?")) })
		if err != nil || result.OutputText() != "done" || len(env.requests()) != 2 || took != 3*time.Second {
			env.Errorf("after %v: %v, %d requests", took, err, len(env.requests()))
		}
	})
}

// Results that the caller appends are not appended twice either.
func TestLostResponseToTheCallersResults(t *testing.T) {
	t.Parallel()
	for _, kind := range []emulator.FaultKind{emulator.FaultLostReply, emulator.FaultClose} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), say("done"), say("twice"))}}, func(env *environment) {
			started, err := env.client.Beta.Conversations.Start(env.Context(), userRequest("?"))
			if err != nil {
				env.Fatal(err)
			}
			env.setFaults(emulator.Fault{Kind: kind, Operation: "AppendConversation", Times: 1})
			inputs := ratelimited.Entries(ratelimited.FunctionResult("a", "mine"))
			result, err := env.runner(runner.Config{}).Append(env.Context(), started.ConversationID, generated.AppendConversationRequest{Inputs: inputs})
			if err != nil || result.OutputText() != "done" {
				env.Errorf("%s: %v", kind, err)
			}
			env.wantResults(started.ConversationID)
		})
	}
}

// If several calls of a conversation have the same ID, the history does not show which one a result
// belongs to.
func TestLostResponseToOneOfSeveralCallsOfOneID(t *testing.T) {
	t.Parallel()
	for _, kind := range []emulator.FaultKind{emulator.FaultLostReply, emulator.FaultClose} {
		inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), calls("f#a", `{"city":"B"}`), say("done"), say("twice"))}}, func(env *environment) {
			started, err := env.client.Beta.Conversations.Start(env.Context(), userRequest("?"))
			if err != nil {
				env.Fatal(err)
			}
			inputs := ratelimited.Entries(ratelimited.FunctionResult("a", "mine"))
			request := generated.AppendConversationRequest{Inputs: inputs}
			if _, err := env.client.Beta.Conversations.Append(env.Context(), started.ConversationID, request); err != nil {
				env.Fatal(err)
			}
			env.setFaults(emulator.Fault{Kind: kind, Operation: "AppendConversation", Times: 1})
			result, err := env.runner(runner.Config{}).Append(env.Context(), started.ConversationID, request)
			if !errors.Is(err, runner.ErrResponseLost) {
				env.Errorf("%s: %+v, %v", kind, result, err)
			}
		})
	}
}

// A response in which the service reports an error is not an answer, even if the history has
// entries of it.
func TestErrorWithinAStream(t *testing.T) {
	t.Parallel()
	broken := emulator.Reply{Text: "So far", Err: &emulator.Error{Status: http.StatusServiceUnavailable, Message: "the model is unavailable"}}
	inSynctest(t, settings{emulator: emulator.Config{Model: replySequence(calls("f#a", `{"city":"A"}`), broken, say("done"))}}, func(env *environment) {
		var count counter
		config := runner.Config{Tools: []*runner.Tool{count.tool(env, "f")}}
		err := last(env.runner(config).StartStream(env.Context(), userRequest("?")))
		var failed *runner.RunError
		if !errors.As(err, &failed) || !errors.As(err, new(*ratelimited.StreamError)) || len(env.requests()) != 2 {
			env.Fatalf("%v after %d requests", err, len(env.requests()))
		}
		if result, err := env.runner(config).Resume(env.Context(), written(env, failed.State)); !errors.Is(err, runner.ErrResponseLost) {
			env.Errorf("%v, %v", result, err)
		}
		config.RestartLost = true
		if result, err := env.runner(config).Resume(env.Context(), written(env, failed.State)); err != nil || result.OutputText() != "done" || count.Load() != 1 {
			env.Errorf("%v, %v", result, err)
		}
	})
}
