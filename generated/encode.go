package generated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// An EncodeError reports a request field that cannot be encoded as JSON.
type EncodeError struct {
	// Field is the path of the field, such as "tools.0.function.parameters"; "" for the encoded value itself.
	Field string
	// Err is the cause of the failure.
	Err error
}

// Error returns the path of the field and the cause.
func (e *EncodeError) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.Field, e.Err)
}

// Unwrap returns Err.
func (e *EncodeError) Unwrap() error { return e.Err }

// An output is a buffer for JSON text. It keeps the first error.
type output struct {
	buf []byte
	err *EncodeError
	// printLimit is the approximate limit in bytes for the output of String methods, which
	// redacts secrets; 0 means complete JSON. textLimit is the limit for each string in it.
	printLimit, textLimit int
}

// marshal returns the JSON encoding of *source.
func marshal(source any) ([]byte, error) {
	w := output{buf: make([]byte, 0, 512)}
	src := reflect.ValueOf(source).Elem()
	planOf(src.Type()).writeAny(&w, src)
	if w.err != nil {
		return nil, w.err
	}
	return w.buf, nil
}

func (p *plan) writeAny(w *output, src reflect.Value) { p.write(p, w, src) }

// any writes a value whose type belongs to this package.
func (w *output) any(v any) {
	src := reflect.ValueOf(v)
	p := planOf(src.Type())
	addressable := reflect.New(p.typ).Elem()
	addressable.Set(src)
	p.write(p, w, addressable)
}

// variant writes a variant of a union. It writes the text that the variant was decoded from,
// if any. Printed output never uses this text, because it may contain secrets.
func (w *output) variant(v any, decodedFrom string) {
	switch {
	case decodedFrom != "" && w.printLimit == 0:
		w.raw(decodedFrom)
	case v == nil:
		w.raw("null")
	default:
		w.any(v)
	}
}

// unknown writes a variant of an unknown type. If secret is set, printed output is redacted.
func (w *output) unknown(name string, raw []byte, secret bool) {
	switch {
	case len(raw) == 0:
		w.raw("null")
	case w.printLimit == 0 && !json.Valid(raw):
		w.fail(errNotJSON)
	case w.printLimit == 0:
		w.buf = append(w.buf, raw...)
	case secret && name == "":
		w.raw(`"[redacted]"`)
	case secret:
		w.raw(`{"type":`)
		w.string(name)
		w.raw(`,"…":"[redacted]"}`)
	default:
		w.raw(truncate(string(raw), w.printLimit))
	}
}

func (w *output) raw(text string) { w.buf = append(w.buf, text...) }

// fail records the error unless an earlier one was recorded.
func (w *output) fail(err error) {
	if w.err == nil {
		w.err = &EncodeError{Err: err}
	}
}

// addPath reports whether encoding the named member or element failed. If so, it prepends the
// name to the path of the error.
func (w *output) addPath(name string) bool {
	if w.err == nil {
		return false
	}
	if w.err.Field != "" {
		name += "." + w.err.Field
	}
	w.err.Field = name
	return true
}

// full reports whether the printing limit is reached.
func (w *output) full() bool { return w.printLimit > 0 && len(w.buf) >= w.printLimit }

func writeString(_ *plan, w *output, src reflect.Value) { w.string(src.String()) }

func (w *output) string(s string) {
	if w.printLimit > 0 {
		s = truncate(s, w.textLimit)
	}
	w.buf = appendString(w.buf, s)
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. Like encoding/json, it replaces invalid UTF-8 with
// U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(slices.Grow(dst, len(s)+len(s)/8+2), '"')
	start := 0
	for i := 0; i < len(s); {
		if i += plainPrefixLen(s[i:]); i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// plainPrefixLen returns the length of a prefix of s that does not need escapes. The length is
// a multiple of 8. In the tested word, the high bit of a byte is set if the byte is not ASCII,
// is a control character, a quote or a backslash.
func plainPrefixLen(s string) int {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		word := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := word^('"'*ones), word^('\\'*ones) // a matching byte becomes zero
		if (word|(word-' '*ones)|(quote-ones)|(backslash-ones))&highest != 0 {
			break
		}
	}
	return i
}

func writeInt(_ *plan, w *output, src reflect.Value) {
	w.buf = strconv.AppendInt(w.buf, src.Int(), 10)
}

func writeFloat(_ *plan, w *output, src reflect.Value) {
	f := src.Float()
	if math.IsInf(f, 0) || math.IsNaN(f) {
		w.fail(&json.UnsupportedValueError{Value: src, Str: strconv.FormatFloat(f, 'g', -1, 64)})
		return
	}
	format := byte('f')
	if magnitude := math.Abs(f); magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21) {
		format = 'e'
	}
	w.buf = strconv.AppendFloat(w.buf, f, format, -1, 64)
}

