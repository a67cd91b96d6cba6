package faultproxy

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
)

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	frameData    = 0
	frameHeaders = 1
	frameReset   = 3
	framePing    = 6
	frameGoAway  = 7
	frameWindow  = 8

	flagEndStream  = 1
	flagEndHeaders = 4

	codeNone, codeProtocol, codeInternal, codeRefused, codeCancel, codeCalm = 0, 1, 2, 7, 8, 11
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

var (
	resetCodes  = []uint32{codeInternal, codeCancel, codeNone, codeCalm, codeProtocol}
	goAwayCodes = []uint32{codeCalm, codeInternal, codeProtocol, codeNone}

	// badFrames violate the protocol: content without a stream, a window increment of 0, a PING
	// that is too short, and a response to a request that the client did not send.
	badFrames = []frame{
		{kind: frameData, payload: []byte("oh")},
		{kind: frameWindow, payload: []byte{0, 0, 0, 0}},
		{kind: framePing, payload: []byte{0}},
		{kind: frameHeaders, flags: flagEndHeaders, stream: 1<<31 - 1, payload: []byte{0x88}},
	}

	// interimFields is ":status: 103" in HPACK without the dynamic table: the name is entry 8
	// of the static table.
	interimFields = []byte{0x08, 3, '1', '0', '3'}
)

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func readFrame(r io.Reader) (f frame, err error) {
	var header [9]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return f, err
	}
	f = frame{kind: header[3], flags: header[4], stream: binary.BigEndian.Uint32(header[5:]) &^ (1 << 31)}
	f.payload = make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
	_, err = io.ReadFull(r, f.payload)
	return f, err
}

// bytes returns the wire format of the frame.
func (f frame) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(f.payload))<<8|uint32(f.kind)) //nolint:gosec // a frame is smaller than 16 MiB
	b = append(b, f.flags)
	return append(binary.BigEndian.AppendUint32(b, f.stream), f.payload...)
}

// ends reports whether the frame is the last one of its stream in its direction.
func (f frame) ends() bool {
	return f.kind == frameReset || (f.kind == frameData || f.kind == frameHeaders) && f.flags&flagEndStream != 0
}

func resetFrame(stream, code uint32) frame {
	return frame{kind: frameReset, stream: stream, payload: binary.BigEndian.AppendUint32(nil, code)}
}

func goAwayFrame(last, code uint32) frame {
	return frame{kind: frameGoAway, payload: binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code)}
}

// tunnel is an HTTP/2 connection through the proxy.
type tunnel struct {
	proxy           *Proxy
	client, backend side

	mu      sync.Mutex
	streams map[uint32]*stream // The streams by number.
}

// side is one of the two TCP connections of a tunnel. Both directions write to it.
type side struct {
	conn *net.TCPConn
	mu   *sync.Mutex // Held while writing.
}

// send writes frames. It ignores errors: reads from the same connection fail too.
func (s side) send(frames ...frame) {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.conn.Write(b)
}

// stream is a request and its response.
type stream struct {
	request *Request
	fault   Fault
	frames  int  // The number of frames of the response so far.
	cut     bool // The proxy forwards no further frames.
	ended   bool // The response is complete.
}

// serveHTTP2 forwards frames in both directions until one of the connections ends.
func (p *Proxy) serveHTTP2(client *net.TCPConn, reader *bufio.Reader) {
	backend, err := p.dial()
	if err != nil {
		return
	}
	defer p.remove(backend)
	t := &tunnel{
		proxy: p, client: side{client, new(sync.Mutex)}, backend: side{backend, new(sync.Mutex)}, streams: map[uint32]*stream{},
	}
	if _, err := io.CopyN(backend, reader, int64(len(preface))); err != nil {
		return
	}
	// Forward the server's SETTINGS first: a client rejects any other first frame.
	source := bufio.NewReader(backend)
	settings, err := readFrame(source)
	if err != nil {
		return
	}
	t.client.send(settings)
	var responses sync.WaitGroup
	responses.Go(func() {
		defer func() { _ = client.Close() }() // Ends the loop below.
		forward(source, t.response)
	})
	forward(reader, t.request)
	_ = backend.Close() // Ends the loop above.
	responses.Wait()
}

