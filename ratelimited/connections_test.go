package ratelimited_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// rawServer is a TCP server that counts the requests on its connections. The function serve handles
// each connection.
type rawServer struct {
	net.Listener
	serve  func(*rawServer, net.Conn)
	conns  sync.WaitGroup
	mu     sync.Mutex
	opened []net.Conn
	count  int // requests

	mayRefuse chan struct{} // with HTTP/2: closed when the server may refuse a stream; nil means always
	bodies    int           // with HTTP/2: requests after the first that have DATA frames
}

// startRaw starts a rawServer on a loopback address.
func startRaw(t *testing.T, serve func(*rawServer, net.Conn)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{Listener: listener, serve: serve}
	s.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.opened = append(s.opened, conn)
			s.mu.Unlock()
			s.conns.Go(func() {
				defer func() { _ = conn.Close() }()
				s.serve(s, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for _, conn := range s.opened {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.conns.Wait()
	})
	return s
}

// requests returns the number of requests.
func (s *rawServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// countRequest counts a request and returns its number, from 1.
func (s *rawServer) countRequest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count
}

// forms are the forms of requests that net/http retries differently.
var forms = map[string]func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error{
	"GET": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		_, err := client.Beta.Conversations.Get(ctx, "conv_1", options...)
		return err
	},
	"POST": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		_, err := start(ctx, client, options...)
		return err
	},
	"POST with an idempotency key": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		_, err := start(ctx, client, append(options, ratelimited.WithHeader("Idempotency-Key", "1"))...)
		return err
	},
	"DELETE": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		return client.Beta.Conversations.Delete(ctx, "conv_1", options...)
	},
	"PUT without a body": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		_, err := client.Beta.Agents.CreateVersionAlias(ctx, "ag_1", "a", 1, options...)
		return err
	},
	"PATCH without a body": func(ctx context.Context, client *ratelimited.Client, options ...ratelimited.CallOption) error {
		_, err := client.Beta.Agents.UpdateVersion(ctx, "ag_1", 1, options...)
		return err
	},
}

// rawResponse is the body of the responses.
const rawResponse = `{"object":"conversation.response","conversation_id":"conv_1","id":"x","outputs":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`

// keptConnections is the number of idle connections that the server will close.
const keptConnections = 50

// rawHTTP1 responds to the first request on a connection. It closes the connection without a response
// when it has read the second request.
func rawHTTP1(kept *sync.WaitGroup) func(*rawServer, net.Conn) {
	return func(s *rawServer, conn net.Conn) {
		reader := bufio.NewReader(conn)
		for first := true; ; first = false {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			if len(request.TransferEncoding) > 0 {
				panic("chunked")
			}
			n := s.countRequest()
			if !first {
				return
			}
			if n <= keptConnections { // wait, so that each request opens a connection
				kept.Done()
				kept.Wait()
			}
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(rawResponse), rawResponse); err != nil {
				return
			}
		}
	}
}

// The server closes all idle connections when the client uses them. A call must not send more requests
// than the limiter has admitted: one without retries, and otherwise one more over a new connection.
func TestStaleConnections(t *testing.T) {
	for name, call := range forms {
		for retries, want := range map[int]int{0: 1, 3: 2} {
			t.Run(fmt.Sprintf("%s with %d retries", name, retries), func(t *testing.T) {
				t.Parallel()
				var kept sync.WaitGroup
				kept.Add(keptConnections)
				server := startRaw(t, rawHTTP1(&kept))
				client := newClient(t, ratelimited.Config{
					APIKey: secretKey, BaseURL: "http://" + server.Addr().String(), RequestsPerSecond: 1000, TokensPerMinute: 1e9, BaseDelay: time.Minute, MaxDelay: time.Minute,
				})
				defer client.Close()
				for _, result := range ratelimited.Gather(t.Context(), make([]int, keptConnections), func(ctx context.Context, _ int) (int, error) {
					return 0, forms["GET"](ctx, client)
				}) {
					if result.Err != nil {
						t.Fatal(result.Err)
					}
				}
				before := snapshot(client)
				err := call(t.Context(), client, ratelimited.WithMaxRetries(retries))
				if failed := err != nil; failed != (retries == 0) {
					t.Errorf("error is %v with %d retries, want an error only without retries", err, retries)
				}
				wantOnePermitARequest(t, client, before.Admitted+before.Retried, server.requests()-keptConnections, want)
			})
		}
	}
}

// wantOnePermitARequest checks the number of requests, and that the limiter admitted each of them.
func wantOnePermitARequest(t *testing.T, client *ratelimited.Client, before int64, requests, want int) {
	t.Helper()
	s := snapshot(client)
	if admitted := s.Admitted + s.Retried - before; admitted != int64(requests) || requests != want {
		t.Errorf("%d requests were admitted and %d sent, want %d", admitted, requests, want)
	}
	wantNoPermits(t, client)
}

// These are frame types, flags, and an error code of HTTP/2 (RFC 9113).
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	framePing     = 6
	flagEnd       = 1 // END_STREAM, or ACK of a SETTINGS or PING frame
	flagHeaders   = 4 // END_HEADERS
	refusedStream = 7 // REFUSED_STREAM
)

