package emulator

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

func ok(context.Context, Prompt) Reply { return Reply{Text: "ok"} }

// send calls the handler.
func (e *Emulator) send(ctx context.Context, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer key")
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request)
	return w
}

// TestTooMuchInFlight sends requests that take an hour, up to the bound on their number, on
// the bytes of their bodies or on the bytes of their outputs. The emulator responds with 503
// to further requests until these end.
func TestTooMuchInFlight(t *testing.T) {
	t.Parallel()
	const text = `{"model":"m","inputs":"x"}`
	const values = `{"model":"m","inputs":"x","completion_args":{"stop":["","","",""]}}`
	wait := func(ctx context.Context, _ Prompt) Reply {
		return Reply{Err: errors.Join(wire.Sleep(ctx, time.Hour), errBusyRead)}
	} // The response does not have outputs.
	for name, test := range map[string]struct {
		method, body    string
		requests, bytes int // the bounds on what is in flight
		fits            int // the number of requests within the bounds
		model           func(context.Context, Prompt) Reply
	}{
		"requests": {http.MethodGet, "", 20, 0, 20, nil},
		"content":  {http.MethodPost, text, 100, 20 * wire.Memory([]byte(text)), 20, wait},
		"values":   {http.MethodPost, values, 100, wire.Memory([]byte(values)) + 7*len(values), 1, wait},
		"outputs":  {http.MethodPost, text, 100, 20_000, 1, func(context.Context, Prompt) Reply { return Reply{Text: strings.Repeat("x", 10_000) + " y"} }},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := New(Config{Latency: time.Hour, TokenDelay: time.Hour, Model: test.model})
			e.inFlight.maxRequests, e.inFlight.maxBytes = test.requests, test.bytes
			const more = 5
			statuses := make(chan int)
			for range test.fits + more {
				go func() { statuses <- e.send(t.Context(), test.method, "/v1/conversations", test.body).Code }()
			}
			counts := map[int]int{}
			for range test.fits + more {
				counts[<-statuses]++
			}
			if counts[http.StatusServiceUnavailable] != more {
				t.Errorf("%s: statuses are %v, want 503 %d times", name, counts, more)
			}
			if status := e.send(t.Context(), test.method, "/v1/conversations", test.body).Code; status == http.StatusServiceUnavailable || e.inFlight.bytes != 0 || e.inFlight.requests != 0 {
				t.Errorf("%s: afterwards the status is %d, with %d requests and %d bytes in flight", name, status, e.inFlight.requests, e.inFlight.bytes)
			}
		})
	}
}
