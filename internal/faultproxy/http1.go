package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"net/textproto"
	"strconv"
	"time"
)

var endOfHead = []byte("\r\n\r\n")

// serveHTTP1 serves the requests of a connection one after another.
func (p *Proxy) serveHTTP1(client *net.TCPConn, reader *bufio.Reader) {
	for {
		if _, err := reader.Peek(1); err != nil {
			return
		}
		request, fault := p.arrived(false)
		maxBytes := math.MaxInt
		if fault.Kind == ResetRequest {
			maxBytes = fault.N + 1
		}
		head, content, err := readRequest(reader, maxBytes)
		p.received(request, head, bytes.HasSuffix(head, endOfHead))
		if err != nil {
			return
		}
		if fault.Kind == ResetRequest {
			reset(client)
			return
		}
		if !p.forwardRequest(client, fault, head, content) {
			return
		}
	}
}

// readRequest reads a request, at most maxBytes. Without an error the request is complete or has
// that length.
func readRequest(reader *bufio.Reader, maxBytes int) (head, content []byte, err error) {
	if head, err = readHead(reader, maxBytes); err != nil || len(head) == maxBytes {
		return head, nil, err
	}
	length, err := contentLength(head)
	if err != nil {
		return head, nil, err
	}
	content = make([]byte, min(length, maxBytes-len(head)))
	_, err = io.ReadFull(reader, content)
	return head, content, err
}

// readHead reads a head up to its empty line, at most maxBytes.
func readHead(reader *bufio.Reader, maxBytes int) (head []byte, err error) {
	for len(head) < maxBytes && !bytes.HasSuffix(head, endOfHead) {
		c, err := reader.ReadByte()
		if err != nil {
			return head, err
		}
		head = append(head, c)
	}
	return head, nil
}

// contentLength returns the length of a request's content. The client does not use chunked encoding.
func contentLength(head []byte) (int, error) {
	_, fields, _ := bytes.Cut(head, []byte("\r\n"))
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(fields))).ReadMIMEHeader()
	if err != nil {
		return 0, err
	}
	if header.Get("Transfer-Encoding") != "" {
		return 0, errors.New("faultproxy: the request has a Transfer-Encoding")
	}
	if header.Get("Content-Length") == "" {
		return 0, nil
	}
	return strconv.Atoi(header.Get("Content-Length"))
}

var connectionClose = []byte("Connection: close\r\n")

// forwardRequest forwards a request to the server and its response to the client, with a fault.
// It reports whether the connection to the client can carry another request.
func (p *Proxy) forwardRequest(client *net.TCPConn, fault Fault, head, content []byte) bool {
	backend, err := p.dial()
	if err != nil {
		return false
	}
	defer p.remove(backend)
	// With this field the server closes the connection after the response, so that the proxy need not
	// find the end of the response in the raw bytes.
	request := bytes.Join([][]byte{bytes.TrimSuffix(head, []byte("\r\n")), connectionClose, []byte("\r\n"), content}, nil)
	if _, err := backend.Write(request); err != nil {
		return false
	}
	reader := bufio.NewReader(backend)
	head, err = readHead(reader, math.MaxInt)
	if err != nil {
		return false
	}
	return p.respond(client, fault, bytes.Replace(head, connectionClose, nil, 1), reader)
}

// maxDuplicate is the maximum number of bytes that a [Duplicate] repeats.
const maxDuplicate = 64

const interimResponse = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"

// respond sends a response with a fault to the client. It reports whether the connection stays
// open.
func (p *Proxy) respond(client *net.TCPConn, fault Fault, head []byte, content io.Reader) bool {
	raw := io.MultiReader(bytes.NewReader(head), content)
	before := 0 // the bytes before the fault
	switch fault.Kind {
	case ResetResponse, CloseResponse, HalfClose, Duplicate:
		before = fault.N
	default:
	}
	last := new(tail)
	if _, err := io.CopyN(io.MultiWriter(client, last), raw, int64(before)); err != nil && err != io.EOF {
		return false
	}
	switch fault.Kind {
	case Latency:
		if !p.wait(time.Duration(fault.N) * time.Millisecond) {
			return false
		}
	case SlowBody:
		return p.sendSlowly(client, raw, fault.N+1)
	case ResetResponse:
		reset(client)
		return false
	case CloseResponse:
		return false
	case HalfClose:
		_ = client.CloseWrite()            // The client may have closed the connection.
		_, _ = io.Copy(io.Discard, client) // Returns when the client or the proxy closes it.
		return false
	case Duplicate:
		raw = io.MultiReader(bytes.NewReader(last.bytes), raw)
	case Interim:
		raw = io.MultiReader(bytes.NewReader(bytes.Repeat([]byte(interimResponse), fault.N+1)), raw)
	case EndlessInterim:
		_, _ = client.Write(bytes.Repeat([]byte(interimResponse), 8<<20/len(interimResponse))) // until the client closes
		return false
	case GiantHeader:
		field := "X-Giant: " + string(bytes.Repeat([]byte{'x'}, (fault.N+1)<<10)) + "\r\n"
		raw = io.MultiReader(bytes.NewReader(insert(head, field)), content)
	case BadChunk, LongLength, ShortLength, BadLength, GzipBomb, Trailers:
		reframed, keep, err := reframe(fault, head, raw)
		if err != nil {
			return false
		}
		_, err = client.Write(reframed)
		return err == nil && keep
	default:
	}
	_, err := io.Copy(client, raw)
	return err == nil
}

// sendSlowly forwards a response in pieces of the given number of bytes.
func (p *Proxy) sendSlowly(client io.Writer, raw io.Reader, piece int) bool {
	buffer := make([]byte, piece)
	for {
		n, err := io.ReadFull(raw, buffer)
		if _, failure := client.Write(buffer[:n]); failure != nil {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
		if !p.wait(time.Millisecond) {
			return false
		}
	}
}

// insert adds header fields to a head.
func insert(head []byte, fields string) []byte {
	return append(append(append([]byte(nil), bytes.TrimSuffix(head, []byte("\r\n"))...), fields...), "\r\n"...)
}

// tail keeps the last bytes that were written to it.
type tail struct{ bytes []byte }

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.bytes = append(t.bytes, p...)
	t.bytes = t.bytes[max(0, len(t.bytes)-maxDuplicate):]
	return len(p), nil
}
