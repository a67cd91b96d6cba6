package emulator

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// Server is an emulator that listens for connections. Create one with [Start], [Listen] or
// [Serve].
type Server struct {
	*Emulator

	http   *http.Server
	url    string
	served chan struct{}      // closed when the server has stopped accepting connections
	cancel context.CancelFunc // ends all requests

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // requests in flight
}

// Start starts an emulator on a free port of 127.0.0.1.
func Start(cfg Config) (*Server, error) { return Listen("127.0.0.1:0", cfg) }

// Listen starts an emulator on an address of the form "host:port".
func Listen(address string, cfg Config) (*Server, error) { return Serve(listenTCP, address, cfg) }

// Serve starts an emulator on a custom listener, such as one for in-memory connections.
// It calls listen with address. After [FaultRefuse] has closed the listener, it calls
// listen again, with the address of the first listener.
func Serve(listen func(address string) (net.Listener, error), address string, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := checkFaults(cfg.Faults, new(listener)); err != nil {
		return nil, err
	}
	l, err := openListener(listen, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		Emulator: newEmulator(cfg, l),
		url:      "http://" + reachable(l.Addr()),
		served:   make(chan struct{}),
		cancel:   cancel,
	}
	s.http = newHTTPServer(http.HandlerFunc(s.serveCall))
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	go func() {
		defer close(s.served)
		_ = s.http.Serve(l) // Its error only reports that the server was closed.
	}()
	return s, nil
}

// reachable returns an address at which this machine reaches a listener. For a listener
// on all interfaces it returns the loopback address.
func reachable(listening net.Addr) string {
	if addr, ok := listening.(*net.TCPAddr); ok && addr.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return listening.String()
}

// URL returns the base URL of the server, such as "http://127.0.0.1:40123".
func (s *Server) URL() string {
	if s.isZero() {
		return ""
	}
	return s.url
}

// Close closes all connections and waits until all requests have ended. Further calls have
// no effect. [Config.Intercept] and [Config.Model] must not call Close.
func (s *Server) Close() error {
	if s.isZero() {
		return errNoServer
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.http.Close()
	s.cancel()
	<-s.served
	s.calls.Wait()
	return err
}

// Shutdown stops accepting connections and waits for the requests in flight. If the
// context ends first, it closes their connections and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.isZero() {
		return errNoServer
	}
	err := s.http.Shutdown(ctx)
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

func (s *Server) serveCall(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler) // Close has already closed the connection.
	}
	s.calls.Add(1)
	s.mu.Unlock()
	defer s.calls.Done()
	s.ServeHTTP(w, r)
}
