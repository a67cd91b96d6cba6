package emulator

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// connect opens a connection and closes it.
func (d *listener) connect() error {
	conn, err := net.Dial("tcp", d.addr.String())
	if err == nil {
		err = conn.Close()
	}
	return err
}

// accepted accepts a connection and closes it. It sends the error of Accept or Close.
func (d *listener) accepted() <-chan error {
	ended := make(chan error, 1)
	go func() {
		conn, err := d.Accept()
		if err == nil {
			err = conn.Close()
		}
		ended <- err
	}()
	return ended
}

func TestListener(t *testing.T) {
	t.Parallel()
	d, err := openListener(listenTCP, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := d.accepted()
	d.shut(time.Hour)
	d.shut(time.Minute) // The listener stays shut for an hour.
	d.open()
	if err := d.connect(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting returned %v, want a refused connection", err)
	}
	d.mu.Lock()
	d.until = time.Now() // as if the hour had passed
	d.mu.Unlock()
	d.open()
	d.open()
	if err := d.connect(); err != nil {
		t.Fatalf("connecting again returned %v", err)
	}
	if err := <-accepted; err != nil {
		t.Errorf("Accept returned %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// A closed listener does not open again, even if it was shut before.
func TestClosedListenerStaysClosed(t *testing.T) {
	t.Parallel()
	for _, shut := range []bool{false, true} {
		d, err := openListener(listenTCP, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if shut {
			d.shut(time.Hour)
		}
		accepted := d.accepted()
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept returned %v, want net.ErrClosed", err)
		}
		d.shut(0)
		d.until = time.Time{}
		d.open()
		if err := d.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close returned %v, want net.ErrClosed", err)
		}
		if d.listener != nil {
			t.Error("the listener is open again")
		}
	}
}
