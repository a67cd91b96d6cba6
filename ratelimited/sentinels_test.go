package ratelimited_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// kinds are the sentinel errors that describe a kind of failure.
var kinds = []error{
	ratelimited.ErrRetryable, ratelimited.ErrInvalid, ratelimited.ErrUnauthorized, ratelimited.ErrForbidden,
	ratelimited.ErrNotFound, ratelimited.ErrRateLimited, ratelimited.ErrServer,
}

// kindsOf returns the texts of the kinds that an error matches.
func kindsOf(err error) string {
	var found []string
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			found = append(found, strings.TrimPrefix(kind.Error(), "mistral: "))
		}
	}
	return strings.Join(found, ", ")
}

// These are results of kindsOf.
const (
	retryable   = "temporary failure"
	rateLimited = retryable + ", rate limit exceeded"
	serverFault = retryable + ", server error"
	invalid     = "invalid request"
)

// The kind of a StreamError follows from its Code field alone.
func TestKindsOfCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		1300: rateLimited, 3505: rateLimited, 3000: invalid, 3001: invalid, 1500: invalid, 3999: invalid,
		429: rateLimited, 500: serverFault, 503: serverFault, 529: serverFault, 501: "server error", 404: "not found", 600: "", 5000: "", 0: "", -1: "",
	} {
		if got := kindsOf(&ratelimited.StreamError{Code: code}); got != want {
			t.Errorf("code %d matches %q, want %q", code, got, want)
		}
	}
}

// Each status code matches the documented sentinel errors.
func TestKindsOfStatusCodes(t *testing.T) {
	all := map[string]error{
		"retryable": ratelimited.ErrRetryable, "invalid": ratelimited.ErrInvalid, "unauthorized": ratelimited.ErrUnauthorized,
		"forbidden": ratelimited.ErrForbidden, "not found": ratelimited.ErrNotFound, "rate limited": ratelimited.ErrRateLimited, "server": ratelimited.ErrServer,
	}
	for code, kinds := range map[int]string{
		400: "invalid", 401: "unauthorized", 402: "", 403: "forbidden", 404: "not found", 409: "", 422: "invalid",
		429: "rate limited retryable", 500: "server retryable", 501: "server", 502: "server retryable", 503: "server retryable", 504: "server retryable",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			runWithHandler(t, fast, status(code, `{"message":"no"}`), func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				for name, kind := range all {
					if got, want := errors.Is(err, kind), strings.Contains(kinds, name); got != want {
						t.Errorf("%v matches %q: %v, want %v", err, name, got, want)
					}
				}
			})
		})
	}
	t.Run("a limit of 0", func(t *testing.T) {
		runWithHandler(t, fast, status(429, rateLimitBody, "X-Ratelimit-Limit-Tokens-Minute", "0"), func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client); errors.Is(err, ratelimited.ErrRetryable) || !errors.Is(err, ratelimited.ErrRateLimited) {
				t.Errorf("%v, want ErrRateLimited but not ErrRetryable", err)
			}
		})
	})
	t.Run("transport", func(t *testing.T) {
		drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		runWithHandler(t, fast, drop, func(t *testing.T, client *ratelimited.Client) {
			if _, err := start(t.Context(), client, ratelimited.WithMaxRetries(0)); !errors.Is(err, ratelimited.ErrRetryable) {
				t.Errorf("%v, want ErrRetryable", err)
			}
			if _, err := start(t.Context(), client, ratelimited.WithTokenEstimate(1<<40)); !errors.Is(err, ratelimited.ErrInvalid) {
				t.Errorf("%v, want ErrInvalid", err)
			}
		})
	})
}

// The kind of a StreamError follows from the code of the API's error event, or from the failure of the connection.
func TestKindsOfStreamErrors(t *testing.T) {
	event := func(code int) string {
		return started + frame("conversation.response.error", fmt.Sprintf(`{"type":"conversation.response.error","message":"slow down","code":%d}`, code))
	}
	kinds := []error{ratelimited.ErrRetryable, ratelimited.ErrRateLimited, ratelimited.ErrServer, ratelimited.ErrInvalid}
	for name, test := range map[string]struct {
		body string
		want string // whether the error matches each of kinds
	}{
		"429":           {event(429), "true true false false"},
		"503":           {event(503), "true false true false"},
		"422":           {event(422), "false false false true"},
		"truncated":     {started + hello, "true false false false"},
		"invalid event": {started + "event: message.output.delta\ndata: [\n\n", "false false false false"},
	} {
		transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return newResponse(200, "text/event-stream", test.body), nil
		})
		runWithTransport(t, fast, transport, func(t *testing.T, client *ratelimited.Client) {
			stream, err := openStream(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			for _, err = range stream.Events() {
				if err != nil {
					break
				}
			}
			var got []string
			for _, kind := range kinds {
				got = append(got, fmt.Sprint(errors.Is(err, kind)))
			}
			if strings.Join(got, " ") != test.want || !errors.As(err, new(*ratelimited.StreamError)) {
				t.Errorf("%s: %v matches %s, want %s", name, err, got, test.want)
			}
		})
	}
}