func writeBool(_ *plan, w *output, src reflect.Value) { w.buf = strconv.AppendBool(w.buf, src.Bool()) }

// writeStdlib encodes a type that does not occur in the OpenAPI document, with encoding/json.
func writeStdlib(_ *plan, w *output, src reflect.Value) {
	text, err := encodeJSON(src.Interface())
	if err != nil {
		w.fail(err)
		return
	}
	w.buf = append(w.buf, text...)
}

func writeFreeForm(_ *plan, w *output, src reflect.Value) {
	if isUnset(src) {
		w.raw("null")
		return
	}
	text, err := EncodeJSON(src.Interface())
	if err != nil {
		w.fail(err)
		return
	}
	if w.printLimit > 0 {
		text = []byte(truncate(string(text), w.printLimit))
	}
	w.buf = append(w.buf, text...)
}

func writePointer(p *plan, w *output, src reflect.Value) {
	if src.IsNil() {
		w.raw("null")
		return
	}
	p.elem.writeAny(w, src.Elem())
}

// writeList writes a nil list as an empty one, because few lists of the OpenAPI document may
// be null. It is not called for omitted fields.
func writeList(p *plan, w *output, src reflect.Value) {
	w.raw("[")
	for i := range src.Len() {
		if i > 0 {
			w.raw(",")
		}
		if w.full() {
			w.raw("…")
			break
		}
		p.elem.writeAny(w, src.Index(i))
		if w.addPath(strconv.Itoa(i)) {
			return
		}
	}
	w.raw("]")
}

// writeMap writes the members sorted by name.
func writeMap(p *plan, w *output, src reflect.Value) {
	members := map[string]reflect.Value{}
	for name, member := range src.Seq2() {
		members[name.String()] = member
	}
	w.raw("{")
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			w.raw(",")
		}
		if w.full() {
			w.raw("…")
			break
		}
		w.string(name)
		w.raw(":")
		p.elem.writeAny(w, members[name])
		if w.addPath(name) {
			return
		}
	}
	w.raw("}")
}

func writeStruct(p *plan, w *output, src reflect.Value) {
	w.raw("{")
	begin := len(w.buf)
	for i := range p.fields {
		f := &p.fields[i]
		member := src.Field(f.index)
		if f.isOmitted(member) {
			continue
		}
		if len(w.buf) > begin {
			w.raw(",")
		}
		if w.full() {
			w.raw("…")
			break
		}
		w.raw(f.key)
		switch {
		case f.secret && w.printLimit > 0:
			w.raw(`"[redacted]"`)
		case f.unset != "" && f.plan.isZero(member):
			w.raw(f.unset)
		default:
			f.plan.writeAny(w, member)
		}
		if w.addPath(f.name) {
			return
		}
	}
	w.raw("}")
}

// isOmitted reports whether omitzero or omitempty omits the field.
func (f *field) isOmitted(member reflect.Value) bool {
	if f.omitZero && f.plan.isZero(member) {
		return true
	}
	return f.omitEmpty && isEmpty(member)
}

// isEmpty reports whether omitempty omits a value. Unlike encoding/json, it also omits free-form
// values that are unset or empty maps.
func isEmpty(member reflect.Value) bool {
	switch member.Kind() {
	case reflect.Interface:
		return isUnset(member) || member.Elem().Kind() == reflect.Map && member.Elem().Len() == 0
	case reflect.Slice, reflect.Map, reflect.String:
		return member.Len() == 0
	case reflect.Struct:
		return false
	default:
		return member.IsZero()
	}
}

// encodeJSON is like json.Marshal, but does not escape HTML characters.
func encodeJSON(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
