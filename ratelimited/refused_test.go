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

// A server goes down during an attempt. The server may have processed that attempt, so the client charges
// its estimate. The operating system refuses all later connections, and the client charges nothing for them.
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
		if mismatch := aTransportError(true, syscall.ECONNREFUSED)(err); mismatch != nil {
			t.Errorf("call %d fails with %v: %v", i, err, mismatch)
		}
		var transport *ratelimited.TransportError
		if errors.As(err, &transport) && transport.Attempts != 2 {
			t.Errorf("call %d had %d attempts, want 2", i, transport.Attempts)
		}
		settled[i] = snapshot(client).TokensSettled
	}
	if settled[0] == 0 || settled[1] != settled[0] {
		t.Errorf("%d tokens settled after the first call, and %d after the second, want the same and not 0", settled[0], settled[1])
	}
	if s := server.Stats(); s.Requests != 1 {
		t.Errorf("%d requests arrived, want 1", s.Requests)
	}
}
