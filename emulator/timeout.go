package emulator

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// The timeouts for clients. readTimeout and writeTimeout restart with each byte transferred.
const (
	headerTimeout  = 10 * time.Second // for the whole header
	contentTimeout = time.Minute      // for the whole content
	readTimeout    = 10 * time.Second // until the next bytes of the content
	writeTimeout   = time.Minute      // until the client reads more of the response
	idleTimeout    = 2 * time.Minute  // between two requests
	maxHeaderBytes = 256 << 10
)

// newHTTPServer returns a server with the bounds on headers and idle connections.
func newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// limitTime returns w and r with the timeouts for reading and writing. They work with any
// server: http.Server cannot bound the time for the content separately from that of a slow
// response. The returned function bounds how long the server reads after the handler
// returns.
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
			_ = conn.SetReadDeadline(time.Now().Add(readTimeout)) // Fails for a writer without a connection, as in tests.
		}
	}
}

// timedBody is the content of a request. Read fails if the client stops sending.
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
	_ = b.conn.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	if errors.Is(err, io.EOF) {
		// The server now reads only to detect that the client disconnects.
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// timedWriter is a ResponseWriter that fails if the client reads nothing for writeTimeout.
type timedWriter struct {
	http.ResponseWriter
	conn *http.ResponseController
}

// Unwrap supports [http.ResponseController].
func (w timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w timedWriter) extend() { _ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) }

// Write writes in pieces, with the whole writeTimeout for each.
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

// FlushError supports [http.ResponseController].
func (w timedWriter) FlushError() error {
	w.extend()
	return w.conn.Flush()
}
