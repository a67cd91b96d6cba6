package ratelimited_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// errorForms are bodies of responses with status 200 that report an error, with the expected fields
// of the client's error.
var errorForms = map[string]struct {
	data          string
	message, code string
	kinds         string
}{
	"a status as the code":           {`{"error":{"message":"upstream is busy","code":503}}`, "upstream is busy", "503", serverFault},
	"an overload":                    {`{"error":{"message":"overloaded","code":529}}`, "overloaded", "529", serverFault},
	"an error of the API":            {`{"object":"error","message":"No.","code":3000}`, "No.", "3000", invalid},
	"a capitalized error of the API": {`{"object":"Error","message":{"detail":"No."},"type":"invalid_request_error","code":"1500"}`, "No.", "1500", invalid},
	"the overload code of the API":   {`{"object":"error","message":"No.","code":3505}`, "No.", "3505", rateLimited},
	"the rate limit code of the API": {`{"object":"error","message":"Slow down","code":"1300"}`, "Slow down", "1300", rateLimited},
	"an unknown code of the API":     {`{"object":"error","message":"No.","code":7000}`, "No.", "7000", ""},
	"a detail":                       {`{"detail":"Not here"}`, "Not here", "", ""},
	"a string":                       {`{"error":"not found"}`, "not found", "", "not found"},
	"nested":                         {`{"error":{"error":{"message":"deep","code":404}}}`, "deep", "404", "not found"},
	"unauthorized":                   {`{"error":{"message":"who?","code":"401"}}`, "who?", "401", "invalid API key"},
	"a message about unavailability": {`{"error":{"message":"Service unavailable"}}`, "Service unavailable", "", serverFault},
	"a type about the limit":         {`{"error":{"message":"x","type":"rate_limited"}}`, "x", "", rateLimited},
	"an unknown code and a type":     {`{"error":{"message":"rate limit","type":"rate_limited","code":9999}}`, "rate limit", "9999", rateLimited},
	"a code as a float":              {`{"error":{"message":"x","code":429.0}}`, "x", "429", rateLimited},
	"a status":                       {`{"error":{"message":"x","status":503}}`, "x", "", serverFault},
	"a raw status":                   {`{"object":"error","message":"x","type":"mystery","code":"m1","raw_status_code":429}`, "x", "m1", rateLimited},
	"a list of errors":               {`{"error":[{"message":"x","code":429}]}`, "x", "429", rateLimited},
	"a function's name":              {`{"object":"error","type":"invalid_request_error","message":"Function get_rate_limit has an invalid schema"}`, "Function get_rate_limit has an invalid schema", "", invalid},
	"a tool's name":                  {`{"error":{"message":"The tool 'calendar_busy' has an invalid schema"}}`, "The tool 'calendar_busy' has an invalid schema", "", ""},
	"a setting's name":               {`{"error":{"type":"validation_error","message":"timeout must be positive, not unavailable"}}`, "timeout must be positive, not unavailable", "", invalid},
	"a type of another service":      {`{"error":{"message":"x","type":"overloaded_error","code":null}}`, "x", "", serverFault},
}

// If a response with status 200 contains an error, every operation returns that error. The client
// retries it if it is retryable.
func TestErrorsInsideResponses(t *testing.T) {
	for name, form := range errorForms {
		t.Run(name, func(t *testing.T) {
			requests := 0
			handler := func(w http.ResponseWriter, _ *http.Request) {
				requests++
				writeJSON(w, 200, form.data)
			}
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				for _, step := range steps {
					if strings.HasSuffix(step.method, "Stream") {
						continue
					}
					requests = 0
					err := step.call(t.Context(), newScenario(client))
					var api *ratelimited.APIError
					if !errors.As(err, &api) || api.StatusCode != 200 || api.Message != form.message || api.Code != form.code {
						t.Fatalf("%s: %v (%T), want an APIError with status 200, message %q, and code %q", step.method, err, err, form.message, form.code)
					}
					if kindsOf(err) != form.kinds || !strings.Contains(err.Error(), form.message) {
						t.Errorf("%s: %v matches %q, want %q", step.method, err, kindsOf(err), form.kinds)
					}
					if retried := requests > 1; retried != errors.Is(err, ratelimited.ErrRetryable) {
						t.Errorf("%s: retryable is %v after %d requests", step.method, !retried, requests)
					}
				}
			})
		})
	}
}

