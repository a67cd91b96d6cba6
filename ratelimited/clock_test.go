package ratelimited_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A wall clock that is wrong, here or there, by hours: how long a date in Retry-After
// is away is known by the reply's own Date.
func TestRetryAfterDateByTheServersClock(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"right": 0, "fast": 3 * time.Hour, "slow": -3 * time.Hour} {
		for _, code := range []int{429, 503} {
			t.Run(name+" "+http.StatusText(code), func(t *testing.T) {
				refuse := func(w http.ResponseWriter, r *http.Request) {
					now := time.Now().UTC().Add(wrong)
					status(code, tooMany, "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(20*time.Second).Format(http.TimeFormat))(w, r)
				}
				inBubble(t, fast, inTurn(refuse, ok), func(t *testing.T, client *ratelimited.Client) {
					took := elapsed(func() {
						if _, err := start(t.Context(), client); err != nil {
							t.Error(err)
						}
					})
					if took < 20*time.Second || took > 33*time.Second { // a backoff may be longer
						t.Errorf("tried again after %v, want 20 s or a little more", took)
					}
				})
			})
		}
	}
}
