package ratelimited_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The clocks of the client and the server can differ by hours. The client computes the wait for a
// date in Retry-After from the Date field of the same response.
func TestRetryAfterDateIsRelativeToDateField(t *testing.T) {
	for name, offset := range map[string]time.Duration{"right": 0, "fast": 3 * time.Hour, "slow": -3 * time.Hour} {
		for _, code := range []int{429, 503} {
			t.Run(name+" "+http.StatusText(code), func(t *testing.T) {
				fail := func(w http.ResponseWriter, r *http.Request) {
					now := time.Now().UTC().Add(offset)
					status(code, rateLimitBody, "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(20*time.Second).Format(http.TimeFormat))(w, r)
				}
				runWithHandler(t, fast, handlersInOrder(fail, ok), func(t *testing.T, client *ratelimited.Client) {
					took := elapsed(func() {
						if _, err := start(t.Context(), client); err != nil {
							t.Error(err)
						}
					})
					if took < 20*time.Second || took > 33*time.Second { // the backoff can be longer than Retry-After
						t.Errorf("the retry was sent after %v, want 20 s to 33 s", took)
					}
				})
			})
		}
	}
}
