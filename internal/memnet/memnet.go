// Package memnet carries HTTP over connections in memory. Inside a
// testing/synctest bubble a goroutine that waits for such a connection counts as
// blocked, so that client and server run in virtual time; one that waits for a
// real socket does not.
package memnet

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Server serves HTTP to the clients that its Client method makes.
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
		// Serve ends with ErrServerClosed, by Close.
		_ = s.http.Serve(s.listener)
	})
	return s
}

// URL is the server's base URL. Only the server's own clients can reach it.
func (s *Server) URL() string { return "http://127.0.0.1" }

// Client returns an HTTP client that reaches this server, whatever the address.
func (s *Server) Client() *http.Client {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.listener.dial(ctx) },
		MaxIdleConnsPerHost: 1000,
	}
	s.idle = append(s.idle, transport)
	return &http.Client{Transport: transport}
}

// SetDown closes all connections and has new ones refused, as the system does while
// nobody listens; or ends that.
func (s *Server) SetDown(down bool) { s.listener.setDown(down) }

// Close closes all connections and waits for the server to end.
func (s *Server) Close() {
	for _, transport := range s.idle {
		transport.CloseIdleConnections()
	}
	// Close reports what closing the listener says, which is nothing.
	_ = s.http.Close()
	s.serving.Wait()
}

// Network is a network of one address, 127.0.0.1:80, at which one server at a time listens.
// The zero value is ready to use.
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

// Dial connects to the server, whatever the address. It is refused while none listens.
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
	here, there := net.Pipe()
	if !l.keep(there) {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.Addr(), Err: syscall.ECONNREFUSED}
	}
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.Addr(), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// keep notes a connection, to be closed when the server goes down; false if it is.
func (l *listener) keep(conn net.Conn) bool {
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
			_ = conn.Close() // what it reports is that it is closed
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
