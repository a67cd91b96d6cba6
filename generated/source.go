package generated

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Mismatch is a value of a response whose type is not the one that the OpenAPI document
// declares, for example an object instead of a string. Decoding skips it: the field has its
// zero value. In a list of unions the value becomes an Unknown variant. A list is skipped,
// too, if its elements would take more than 32 times the memory of the response, beyond
// 512 KiB: those of real responses take far less.
type Mismatch struct {
	// Pointer is the JSON pointer (RFC 6901) of the value, relative to the response that
	// reports it; "" if it is that response.
	Pointer string
	// Text is the JSON text of the value.
	Text string
}

// String returns the quoted pointer and the beginning of the text, which is redacted inside
// an authorization.
func (m Mismatch) String() string {
	text := m.Text
	if strings.Contains(m.Pointer, "/authorization") {
		text = "[redacted]"
	}
	return fmt.Sprintf("%q: %s", m.Pointer, cut(text, maxPrinted))
}

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
	v.d.failures++
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

// A reporter collects mismatches in one walk through a response.
type reporter struct {
	found   []Mismatch
	pointer []byte // of the value that the walk is at
	room    int    // bytes that pointers may still have
}

// report returns the mismatches for nodes inside the value.
func (v value) report(nodes []int32) []Mismatch {
	sorted := slices.Clone(nodes)
	slices.Sort(sorted)
	r := reporter{room: maxPointers}
	r.walk(v, slices.Compact(sorted))
	return r.found
}

// walk visits the values around the given nodes, which are sorted and inside v or v itself.
func (r *reporter) walk(v value, nodes []int32) {
	if nodes[0] == v.n {
		r.found = append(r.found, Mismatch{Pointer: string(r.pointer), Text: v.text()})
		r.room -= len(r.pointer)
		nodes = nodes[1:]
	}
	isObject := v.kind() == '{'
	n := v.n + 1
	for index := 0; len(nodes) > 0 && len(r.found) < maxMismatches && len(r.pointer) <= r.room; index++ {
		child := n
		if isObject {
			child++
		}
		n = v.d.nodes[child].next
		inside, _ := slices.BinarySearch(nodes, n) // number of nodes before n
		if inside == 0 {
			continue
		}
		length := len(r.pointer)
		r.pointer = append(r.pointer, '/')
		if isObject {
			r.pointer = append(r.pointer, pointerEscapes.Replace(value{v.d, child - 1}.name())...)
		} else {
			r.pointer = strconv.AppendInt(r.pointer, int64(index), 10)
		}
		r.walk(value{v.d, child}, nodes[:inside])
		r.pointer, nodes = r.pointer[:length], nodes[inside:]
	}
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
