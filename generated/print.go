package generated

import (
	"reflect"
	"unicode/utf8"
)

// maxPrinted is the approximate limit for the output of String methods, in bytes. maxText is the
// limit for each string in the output.
const (
	maxPrinted = 1000
	maxText    = 200
)

// printed returns *source as abbreviated JSON with secrets redacted.
func printed(source any) string {
	w := output{printLimit: maxPrinted, textLimit: maxText}
	src := reflect.ValueOf(source).Elem()
	planOf(src.Type()).writeAny(&w, src)
	if w.err != nil {
		return "(" + w.err.Error() + ")"
	}
	return string(w.buf)
}

// truncate returns s, or its first length bytes and an ellipsis if s is longer. It does not split
// a rune.
func truncate(s string, length int) string {
	if len(s) <= length {
		return s
	}
	for length > 0 && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:length] + "…"
}