// forward calls handle for each frame until handle returns false or the connection ends.
func forward(from io.Reader, handle func(frame) bool) {
	for {
		if f, err := readFrame(from); err != nil || !handle(f) {
			return
		}
	}
}

// request forwards a frame from the client. It returns false to end the connection.
func (t *tunnel) request(f frame) bool {
	t.mu.Lock()
	s := t.streams[f.stream]
	begins := s == nil && f.kind == frameHeaders
	if begins {
		s = new(stream)
		s.request, s.fault = t.proxy.arrived(true)
		t.proxy.received(s.request, f.payload, true)
		s.cut = s.fault.Kind == RefuseStream || s.fault.Kind == GoAwayEarly
		t.streams[f.stream] = s
	}
	cut := s != nil && s.cut
	t.mu.Unlock()
	if cut && f.kind == frameData {
		t.client.send(window(f)...)
	}
	if begins {
		return t.begin(f, s)
	}
	if !cut {
		t.backend.send(f)
	}
	return true
}

// begin forwards the head of a request and injects the faults that come before the response. It
// returns false to end the connection.
func (t *tunnel) begin(f frame, s *stream) bool {
	n := s.fault.N
	switch s.fault.Kind {
	case RefuseStream:
		t.client.send(resetFrame(f.stream, codeRefused))
		return true
	case GoAwayEarly:
		t.client.send(goAwayFrame(max(f.stream, 2)-2, codeNone))
		return true
	case GoAway:
		t.client.send(goAwayFrame(f.stream, codeNone))
	case GoAwayClose:
		t.end(s.fault.Kind)
		t.client.send(goAwayFrame(f.stream, goAwayCodes[n]))
		return false
	case BadFrame:
		t.end(s.fault.Kind)
		t.client.send(badFrames[n])
	case InterimStream:
		interim := frame{kind: frameHeaders, flags: flagEndHeaders, stream: f.stream, payload: interimFields}
		t.client.send(slices.Repeat([]frame{interim}, n+1)...)
	default:
	}
	t.backend.send(f)
	return true
}

// response forwards a frame from the server. It returns false to end the connection.
func (t *tunnel) response(f frame) bool {
	t.mu.Lock()
	s := t.streams[f.stream]
	if s == nil { // a frame of the whole connection
		t.mu.Unlock()
		t.client.send(f)
		return true
	}
	content := f.kind == frameData || f.kind == frameHeaders
	cut, n := s.cut, s.fault.N
	// Inject the fault at the last frame of the response at the latest.
	resets := content && !cut && s.fault.Kind == ResetStream && (s.frames == n%3 || f.ends())
	cuts := content && !cut && s.fault.Kind == CutFrame && (f.kind == frameData || f.ends())
	s.cut = cut || resets
	s.ended = s.ended || f.ends()
	s.frames++
	t.mu.Unlock()
	switch {
	case cuts:
		t.end(s.fault.Kind)
		b := f.bytes()
		_, _ = t.client.conn.Write(b[:min(n, len(b)-1)]) // The client may have closed the connection.
		reset(t.client.conn)
		return false
	case resets:
		t.client.send(resetFrame(f.stream, resetCodes[n/3]))
		t.backend.send(resetFrame(f.stream, codeCancel))
		cut = true
	}
	switch {
	case cut && f.kind == frameData:
		t.backend.send(window(f)...)
	case cut && f.kind != frameHeaders: // Forward headers: they change HPACK's tables.
	default:
		t.client.send(f)
	}
	return true
}

// window returns the frames that restore the connection's flow-control window for the sender of f.
func window(f frame) []frame {
	if len(f.payload) == 0 {
		return nil
	}
	return []frame{{kind: frameWindow, payload: binary.BigEndian.AppendUint32(nil, uint32(len(f.payload)))}} //nolint:gosec // smaller than 16 MiB
}

// end records that a fault ends all incomplete responses of the connection.
func (t *tunnel) end(kind Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var open []*Request
	for _, s := range t.streams {
		if !s.ended {
			open = append(open, s.request)
		}
	}
	t.proxy.recordFault(kind, open)
}
