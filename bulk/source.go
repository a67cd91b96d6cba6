package bulk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A Row is one request of a job.
type Row struct {
	// The custom_id of the row in the output. It must be valid UTF-8 and unique within the input.
	ID string
	// The position of the row in its source, from 1. [Rows] sets it if it is 0.
	Line int
	// The request. Unset fields get the values of [Options.Defaults].
	Request generated.StartConversationRequest
	// The reason why the row cannot be sent. A row with an Err becomes an error row.
	Err error

	sum      digest // digest of the text of a row with Err
	numbered bool   // whether ID is the line number
}

// A Source yields the rows of an input in order. Run and Plan read it once, as needed. An error
// ends the source and means that the input cannot be read. An invalid row is not an error of the
// source: see [Row.Err].
type Source = iter.Seq2[Row, error]

// maxLine bounds the length of a line of an input, in bytes. A longer line becomes an error row.
const maxLine = 32 << 20

// JSONL returns the rows of a JSONL file. Each line is a JSON object in one of two forms. The first
// form is that of the vendor's batch files, with a [generated.StartConversationRequest] as the
// body:
//
//	{"custom_id": "a", "body": {"model": "mistral-small-latest", "inputs": "Hello!"}}
//
// The second form has a prompt:
//
//	{"id": "a", "prompt": "Hello!"}
//
// An ID may be a number. JSONL ignores other properties of the object. Unknown properties of a body
// make an error row. Empty lines, a byte order mark and CRLF are allowed.
func JSONL(r io.Reader) Source {
	return rowsOf(r, func(_ int, text []byte) Row { return parseRow(text) })
}

// Lines returns a row for each nonempty line of a text. The line is the prompt, and the line
// number, from 1, is the ID.
func Lines(r io.Reader) Source {
	return rowsOf(r, func(number int, text []byte) Row {
		return Row{ID: strconv.Itoa(number), numbered: true, Request: generated.StartConversationRequest{Inputs: ratelimited.Text(string(text))}}
	})
}

// Rows returns the rows of an iterator.
func Rows(seq iter.Seq[Row]) Source {
	return func(yield func(Row, error) bool) {
		if seq == nil {
			yield(Row{}, errors.New("bulk: Rows: the iterator is nil: must be set"))
			return
		}
		line := 0
		for row := range seq {
			line++
			if row.Line == 0 {
				row.Line = line
			}
			switch {
			case row.Err != nil:
			case row.ID == "":
				row.Err = errors.New("the ID is missing: must be set")
			case !utf8.ValidString(row.ID): // JSON would change the ID
				row.Err = fmt.Errorf("the ID is %s: must be valid UTF-8", shortened([]byte(strconv.Quote(row.ID))))
			}
			if row.Err != nil {
				row.sum = sumOf([]byte(row.ID + "\x00" + row.Err.Error()))
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// rowsOf returns a row for each nonempty line. The text passed to parse is valid until parse
// returns.
func rowsOf(r io.Reader, parse func(number int, text []byte) Row) Source {
	return func(yield func(Row, error) bool) {
		for line, err := range linesOf(r, maxLine) {
			if err != nil {
				yield(Row{}, fmt.Errorf("bulk: reading line %d: %w", line.number, err))
				return
			}
			if len(bytes.TrimSpace(line.text)) == 0 && line.err == nil {
				continue
			}
			row := Row{Err: line.err}
			switch {
			case row.Err != nil:
			case !utf8.Valid(line.text):
				row.Err = errors.New("the line is not valid UTF-8")
			default:
				row = parse(line.number, line.text)
			}
			if row.Line = line.number; row.Err != nil {
				row.sum = sumOf(line.text)
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// A textLine is a line of a text, without its line break.
type textLine struct {
	number int
	text   []byte // valid until the next line is read
	size   int64  // bytes, including the line break
	ended  bool   // whether the line has a line break
	err    error  // set if the line is too long; text is its beginning then
}

var errUTF16 = errors.New("the text is UTF-16: must be UTF-8")

// linesOf yields the lines of a text, of up to most bytes each.
func linesOf(r io.Reader, maxSize int64) iter.Seq2[textLine, error] {
	return func(yield func(textLine, error) bool) {
		if r == nil {
			yield(textLine{number: 1}, errors.New("the reader is nil: must be set"))
			return
		}
		in := bufio.NewReaderSize(r, 64<<10)
		var line textLine
		for err := error(nil); err == nil; {
			if cap(line.text) > 1<<20 {
				line.text = nil // release the buffer of an unusually long line
			}
			line = textLine{number: line.number + 1, text: line.text[:0]}
			err = line.read(in, maxSize)
			switch {
			case err != nil && err != io.EOF:
				yield(line, err)
				return
			case line.size == 0:
				return
			}
			line.ended = err == nil
			line.text = bytes.TrimRight(line.text, "\r\n")
			if line.number == 1 {
				if bytes.HasPrefix(line.text, []byte("\xff\xfe")) || bytes.HasPrefix(line.text, []byte("\xfe\xff")) {
					yield(line, errUTF16)
					return
				}
				line.text = bytes.TrimPrefix(line.text, []byte("\ufeff"))
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// read reads the next line with its line break, up to the maximum length.
func (l *textLine) read(in *bufio.Reader, maxSize int64) error {
	for {
		part, err := in.ReadSlice('\n')
		if l.size += int64(len(part)); l.size <= maxSize {
			l.text = append(l.text, part...)
		} else {
			l.err = fmt.Errorf("the line is too long: must be at most %d MiB", maxSize>>20)
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}