// An empty object is not a valid response.
func TestEmptyObjects(t *testing.T) {
	runWithHandler(t, fast, status(200, ` {} `), func(t *testing.T, client *ratelimited.Client) {
		for _, step := range steps {
			if strings.HasSuffix(step.method, "Stream") {
				continue
			}
			var api *ratelimited.APIError
			if err := step.call(t.Context(), newScenario(client)); !errors.As(err, &api) || api.Err == nil || !strings.Contains(err.Error(), "{}") {
				t.Errorf("%s: %v, want an APIError that contains the body", step.method, err)
			}
		}
	})
}

// Validation errors in a response with status 200 are decoded like those of a 422.
func TestValidationErrorsInsideResponses(t *testing.T) {
	runWithHandler(t, fast, status(200, `{"detail":[{"loc":["body","model"],"msg":"Field required","type":"missing"}]}`), func(t *testing.T, client *ratelimited.Client) {
		response, err := start(t.Context(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || len(api.Fields) != 1 || kindsOf(err) != invalid || response != nil {
			t.Errorf("error %v matches %q, response %v; want an APIError with one field, and no response", err, kindsOf(err), response)
		}
	})
}

// The client retries a retryable error in a response with status 200, and does not charge tokens
// for it.
func TestErrorInsideResponseIsRetried(t *testing.T) {
	busy := status(200, `{"error":{"message":"busy","code":503}}`)
	limited := status(200, rateLimitBody)
	for name, first := range map[string]http.HandlerFunc{"busy": busy, "limited": limited} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, handlersInOrder(first, ok), func(t *testing.T, client *ratelimited.Client) {
				began := time.Now()
				response, err := start(t.Context(), client)
				if err != nil || response.OutputText() != "fine" {
					t.Fatalf("%v, %v", response, err)
				}
				if s := snapshot(client); s.TokensSettled != 30 || s.Retried != 1 || time.Since(began) == 0 {
					t.Errorf("%d tokens settled after %d retries and %v, want 30 tokens, one retry, and a backoff", s.TokensSettled, s.Retried, time.Since(began))
				}
			})
		})
	}
}

