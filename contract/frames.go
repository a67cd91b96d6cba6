package contract

import "bytes"

// frames splits a server-sent event stream into events. It follows the WHATWG standard:
// a line ends with CR, LF or CRLF, a blank line ends an event, and the data lines of an
// event are joined by LF. It shares no code with package sse, because this package
// validates that one.
type frames struct {
	// event receives every event that has a name or data. The data is valid only
	// during the call.
	event func(name string, data []byte)

	line          []byte // the current, incomplete line
	firstLineRead bool   // whether the first line, which may have a byte order mark, is complete
	afterCR       bool   // whether the last byte was CR, so that a following LF ends the same line
	name          string
	data          []byte
	hasData       bool // whether the event has a data line
	hasField      bool // whether the event has a field
}

// write adds the next bytes of the stream.

func (f *frames) write(p []byte) {
	for len(p) > 0 {
		if f.afterCR {
			f.afterCR = false
			if p[0] == '\n' {
				p = p[1:]
				continue
			}
		}
		end := bytes.IndexAny(p, "\r\n")
		if end < 0 {
			f.line = append(f.line, p...)
			return
		}
		f.line = append(f.line, p[:end]...)
		f.afterCR = p[end] == '\r'
		p = p[end+1:]
		f.endLine()
	}
}

// pending reports whether the stream is inside an event.
func (f *frames) pending() bool { return len(f.line) > 0 || f.hasField }

func (f *frames) endLine() {
	line := f.line
	f.line = f.line[:0]
	if !f.firstLineRead {
		f.firstLineRead = true
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	if len(line) == 0 {
		f.endEvent()
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "event":
		f.name, f.hasField = string(value), true
	case "data":
		if f.hasData {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
		f.hasData, f.hasField = true, true
	}
}

func (f *frames) endEvent() {
	if f.hasField {
		f.event(f.name, f.data)
	}
	f.name, f.data, f.hasData, f.hasField = "", f.data[:0], false, false
}
