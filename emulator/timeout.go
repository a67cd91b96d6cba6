package emulator

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How long a client may take. Each is from the last byte of progress, but for the whole
// of a request's header and of its content.
const (
	headerTimeout  = 10 * time.Second
	contentTimeout = time.Minute
	readTimeout    = 10 * time.Second // for the next bytes of the content
	writeTimeout   = time.Minute      // until the client reads on
	idleTimeout    = 2 * time.Minute  // between two requests
	maxHeaderBytes = 256 << 10
)

// newHTTPServer returns a server with the bounds on headers and on idle connections.
func newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// limitTime returns a request and its writer with the bounds on time. They apply on
// any server, because http.Server cannot bound the content apart from a response that
// takes long. The returned function bounds what the server reads after the handler.
func limitTime(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request, func()) {
	conn := http.NewResponseController(w)
	timed := timedWriter{w, conn}
	if r.Body == nil || r.Body == http.NoBody {
		return timed, r, func() {}
	}
	body := &timedBody{ReadCloser: r.Body, conn: conn}
	limited := *r
	limited.Body = body
	return timed, &limited, func() {
		if !body.ended {
			_ = conn.SetReadDeadline(time.Now().Add(readTimeout)) // A writer without a connection has no deadlines.
		}
	}
}

// timedBody is the content of a request. It fails where the client stops sending.
type timedBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	until time.Time // the end of contentTimeout; zero before the first Read
	ended bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.until.IsZero() {
		b.until = now.Add(contentTimeout)
	}
	deadline := now.Add(readTimeout)
	if deadline.After(b.until) {
		deadline = b.until
	}
	_ = b.conn.SetReadDeadline(deadline) // as in limitTime
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	if errors.Is(err, io.EOF) {
		// From here on the server reads to see the client leave, which a request does not bound.
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// timedWriter fails where the client reads nothing for writeTimeout.
type timedWriter struct {
	http.ResponseWriter
	conn *http.ResponseController
}

// Unwrap is for [http.ResponseController].
func (w timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w timedWriter) extend() { _ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) }

// Write writes in pieces, each of which has the whole time.
func (w timedWriter) Write(p []byte) (written int, err error) {
	const piece = 64 << 10
	for {
		w.extend()
		n, err := w.ResponseWriter.Write(p[written:min(written+piece, len(p))])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// FlushError is for [http.ResponseController].
func (w timedWriter) FlushError() error {
	w.extend()
	return w.conn.Flush()
}
