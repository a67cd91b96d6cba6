package ratelimited

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// describe returns a sentence about a field that breaks a rule: "Field is VALUE: RULE", or
// "Field RULE" without a value.
func describe(field string, value any, rule string) string {
	switch v := value.(type) {
	case nil:
		return field + " " + rule
	case string:
		return fmt.Sprintf("%s is %q: %s", field, v, rule)
	default:
		return fmt.Sprintf("%s is %v: %s", field, v, rule)
	}
}

// maxText is the maximum length in bytes of a foreign text in an error message.
const maxText = 300

// oneLine makes a foreign text suitable for one line of a log: without line breaks and control
// characters, and with a bounded length.
func oneLine(s string) string {
	cut := len(s) > 4*maxText
	s = strings.ToValidUTF8(s[:min(len(s), 4*maxText)], "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		end := maxText
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], true
	}
	if cut {
		s += "…"
	}
	return s
}

// excerpt returns the beginning of a body, as oneLine does.
func excerpt(body []byte) string { return oneLine(string(body[:min(len(body), 5*maxText)])) }

// errorText returns the text of an error, also of a nil one: a program may create an error of this
// package itself, for example in a test.
func errorText(err error) string {
	if err == nil {
		return "of unknown cause"
	}
	return err.Error()
}
