// Package faultproxy is a TCP proxy that injects faults into the bytes between an HTTP
// client and a server. The soak test runs the client through it. The proxy speaks
// HTTP/1.1 and HTTP/2, both without TLS, and counts the requests that reach it, so that a
// test can compare them with the requests that the client's limiter admitted.
package faultproxy

import (
	"bufio"
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Config is the configuration of a [Proxy].
type Config struct {
	Backend string // The address of the server, as "host:port".
	Seed    uint64 // The seed of the random source that chooses the faults.

	// Choose returns the fault of the next request, which uses HTTP/2 or HTTP/1.1. The proxy
	// calls it for one request at a time. Default: [Sample].
	Choose func(random *rand.Rand, http2 bool) Fault
}

// Request is a request that reached the proxy.
type Request struct {
	Call  string // The [CallID] in its head; empty if the proxy did not receive it.
	Kind  Kind   // The fault that was injected.
	HTTP2 bool

	// Whole is true if the proxy received the whole head. A fault in the request may cut it
	// off earlier.
	Whole bool
}

// Proxy listens on a port of 127.0.0.1 and forwards each request to the server.
type Proxy struct {
	config   Config
	listener net.Listener
	ctx      context.Context // Canceled by Close.
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand
	open     map[net.Conn]struct{} // Nil after Close.
	requests []*Request
}

// Start starts a proxy on a free port.
func Start(config Config) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if config.Choose == nil {
		config.Choose = Sample
	}
	p := &Proxy{
		config: config, listener: listener,
		random: rand.New(rand.NewPCG(config.Seed, config.Seed)), open: map[net.Conn]struct{}{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// URL returns the base URL of the proxy.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Close closes all connections and waits until all goroutines of the proxy have ended.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close() // The only possible error is that it was closed before.
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close() // Its goroutine may have closed it.
	}
	p.open = nil
	p.mu.Unlock()
	p.running.Wait()
}

// Requests returns the requests that reached the proxy, in the order of their arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Request, len(p.requests))
	for i, request := range p.requests {
		list[i] = *request
	}
	return list
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		client := conn.(*net.TCPConn) // The listener is a TCP listener.
		if !p.add(client) {
			return
		}
		p.running.Go(func() {
			defer p.remove(client)
			reader := bufio.NewReader(client)
			if start, _ := reader.Peek(len("PRI ")); string(start) == "PRI " { // not a method of HTTP/1.1
				p.serveHTTP2(client, reader)
			} else {
				p.serveHTTP1(client, reader)
			}
		})
	}
}

// dial opens a connection to the server.
func (p *Proxy) dial() (*net.TCPConn, error) {
	conn, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.config.Backend)
	if err != nil {
		return nil, err
	}
	backend := conn.(*net.TCPConn) // The network is TCP.
	if !p.add(backend) {
		return nil, net.ErrClosed
	}
	return backend, nil
}

// add registers a connection, so that Close closes it. After Close, add closes the connection and
// returns false.
func (p *Proxy) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		_ = conn.Close() // It is unused.
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *Proxy) remove(conn net.Conn) {
	_ = conn.Close() // A fault may have closed it.
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

// arrived chooses the fault of a request of which the first byte has arrived, and records both.
func (p *Proxy) arrived(http2 bool) (*Request, Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := p.config.Choose(p.random, http2)
	request := &Request{Kind: fault.Kind, HTTP2: http2}
	p.requests = append(p.requests, request)
	return request, fault
}

// received records the identifier of a request and whether its whole head arrived.
func (p *Proxy) received(request *Request, head []byte, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	request.Call, request.Whole = findCall(head), whole
}

// recordFault records that a fault of another request on the same connection also ended these
// requests.
func (p *Proxy) recordFault(kind Kind, requests []*Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, request := range requests {
		if request.Kind == Pass {
			request.Kind = kind
		}
	}
}

// wait waits for the given time. It returns false if Close ends the wait.
func (p *Proxy) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// reset closes a connection so that the other end receives a TCP RST.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // An error means that the connection is closed already.
	_ = conn.Close()
}

// callDigits are characters with 8 bits each in HPACK's Huffman code (RFC 7541, appendix B);
// callBegin and callEnd have more bits. The code does not shorten a string of them, so encoders
// send it literally. The proxy can therefore find it in an HTTP/2 head without a decoder. This
// requires that the encoder's dynamic table is off (see MaxEncoderHeaderTableSize of
// [http.HTTP2Config]): otherwise an encoder sends a repeated field as a table index.
const (
	callDigits         = "XZ&*"
	callBegin, callEnd = '<', '>'
)

// CallID returns the n-th identifier for calls. A client sends it as the value of any header field.
// The proxy finds it in the heads of both protocols.
func CallID(n int) string {
	id := []byte{callEnd}
	for {
		id = append(id, callDigits[n%len(callDigits)])
		if n /= len(callDigits); n == 0 {
			break
		}
	}
	id = append(id, callBegin)
	slices.Reverse(id)
	return string(id)
}

// findCall returns the first [CallID] in a head, or "".
func findCall(head []byte) string {
	begin := -1
	for i, c := range head {
		switch {
		case c == callBegin:
			begin = i
		case begin < 0:
		case c == callEnd && i > begin+1:
			return string(head[begin : i+1])
		case !slices.Contains([]byte(callDigits), c):
			begin = -1
		}
	}
	return ""
}
