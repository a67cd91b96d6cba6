package ratelimited_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The client does not retry a failed TLS handshake, because a retry would fail too. It does not charge the call.
func TestTLSFailuresAreNotRetried(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		secure bool // the server
		cause  any
	}{
		"self-signed certificate": {true, new(*tls.CertificateVerificationError)},
		"server without TLS":      {false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(ok))
			var connections atomic.Int64
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			if test.secure {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			config := fast
			config.APIKey, config.BaseURL = secretKey, "https://"+server.Listener.Addr().String()
			client := newClient(t, config)
			defer client.Close()
			_, err := start(t.Context(), client)
			var transport *ratelimited.TransportError
			if !errors.As(err, &transport) || errors.Is(err, ratelimited.ErrRetryable) || strings.Contains(err.Error(), secretKey) {
				t.Errorf("error is %v, want a TransportError that does not match ErrRetryable", err)
			}
			if test.cause != nil && !errors.As(err, test.cause) {
				t.Errorf("error is %v, want an error that wraps %T", err, test.cause)
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			if s := snapshot(client); s.TokensSettled != 0 || s.Cancelled != 1 {
				t.Errorf("%d tokens settled and %d calls cancelled, want 0 and 1", s.TokensSettled, s.Cancelled)
			}
			wantNoPermits(t, client)
		})
	}
}
