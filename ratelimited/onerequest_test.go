package ratelimited_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A rawServer counts the requests that come over its connections, and decides for each
// what becomes of it.
type rawServer struct {
	net.Listener
	serve  func(*rawServer, net.Conn)
	conns  sync.WaitGroup
	mu     sync.Mutex
	opened []net.Conn
	count  int // requests

	refusing chan struct{} // over HTTP/2, closed when it may refuse a stream; nil: always
	bodies   int           // over HTTP/2, requests after the first that are followed by DATA
}

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

func (s *rawServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *rawServer) counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count
}

// forms are the forms of requests, as net/http tells them apart.
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

const rawReply = `{"object":"conversation.response","conversation_id":"conv_1","id":"x","outputs":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`

// rawKept is how many connections are kept that the server will close.
const rawKept = 50

// rawHTTP1 answers the first request of a connection, and closes it when it has read
// another, without a response.
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
			n := s.counted()
			if !first {
				return
			}
			if n <= rawKept { // each of these on a connection of its own
				kept.Done()
				kept.Wait()
			}
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(rawReply), rawReply); err != nil {
				return
			}
		}
	}
}

// All connections that are kept turn out to be closed as they are used: a call sends no
// more requests than its limiter has admitted. Without retries that is one, and with them
// one more, over a new connection.
func TestStaleConnections(t *testing.T) {
	for name, call := range forms {
		for retries, want := range map[int]int{0: 1, 3: 2} {
			t.Run(fmt.Sprintf("%s with %d retries", name, retries), func(t *testing.T) {
				t.Parallel()
				var kept sync.WaitGroup
				kept.Add(rawKept)
				server := startRaw(t, rawHTTP1(&kept))
				client := newClient(t, ratelimited.Config{
					APIKey: secretKey, BaseURL: "http://" + server.Addr().String(), RequestsPerSecond: 1000, TokensPerMinute: 1e9, BaseDelay: time.Minute, MaxDelay: time.Minute,
				})
				defer client.Close()
				for _, result := range ratelimited.Gather(t.Context(), make([]int, rawKept), func(ctx context.Context, _ int) (int, error) {
					return 0, forms["GET"](ctx, client)
				}) {
					if result.Err != nil {
						t.Fatal(result.Err)
					}
				}
				before := snapshot(client)
				err := call(t.Context(), client, ratelimited.WithMaxRetries(retries))
				if failed := err != nil; failed != (retries == 0) {
					t.Errorf("error %v, want one only without retries", err)
				}
				wantOnePermitARequest(t, client, before.Admitted+before.Retried, server.requests()-rawKept, want)
			})
		}
	}
}

func wantOnePermitARequest(t *testing.T, client *ratelimited.Client, before int64, requests, want int) {
	t.Helper()
	s := snapshot(client)
	if admitted := s.Admitted + s.Retried - before; admitted != int64(requests) || requests != want {
		t.Errorf("%d requests were admitted and %d sent, want %d", admitted, requests, want)
	}
	wantNoPermits(t, client)
}

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	framePing     = 6
	flagEnd       = 1 // of a stream, or the acknowledgment of settings
	flagHeaders   = 4 // these are all
	refusedStream = 7
)

// rawHTTP2 answers the first request of a connection and then refuses as many streams as
// it is told.
func rawHTTP2(refuse int) func(*rawServer, net.Conn) {
	return func(s *rawServer, conn net.Conn) {
		write := func(kind, flags byte, stream uint32, payload []byte) {
			header := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
			binary.BigEndian.PutUint32(header[5:], stream)
			_, _ = conn.Write(append(header, payload...)) // the client may have gone
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
				s.counted()
				if n++; n > 1 && header[4]&flagEnd == 0 {
					s.mu.Lock()
					s.bodies++
					s.mu.Unlock()
				}
				if n > 1 && n <= 1+refuse {
					if s.refusing != nil {
						<-s.refusing
					}
					write(frameReset, 0, stream, []byte{0, 0, 0, refusedStream})
					continue
				}
				// ":status: 200" is entry 8 of HPACK's static table, content-type entry 31.
				fields := append([]byte{0x88, 0x0f, 0x10, byte(len("application/json"))}, "application/json"...)
				write(frameHeaders, flagHeaders, stream, fields)
				write(0, flagEnd, stream, []byte(rawReply))
			}
		}
	}
}

// A server that refuses streams of a connection is asked again only with a permit.
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
					t.Errorf("%d requests came, want two and one that is refused at least", requests)
				}
				wantOnePermitARequest(t, client, 0, requests, requests)
				server.mu.Lock()
				defer server.mu.Unlock()
				if body := strings.HasPrefix(name, "POST"); (server.bodies > 0) != body {
					t.Errorf("%d requests have a body", server.bodies)
				}
			})
		}
	}
}

// In a shutdown, a request that the server refuses is not sent again.
func TestRefusedStreamInAShutdown(t *testing.T) {
	t.Parallel()
	server := startRaw(t, rawHTTP2(1))
	server.refusing = make(chan struct{})
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
	for refused := false; !refused; { // the limiter would let it wait for a second
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		refused = errors.Is(forms["GET"](ctx, client), ratelimited.ErrShuttingDown)
		cancel()
	}
	close(server.refusing)
	if _, err := call.Await(t.Context()); !errors.Is(err, ratelimited.ErrShuttingDown) {
		t.Errorf("the call ends with %v", err)
	}
	if _, err := shut.Await(t.Context()); err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
	if n := server.requests(); n != 2 {
		t.Errorf("%d requests came, want 2", n)
	}
	wantNoPermits(t, client)
}

// The first request of a client does not know the version of HTTP, and has no body either.
func TestFirstRequestOverHTTP2(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"GET", "DELETE"} {
		lengths := make(chan int64, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lengths <- r.ContentLength
			answer(w, 200, rawReply)
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

// A request without a body has neither one nor a field that speaks of one.
func TestRequestsWithoutABody(t *testing.T) {
	var requests bytes.Buffer
	handler := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&requests, r.Method, r.ContentLength, r.TransferEncoding, r.Header["Content-Length"])
		answer(w, 200, rawReply)
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
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
