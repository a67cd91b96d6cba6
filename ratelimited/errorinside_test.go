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

var kinds = []error{
	ratelimited.ErrRetryable, ratelimited.ErrInvalid, ratelimited.ErrUnauthorized, ratelimited.ErrForbidden,
	ratelimited.ErrNotFound, ratelimited.ErrRateLimited, ratelimited.ErrServer,
}

// kindsOf returns the kinds that an error matches.
func kindsOf(err error) string {
	var found []string
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			found = append(found, strings.TrimPrefix(kind.Error(), "mistral: "))
		}
	}
	return strings.Join(found, ", ")
}

const (
	retryable   = "temporary failure"
	rateLimited = retryable + ", rate limit exceeded"
	serverFault = retryable + ", server error"
	invalid     = "invalid request"
)

// errorForms are errors as they come inside successes, and what they mean.
var errorForms = map[string]struct {
	data          string
	message, code string
	kinds         string
}{
	"an error with a status":              {`{"error":{"message":"upstream is busy","code":503}}`, "upstream is busy", "503", serverFault},
	"an overload":                         {`{"error":{"message":"overloaded","code":529}}`, "overloaded", "529", serverFault},
	"the API's error":                     {`{"object":"error","message":"No.","code":3000}`, "No.", "3000", invalid},
	"the API's error, capitalized":        {`{"object":"Error","message":{"detail":"No."},"type":"invalid_request_error","code":"1500"}`, "No.", "1500", invalid},
	"a model's overload":                  {`{"object":"error","message":"No.","code":3505}`, "No.", "3505", rateLimited},
	"the rate limit":                      {`{"object":"error","message":"Slow down","code":"1300"}`, "Slow down", "1300", rateLimited},
	"an unknown code of the API":          {`{"object":"error","message":"No.","code":7000}`, "No.", "7000", ""},
	"a detail":                            {`{"detail":"Not here"}`, "Not here", "", ""},
	"a text":                              {`{"error":"not found"}`, "not found", "", "not found"},
	"nested":                              {`{"error":{"error":{"message":"deep","code":404}}}`, "deep", "404", "not found"},
	"unauthorized":                        {`{"error":{"message":"who?","code":"401"}}`, "who?", "401", "invalid API key"},
	"words for what may pass":             {`{"error":{"message":"Service unavailable"}}`, "Service unavailable", "", serverFault},
	"words for the limit":                 {`{"error":{"message":"x","type":"rate_limited"}}`, "x", "", rateLimited},
	"a code that is not known and a type": {`{"error":{"message":"rate limit","type":"rate_limited","code":9999}}`, "rate limit", "9999", rateLimited},
	"a code as a float":                   {`{"error":{"message":"x","code":429.0}}`, "x", "429", rateLimited},
	"a status":                            {`{"error":{"message":"x","status":503}}`, "x", "", serverFault},
	"a raw status":                        {`{"object":"error","message":"x","type":"mystery","code":"m1","raw_status_code":429}`, "x", "m1", rateLimited},
	"a list of errors":                    {`{"error":[{"message":"x","code":429}]}`, "x", "429", rateLimited},
	"a function's name":                   {`{"object":"error","type":"invalid_request_error","message":"Function get_rate_limit has an invalid schema"}`, "Function get_rate_limit has an invalid schema", "", invalid},
	"a tool's name":                       {`{"error":{"message":"The tool 'calendar_busy' has an invalid schema"}}`, "The tool 'calendar_busy' has an invalid schema", "", ""},
	"a setting's name":                    {`{"error":{"type":"validation_error","message":"timeout must be positive, not unavailable"}}`, "timeout must be positive, not unavailable", "", invalid},
	"words of another service":            {`{"error":{"message":"x","type":"overloaded_error","code":null}}`, "x", "", serverFault},
}

