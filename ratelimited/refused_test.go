package ratelimited_test

import (
	"errors"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A server goes down with a call: that call may have been carried out and costs its
// estimate, those that the system refuses from then on cost nothing.
func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultRefuse, Delay: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	client := newClient(t, ratelimited.Config{
		APIKey: secretKey, BaseURL: server.URL(), HTTPClient: &http.Client{Transport: transport},
		RequestsPerSecond: 1000, TokensPerMinute: 1_000_000, MaxRetries: 1, BaseDelay: time.Millisecond,
	})
	var settled [2]int64
	for i := range settled {
		_, err := start(t.Context(), client)
		if wrong := aTransportError(true, syscall.ECONNREFUSED)(err); wrong != nil {
			t.Errorf("call %d fails with %v: %v", i, err, wrong)
		}
		var transport *ratelimited.TransportError
		if errors.As(err, &transport) && transport.Attempts != 2 {
			t.Errorf("call %d had %d attempts, want 2", i, transport.Attempts)
		}
		settled[i] = snapshot(client).TokensSettled
	}
	if settled[0] == 0 || settled[1] != settled[0] {
		t.Errorf("%d tokens are settled after the call that was cut, and %d after those that were refused", settled[0], settled[1])
	}
	if s := server.Stats(); s.Requests != 1 {
		t.Errorf("%d requests arrived, want 1", s.Requests)
	}
}
