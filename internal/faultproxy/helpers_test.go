package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that no goroutine runs after all proxies are closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content is the content of every response of the server.
const content = `{"object":"conversation.response","outputs":[{"content":"one two three four"}]}`

// fixture is a proxy in front of a server.
type fixture struct {
	*Proxy
	served atomic.Int64 // The number of requests that reached the server.
}

// setUp starts a proxy that injects the given faults, one for each request, and then Pass.
func setUp(t *testing.T, faults ...Fault) *fixture {
	t.Helper()
	f := new(fixture)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.served.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // The proxy may have cut the request.
		w.Header()["Date"] = nil           // All responses have the same bytes.
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, content[:20])
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, content[20:])
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	choose := func(*rand.Rand, bool) Fault {
		if len(faults) == 0 {
			return Fault{Kind: Pass}
		}
		fault := faults[0]
		faults = faults[1:]
		return fault
	}
	var err error
	if f.Proxy, err = Start(Config{Backend: server.Listener.Addr().String(), Choose: choose}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		server.Close()
	})
	return f
}

func (f *fixture) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// get sends a request and returns all bytes until the connection ends, and the error that ended
// the connection. The error is nil after an orderly close.
func (f *fixture) get(t *testing.T, path string) ([]byte, error) {
	t.Helper()
	conn := f.dial(t)
	if _, err := conn.Write(get(path)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil { // makes the proxy close after the response
		t.Fatal(err)
	}
	return io.ReadAll(conn)
}

func get(path string) []byte { return []byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n") }

const (
	plainHead  = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 79\r\n\r\n"
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	plain      = plainHead + content
	streamed   = streamHead + "14\r\n" + `{"object":"conversat` + "\r\n3b\r\n" + `ion.response","outputs":[{"content":"one two three four"}]}` + "\r\n0\r\n\r\n"
)

func want(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%s: got %d bytes %.400q, want %d bytes %.400q", what, len(got), got, len(want), want)
	}
}

// until yields to other goroutines until a condition is true.
func until(is func() bool) {
	for !is() {
		runtime.Gosched()
	}
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
