package emulator

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// Server is an emulator that listens.
type Server struct {
	*Emulator

	http   *http.Server
	url    string
	served chan struct{}      // closed when no more connections are accepted
	cancel context.CancelFunc // ends all requests

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// Start starts an emulator on a free port of 127.0.0.1.
func Start(cfg Config) (*Server, error) { return Listen("127.0.0.1:0", cfg) }

// Listen starts an emulator on an address of the form "host:port".
func Listen(address string, cfg Config) (*Server, error) { return Serve(listenTCP, address, cfg) }

// Serve starts an emulator on a listener of the caller's, such as one of connections in
// memory. The emulator calls listen with the address, and, when [FaultRefuse] has closed the
// listener for a while, with the address of the first listener.
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
		_ = s.http.Serve(l) // It always ends with an error: that it was closed.
	}()
	return s, nil
}

// reachable is an address by which this machine reaches a listener: one that listens
// everywhere listens on the loopback too.
func reachable(listening net.Addr) string {
	if addr, ok := listening.(*net.TCPAddr); ok && addr.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return listening.String()
}

// URL returns where the server is, as "http://127.0.0.1:40123".
func (s *Server) URL() string {
	if s.isZero() {
		return ""
	}
	return s.url
}

// Close stops the server: it cuts all connections and returns when no request is
// being served any more. Calling it again does nothing. A [Config.Intercept] or
// [Config.Model] must not call it.
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

// Shutdown stops the server when the requests that are being served have ended, or
// cuts them off when the context ends, whose error it returns then.
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
		panic(http.ErrAbortHandler) // The connection was accepted and has been cut.
	}
	s.calls.Add(1)
	s.mu.Unlock()
	defer s.calls.Done()
	s.ServeHTTP(w, r)
}