// An error event of any form ends a stream with the event's message and code. If it is the first
// event, the attempt fails, and the client retries it if the error is retryable.
func TestErrorsInsideStreams(t *testing.T) {
	frames := map[string]struct{ frame, message, code, kinds string }{
		"an error event of the API":           {frame("conversation.response.error", `{"type":"conversation.response.error","message":"Slow down","code":1300}`), "Slow down", "1300", rateLimited},
		"its code as a string":                {frame("conversation.response.error", `{"type":"conversation.response.error","message":"Slow down","code":"1300"}`), "Slow down", "1300", rateLimited},
		"its message as an object":            {frame("conversation.response.error", `{"type":"conversation.response.error","message":{"detail":"No."},"code":3001}`), "No.", "3001", invalid},
		"an error event with text":            {frame("error", `busy`), "busy", "", serverFault},
		"an error event with a JSON string":   {frame("error", `"timed out"`), "timed out", "", serverFault},
		"an error event with an object":       {frame("error", `{"message":"No.","code":400}`), "No.", "400", invalid},
		"an unnamed event of type error":      {"data: " + `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}` + "\n\n", "Overloaded", "", serverFault},
		"a capitalized event name":            {frame("Error", `{"message":"No.","code":400}`), "No.", "400", invalid},
		"an error event of the API, not JSON": {frame("conversation.response.error", `oops`), "oops", "", ""},
		"an unknown type":                     {"data: " + `{"type":"server_error","error":{"message":"x","code":503}}` + "\n\n", "x", "503", serverFault},
		"the name of another event":           {frame("message.output.delta", `{"error":{"message":"No.","code":500}}`), "No.", "500", serverFault},
		"the name of the last event":          {frame("conversation.response.done", `{"object":"error","message":"No.","code":500}`), "No.", "500", serverFault},
	}
	for name, form := range errorForms {
		frames["unnamed, "+name] = struct{ frame, message, code, kinds string }{"data: " + form.data + "\n\n", form.message, form.code, form.kinds}
	}
	for name, test := range frames {
		t.Run(name, func(t *testing.T) {
			check := func(err error, events int) {
				t.Helper()
				var broken *ratelimited.StreamError
				if !errors.As(err, &broken) || broken.Message != test.message || broken.Events != events || broken.Code != number(test.code) {
					t.Fatalf("error is %v (%T), want a StreamError with message %q and code %s after %d events", err, err, test.message, test.code, events)
				}
				if kindsOf(err) != test.kinds {
					t.Errorf("%v matches %q, want %q", err, kindsOf(err), test.kinds)
				}
			}
			runWithHandler(t, fast, streaming(started+hello+test.frame+world), func(t *testing.T, client *ratelimited.Client) {
				events, err := collect(startStream(t.Context(), t, client))
				check(err, 2)
				if len(events) != 2 {
					t.Errorf("%d events, want 2", len(events))
				}
			})
			requests := 0
			first := func(w http.ResponseWriter, r *http.Request) {
				requests++
				streaming(test.frame)(w, r)
			}
			runWithHandler(t, fast, first, func(t *testing.T, client *ratelimited.Client) {
				_, err := openStream(t.Context(), client)
				check(err, 0)
				var api *ratelimited.APIError
				if !errors.As(err, &api) || strings.Count(err.Error(), test.message) != 1 {
					t.Errorf("%v (%T), want an APIError that contains the message once", err, err)
				}
				if retried := requests > 1; retried != errors.Is(err, ratelimited.ErrRetryable) {
					t.Errorf("retryable is %v after %d requests", !retried, requests)
				}
				if s := snapshot(client); s.TokensSettled != 0 {
					t.Errorf("%d tokens settled, want 0", s.TokensSettled)
				}
			})
			if !strings.Contains(test.kinds, retryable) {
				return
			}
			runWithHandler(t, fast, handlersInOrder(streaming(test.frame), streaming(started+hello+done)), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil || stream.Text() != "Hello" {
					t.Errorf("text %q, %v", stream.Text(), err)
				}
			})
		})
	}
}

// The client delivers events that resemble errors but are not errors.
func TestEventsThatResembleErrors(t *testing.T) {
	for name, event := range map[string]string{
		"text":                         frame("message.output.delta", `{"type":"message.output.delta","id":"m","content":"{\"error\": \"detail\"}"}`),
		"a new event":                  frame("tool.execution.failed", `{"type":"tool.execution.failed","error":{"message":"no result"}}`),
		"info":                         frame("tool.execution.done", `{"type":"tool.execution.done","id":"t","info":{"error":"none found","detail":"x"}}`),
		"null error without a type":    frame("message.output.delta", `{"id":"m","content":"hi","error":null}`),
		"a tool's error":               frame("tool.execution.done", `{"id":"m","name":"x","error":"tool failed","info":{}}`),
		"unknown event, null error":    frame("progress", `{"error":null,"done":3}`),
		"unknown event, error as text": frame("progress", `{"error":"none","done":3}`),
		"object is error":              frame("message.output.delta", `{"type":"message.output.delta","object":"error","content":"hi"}`),
		"null error":                   frame("message.output.delta", `{"type":"message.output.delta","id":"m","content":"x","error":null}`),
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{started + event + done, event + done} {
				runWithHandler(t, fast, streaming(text), func(t *testing.T, client *ratelimited.Client) {
					if events, err := collect(startStream(t.Context(), t, client)); err != nil || len(events) != strings.Count(text, "data:") {
						t.Errorf("%d events, %v; want %d and no error", len(events), err, strings.Count(text, "data:"))
					}
				})
			}
		})
	}
}

// number returns a code as an int, or 0 if the code is not a number.
func number(code string) int {
	n, _ := strconv.Atoi(code)
	return n
}

// newScenario returns a scenario with IDs, so that each step can run alone.
func newScenario(client *ratelimited.Client) *scenario {
	return &scenario{conversations: client.Beta.Conversations, agents: client.Beta.Agents, conversation: "conv_1", entry: "msg_1", agent: "ag_1"}
}