// rawHTTP2 responds to the first request on a connection and refuses the given number of streams after it.
func rawHTTP2(refuse int) func(*rawServer, net.Conn) {
	return func(s *rawServer, conn net.Conn) {
		write := func(kind, flags byte, stream uint32, payload []byte) {
			header := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
			binary.BigEndian.PutUint32(header[5:], stream)
			_, _ = conn.Write(append(header, payload...)) // the client may have disconnected
		}
		reader := bufio.NewReader(conn)
		if _, err := io.CopyN(io.Discard, reader, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		write(frameSettings, 0, 0, nil)
		for n := 0; ; {
			var header [9]byte
			if _, err := io.ReadFull(reader, header[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, reader, int64(header[0])<<16|int64(header[1])<<8|int64(header[2])); err != nil {
				return
			}
			stream := binary.BigEndian.Uint32(header[5:])
			switch {
			case header[3] == frameSettings && header[4]&flagEnd == 0:
				write(frameSettings, flagEnd, 0, nil)
			case header[3] == framePing && header[4]&flagEnd == 0:
				write(framePing, flagEnd, 0, make([]byte, 8))
			case header[3] == frameHeaders:
				s.countRequest()
				if n++; n > 1 && header[4]&flagEnd == 0 {
					s.mu.Lock()
					s.bodies++
					s.mu.Unlock()
				}
				if n > 1 && n <= 1+refuse {
					if s.mayRefuse != nil {
						<-s.mayRefuse
					}
					write(frameReset, 0, stream, []byte{0, 0, 0, refusedStream})
					continue
				}
				// In HPACK's static table, ":status: 200" is entry 8 and content-type is entry 31.
				fields := append([]byte{0x88, 0x0f, 0x10, byte(len("application/json"))}, "application/json"...)
				write(frameHeaders, flagHeaders, stream, fields)
				write(0, flagEnd, stream, []byte(rawResponse))
			}
		}
	}
}

// If the server refuses a stream, the client retries the request only with a permit.
func TestRefusedStreams(t *testing.T) {
	for name, call := range forms {
		for _, refuse := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d refused", name, refuse), func(t *testing.T) {
				t.Parallel()
				server := startRaw(t, rawHTTP2(refuse))
				transport := &http.Transport{Protocols: new(http.Protocols)}
				transport.Protocols.SetUnencryptedHTTP2(true)
				client := newClient(t, ratelimited.Config{
					APIKey: secretKey, BaseURL: "http://" + server.Addr().String(), HTTPClient: &http.Client{Transport: transport},
					RequestsPerSecond: 1000, TokensPerMinute: 1e9, BaseDelay: time.Millisecond,
				})
				defer client.Close()
				for range 2 {
					if err := call(t.Context(), client); err != nil {
						t.Errorf("the call fails: %v", err)
					}
				}
				requests := server.requests()
				if requests < 3 {
					t.Errorf("%d requests arrived, want at least 3", requests)
				}
				wantOnePermitARequest(t, client, 0, requests, requests)
				server.mu.Lock()
				defer server.mu.Unlock()
				if body := strings.HasPrefix(name, "POST"); (server.bodies > 0) != body {
					t.Errorf("%d requests have a body, want some: %v", server.bodies, body)
				}
			})
		}
	}
}

// During a shutdown, the client does not retry a request that the server refuses.
func TestRefusedStreamInAShutdown(t *testing.T) {
	t.Parallel()
	server := startRaw(t, rawHTTP2(1))
	server.mayRefuse = make(chan struct{})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := newClient(t, ratelimited.Config{
		APIKey: secretKey, BaseURL: "http://" + server.Addr().String(), HTTPClient: &http.Client{Transport: transport}, RequestsPerSecond: 1, BareBuckets: true,
	})
	if err := forms["GET"](t.Context(), client); err != nil {
		t.Fatal(err)
	}
	call := ratelimited.Async(func() (int, error) { return 0, forms["GET"](t.Context(), client) })
	for server.requests() < 2 {
		runtime.Gosched()
	}
	shut := ratelimited.Async(func() (int, error) { return 0, client.Shutdown(t.Context()) })
	for shuttingDown := false; !shuttingDown; { // before the shutdown begins, a call waits for the limiter
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		shuttingDown = errors.Is(forms["GET"](ctx, client), ratelimited.ErrShuttingDown)
		cancel()
	}
	close(server.mayRefuse)
	if _, err := call.Await(t.Context()); !errors.Is(err, ratelimited.ErrShuttingDown) {
		t.Errorf("the call ends with %v", err)
	}
	if _, err := shut.Await(t.Context()); err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
	if n := server.requests(); n != 2 {
		t.Errorf("%d requests arrived, want 2", n)
	}
	wantNoPermits(t, client)
}

// The client does not know the HTTP version of its first request. The request has an empty body in HTTP/2 too.
func TestFirstRequestOverHTTP2(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"GET", "DELETE"} {
		lengths := make(chan int64, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lengths <- r.ContentLength
			writeJSON(w, 200, rawResponse)
		}))
		server.EnableHTTP2 = true
		server.StartTLS()
		client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: server.URL, HTTPClient: server.Client()})
		if err := forms[name](t.Context(), client); err != nil {
			t.Error(err)
		}
		if length := <-lengths; length != 0 {
			t.Errorf("the content length of %s is %d", name, length)
		}
		client.Close()
		server.Close()
	}
}

// A request without a body has neither a body nor header fields for one, except Content-Length for PUT
// and PATCH.
func TestRequestsWithoutABody(t *testing.T) {
	var requests bytes.Buffer
	handler := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&requests, r.Method, r.ContentLength, r.TransferEncoding, r.Header["Content-Length"])
		writeJSON(w, 200, rawResponse)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		for _, name := range []string{"GET", "DELETE", "PUT without a body", "PATCH without a body"} {
			if err := forms[name](t.Context(), client); err != nil {
				t.Error(err)
			}
		}
	})
	if want := "GET 0 [] []\nDELETE 0 [] []\nPUT 0 [] [0]\nPATCH 0 [] [0]\n"; requests.String() != want {
		t.Errorf("requests are\n%swant\n%s", &requests, want)
	}
}

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
