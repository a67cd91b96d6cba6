package faultproxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"testing"
)

// fields returns the header fields of a GET request in HPACK without the dynamic table: the method,
// the scheme, a path, an authority, and the call's identifier.
func fields(call string) []byte {
	b := []byte{0x82, 0x86, 0x04, 1, '/', 0x01, 1, 'x', 0x00, 6}
	return append(append(append(b, "x-call"...), byte(len(call))), call...)
}

// connect opens an HTTP/2 connection and sends requests on the given streams.
func (f *fixture) connect(t *testing.T, streams ...uint32) *net.TCPConn {
	t.Helper()
	conn := f.dial(t)
	b := append([]byte(preface), frame{kind: 4}.bytes()...) // SETTINGS
	for _, stream := range streams {
		b = append(b, frame{kind: frameHeaders, flags: flagEndStream | flagEndHeaders, stream: stream, payload: fields(CallID(int(stream)))}.bytes()...)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	return conn
}

// frames reads until the given streams have ended. It returns the frames of streams and those that
// end the connection, and the error that ended the connection.
func frames(conn *net.TCPConn, streams ...uint32) (list []frame, err error) {
	for len(streams) > 0 {
		f, err := readFrame(conn)
		if err != nil {
			return list, err
		}
		isWindow := f.kind == frameWindow && !bytes.Equal(f.payload, []byte{0, 0, 0, 0})
		if isSettings := f.kind == 4; f.stream > 0 || !isSettings && !isWindow {
			list = append(list, f)
		}
		if f.ends() {
			streams = slices.DeleteFunc(streams, func(s uint32) bool { return s == f.stream })
		}
	}
	return list, nil
}

// describe returns a line for each frame, without header fields.
func describe(list []frame) (text string) {
	for _, f := range list {
		switch f.kind {
		case frameHeaders:
			if bytes.Equal(f.payload, interimFields) {
				text += fmt.Sprintf("103 on %d\n", f.stream)
			} else {
				text += fmt.Sprintf("HEADERS on %d\n", f.stream)
			}
		case frameData:
			text += fmt.Sprintf("DATA on %d: %s\n", f.stream, f.payload)
		case frameReset:
			text += fmt.Sprintf("RST_STREAM on %d: %d\n", f.stream, binary.BigEndian.Uint32(f.payload))
		case frameGoAway:
			text += fmt.Sprintf("GOAWAY after %d: %d\n", binary.BigEndian.Uint32(f.payload), binary.BigEndian.Uint32(f.payload[4:]))
		default:
			text += fmt.Sprintf("frame %d: %q\n", f.kind, f.payload)
		}
	}
	return text
}

func TestFrames(t *testing.T) {
	const whole = "HEADERS on 3\nDATA on 3: " + content + "\n"
	for _, test := range []struct {
		fault Fault
		want  string
		ends  bool // The connection ends.
	}{
		{Fault{Kind: Pass}, whole, false},
		{Fault{Kind: RefuseStream}, "RST_STREAM on 3: 7\n", false},
		{Fault{ResetStream, 0}, "RST_STREAM on 3: 2\n", false},
		{Fault{ResetStream, 4}, "HEADERS on 3\nRST_STREAM on 3: 8\n", false},
		{Fault{GoAwayClose, 0}, "GOAWAY after 3: 11\n", true},
		{Fault{GoAwayClose, 1}, "GOAWAY after 3: 2\n", true},
		{Fault{GoAway, 0}, "GOAWAY after 3: 0\n" + whole, false},
		{Fault{BadFrame, 0}, "DATA on 0: oh\n" + whole, false},
		{Fault{BadFrame, 1}, "frame 8: \"\\x00\\x00\\x00\\x00\"\n" + whole, false},
		{Fault{BadFrame, 2}, "frame 6: \"\\x00\"\n" + whole, false},
		{Fault{BadFrame, 3}, "HEADERS on 2147483647\n" + whole, false},
		{Fault{InterimStream, 1}, "103 on 3\n103 on 3\n" + whole, false},
	} {
		t.Run(fmt.Sprint(test.fault), func(t *testing.T) {
			f := setUp(t, test.fault)
			list, err := frames(f.connect(t, 3), 3)
			if got := describe(list); got != test.want {
				t.Errorf("the frames are\n%swant\n%s", got, test.want)
			}
			if (err != nil) != test.ends {
				t.Errorf("the error of the connection is %v, want an error: %v", err, test.ends)
			}
			want := Request{Call: CallID(3), Kind: test.fault.Kind, HTTP2: true, Whole: true}
			if got := f.Requests(); len(got) != 1 || got[0] != want {
				t.Errorf("the proxy recorded %+v, want %+v", got, want)
			}
			if forwarded := test.fault.Kind != RefuseStream && test.fault.Kind != GoAwayClose; forwarded && f.served.Load() != 1 || !forwarded && f.served.Load() != 0 {
				t.Errorf("the server received %d requests, want one only if the proxy forwards it", f.served.Load())
			}
		})
	}
}

// Requests before a GOAWAY's last stream get a response; later ones do not.
func TestGoAwayEarly(t *testing.T) {
	f := setUp(t, Fault{Kind: Pass}, Fault{Kind: GoAwayEarly})
	conn := f.connect(t, 1, 3)
	list, err := frames(conn, 1)
	if err != nil {
		t.Fatal(err)
	}
	goAway := frame{kind: frameGoAway, payload: []byte{0, 0, 0, 1, 0, 0, 0, 0}}
	if !slices.ContainsFunc(list, func(f frame) bool { return bytes.Equal(f.bytes(), goAway.bytes()) }) {
		more, err := frames(conn, 3) // GOAWAY is the last frame, after the response
		if len(more) != 1 || !bytes.Equal(more[0].bytes(), goAway.bytes()) {
			t.Errorf("the frames are\n%s%s%v\nwant a GOAWAY", describe(list), describe(more), err)
		}
	}
	if f.served.Load() != 1 {
		t.Errorf("the server received %d requests, want 1", f.served.Load())
	}
}

// A cut ends the content within a frame, and the other responses of the connection.
func TestCutFrame(t *testing.T) {
	for _, n := range []int{0, 4, 9, 40, 1000} {
		f := setUp(t, Fault{CutFrame, n})
		conn := f.connect(t, 1)
		raw, err := io.ReadAll(conn)
		if !isReset(err) {
			t.Errorf("cut after %d bytes, the connection ends with %v", n, err)
		}
		var rest []byte
		for reader := bytes.NewReader(raw); ; {
			before := reader.Len()
			frame, err := readFrame(reader)
			if err != nil {
				rest = raw[len(raw)-before:]
				break
			}
			if frame.kind == frameData {
				t.Error("received a complete DATA frame")
			}
		}
		data := frame{kind: frameData, flags: flagEndStream, stream: 1, payload: []byte(content)}.bytes()
		if cut := data[:min(n, len(data)-1)]; !bytes.Equal(rest[:min(4, len(rest))], cut[:min(4, len(cut))]) || len(rest) != len(cut) {
			t.Errorf("cut after %d bytes, received %q of the frame, want %q", n, rest, cut)
		}
	}
	f := setUp(t, Fault{Kind: Pass}, Fault{Kind: GoAwayClose})
	_, _ = io.ReadAll(f.connect(t, 1, 3))
	if got := f.Requests(); got[0].Kind != GoAwayClose && got[0].Kind != Pass || got[1].Kind != GoAwayClose {
		t.Errorf("the proxy recorded %+v, want the second request, and an incomplete first one, as GoAwayClose", got)
	}
}

// net/http can read the forwarded responses, and the proxy finds the identifier of each call, also in
// requests that net/http sends again.
func TestTransport(t *testing.T) {
	f := setUp(t, Fault{Kind: RefuseStream}, Fault{Kind: Pass}, Fault{Kind: GoAwayEarly}, Fault{Kind: GoAway}, Fault{InterimStream, 2})
	for _, http2 := range []bool{true, false} {
		transport := &http.Transport{Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxEncoderHeaderTableSize: 1}}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		interim := 0
		for range 3 {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(int, textproto.MIMEHeader) error { interim++; return nil },
			})
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL(), bytes.NewReader(make([]byte, 100<<10)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Call", CallID(123456))
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			if want(t, "content", got, content); err != nil {
				t.Error(err)
			}
			_ = response.Body.Close()
		}
		if http2 && interim != 3 {
			t.Errorf("received %d interim responses, want 3", interim)
		}
		transport.CloseIdleConnections()
	}
	list := f.Requests()
	for i, r := range list {
		if r.Call != CallID(123456) || !r.Whole || r.HTTP2 != (i < 5) {
			t.Errorf("request %d is recorded as %+v, want call %s, complete, over HTTP/2: %v", i, r, CallID(123456), i < 5)
		}
	}
	if len(list) != 8 || f.served.Load() != 6 {
		t.Errorf("%d requests reached the proxy and %d the server, want 8 and 6", len(list), f.served.Load())
	}
}
