package faultproxy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
)

// noFraming is the head of a response without the field for the length.
const noFraming = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

// each requests a plain and a streamed response for each variant of a kind. The two look the same.
func each(t *testing.T, kind Kind, variants int, check func(t *testing.T, n int, raw []byte)) {
	t.Helper()
	var faults []Fault
	for n := range variants {
		faults = append(faults, Fault{kind, n}, Fault{kind, n})
	}
	f := setUp(t, faults...)
	for n := range variants {
		for _, path := range []string{"/", "/stream"} {
			raw, err := f.get(t, path)
			if err != nil {
				t.Error(err)
			}
			check(t, n, raw)
		}
	}
}

func TestBadChunk(t *testing.T) {
	each(t, BadChunk, len(badChunks), func(t *testing.T, n int, raw []byte) {
		t.Helper()
		half := len(content) / 2
		want(t, "response", raw, fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s%s\r\n0\r\n\r\n",
			noFraming, half, content[:half], badChunks[n], content[half:]))
		if _, body, err := parse(t, raw); err == nil {
			t.Errorf("net/http accepts %.20q as a size and reads %q", badChunks[n], body)
		}
	})
}

func TestTrailers(t *testing.T) {
	each(t, Trailers, len(trailers), func(t *testing.T, n int, raw []byte) {
		t.Helper()
		want(t, "response", raw, fmt.Sprintf("%sTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n",
			noFraming, len(content), content, trailers[n]))
		response, body, err := parse(t, raw)
		if n < usableTrailers && (err != nil || string(body) != content || response.Trailer.Get("X-Check") != "ok") {
			t.Errorf("net/http reads %q and the trailer %v: %v", body, response.Trailer, err)
		}
	})
}

func TestLengths(t *testing.T) {
	each(t, LongLength, 3, func(t *testing.T, n int, raw []byte) {
		t.Helper()
		want(t, "response", raw, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", noFraming, len(content)+n+1, content))
		if _, _, err := parse(t, raw); err != io.ErrUnexpectedEOF {
			t.Errorf("net/http returns the error %v, want ErrUnexpectedEOF", err)
		}
	})
	each(t, ShortLength, 200, func(t *testing.T, n int, raw []byte) {
		t.Helper()
		short := max(0, len(content)-n-1)
		want(t, "response", raw, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", noFraming, short, content))
		if _, body, err := parse(t, raw); string(body) != content[:short] || err != nil {
			t.Errorf("net/http reads %q: %v", body, err)
		}
	})
	each(t, BadLength, len(badLengths), func(t *testing.T, n int, raw []byte) {
		t.Helper()
		want(t, "response", raw, noFraming+badLengths[n]+"\r\n"+content)
		if _, _, err := parse(t, raw); err == nil {
			t.Errorf("net/http accepts %q", badLengths[n])
		}
	})
}

func TestGzipBomb(t *testing.T) {
	f := setUp(t, Fault{Kind: GzipBomb})
	raw, err := f.get(t, "/")
	if err != nil || len(raw) > 1<<20 {
		t.Fatalf("the proxy sends %d bytes, want at most %d: %v", len(raw), 1<<20, err)
	}
	response, body, err := parse(t, raw)
	if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("the header is %v: %v", response.Header, err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	inflated, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(inflated, bytes.Repeat([]byte{' '}, bombSize)) {
		t.Errorf("the content decompresses to %d bytes, want %d spaces: %v", len(inflated), bombSize, err)
	}
}
