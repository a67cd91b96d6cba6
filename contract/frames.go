package contract

import "bytes"

// frames cuts a server-sent event stream into events as its bytes pass. It follows
// the WHATWG standard: lines end with CR, LF or CRLF, a blank line ends an event,
// lines of data are joined by LF. It has no code in common with package sse, which
// it helps to judge.
type frames struct {
	// event is called with every event that has a name or data. The data is only good
	// during the call.
	event func(name string, data []byte)

	line    []byte // the line that has begun
	started bool   // whether the first line, which may have a byte order mark, is over
	afterCR bool   // a LF that comes now belongs to the CR before it
	name    string
	data    []byte
	filled  bool // whether data has a line
	any     bool // whether the event has a field
}

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

// pending says whether an event has begun and not ended.
func (f *frames) pending() bool { return len(f.line) > 0 || f.any }

func (f *frames) endLine() {
	line := f.line
	f.line = f.line[:0]
	if !f.started {
		f.started = true
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
		f.name, f.any = string(value), true
	case "data":
		if f.filled {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
		f.filled, f.any = true, true
	}
}

func (f *frames) endEvent() {
	if f.any {
		f.event(f.name, f.data)
	}
	f.name, f.data, f.filled, f.any = "", f.data[:0], false, false
}
