package emulator

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// door is a listener that can be shut for a while: the system refuses who comes then.
type door struct {
	addr net.Addr
	host string // of the address that was asked for

	mu       sync.Mutex
	listener net.Listener  // nil while it is shut
	moved    chan struct{} // closed when it is no longer shut
	until    time.Time     // it is shut
	timer    *time.Timer   // opens it; nil before it was first shut
	closed   bool
}

func openDoor(address string) (*door, error) {
	listener, err := listen(address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // It has been listened on.
	return &door{addr: listener.Addr(), host: host, listener: listener}, nil
}

// names returns the names by which the address, if it is one address, is known.
func (d *door) names() []string {
	if d == nil {
		return nil
	}
	addr, ok := d.addr.(*net.TCPAddr)
	if !ok || addr.IP.IsUnspecified() {
		return nil
	}
	return []string{d.host, addr.IP.String()}
}

func listen(address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

// Addr returns the address, which stays the same.
func (d *door) Addr() net.Addr { return d.addr }

// Accept returns the next connection, of whichever listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		d.mu.Lock()
		listener, moved, closed := d.listener, d.moved, d.closed
		d.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if listener == nil {
			<-moved
			continue
		}
		conn, err := listener.Accept()
		if err == nil || d.has(listener) {
			return conn, err
		}
	}
}

func (d *door) has(listener net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.listener == listener
}

// shut has connections refused from now on for so long. If the door is shut longer
// already, it stays so.
func (d *door) shut(long time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if d.listener != nil {
		_ = d.listener.Close() // It is closed, whatever was wrong with it.
		d.listener, d.moved = nil, make(chan struct{})
	}
	if until := time.Now().Add(long); until.After(d.until) {
		d.until = until
		if d.timer != nil {
			d.timer.Stop()
		}
		d.timer = time.AfterFunc(long, d.open)
	}
}

// busy is how long to wait when another has taken the address meanwhile.
const busy = 10 * time.Millisecond

// open listens again, unless the door has been opened, or shut for longer, meanwhile.
func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.listener != nil || time.Now().Before(d.until) {
		return
	}
	listener, err := listen(d.addr.String())
	if err != nil {
		d.timer = time.AfterFunc(busy, d.open)
		return
	}
	d.listener = listener
	close(d.moved)
}

// Close closes the door for good.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return net.ErrClosed
	}
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.listener == nil {
		close(d.moved)
		return nil
	}
	listener := d.listener
	d.listener = nil
	return listener.Close()
}

// fit says which faults an emulator without a door, whose d is nil, cannot have.
func (d *door) fit(list []Fault) error {
	for i, f := range list {
		if d == nil && kinds[f.Kind].shuts {
			return fmt.Errorf("emulator: Faults[%d]: Kind is %q: want another, or an emulator that listens itself (Start, Listen), as no other can refuse connections", i, f.Kind)
		}
	}
	return nil
}
