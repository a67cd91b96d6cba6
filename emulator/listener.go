package emulator

import (
	"context"
	"net"
	"sync"
	"time"
)

// listener can be shut for a while: the system refuses connections then.
type listener struct {
	addr   net.Addr
	host   string // of the address that was asked for
	listen func(address string) (net.Listener, error)

	mu       sync.Mutex
	listener net.Listener  // nil while it is shut
	moved    chan struct{} // closed when it is no longer shut
	until    time.Time     // it is shut
	timer    *time.Timer   // opens it; nil before it was first shut
	closed   bool
}

func openListener(listen func(address string) (net.Listener, error), address string) (*listener, error) {
	opened, err := listen(address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // It has been listened on.
	return &listener{addr: opened.Addr(), host: host, listen: listen, listener: opened}, nil
}

// names returns the names by which the address, if it is one address, is known.
func (l *listener) names() []string {
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

// Addr returns the address, which stays the same.
func (l *listener) Addr() net.Addr { return l.addr }

// Accept returns the next connection, of whichever listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		listener, moved, closed := l.listener, l.moved, l.closed
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if listener == nil {
			<-moved
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

// shut has the system refuse connections for a time. If it is shut for longer
// already, it stays so.
func (l *listener) shut(long time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.listener != nil {
		_ = l.listener.Close() // It is closed, whatever was wrong with it.
		l.listener, l.moved = nil, make(chan struct{})
	}
	if until := time.Now().Add(long); until.After(l.until) {
		l.until = until
		if l.timer != nil {
			l.timer.Stop()
		}
		l.timer = time.AfterFunc(long, l.open)
	}
}

// busy is how long to wait when another process has taken the address meanwhile.
const busy = 10 * time.Millisecond

// open listens again, unless it has been opened, or shut for longer, meanwhile.
func (l *listener) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.listener != nil || time.Now().Before(l.until) {
		return
	}
	listener, err := l.listen(l.addr.String())
	if err != nil {
		l.timer = time.AfterFunc(busy, l.open)
		return
	}
	l.listener = listener
	close(l.moved)
}

// Close closes the listener for good.
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
		close(l.moved)
		return nil
	}
	listener := l.listener
	l.listener = nil
	return listener.Close()
}
