package emulator

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// knock connects and leaves.
func (d *listener) knock() error {
	conn, err := net.Dial("tcp", d.addr.String())
	if err == nil {
		err = conn.Close()
	}
	return err
}

// accepted returns what Accept says, later.
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
	d.shut(time.Minute) // It stays shut for an hour.
	d.open()
	if err := d.knock(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("who connects sees %v, want that it is refused", err)
	}
	d.mu.Lock()
	d.until = time.Now() // The hour has passed.
	d.mu.Unlock()
	d.open()
	d.open()
	if err := d.knock(); err != nil {
		t.Fatalf("who connects again sees %v", err)
	}
	if err := <-accepted; err != nil {
		t.Errorf("Accept ended with %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// Closed for good, while it was shut or not, it lets nobody in and stays so.
func TestListenerCloses(t *testing.T) {
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
			t.Errorf("Accept ended with %v", err)
		}
		d.shut(0)
		d.until = time.Time{}
		d.open()
		if err := d.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close again: %v", err)
		}
		if d.listener != nil {
			t.Error("it is open again")
		}
	}
}
