package emulator

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of in-memory connections.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestServerEndsConnections sends an incomplete request. The server must close the connection
// after the timeout, in virtual time.
func TestServerEndsConnections(t *testing.T) {
	t.Parallel()
	const head = "POST /v1/conversations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\nContent-Type: application/json\r\n"
	for _, test := range []struct {
		name, sends string
		status      int // 0 if the server does not respond
		after       time.Duration
	}{
		{"nothing", "", 0, headerTimeout},
		{"half a header", "GET /v1/agents HTTP/1.1\r\nHost: loc", 0, headerTimeout},
		{"half a body", head + "Content-Length: 30\r\n\r\n{\"model\":", http.StatusBadRequest, readTimeout},
		{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n1e\r\n{\"model\":", http.StatusBadRequest, readTimeout},
		{"half a body without a key", strings.Replace(head, "Bearer key", "", 1) + "Content-Length: 30\r\n\r\n{\"model\":", http.StatusUnauthorized, readTimeout},
		{"half a body with another host", strings.Replace(head, "localhost", "evil.example", 1) + "Content-Length: 30\r\n\r\n{\"model\":", http.StatusForbidden, readTimeout},
		{"half a list of faults", "PUT /_emulator/faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n[", http.StatusBadRequest, readTimeout},
		{"idle after a request", "GET /v1/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n\r\n", http.StatusOK, idleTimeout},
		{"a long header", "GET /v1/agents HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge, 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			listener := make(pipes)
			server := newHTTPServer(New(Config{Control: true}))
			go func() { _ = server.Serve(listener) }()
			client, conn := net.Pipe()
			listener <- conn
			began := time.Now()
			go func() { _, _ = io.WriteString(client, test.sends) }()
			data, err := io.ReadAll(client)
			if took := time.Since(began); err != nil || took != test.after {
				t.Errorf("%s: connection ended after %s, %v, want %s", test.name, took, err, test.after)
			}
			status := 0
			if response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(data))), nil); err == nil {
				status = response.StatusCode
			}
			if status != test.status {
				t.Errorf("%s: response is %q, want status %d", test.name, data, test.status)
			}
			close(listener)
		})
	}
}

// The server closes a connection whose client sends the body too slowly.
func TestSlowContentTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := make(pipes)
		server := newHTTPServer(New(Config{}))
		go func() { _ = server.Serve(listener) }()
		client, conn := net.Pipe()
		listener <- conn
		began := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			_, err := io.WriteString(client, "POST /v1/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\nContent-Length: 1000\r\n\r\n")
			for err == nil {
				time.Sleep(7 * time.Second)
				_, err = io.WriteString(client, " ")
			}
		})
		if _, err := io.ReadAll(client); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if took := time.Since(began); took != contentTimeout {
			t.Errorf("connection ended after %s, want %s", took, contentTimeout)
		}
		_ = client.Close()
		sending.Wait()
		close(listener)
	})
}
