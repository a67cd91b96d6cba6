package generated

import (
	"iter"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A value is one value of a document. It is invalid once the document is released.
type value struct {
	d *document
	n int32
}

func (d *document) root() value { return value{d, 0} }

// text returns the JSON text of the value, which shares the document's memory.
func (v value) text() string {
	n := v.d.nodes[v.n]
	return v.d.text[n.start:n.end]
}

// kind returns the first byte of the value's text: {, [, ", t, f, n, - or a digit.
func (v value) kind() byte { return v.d.text[v.d.nodes[v.n].start] }

func (v value) isNull() bool { return v.kind() == 'n' }

// members yields the names and values of an object.
func (v value) members() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for n, end := v.n+1, v.d.nodes[v.n].next; n < end; n = v.d.nodes[n+1].next {
			if !yield(value{v.d, n}.name(), value{v.d, n + 1}) {
				return
			}
		}
	}
}

// name returns the decoded name of a member. The result may share the document's memory.
func (v value) name() string {
	text := v.text()
	if strings.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1]
	}
	name, _ := v.string()
	return name
}

// elements yields the values of an array.
func (v value) elements() iter.Seq[value] {
	return func(yield func(value) bool) {
		for n, end := v.n+1, v.d.nodes[v.n].next; n < end; n = v.d.nodes[n].next {
			if !yield(value{v.d, n}) {
				return
			}
		}
	}
}

// count returns the number of values of an array, or of members of an object.
func (v value) count() int {
	count := 0
	for n, end := v.n+1, v.d.nodes[v.n].next; n < end; n = v.d.nodes[n].next {
		count++
	}
	if v.kind() == '{' {
		count /= 2 // names are nodes too
	}
	return count
}

// member returns the value of the named member of an object. If several members have the
// name, it returns the last one.
func (v value) member(name string) (found value, ok bool) {
	for key, member := range v.members() {
		if key == name {
			found, ok = member, true
		}
	}
	return found, ok
}

// string returns the decoded text of a JSON string. The result may share the document's
// memory; see retainable.
func (v value) string() (s string, ok bool) {
	text := v.text()
	if text[0] != '"' {
		return "", false
	}
	s = text[1 : len(text)-1]
	if strings.IndexByte(s, '\\') >= 0 || !utf8.ValidString(s) {
		return unescape(s), true
	}
	return v.d.retainable(s), true
}

// unescape decodes the text between the quotes of a JSON string. Like encoding/json, it replaces
// invalid UTF-8 and unpaired surrogates with U+FFFD.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		if s[i+1] != 'u' {
			b = append(b, escapes[s[i+1]])
			i += 2
			continue
		}
		r := codeUnit(s[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			if pair := utf16.DecodeRune(r, codeUnit(s[i:])); pair != utf8.RuneError {
				r = pair
				i += 6
			}
		}
		b = utf8.AppendRune(b, r) // appends U+FFFD for a surrogate
	}
	return string(b)
}

// escapes maps the letter of an escape to its byte.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// codeUnit returns the code unit of the escape \uXXXX at the beginning of s; 0 if s does not
// begin with an escape.
func codeUnit(s string) rune {
	if len(s) < 6 || s[:2] != `\u` {
		return 0
	}
	n, _ := strconv.ParseUint(s[2:6], 16, 16) // cannot fail: parse validated the digits
	return rune(n)
}

// arguments returns the arguments of a function call as JSON text. The value is a string that
// holds the text, or an object or a list.
func (v value) arguments() (text string, ok bool) {
	if c := v.kind(); c == '{' || c == '[' {
		return v.d.retainable(v.text()), true
	}
	return v.string()
}

// retainable returns s, which must be a part of the document's text, or a copy of s. It returns
// s itself if the whole text has at most maxShared bytes or about four times the length of s.
func (d *document) retainable(s string) string {
	if d.sharesText || len(s) >= len(d.text)/4 {
		return s
	}
	return strings.Clone(s)
}

// int returns the value as an integer that fits in an int. Like JSON Schema, it accepts
// integral numbers such as 7.0 and 9e0.
func (v value) int() (n int64, ok bool) {
	text := v.text()
	n, err := strconv.ParseInt(text, 10, strconv.IntSize)
	if err == nil {
		return n, true
	}
	const maxLength, maxExponent = 64, 64 // limits the cost of exact arithmetic
	if c := text[0]; c != '-' && (c < '0' || c > '9') || len(text) > maxLength {
		return 0, false
	}
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		if exponent, err := strconv.Atoi(text[e+1:]); err != nil || max(exponent, -exponent) > maxExponent {
			return 0, false
		}
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok || !exact.IsInt() || !exact.Num().IsInt64() {
		return 0, false
	}
	n = exact.Num().Int64()
	return n, int64(int(n)) == n
}

func (v value) float() (f float64, ok bool) {
	f, err := strconv.ParseFloat(v.text(), 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

func (v value) bool() (b, ok bool) {
	c := v.kind()
	return c == 't', c == 't' || c == 'f'
}
