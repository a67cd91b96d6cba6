package generated

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A Mismatch is a value of a response that was left out because it is not of the type
// that the document declares for its place: an object for a string, say. The field
// that it belongs to has its zero value.
type Mismatch struct {
	// Pointer is the JSON pointer (RFC 6901) of the value, from the response that
	// reports it; "" for that response itself.
	Pointer string
	// Text is the value as it came.
	Text string
}

// String returns the pointer and the beginning of the text.
func (m Mismatch) String() string { return fmt.Sprintf("%s: %s", m.Pointer, cut(m.Text, maxPrinted)) }

// maxMismatches is how many a response reports, and maxPointers bounds the bytes of
// their pointers.
const (
	maxMismatches = 100
	maxPointers   = 64 << 10
)

// A source is what a response, or an event of a stream, was decoded from. It can be
// compared, so that types which could be compared without it still can.
type source struct {
	text    string
	leftOut *[]Mismatch // nil if there are none
}

func (s source) mismatches() []Mismatch {
	if s.leftOut == nil {
		return nil
	}
	return *s.leftOut
}

func (s source) raw() json.RawMessage { return rawOf(s.text) }

func rawOf(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// A sourced is a type that knows its source.
type sourced interface{ origin() *source }

// mismatch records that the value cannot be read.
func (v value) mismatch() {
	if len(v.d.mismatches)-v.d.scope < maxMismatches {
		v.d.mismatches = append(v.d.mismatches, v.n)
	}
}

// enter begins the scope of a response, and leave ends it: it notes in s what was
// recorded in between. That stays recorded for the response around this one.
func (v value) enter() (outer int) {
	outer, v.d.scope = v.d.scope, len(v.d.mismatches)
	return outer
}

func (v value) leave(outer int, s *source) {
	*s = source{text: v.text()}
	if nodes := v.d.mismatches[v.d.scope:]; len(nodes) > 0 {
		found := v.report(nodes)
		s.leftOut = &found
	}
	v.d.scope = outer
}

// report returns what a response says of values inside it that cannot be read.
func (v value) report(nodes []int32) (found []Mismatch) {
	room := maxPointers
	for _, n := range nodes {
		if room < 0 || len(found) == maxMismatches {
			break
		}
		pointer := v.pointer(n)
		room -= len(pointer)
		found = append(found, Mismatch{Pointer: pointer, Text: value{v.d, n}.text()})
	}
	return found
}

// pointer returns the JSON pointer of a node inside the value.
func (v value) pointer(target int32) string {
	var b strings.Builder
	for v.n != target {
		b.WriteByte('/')
		if v.kind() == '{' {
			for name, member := range v.members() {
				if target < v.d.nodes[member.n].next {
					v = member
					b.WriteString(pointerEscapes.Replace(name))
					break
				}
			}
			continue
		}
		index := 0
		for element := range v.elements() {
			if target < v.d.nodes[element.n].next {
				v = element
				b.WriteString(strconv.Itoa(index))
				break
			}
			index++
		}
	}
	return b.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
