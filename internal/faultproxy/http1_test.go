package faultproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPass(t *testing.T) {
	f := setUp(t)
	for path, response := range map[string]string{"/": plain, "/stream": streamed} {
		got, err := f.get(t, path)
		if want(t, path, got, response); err != nil {
			t.Error(err)
		}
	}
}

// A connection carries several requests, each with a separate fault.
func TestKeepAlive(t *testing.T) {
	f := setUp(t, Fault{Kind: Pass}, Fault{Kind: Latency, N: 1}, Fault{Kind: SlowBody, N: 6}, Fault{Kind: CloseResponse, N: 10})
	conn := f.dial(t)
	var all bytes.Buffer
	for i := range 4 {
		fmt.Fprintf(&all, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Call: %s\r\n\r\nhello", CallID(i))
	}
	if _, err := conn.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if want(t, "four responses", got, plain+plain+plain+plain[:10]); err != nil {
		t.Error(err)
	}
	list := f.Requests()
	for i, kind := range []Kind{Pass, Latency, SlowBody, CloseResponse} {
		if want := (Request{Call: CallID(i), Kind: kind, Whole: true}); len(list) != 4 || list[i] != want {
			t.Errorf("the proxy recorded %+v, want request %d to be %+v", list, i, want)
		}
	}
}

// The proxy can end a response at every byte by a reset, a close and a half-close.
func TestResponseEndsAtEveryByte(t *testing.T) {
	for _, kind := range []Kind{ResetResponse, CloseResponse, HalfClose} {
		t.Run(string(kind), func(t *testing.T) {
			var faults []Fault
			for n := range len(streamed) + 2 {
				faults = append(faults, Fault{kind, n})
			}
			f := setUp(t, faults...)
			for n := range len(streamed) + 2 {
				conn := f.dial(t)
				if _, err := conn.Write(get("/stream")); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(conn)
				want(t, fmt.Sprintf("at byte %d", n), got, streamed[:min(n, len(streamed))])
				if isReset(err) != (kind == ResetResponse) || err != nil && !isReset(err) {
					t.Errorf("at byte %d the connection ends with the error %v", n, err)
				}
				_ = conn.Close()
			}
		})
	}
}

// The proxy reads after a half-close. The test writes more than the socket buffers hold.
func TestHalfCloseReads(t *testing.T) {
	conn := setUp(t, Fault{HalfClose, 10}).dial(t)
	if _, err := conn.Write(get("/")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if want(t, "before the half-close", got, plain[:10]); err != nil {
		t.Error(err)
	}
	if n, err := conn.Write(make([]byte, 32<<20)); err != nil {
		t.Errorf("the proxy read %d bytes after the half-close: %v", n, err)
	}
}

// The proxy can reset a request at every byte. The request does not reach the server.
func TestResetRequestAtEveryByte(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Call: " + CallID(1) + "\r\n\r\n"
	request := head + "hello"
	var faults []Fault
	for n := range len(request) + 1 {
		faults = append(faults, Fault{ResetRequest, n})
	}
	f := setUp(t, faults...)
	for n := range len(request) + 1 {
		conn := f.dial(t)
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); len(got) > 0 || !isReset(err) {
			t.Errorf("after byte %d: received %q and the error %v, want only a reset", n, got, err)
		}
		_ = conn.Close()
	}
	for n, got := range f.Requests() {
		want := Request{Kind: ResetRequest, Whole: n+1 >= len(head)}
		if n+1 >= len(head)-len("\r\n\r\n") {
			want.Call = CallID(1)
		}
		if got != want {
			t.Errorf("the request cut after byte %d is recorded as %+v, want %+v", n, got, want)
		}
	}
	if f.served.Load() > 0 {
		t.Error("the server received a request")
	}
}

func TestDuplicate(t *testing.T) {
	var faults []Fault
	for n := range len(plain) + 1 {
		faults = append(faults, Fault{Duplicate, n})
	}
	f := setUp(t, faults...)
	for n := range len(plain) + 1 {
		got, err := f.get(t, "/")
		want(t, fmt.Sprintf("at byte %d", n), got, plain[:n]+plain[max(0, n-maxDuplicate):n]+plain[n:])
		if err != nil {
			t.Error(err)
		}
	}
}

func TestInterim(t *testing.T) {
	f := setUp(t, Fault{Interim, 0}, Fault{Interim, 99}, Fault{Kind: EndlessInterim})
	for _, n := range []int{1, 100} {
		got, err := f.get(t, "/")
		if want(t, fmt.Sprint(n, " interim responses"), got, strings.Repeat(interimResponse, n)+plain); err != nil {
			t.Error(err)
		}
	}
	got, err := f.get(t, "/")
	if rest := bytes.ReplaceAll(got, []byte(interimResponse), nil); len(got) < 7<<20 || len(rest) > 0 || err != nil {
		t.Errorf("received %d bytes, with %.100q besides interim responses: %v", len(got), rest, err)
	}
}

func TestGiantHeader(t *testing.T) {
	f := setUp(t, Fault{GiantHeader, 299})
	got, err := f.get(t, "/")
	want(t, "response", got, strings.TrimSuffix(plainHead, "\r\n")+"X-Giant: "+strings.Repeat("x", 300<<10)+"\r\n\r\n"+content)
	if err != nil {
		t.Error(err)
	}
}

// A slow body waits between two pieces.
func TestSlowBodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{ctx: t.Context()}
		begin := time.Now()
		var pieces pieces
		if !p.sendSlowly(&pieces, strings.NewReader("abcdefgh"), 3) {
			t.Error("sendSlowly returns false")
		}
		if got := fmt.Sprint(pieces, time.Since(begin)); got != "[abc def gh] 2ms" {
			t.Errorf("pieces and time are %s, want [abc def gh] 2ms", got)
		}
	})
}

type pieces []string

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, string(b))
	return len(b), nil
}

// The delay of a response has the given length. Close ends it.
func TestLatencyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Proxy)
		p.ctx, p.cancel = t.Context(), func() {}
		begin := time.Now()
		if !p.wait(20*time.Millisecond) || time.Since(begin) != 20*time.Millisecond {
			t.Errorf("the delay lasts %v, want 20ms", time.Since(begin))
		}
	})
	f := setUp(t, Fault{Latency, 1e9})
	conn := f.dial(t)
	if _, err := conn.Write(get("/")); err != nil {
		t.Fatal(err)
	}
	until(func() bool { return f.served.Load() > 0 })
	f.Close()
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("received %q before the end of the delay: %v", got, err)
	}
}

// Close ends connections that wait for a request or for the rest of one.
func TestClose(t *testing.T) {
	f := setUp(t)
	conns := []net.Conn{f.dial(t), f.dial(t)}
	if _, err := conns[1].Write(get("/")[:20]); err != nil {
		t.Fatal(err)
	}
	until(func() bool { return len(f.Requests()) > 0 })
	f.Close()
	for _, conn := range conns {
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("received %q, want nothing", got)
		}
	}
	f.Close()
}

// parse reads a response as net/http's client does.
func parse(t *testing.T, raw []byte) (*http.Response, []byte, error) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(response.Body)
	return response, body, err
}
