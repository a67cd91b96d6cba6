package sse_test

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

const (
	ms       = time.Millisecond
	maxRetry = math.MaxInt64 / ms * ms
)

// conformance is a table of streams with the frames that the standard requires. It also tests the
// reference decoder of the fuzz test.
var conformance = []struct {
	name   string
	stream string
	want   []frame
}{
	// Streams without an event.
	{"empty stream", "", nil},
	{"only LF", "\n", nil},
	{"only CR", "\r", nil},
	{"only CRLF", "\r\n", nil},
	{"many blank lines", "\n\n\r\r\r\n\r\n\n", nil},
	{"only a comment", ":\n\n", nil},
	{"only BOM", "\ufeff", nil},
	{"BOM and blank line", "\ufeff\n", nil},
	{"half a BOM", "\xef\xbb", nil},
	{"one byte, no line end", "d", nil},
	{"only NUL", "\x00", nil},

	// Line ends.
	{"LF", "data: a\n\n", []frame{{Data: "a"}}},
	{"CR", "data: a\r\r", []frame{{Data: "a"}}},
	{"CRLF", "data: a\r\n\r\n", []frame{{Data: "a"}}},
	{"LF then CR", "data: a\n\r", []frame{{Data: "a"}}},
	{"LF then CRLF", "data: a\n\r\n", []frame{{Data: "a"}}},
	{"CR then CRLF", "data: a\r\r\n", []frame{{Data: "a"}}},
	{"CRLF then LF", "data: a\r\n\n", []frame{{Data: "a"}}},
	{"CRLF then CR", "data: a\r\n\r", []frame{{Data: "a"}}},
	{"CRLF is one line end", "data: a\r\ndata: b\r\n\r\n", []frame{{Data: "a\nb"}}},
	{"LF CR is two line ends", "data: a\n\rdata: b\n\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"CR in data ends the line", "data: a\rb\n\n", []frame{{Data: "a"}}},
	{"two events, LF", "data: a\n\ndata: b\n\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"two events, CR", "data: a\r\rdata: b\r\r", []frame{{Data: "a"}, {Data: "b"}}},
	{"two events, CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"two events, mixed", "data: a\r\n\rdata: b\n\r\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"CR CRLF CR", "data: a\r\r\n\rdata: b\r\r", []frame{{Data: "a"}, {Data: "b"}}},
	{"CR CR LF LF", "data: a\r\r\n\ndata: b\n\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"blank lines before", "\n\n\ndata: a\n\n", []frame{{Data: "a"}}},
	{"blank lines between", "data: a\n\n\n\n\ndata: b\n\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"lines joined across all line ends", "data: a\ndata: b\rdata: c\r\ndata: d\n\n", []frame{{Data: "a\nb\nc\nd"}}},
	{"NEL, LS and PS are not line ends", "data: a\u0085\u2028\u2029b\n\n", []frame{{Data: "a\u0085\u2028\u2029b"}}},
	{"VT and FF are not line ends", "data: a\v\fb\n\n", []frame{{Data: "a\v\fb"}}},

	// The byte order mark.
	{"BOM before data", "\ufeffdata: a\n\n", []frame{{Data: "a"}}},
	{"BOM before a comment", "\ufeff:c\ndata: a\n\n", []frame{{Data: "a"}}},
	{"BOM before a blank line", "\ufeff\ndata: a\n\n", []frame{{Data: "a"}}},
	{"BOM before CRLF", "\ufeff\r\ndata: a\r\n\r\n", []frame{{Data: "a"}}},
	{"BOM twice", "\ufeff\ufeffdata: a\n\ndata: b\n\n", []frame{{Data: "b"}}},
	{"BOM twice, later field", "\ufeff\ufeffdata: a\ndata: b\n\n", []frame{{Data: "b"}}},
	{"BOM on the second line", "event: e\n\ufeffdata: a\ndata: b\n\n", []frame{{Event: "e", Data: "b"}}},
	{"BOM after a blank line", "\n\ufeffdata: a\n\n", nil},
	{"BOM in data", "data: \ufeffa\n\n", []frame{{Data: "\ufeffa"}}},
	{"half a BOM before data", "\xef\xbbdata: a\n\n", nil},
	{"UTF-16 BOM", "\xff\xfedata: a\n\ndata: b\n\n", []frame{{Data: "b"}}},

	// Comments.
	{"comment before", ": c\ndata: a\n\n", []frame{{Data: "a"}}},
	{"comment within", "data: a\n: c\ndata: b\n\n", []frame{{Data: "a\nb"}}},
	{"comment after", "data: a\n:\n\n", []frame{{Data: "a"}}},
	{"comment that looks like a field", ":data: x\ndata: a\n\n", []frame{{Data: "a"}}},
	{"comment alone in its block", "data: a\n\n: ping\n\ndata: b\n\n", []frame{{Data: "a"}, {Data: "b"}}},
	{"comment does not end an event", "data: a\n: c\n", nil},
	{"many comments", strings.Repeat(":x\r", 100) + "data: a\n\n", []frame{{Data: "a"}}},
	{"space before a colon is not a comment", " : c\ndata: a\n\n", []frame{{Data: "a"}}},

	// Colons and spaces.
	{"no space", "data:a\n\n", []frame{{Data: "a"}}},
	{"one space removed", "data: a\n\n", []frame{{Data: "a"}}},
	{"only one space removed", "data:  a\n\n", []frame{{Data: " a"}}},
	{"tab not removed", "data:\ta\n\n", []frame{{Data: "\ta"}}},
	{"space, then tab", "data: \ta\n\n", []frame{{Data: "\ta"}}},
	{"no-break space not removed", "data:\u00a0a\n\n", []frame{{Data: "\u00a0a"}}},
	{"trailing spaces kept", "data: a  \n\n", []frame{{Data: "a  "}}},
	{"value is a space", "data:  \n\n", []frame{{Data: " "}}},
	{"colon in value", "data: a:b\n\n", []frame{{Data: "a:b"}}},
	{"value is a colon", "data::\n\n", []frame{{Data: ":"}}},
	{"colon after the space", "data: :\n\n", []frame{{Data: ":"}}},
	{"space before the colon", "data : a\n\n", nil},
	{"space before the name", " data: a\n\n", nil},
	{"line of one space is not blank", "data: a\n \ndata: b\n\n", []frame{{Data: "a\nb"}}},
	{"line of one tab is not blank", "data: a\n\t\n\n", []frame{{Data: "a"}}},

	// The data field.
	{"two data lines", "data: a\ndata: b\n\n", []frame{{Data: "a\nb"}}},
	{"three data lines", "data: YHOO\ndata: +2\ndata: 10\n\n", []frame{{Data: "YHOO\n+2\n10"}}},
	{"data without colon", "data\n\n", []frame{{Data: ""}}},
	{"data with empty value", "data:\n\n", []frame{{Data: ""}}},
	{"data with only the space", "data: \n\n", []frame{{Data: ""}}},
	{"two empty data lines", "data\ndata\n\n", []frame{{Data: "\n"}}},
	{"three empty data lines", "data\ndata:\ndata: \n\n", []frame{{Data: "\n\n"}}},
	{"empty line first", "data:\ndata: a\n\n", []frame{{Data: "\na"}}},
	{"empty line last", "data: a\ndata:\n\n", []frame{{Data: "a\n"}}},
	{"empty line in the middle", "data: a\ndata\ndata: b\n\n", []frame{{Data: "a\n\nb"}}},
	{"the standard's empty events", "data\n\ndata\ndata\n\ndata:", []frame{{Data: ""}, {Data: "\n"}}},
	{"the standard's space example", "data:test\n\ndata: test\n\n", []frame{{Data: "test"}, {Data: "test"}}},
	{"data after other fields", "data: a\nevent: e\nid: 1\nx: y\ndata: b\n\n", []frame{{Event: "e", ID: "1", Data: "a\nb"}}},
	{"a long line before a short one", "data: " + strings.Repeat("x", 300) + "\ndata: y\n\n",
		[]frame{{Data: strings.Repeat("x", 300) + "\ny"}}},
	{"JSON", "event: message.output.delta\ndata: {\"type\":\"message.output.delta\",\"content\":\"a\\nb: c\"}\n\n",
		[]frame{{Event: "message.output.delta", Data: `{"type":"message.output.delta","content":"a\nb: c"}`}}},
	{"JSON on several lines", "data: {\ndata: \"a\": 1\ndata: }\n\n", []frame{{Data: "{\n\"a\": 1\n}"}}},
	{"NUL in data", "data: a\x00b\n\n", []frame{{Data: "a\x00b"}}},
	{"UTF-8", "data: \u00e9\u20ac\U0001f600\n\n", []frame{{Data: "\u00e9\u20ac\U0001f600"}}},
	{"ill-formed UTF-8", "data: \xff\xc3\n\n", []frame{{Data: "\xff\xc3"}}},
	{"end marker of other services", "data: [DONE]\n\n", []frame{{Data: "[DONE]"}}},

	// The event field.
	{"event", "event: e\ndata: a\n\n", []frame{{Event: "e", Data: "a"}}},
	{"event after data", "data: a\nevent: e\n\n", []frame{{Event: "e", Data: "a"}}},
	{"last event wins", "event: e\nevent: f\ndata: a\n\n", []frame{{Event: "f", Data: "a"}}},
	{"empty event wins too", "event: e\nevent:\ndata: a\n\n", []frame{{Data: "a"}}},
	{"event without colon", "event: e\nevent\ndata: a\n\n", []frame{{Data: "a"}}},
	{"event reset", "event: e\ndata: a\n\ndata: b\n\n", []frame{{Event: "e", Data: "a"}, {Data: "b"}}},
	{"event without data", "event: e\n\n", nil},
	{"event without data is discarded", "event: e\n\ndata: a\n\n", []frame{{Data: "a"}}},
	{"event with spaces", "event:  e \ndata: a\n\n", []frame{{Event: " e ", Data: "a"}}},
	{"event repeated", "event: e\ndata: a\n\nevent: e\ndata: b\n\n", []frame{{Event: "e", Data: "a"}, {Event: "e", Data: "b"}}},
	{"event of equal length", "event: e\ndata: a\n\nevent: f\ndata: b\n\n", []frame{{Event: "e", Data: "a"}, {Event: "f", Data: "b"}}},
	{"event named message", "event: message\ndata: a\n\n", []frame{{Event: "message", Data: "a"}}},
	{"long event", "event: " + strings.Repeat("e", 200) + "\ndata: a\n\n", []frame{{Event: strings.Repeat("e", 200), Data: "a"}}},

	// The id field.
	{"id", "id: 1\ndata: a\n\n", []frame{{ID: "1", Data: "a"}}},
	{"id kept", "id: 1\ndata: a\n\ndata: b\n\n", []frame{{ID: "1", Data: "a"}, {ID: "1", Data: "b"}}},
	{"id replaced", "id: 1\ndata: a\n\nid: 2\ndata: b\n\n", []frame{{ID: "1", Data: "a"}, {ID: "2", Data: "b"}}},
	{"id cleared", "id: 1\ndata: a\n\nid:\ndata: b\n\n", []frame{{ID: "1", Data: "a"}, {Data: "b"}}},
	{"id cleared without colon", "id: 1\ndata: a\n\nid\ndata: b\n\ndata: c\n\n", []frame{{ID: "1", Data: "a"}, {Data: "b"}, {Data: "c"}}},
	{"id of an event without data", "id: 1\n\ndata: a\n\n", []frame{{ID: "1", Data: "a"}}},
	{"last id wins", "id: 1\nid: 2\ndata: a\n\n", []frame{{ID: "2", Data: "a"}}},
	{"id with NUL", "id: 1\x00\ndata: a\n\n", []frame{{Data: "a"}}},
	{"id with NUL keeps the last", "id: 1\nid: \x002\ndata: a\n\nid: \x00\ndata: b\n\n", []frame{{ID: "1", Data: "a"}, {ID: "1", Data: "b"}}},
	{"id with spaces", "id:  1 \ndata: a\n\n", []frame{{ID: " 1 ", Data: "a"}}},
	{"id after data", "data: a\nid: 1\n\n", []frame{{ID: "1", Data: "a"}}},
	{"id after the previous event", "data: a\n\nid: 1\ndata: b\n\n", []frame{{Data: "a"}, {ID: "1", Data: "b"}}},

	// The retry field.
	{"retry", "retry: 1500\ndata: a\n\n", []frame{{Data: "a", Retry: 1500 * ms}}},
	{"retry kept", "retry: 1\ndata: a\n\ndata: b\n\n", []frame{{Data: "a", Retry: ms}, {Data: "b", Retry: ms}}},
	{"retry without data", "retry: 7\n\ndata: a\n\n", []frame{{Data: "a", Retry: 7 * ms}}},
	{"retry zero", "retry: 5\nretry: 0\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry with leading zeros", "retry: 0042\ndata: a\n\n", []frame{{Data: "a", Retry: 42 * ms}}},
	{"retry empty", "retry: 5\nretry:\nretry\ndata: a\n\n", []frame{{Data: "a", Retry: 5 * ms}}},
	{"retry negative", "retry: -1\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry with plus", "retry: +1\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry with fraction", "retry: 1.5\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry with unit", "retry: 5\nretry: 9s\ndata: a\n\n", []frame{{Data: "a", Retry: 5 * ms}}},
	{"retry with space after", "retry: 1 \ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry with two spaces before", "retry:  1\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry in other digits", "retry: \u0661\ndata: a\n\n", []frame{{Data: "a"}}},
	{"retry largest", "retry: 9223372036854\ndata: a\n\n", []frame{{Data: "a", Retry: 9223372036854 * ms}}},
	{"retry too large", "retry: 9223372036855\ndata: a\n\n", []frame{{Data: "a", Retry: maxRetry}}},
	{"retry beyond uint64", "retry: 18446744073709551617\ndata: a\n\n", []frame{{Data: "a", Retry: maxRetry}}},
	{"retry far too large", "retry: " + strings.Repeat("9", 100) + "\ndata: a\n\n", []frame{{Data: "a", Retry: maxRetry}}},
	{"retry large, then not a number", "retry: " + strings.Repeat("9", 30) + "x\ndata: a\n\n", []frame{{Data: "a"}}},

	// Unknown fields.
	{"unknown field", "foo: bar\ndata: a\n\n", []frame{{Data: "a"}}},
	{"unknown field without colon", "foo\ndata: a\n\n", []frame{{Data: "a"}}},
	{"unknown field only", "foo: bar\n\n", nil},
	{"upper case", "Data: a\nDATA: b\n\n", nil},
	{"names that begin like a field", "datas: a\neventt: b\nids: c\nretryy: 1\ndata: d\n\n", []frame{{Data: "d"}}},
	{"names that a field begins with", "dat: a\neven: b\ni: c\nretr: 1\ndata: d\n\n", []frame{{Data: "d"}}},
	{"long names that begin like a field", "event.name: x\ndata-type: y\ndata: d\n\n", []frame{{Data: "d"}}},
	{"name with NUL", "data\x00: a\n\n", nil},
	{"long line without colon", strings.Repeat("x", 200) + "\ndata: a\n\n", []frame{{Data: "a"}}},

	// The end of the stream.
	{"end within a name", "data: a\n\nda", []frame{{Data: "a"}}},
	{"end within a value", "data: a\n\ndata: b", []frame{{Data: "a"}}},
	{"end after one line end", "data: a\n\ndata: b\n", []frame{{Data: "a"}}},
	{"end after CRLF", "data: a\r\n", nil},
	{"end after the CR of a CRLF", "data: a\r\n\r", []frame{{Data: "a"}}},
	{"end within a comment", "data: a\n\n: c", []frame{{Data: "a"}}},
	{"end after an unfinished id", "id: 1\ndata: a\n\nid: 2", []frame{{ID: "1", Data: "a"}}},

	// Whole streams.
	{"everything", "\ufeff: hello\r\nretry: 10\r\n\r\nevent: add\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\n: ping\r\n\r\nevent: remove\r\ndata\r\n\r\ndata: tail",
		[]frame{{"add", "1", "a\nb", 10 * ms}, {"remove", "1", "", 10 * ms}}},
	{"the standard's stock example", "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
		[]frame{{Event: "add", Data: "73857293"}, {Event: "remove", Data: "2153"}, {Event: "add", Data: "113411"}}},
	{"the standard's four blocks", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
		[]frame{{ID: "1", Data: "first event"}, {Data: "second event"}}},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := reference(c.stream, math.MaxInt); !slices.Equal(got, c.want) {
				t.Errorf("reference decoder:\n got %q\nwant %q", got, c.want)
			}
			check := func(how string, r io.Reader) {
				t.Helper()
				got, err := collect(sse.NewDecoder(r))
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s:\n got %q, error %v\nwant %q", how, got, err, c.want)
				}
			}
			check("whole", strings.NewReader(c.stream))
			check("end with the data", iotest.DataErrReader(strings.NewReader(c.stream)))
			check("half reads", iotest.HalfReader(strings.NewReader(c.stream)))
			check("byte by byte", iotest.OneByteReader(strings.NewReader(c.stream)))
			for i := range c.stream {
				check("split before "+c.stream[i:], io.MultiReader(
					strings.NewReader(c.stream[:i]), strings.NewReader(c.stream[i:])))
			}
		})
	}
}

// TestPromptness splits each stream in two parts at every position. The decoder must dispatch all
// frames that are complete in the first part before it reads the second part.
func TestPromptness(t *testing.T) {
	t.Parallel()
	for _, c := range conformance {
		for i := range len(c.stream) + 1 {
			got := 0
			r := &script{chunks: []string{c.stream[:i], c.stream[i:]}}
			r.before = func() {
				if want, _ := reference(c.stream[:r.delivered], math.MaxInt); got != len(want) {
					t.Errorf("%s: Read is called after %q with %d dispatched frames, want %d", c.name, c.stream[:r.delivered], got, len(want))
				}
			}
			for range sse.NewDecoder(r).Frames() {
				got++
			}
		}
	}
}