// A response with status 200 that holds an error is that error, for every operation, and
// tried again if it can pass.
func TestErrorsInsideResponses(t *testing.T) {
	for name, form := range errorForms {
		t.Run(name, func(t *testing.T) {
			requests := 0
			handler := func(w http.ResponseWriter, _ *http.Request) {
				requests++
				answer(w, 200, form.data)
			}
			inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				for _, step := range steps {
					if strings.HasSuffix(step.method, "Stream") {
						continue
					}
					requests = 0
					err := step.call(t.Context(), newScenario(client))
					var api *ratelimited.APIError
					if !errors.As(err, &api) || api.StatusCode != 200 || api.Message != form.message || api.Code != form.code {
						t.Fatalf("%s: %v (%T), want an APIError with status 200, message %q and code %q", step.method, err, err, form.message, form.code)
					}
					if kindsOf(err) != form.kinds || !strings.Contains(err.Error(), form.message) {
						t.Errorf("%s: %v is of the kinds %q, want %q", step.method, err, kindsOf(err), form.kinds)
					}
					if again := requests > 1; again != errors.Is(err, ratelimited.ErrRetryable) {
						t.Errorf("%s: %d requests", step.method, requests)
					}
				}
			})
		})
	}
}

// An empty object is not a response either.
func TestEmptyObjects(t *testing.T) {
	inBubble(t, fast, status(200, ` {} `), func(t *testing.T, client *ratelimited.Client) {
		for _, step := range steps {
			if strings.HasSuffix(step.method, "Stream") {
				continue
			}
			var api *ratelimited.APIError
			if err := step.call(t.Context(), newScenario(client)); !errors.As(err, &api) || api.Err == nil || !strings.Contains(err.Error(), "{}") {
				t.Errorf("%s: %v, want an APIError that shows the content", step.method, err)
			}
		}
	})
}

// Findings inside a 200 are those of a 422.
func TestFindingsInsideResponses(t *testing.T) {
	inBubble(t, fast, status(200, `{"detail":[{"loc":["body","model"],"msg":"Field required","type":"missing"}]}`), func(t *testing.T, client *ratelimited.Client) {
		response, err := start(t.Context(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || len(api.Fields) != 1 || kindsOf(err) != invalid || response != nil {
			t.Errorf("%v of the kinds %q, and %v", err, kindsOf(err), response)
		}
	})
}

// What an error inside a response costs is nothing, and what follows is as ever.
func TestErrorInsideIsTriedAgain(t *testing.T) {
	busy := status(200, `{"error":{"message":"busy","code":503}}`)
	limited := status(200, tooMany)
	for name, first := range map[string]http.HandlerFunc{"busy": busy, "limited": limited} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, inTurn(first, ok), func(t *testing.T, client *ratelimited.Client) {
				began := time.Now()
				response, err := start(t.Context(), client)
				if err != nil || response.OutputText() != "fine" {
					t.Fatalf("%v, %v", response, err)
				}
				if s := snapshot(client); s.TokensSettled != 30 || s.Retried != 1 || time.Since(began) == 0 {
					t.Errorf("%d tokens are settled after %d retries and %v", s.TokensSettled, s.Retried, time.Since(began))
				}
			})
		})
	}
}

