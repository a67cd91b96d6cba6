// Package memnet carries HTTP over in-memory connections. Under testing/synctest, a goroutine that
// waits for such a connection is durably blocked, so that client and server run in virtual time. A
// goroutine that waits for a real socket is not.
package memnet

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Server serves HTTP to the clients that its Client method returns.
type Server struct {
	listener *listener
	http     http.Server
	serving  sync.WaitGroup
	idle     []*http.Transport
}

// Start serves handler until Close.
func Start(handler http.Handler) *Server {
	s := &Server{listener: &listener{addr: memAddr{}, conns: make(chan net.Conn), closed: make(chan struct{})}}
	s.http.Handler = handler
	s.serving.Go(func() {
		// Serve returns ErrServerClosed after Close.
		_ = s.http.Serve(s.listener)
	})
	return s
}

// URL returns the server's base URL. Only clients from the Client method reach it.
func (s *Server) URL() string { return "http://127.0.0.1" }

// Client returns an HTTP client that reaches this server at any address.
func (s *Server) Client() *http.Client {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.listener.dial(ctx) },
		MaxIdleConnsPerHost: 1000,
	}
	s.idle = append(s.idle, transport)
	return &http.Client{Transport: transport}
}

// SetDown makes the server unreachable or reachable again. While it is down, all connections are
// closed and new ones are refused, like those to a port without a listener.
func (s *Server) SetDown(down bool) { s.listener.setDown(down) }

// Close closes all connections and waits until the server has stopped.
func (s *Server) Close() {
	for _, transport := range s.idle {
		transport.CloseIdleConnections()
	}
	// Close returns the error of closing the listener, which is always nil.
	_ = s.http.Close()
	s.serving.Wait()
}

// Network is a network with the single address 127.0.0.1:80, at which one server at a time
// listens. The zero value is ready to use.
type Network struct {
	mu       sync.Mutex
	listener *listener
}

// Listen returns a listener at the address.
func (n *Network) Listen(string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = &listener{addr: tcpAddr, conns: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener, nil
}

// Dial connects to the server at any address. It returns ECONNREFUSED while no server listens.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: tcpAddr, Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	conn, err := l.dial(ctx)
	if errors.Is(err, net.ErrClosed) {
		return nil, refused
	}
	return conn, err
}

type listener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	down bool
	open []net.Conn
}

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	if !l.register(server) {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.Addr(), Err: syscall.ECONNREFUSED}
	}
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.Addr(), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// register records a connection, which setDown closes. It returns false while the server is down.
func (l *listener) register(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.open = append(l.open, conn)
	}
	return !l.down
}

func (l *listener) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for _, conn := range l.open {
			_ = conn.Close() // may be closed already
		}
		l.open = nil
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// memAddr is the address of a [Server], tcpAddr that of a [Network].
type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }

var tcpAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
