package emulator

import (
	"context"
	"net"
	"sync"
	"time"
)

// listener is a net.Listener that can be closed for a time, during which the operating
// system refuses connections.
type listener struct {
	addr   net.Addr
	host   string // the host of the requested address
	listen func(address string) (net.Listener, error)

	mu       sync.Mutex
	listener net.Listener  // nil while shut
	reopened chan struct{} // closed by open and Close
	until    time.Time     // the time at which to open again
	timer    *time.Timer   // calls open; nil before the first shut
	closed   bool
}

func openListener(listen func(address string) (net.Listener, error), address string) (*listener, error) {
	opened, err := listen(address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // listen has accepted the address.
	return &listener{addr: opened.Addr(), host: host, listen: listen, listener: opened}, nil
}

// hostNames returns the host names of the address, or nil if it stands for all interfaces.
func (l *listener) hostNames() []string {
	if l == nil {
		return nil
	}
	addr, ok := l.addr.(*net.TCPAddr)
	if !ok || addr.IP.IsUnspecified() {
		return nil
	}
	return []string{l.host, addr.IP.String()}
}

func listenTCP(address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

// Addr returns the address, which does not change.
func (l *listener) Addr() net.Addr { return l.addr }

// Accept returns the next connection. While the listener is shut, it waits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		listener, reopened, closed := l.listener, l.reopened, l.closed
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if listener == nil {
			<-reopened
			continue
		}
		conn, err := listener.Accept()
		if err == nil || l.has(listener) {
			return conn, err
		}
	}
}

func (l *listener) has(listener net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listener == listener
}

// shut closes the listener for a time. It does not shorten the time of an earlier call.
func (l *listener) shut(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.listener != nil {
		_ = l.listener.Close() // The listener is closed even on error.
		l.listener, l.reopened = nil, make(chan struct{})
	}
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
		if l.timer != nil {
			l.timer.Stop()
		}
		l.timer = time.AfterFunc(d, l.open)
	}
}

// retryInterval is the time between two attempts to listen on an address in use.
const retryInterval = 10 * time.Millisecond

// open listens again. It does nothing if the listener is open or must stay shut.
func (l *listener) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.listener != nil || time.Now().Before(l.until) {
		return
	}
	listener, err := l.listen(l.addr.String())
	if err != nil {
		l.timer = time.AfterFunc(retryInterval, l.open)
		return
	}
	l.listener = listener
	close(l.reopened)
}

// Close closes the listener permanently.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.listener == nil {
		close(l.reopened)
		return nil
	}
	listener := l.listener
	l.listener = nil
	return listener.Close()
}
