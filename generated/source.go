package generated

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A Mismatch is a value of a response whose type is not the one that the OpenAPI document
// declares, for example an object instead of a string. Decoding skips it: the field has its
// zero value. In a list of unions the value becomes an Unknown variant.
type Mismatch struct {
	// Pointer is the JSON pointer (RFC 6901) of the value, relative to the response that
	// reports it; "" if it is that response.
	Pointer string
	// Text is the JSON text of the value.
	Text string
}

// String returns the quoted pointer and the beginning of the text.
func (m Mismatch) String() string { return fmt.Sprintf("%q: %s", m.Pointer, cut(m.Text, maxPrinted)) }

// maxMismatches is the limit per response, and maxPointers bounds the bytes of their
// pointers.
const (
	maxMismatches = 100
	maxPointers   = 64 << 10
)

// A source holds the text that a response or a stream event was decoded from, and its
// mismatches. It is comparable, so it does not make its type incomparable.
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

// sourced is implemented by types that hold their source.
type sourced interface{ origin() *source }

// mismatch records that the value cannot be decoded.
func (v value) mismatch() {
	if len(v.d.mismatches)-v.d.scope < maxMismatches {
		v.d.mismatches = append(v.d.mismatches, v.n)
	}
}

// enter begins the scope of a response. leave stores in s the mismatches recorded since
// enter; they also count for the enclosing response.
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

// report returns the mismatches for nodes inside the value.
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
