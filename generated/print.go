package generated

import (
	"reflect"
	"unicode/utf8"
)

// maxPrinted is about how many bytes of a value are printed, and maxText how many of a
// text in it.
const (
	maxPrinted = 1000
	maxText    = 200
)

// printed returns what source points to as JSON for people to read: cut at about
// maxPrinted bytes, and without secrets.
func printed(source any) string {
	w := output{printed: maxPrinted, text: maxText}
	src := reflect.ValueOf(source).Elem()
	planOf(src.Type()).writeAny(&w, src)
	if w.err != nil {
		return "(" + w.err.Error() + ")"
	}
	return string(w.buf)
}

// cut returns the beginning of s, which says how much more there is.
func cut(s string, length int) string {
	if len(s) <= length {
		return s
	}
	for length > 0 && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:length] + "…"
}
