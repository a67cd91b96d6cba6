package ratelimited_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

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