// An error in a stream ends it with its message and code, whatever its form; as the first
// event it is a failure of the attempt, tried again if it can pass.
func TestErrorsInsideStreams(t *testing.T) {
	frames := map[string]struct{ frame, message, code, kinds string }{
		"the API's event":               {frame("conversation.response.error", `{"type":"conversation.response.error","message":"Slow down","code":1300}`), "Slow down", "1300", rateLimited},
		"the API's event, code as text": {frame("conversation.response.error", `{"type":"conversation.response.error","message":"Slow down","code":"1300"}`), "Slow down", "1300", rateLimited},
		"the API's event, of an object": {frame("conversation.response.error", `{"type":"conversation.response.error","message":{"detail":"No."},"code":3001}`), "No.", "3001", invalid},
		"an event with text":            {frame("error", `busy`), "busy", "", serverFault},
		"an event with a JSON text":     {frame("error", `"timed out"`), "timed out", "", serverFault},
		"an event with an object":       {frame("error", `{"message":"No.","code":400}`), "No.", "400", invalid},
		"a type of error":               {"data: " + `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}` + "\n\n", "Overloaded", "", serverFault},
		"an event in capitals":          {frame("Error", `{"message":"No.","code":400}`), "No.", "400", invalid},
		"the API's event, not JSON":     {frame("conversation.response.error", `oops`), "oops", "", ""},
		"a type that is not known":      {"data: " + `{"type":"server_error","error":{"message":"x","code":503}}` + "\n\n", "x", "503", serverFault},
		"in the name of another":        {frame("message.output.delta", `{"error":{"message":"No.","code":500}}`), "No.", "500", serverFault},
		"in the name of the last":       {frame("conversation.response.done", `{"object":"error","message":"No.","code":500}`), "No.", "500", serverFault},
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
					t.Fatalf("%v (%T), want a StreamError with message %q and code %s after %d events", err, err, test.message, test.code, events)
				}
				if kindsOf(err) != test.kinds {
					t.Errorf("%v is of the kinds %q, want %q", err, kindsOf(err), test.kinds)
				}
			}
			inBubble(t, fast, streaming(started+hello+test.frame+world), func(t *testing.T, client *ratelimited.Client) {
				events, err := collect(startStream(t.Context(), t, client))
				check(err, 2)
				if len(events) != 2 {
					t.Errorf("%d events", len(events))
				}
			})
			requests := 0
			first := func(w http.ResponseWriter, r *http.Request) {
				requests++
				streaming(test.frame)(w, r)
			}
			inBubble(t, fast, first, func(t *testing.T, client *ratelimited.Client) {
				_, err := openedStream(t.Context(), client)
				check(err, 0)
				var api *ratelimited.APIError
				if !errors.As(err, &api) || strings.Count(err.Error(), test.message) != 1 {
					t.Errorf("%v (%T), want an APIError that shows the message once", err, err)
				}
				if again := requests > 1; again != errors.Is(err, ratelimited.ErrRetryable) {
					t.Errorf("%d requests", requests)
				}
				if s := snapshot(client); s.TokensSettled != 0 {
					t.Errorf("%d tokens are settled for nothing", s.TokensSettled)
				}
			})
			if !strings.Contains(test.kinds, retryable) {
				return
			}
			inBubble(t, fast, inTurn(streaming(test.frame), streaming(started+hello+done)), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil || stream.Text() != "Hello" {
					t.Errorf("text %q, %v", stream.Text(), err)
				}
			})
		})
	}
}

// Events that only look like errors are delivered.
func TestEventsThatAreNoErrors(t *testing.T) {
	for name, event := range map[string]string{
		"text":             frame("message.output.delta", `{"type":"message.output.delta","id":"m","content":"{\"error\": \"detail\"}"}`),
		"a new event":      frame("tool.execution.failed", `{"type":"tool.execution.failed","error":{"message":"no result"}}`),
		"info":             frame("tool.execution.done", `{"type":"tool.execution.done","id":"t","info":{"error":"none found","detail":"x"}}`),
		"null, by name":    frame("message.output.delta", `{"id":"m","content":"hi","error":null}`),
		"a tool's error":   frame("tool.execution.done", `{"id":"m","name":"x","error":"tool failed","info":{}}`),
		"of tomorrow":      frame("progress", `{"error":null,"done":3}`),
		"of tomorrow, too": frame("progress", `{"error":"none","done":3}`),
		"an odd object":    frame("message.output.delta", `{"type":"message.output.delta","object":"error","content":"hi"}`),
		"null":             frame("message.output.delta", `{"type":"message.output.delta","id":"m","content":"x","error":null}`),
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{started + event + done, event + done} {
				inBubble(t, fast, streaming(text), func(t *testing.T, client *ratelimited.Client) {
					if events, err := collect(startStream(t.Context(), t, client)); err != nil || len(events) != strings.Count(text, "data:") {
						t.Errorf("%d events, %v", len(events), err)
					}
				})
			}
		})
	}
}

// A mid-stream StreamError made by hand follows its code, too.
func TestKindsOfCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		1300: rateLimited, 3505: rateLimited, 3000: invalid, 3001: invalid, 1500: invalid, 3999: invalid,
		429: rateLimited, 500: serverFault, 503: serverFault, 529: serverFault, 501: "server error", 404: "not found", 600: "", 5000: "", 0: "", -1: "",
	} {
		if got := kindsOf(&ratelimited.StreamError{Code: code}); got != want {
			t.Errorf("code %d is of the kinds %q, want %q", code, got, want)
		}
	}
}

// number is a code as an int; 0 if it is not one.
func number(code string) int {
	n, _ := strconv.Atoi(code)
	return n
}

// newScenario is one whose things exist.
func newScenario(client *ratelimited.Client) *scenario {
	return &scenario{conversations: client.Beta.Conversations, agents: client.Beta.Agents, conversation: "conv_1", entry: "msg_1", agent: "ag_1"}
}
