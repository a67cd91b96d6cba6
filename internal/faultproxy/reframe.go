package faultproxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// badChunks are invalid size lines of a chunk. The last one announces more bytes than follow.
var badChunks = []string{
	"xyz\r\n", "-1\r\n", "1ffffffffffffffff\r\n", "\r\n", "5;" + strings.Repeat("x", 64<<10) + "\r\n", "5\x00\r\n", "ffff\r\n",
}

// badLengths are header fields with an invalid length or with two lengths.
var badLengths = []string{
	"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n", "Content-Length: 1e2\r\n",
	"Content-Length: 99999999999999999999\r\n", "Content-Length: 5, 6\r\n",
}

// trailers are trailer sections. The connection stays usable after the first usableTrailers of them.
var trailers = []string{
	"X-Check: ok\r\n", "X-Check: ok\r\nX-Undeclared: 1\r\n", "Content-Length: 5\r\n", "this is not a field\r\n",
	"X-Check: " + strings.Repeat("x", 1<<20) + "\r\n", "Transfer-Encoding: chunked\r\n",
}

const usableTrailers = 2

// framing matches the header fields that determine the length of a response's content.
var framing = regexp.MustCompile(`(?im)^(content-length|transfer-encoding):[^\r]*\r\n`)

// reframe returns the response with the same content in a framing with the fault. It reports
// whether the connection stays open.
func reframe(fault Fault, head []byte, raw io.Reader) (response []byte, keep bool, err error) {
	parsed, err := http.ReadResponse(bufio.NewReader(raw), nil)
	if err != nil {
		return nil, false, err
	}
	content, err := io.ReadAll(parsed.Body)
	if err != nil {
		return nil, false, err
	}
	head = framing.ReplaceAll(head, nil)
	length := func(n int) string { return "Content-Length: " + strconv.Itoa(n) + "\r\n" }
	var fields string
	switch fault.Kind {
	case BadChunk:
		fields = "Transfer-Encoding: chunked\r\n"
		first := len(content) / 2
		content = fmt.Appendf(nil, "%s%s%s\r\n0\r\n\r\n", chunk(content[:first]), badChunks[fault.N], content[first:])
	case Trailers:
		fields, keep = "Transfer-Encoding: chunked\r\nTrailer: X-Check\r\n", fault.N < usableTrailers
		content = fmt.Appendf(nil, "%s0\r\n%s\r\n", chunk(content), trailers[fault.N])
	case LongLength:
		fields = length(len(content) + fault.N + 1)
	case ShortLength:
		fields, keep = length(max(0, len(content)-fault.N-1)), true
	case BadLength:
		fields = badLengths[fault.N]
	case GzipBomb:
		content, keep = bomb(), true
		fields = "Content-Encoding: gzip\r\n" + length(len(content))
	default:
		panic("faultproxy: reframe does not support the fault " + fault.Kind)
	}
	return append(insert(head, fields), content...), keep, nil
}

// chunk returns content as a chunk. For empty content it returns nil, because an empty chunk ends
// the response.
func chunk(content []byte) []byte {
	if len(content) == 0 {
		return nil
	}
	return fmt.Appendf(nil, "%x\r\n%s\r\n", len(content), content)
}

// bombSize exceeds the client's limit for the size of a response.
const bombSize = 65 << 20

// bomb returns compressed spaces, as a sequence of gzip members.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte{' '}, 1<<20)) // Writes to a buffer do not fail.
	_ = w.Close()
	return bytes.Repeat(b.Bytes(), bombSize>>20)
})
