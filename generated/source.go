package generated

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Mismatch is a value of a response whose type is not the one that the OpenAPI document
// declares, for example an object instead of a string. Decoding skips the value: the field has
// its zero value. In a list of unions the value becomes an Unknown variant.
//
// Decoding also skips a list if the response's lists together would need more memory than
// 512 KiB plus 32 times the size of the response. The lists of real responses need far less.
type Mismatch struct {
	// Pointer is the JSON Pointer (RFC 6901) of the value, relative to the response that
	// reports the mismatch; "" if the value is the response itself.
	Pointer string
	// Text is the JSON text of the value.
	Text string
}

// String returns the quoted pointer and the beginning of the text. It redacts the text if the
// pointer contains "/authorization".
func (m Mismatch) String() string {
	text := m.Text
	if strings.Contains(m.Pointer, "/authorization") {
		text = "[redacted]"
	}
	return fmt.Sprintf("%q: %s", m.Pointer, truncate(text, maxPrinted))
}

// maxMismatches is the maximum number of mismatches per response. maxPointers is the approximate
// maximum of the total size of their pointers, in bytes.
const (
	maxMismatches = 100
	maxPointers   = 64 << 10
)

// A source holds the text that a response or a stream event was decoded from, and its
// mismatches. The mismatches are behind a pointer to keep response types comparable.
type source struct {
	text    string
	skipped *[]Mismatch // nil without mismatches
}

func (s source) mismatches() []Mismatch {
	if s.skipped == nil {
		return nil
	}
	return *s.skipped
}

func (s source) raw() json.RawMessage { return rawOf(s.text) }

func rawOf(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// sourced is the interface of types that hold their source.
type sourced interface{ origin() *source }

// mismatch records that the value cannot be decoded.
func (v value) mismatch() {
	v.d.failures++
	if len(v.d.mismatches)-v.d.scope < maxMismatches {
		v.d.mismatches = append(v.d.mismatches, v.n)
	}
}

// beginScope begins the scope of a response and returns the enclosing scope.
func (v value) beginScope() (outer int) {
	outer, v.d.scope = v.d.scope, len(v.d.mismatches)
	return outer
}

// endScope stores in s the text of the response and the mismatches recorded since beginScope.
// They also belong to the enclosing response.
func (v value) endScope(outer int, s *source) {
	*s = source{text: v.text()}
	if nodes := v.d.mismatches[v.d.scope:]; len(nodes) > 0 {
		found := v.report(nodes)
		s.skipped = &found
	}
	v.d.scope = outer
}

// A reporter collects mismatches in one walk through a response.
type reporter struct {
	found         []Mismatch
	pointer       []byte // of the current value
	pointerBudget int    // remaining size of all pointers, in bytes
}

// report returns the mismatches for nodes inside the value.
func (v value) report(nodes []int32) []Mismatch {
	sorted := slices.Clone(nodes)
	slices.Sort(sorted)
	r := reporter{pointerBudget: maxPointers}
	r.walk(v, slices.Compact(sorted))
	return r.found
}

// walk appends the mismatches for the given nodes. The nodes are sorted; each is v or inside v.
func (r *reporter) walk(v value, nodes []int32) {
	if nodes[0] == v.n {
		r.found = append(r.found, Mismatch{Pointer: string(r.pointer), Text: v.text()})
		r.pointerBudget -= len(r.pointer)
		nodes = nodes[1:]
	}
	isObject := v.kind() == '{'
	n := v.n + 1
	for index := 0; len(nodes) > 0 && len(r.found) < maxMismatches && len(r.pointer) <= r.pointerBudget; index++ {
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
